"""Letters that say which rows are not told apart: those that share one are not, those that share none are."""

from __future__ import annotations

import string

import numpy as np


def letters(told_apart: np.ndarray) -> list[str]:
    """Gives every row its letters.

    Every pair that is not told apart shares a letter and no pair that is told apart does: the letters are groups that
    cover the pairs that are not told apart, each grown row by row in the order of the table (Gramm et al. 2007,
    Computational Statistics & Data Analysis 52(2), call such displays compact letter displays).

    Parameters
    ----------
    told_apart : array (K, K) of bool
        Symmetric, in the table's order.

    Returns
    -------
    list of str
        a, b, … z, a1, b1, … z1, a2, …
    """
    groups = groups_of(told_apart)
    return ["".join(_name(g) for g, group in enumerate(groups) if k in group) for k in range(len(told_apart))]


def groups_of(told_apart: np.ndarray) -> list[tuple[int, ...]]:
    """Groups of rows not told apart, such that each pair that is not told apart is in one; single rows too."""
    alike = ~told_apart
    np.fill_diagonal(alike, True)
    covered = np.zeros_like(alike)
    out: list[tuple[int, ...]] = []
    for i in range(len(alike)):
        for j in range(i, len(alike)):
            if covered[i, j] or not alike[i, j] or (i == j and covered[i].any()):
                continue
            if i == j and alike[i, i + 1 :].any():
                continue  # a pair of it comes next
            group = [i, j] if j > i else [i]
            candidates = alike[group].all(axis=0)
            for k in np.flatnonzero(candidates):
                if k not in group and alike[k, group].all():
                    group.append(int(k))
            covered[np.ix_(group, group)] = True
            out.append(tuple(sorted(group)))
    return out


def _name(index: int) -> str:
    turn, place = divmod(index, len(string.ascii_lowercase))
    return string.ascii_lowercase[place] + (str(turn) if turn else "")
