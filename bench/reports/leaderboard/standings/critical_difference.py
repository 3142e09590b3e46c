"""Mean ranks over tests and which of them differ, for a critical-difference diagram (Demšar 2006, JMLR 7).

Here tests are the sample, not patients: it asks whether a row would lead on further tests of this kind. With the few
tests of a board it can tell little apart, and tests of one corpus are no independent ones; ``weak`` says so.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats as distributions

from bench.reports.leaderboard.standings.contest import LEVEL
from bench.reports.leaderboard.standings.letters import groups_of
from bench.reports.leaderboard.standings.values import CriticalDifference, Row

_ENOUGH = 10  # tests; Demšar takes more than ten for the approximation of Friedman's statistic


def critical_difference(rows: Sequence[Row], values: np.ndarray, tests: Sequence[str]) -> CriticalDifference:
    """Ranks rows within each test and compares their mean ranks.

    Parameters
    ----------
    rows
        K complete rows of one class.
    values : array (K, T)
        Their scores, higher better.
    tests
        ``task/test`` of the T tests.
    """
    ranks = distributions.rankdata(-values, axis=0)
    means = ranks.mean(axis=1)
    order = np.argsort(means, kind="stable")
    size, count = values.shape
    friedman = nemenyi = None
    if size >= 3 and count >= 2:
        friedman = float(distributions.friedmanchisquare(*values).pvalue)
        friedman = 1.0 if np.isnan(friedman) else friedman  # all ranks tied
        studentised = distributions.studentized_range.isf(LEVEL, size, np.inf) / np.sqrt(2)
        nemenyi = float(studentised * np.sqrt(size * (size + 1) / (6 * count)))
    sorted_means, sorted_values = means[order], values[order]
    far = np.abs(sorted_means[:, None] - sorted_means) >= (np.inf if nemenyi is None else nemenyi)
    return CriticalDifference(
        tuple(rows[k] for k in order),
        tuple(float(mean) for mean in sorted_means),
        tuple(tests),
        friedman,
        nemenyi,
        _several(far),
        _several(_wilcoxon(sorted_values)),
        _weak(size, count),
    )


def _several(told_apart: np.ndarray) -> tuple[tuple[int, ...], ...]:
    """The groups of two rows or more."""
    return tuple(group for group in groups_of(told_apart) if len(group) > 1)


def _wilcoxon(values: np.ndarray) -> np.ndarray:
    """(K, K) whether Wilcoxon's signed-rank test, corrected by Holm over all pairs, tells two rows apart."""
    pairs = np.array(np.triu_indices(len(values), 1)).T
    told_apart = np.zeros((len(values), len(values)), dtype=bool)
    p = np.array([_signed_rank_p(values[i] - values[j]) for i, j in pairs])
    for place, index in enumerate(np.argsort(p, kind="stable")):
        if p[index] * (len(p) - place) > LEVEL:
            break
        i, j = pairs[index]
        told_apart[i, j] = told_apart[j, i] = True
    return told_apart


def _signed_rank_p(differences: np.ndarray) -> float:
    if not differences.any():
        return 1.0
    return float(distributions.wilcoxon(differences).pvalue)


def _weak(size: int, tests: int) -> str:
    """Why little can be told apart, where the number of tests alone makes it so."""
    if tests >= _ENOUGH:
        return ""
    text = f"{tests} tests are few for comparing ranks over tests"
    least, pairs = 2.0 ** (1 - tests), size * (size - 1) // 2
    if least * pairs > LEVEL:
        text += f"; Wilcoxon's p is never below {least:.2g}, so none of {pairs} pairs can be told apart by it"
    return text
