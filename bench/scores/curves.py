"""Areas under curves of scores, for many weightings of the clips at once: ROC, within strata, and precision-recall.

Where events of one class are shorter, a system that measures nothing but length scores well. Compared within duration
deciles of the test's clips, length tells next to nothing: the statistic is the share of (positive, negative) pairs *of
the same decile* in which the positive scores higher, ties counting half, all such pairs weighing alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

STRATA = 10


@dataclass(frozen=True)
class GroupWeights:
    """Weights (R, N) of clips that weigh as their groups do.

    A statistic of pairs of clips needs only what each pair of groups adds to it, G² numbers, however many draws there
    are.

    Attributes
    ----------
    counts
        (R, G) of each group in each draw.
    code
        (N,) each clip's group.
    """

    counts: np.ndarray
    code: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """(R, N)."""
        return len(self.counts), len(self.code)

    def __getitem__(self, clips: tuple) -> GroupWeights:
        """``weights[..., clips]``: those of some clips."""
        return GroupWeights(self.counts, self.code[clips[-1]])

    def __array__(self, dtype: type | None = None, copy: bool | None = None) -> np.ndarray:
        """(R, N)."""
        return self.counts[:, self.code]


def weighted_auroc(positive: np.ndarray, score: np.ndarray, weights: np.ndarray | GroupWeights) -> np.ndarray:
    """(...) area under the ROC curve of ``score`` (N,) for ``positive`` (N,) bool, one per weight vector (..., N).

    The weighted Mann-Whitney statistic: the share of (positive, negative) pairs in which the positive scores higher,
    ties counting half. NaN where a draw has no positive or no negative. Scores are sorted once for all draws.
    """
    return stratified_auroc(positive, score, weights, np.zeros(len(score), int))


def stratified_auroc(
    positive: np.ndarray, score: np.ndarray, weights: np.ndarray | GroupWeights, strata: np.ndarray
) -> np.ndarray:
    """(...) share of won pairs within strata; with one stratum it is ``weighted_auroc``.

    Parameters
    ----------
    positive, score, strata
        (N,) bool, float and int.
    weights
        (..., N). Weights that count clips give the same bits in either form: all sums are of whole numbers.

    Returns
    -------
    numpy.ndarray
        One share per weight vector; NaN where no stratum holds both a positive and a negative.
    """
    if isinstance(weights, GroupWeights):
        return _of_groups(positive, score, weights, strata)
    w = np.ascontiguousarray(np.asarray(weights, float).reshape(-1, len(score)).T)  # (N, R): draws are contiguous
    won, pairs = np.zeros(w.shape[1]), np.zeros(w.shape[1])
    for ours, theirs in _sides(positive, score, strata):
        of_stratum = _won(score[ours], score[theirs], w[ours], w[theirs])
        won, pairs = won + of_stratum[0], pairs + of_stratum[1]
    return ratio(won, pairs).reshape(np.shape(weights)[:-1])


def _sides(positive: np.ndarray, score: np.ndarray, strata: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Indices of the positives and of the negatives of every stratum that has both, by rising score."""
    order = np.argsort(score, kind="stable")
    for stratum in np.unique(strata):
        own = order[strata[order] == stratum]
        ours, theirs = own[positive[own]], own[~positive[own]]
        if len(ours) and len(theirs):
            yield ours, theirs


def _of_groups(positive: np.ndarray, score: np.ndarray, weights: GroupWeights, strata: np.ndarray) -> np.ndarray:
    """(R,) ``stratified_auroc`` from the pairs that each group wins against each other one."""
    size, code = weights.counts.shape[1], weights.code
    won, pairs = np.zeros((size, size)), np.zeros((size, size))
    for ours, theirs in _sides(positive, score, strata):
        below, not_above = (np.searchsorted(score[theirs], score[ours], side=side) for side in ("left", "right"))
        mass = np.zeros((len(theirs) + 1, size))  # negatives of every group, from the lowest score up
        mass[np.arange(1, len(mass)), code[theirs]] = 1
        np.cumsum(mass, axis=0, out=mass)
        of_group = csr_array((np.ones(len(ours)), (code[ours], np.arange(len(ours)))), (size, len(ours)))
        won += of_group @ (mass[below] + mass[not_above])
        pairs += np.outer(np.bincount(code[ours], minlength=size), mass[-1])
    c = weights.counts
    return ratio(0.5 * ((c @ won) * c).sum(axis=1), ((c @ pairs) * c).sum(axis=1))


def _won(ours: np.ndarray, theirs: np.ndarray, w_ours: np.ndarray, w_theirs: np.ndarray) -> tuple:
    """(pairs (R,) won by ours, all pairs (R,)) of clips that weigh (P, R) and (Q, R).

    A pair is won where a score of ours (P,) is above one of theirs (Q,), ties counting half; both rise.
    """
    mass = np.zeros((len(theirs) + 1, w_theirs.shape[1]))  # cumulative weight, from the lowest score up
    np.cumsum(w_theirs, axis=0, out=mass[1:])
    below, not_above = (np.searchsorted(theirs, ours, side=side) for side in ("left", "right"))
    wins = mass[below]
    if tied := not np.array_equal(below, not_above):
        wins += mass[not_above]
    won = np.einsum("nr,nr->r", w_ours, wins)
    return 0.5 * won if tied else won, w_ours.sum(axis=0) * mass[-1]


def duration_strata(duration_s: np.ndarray, strata: int = STRATA) -> np.ndarray:
    """(N,) stratum of each clip by its length in seconds; fewer than ``strata`` where many clips are equally long."""
    edges = np.unique(np.quantile(duration_s, np.arange(1, strata) / strata))
    return np.searchsorted(edges, duration_s, side="right")


def weighted_ap(positive: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(...) average precision of ``score`` (N,) for ``positive`` (N,) bool, one per weight vector (..., N).

    It is the mean precision over the positives, tied scores taken together (as scikit-learn's). NaN where a draw has
    no positive.
    """
    order = np.argsort(-score, kind="stable")
    w = np.asarray(weights, float)[..., order]
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))  # of each run of equal scores
    hits = np.cumsum(w * positive[order], axis=-1)[..., last]
    precision = ratio(hits, np.cumsum(w, axis=-1)[..., last])
    gained = np.diff(hits, axis=-1, prepend=0.0)
    return ratio(np.where(gained > 0, gained * precision, 0.0).sum(axis=-1), hits[..., -1])


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """The quotient; NaN where the denominator is 0."""
    numerator, denominator = np.broadcast_arrays(np.asarray(numerator, float), denominator)
    return np.divide(numerator, denominator, out=np.full(denominator.shape, np.nan), where=denominator > 0)
