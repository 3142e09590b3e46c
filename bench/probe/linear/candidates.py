"""The candidates of a linear probe, and where a path of ascending C ends because the rest has fallen behind.

Weak penalties cost most and are chosen least: far beyond the best C a solution only overfits further. So a path ends
early, as glmnet's does (Friedman, Hastie and Tibshirani, Journal of Statistical Software 33, 2010,
10.18637/jss.v033.i01: ``devmax``, ``fdev``), but not by the deviance alone, since a probe of collinear features may be
best where hardly any deviance is left: what is left must have fallen behind on held-out rows, as in early stopping
(Prechelt, Early stopping, but when?, 1998, 10.1007/3-540-49430-8_3). Test rows take no part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.base.errors import BadInput

_LOOK_BACK = 3  # values of C, 1.5 decades, over which a path must have been behind
_TIMES_RISE = 2.0  # a path goes on where this many times its mean rise would bring it to the best within its values
_LEAD = 0.02  # by which the best score so far is ahead of all of them
WITHIN, LEAST = 0.05, 0.005  # score behind the best from where on a candidate has no share; least share of the largest
_EXPLAINED = 0.5  # least share of the training deviance explained, in every fold, where a path may end


def may_end(scores: np.ndarray, best: float, left: int, explained: float) -> bool:
    """Whether the rest of a path of ascending C need not be solved: its score has fallen behind.

    All of these hold: the solutions explain at least half of the training deviance in every fold; the last three scores
    on held-out rows are at least 0.02 below the best of all candidates so far; and they would still be so at the end of
    the path if they went on to rise twice as fast as over these three values on average.

    Parameters
    ----------
    scores : np.ndarray of shape (C so far,)
        Scores of one labelling and class weight on the pooled held-out rows, a metric between 0 and 1.
    best : float
        The best score so far of any class weight.
    left : int
        Number of values of C that are not solved.
    explained : float
        Share of the null deviance explained at the last C, the least of all folds.

    Returns
    -------
    bool
        Whether it may end; never where a score is not a number.
    """
    if left < 1 or len(scores) <= _LOOK_BACK or not explained >= _EXPLAINED:
        return False
    rise = max(0.0, (scores[-1] - scores[-1 - _LOOK_BACK]) / _LOOK_BACK)
    return bool(scores[-_LOOK_BACK:].max() + _TIMES_RISE * rise * left + _LEAD <= best)


def shares(scores: np.ndarray, penalties: np.ndarray) -> np.ndarray:
    """The candidates' shares in the probe, which is their mean: largest where scores and penalties are high.

    The best of a flat and jagged curve is decided by noise, and with it a probe that takes the best alone; shares move
    little where scores move little. They fall linearly from 1 at the best score to 0 at ``WITHIN`` behind it, and by a
    factor e for each decade of a weaker penalty; what is less than ``LEAST`` of the largest, and dear to solve, is
    left out, which is subtracted from all, so that none enters with a jump. Of candidates that do equally well on
    held-out patients the more penalised ones thus count most, as in the rule of one standard error (Breiman et al.,
    Classification and regression trees, 1984). What is averaged are log odds: the probe stays linear.

    Parameters
    ----------
    scores : np.ndarray of shape (C, class weights)
        Scores of all candidates, higher is better; NaN for what is not known.
    penalties : np.ndarray of shape (C,)
        How strongly they are penalised: 1 / C, or the alpha of ridge regression, 0 for not at all.

    Returns
    -------
    np.ndarray of shape (C, class weights)
        Shares, which sum to 1; all NaN where no score is known.
    """
    if np.isnan(scores).all():
        return np.full(scores.shape, np.nan)
    near = np.nan_to_num(np.maximum(0.0, 1 - (np.nanmax(scores) - scores) / WITHIN))
    strongest = np.max(penalties)
    near *= ((penalties / strongest) ** (1 / np.log(10)))[:, None] if strongest > 0 else 1.0  # e a decade
    kept = np.maximum(0.0, near - LEAST * near.max())
    return kept / kept.sum()


def shares_of_errors(errors: np.ndarray, penalties: np.ndarray) -> np.ndarray:
    """``shares`` of candidates (penalties,) compared by an error, which counts relative to the least."""
    least = errors.min()
    scores = -errors / least if least > 0 else -np.sign(errors)
    return shares(scores[:, None], penalties)[:, 0]


def told(share: float) -> dict[str, float]:
    """``{"share": share}`` of a candidate that has one, as records keep it."""
    return {"share": round(float(share), 6)} if share > 0 else {}


@dataclass(frozen=True)
class CandidateGrid:
    """Candidates that a fit compares: strengths × class weights.

    Attributes
    ----------
    C : sequence of float
        Inverse strengths of the penalty, ascending, each once.
    class_weights : sequence of None or "balanced"
        Class weights.
    n_classes : int
        Number of classes of the labels, K.
    """

    C: Sequence[float]
    class_weights: Sequence[str | None]
    n_classes: int

    @property
    def shape(self) -> tuple[int, int]:
        """(number of strengths, number of class weights)."""
        return len(self.C), len(self.class_weights)

    def shares(self, scores: np.ndarray, solved: np.ndarray) -> np.ndarray:
        """``shares`` of the candidates that were solved, as ``crossfit`` counts them (class weights,); 0 for others."""
        known = np.arange(len(self.C))[:, None] < solved
        return shares(np.where(known, scores, np.nan), 1 / np.asarray(self.C, float))

    def at_edge(self, c: float) -> bool:
        """Whether a strength is the first or last of several."""
        return len(self.C) > 1 and c in (self.C[0], self.C[-1])

    def compare(self, scores: np.ndarray, shared: np.ndarray, metric: object) -> tuple[list[dict], dict]:
        """Finds the best candidate.

        Parameters
        ----------
        scores, shared : np.ndarray of shape (C, class weights)
            Score, higher is better, and share of every candidate.
        metric : object
            What the error names where the score is undefined.

        Returns
        -------
        tuple of (list of dict, dict)
            Every candidate (``C``, ``class_weight``, ``score``, and ``share`` if it has one), and the best of them:
            the first of equals, so the smallest C and first class weight.

        Raises
        ------
        BadInput
            Where the score of no candidate is defined.
        """
        if np.isnan(scores).all():
            raise BadInput("linear probe", f"{metric} is undefined on the training rows", "choose another metric")
        path = [
            {"C": c, "class_weight": weight, "score": float(scores[i, j])} | told(shared[i, j])
            for i, c in enumerate(self.C)
            for j, weight in enumerate(self.class_weights)
        ]
        return path, path[int(np.nanargmax(scores))]

    def ends(self, solved: np.ndarray) -> list[dict]:
        """The last value of C that was solved, for every class weight whose path ended early.

        Parameters
        ----------
        solved : np.ndarray of shape (class weights,), int
            Number of values of C solved.

        Returns
        -------
        list of dict
            ``class_weight`` and ``C``; the candidates of larger C have the score of this one.
        """
        return [
            {"class_weight": weight, "C": self.C[n - 1]}
            for weight, n in zip(self.class_weights, solved.tolist(), strict=True)
            if n < len(self.C)
        ]
