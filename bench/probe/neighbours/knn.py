"""Nearest neighbours: what a representation offers without any training of weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import as_completed

import numpy as np
from sklearn.base import BaseEstimator

from bench.base.errors import BadInput
from bench.base.parallel.threads import workers
from bench.probe.goal import Goal
from bench.probe.linear.design import check_features, standardise
from bench.probe.log_probabilities import FLOOR, from_shares

NEIGHBOURS = (1, 5, 10, 20, 50, 100)
TEMPERATURES = (0.03, 0.07, 0.2)
CHUNK_CELLS = 4_000_000  # similarities held at once: 32 MB


class KnnProbe(BaseEstimator):
    """Votes of the k nearest training rows by cosine similarity of standardised features.

    Votes are weighted by exp(similarity / temperature). Equal similarities are taken in the order of the training rows.
    Candidates (``k`` × ``temperature``) are compared by ``goal`` on the pooled out-of-fold predictions of patient-
    grouped folds; all of them share one product and one sort a fold. Ties go to the larger k, then to the higher
    temperature. A single candidate, as ``k=(10,), temperature=(0.07,)``, is taken as it is and needs no groups.
    Classes vote for themselves, labels each for itself, targets are averaged.

    Parameters
    ----------
    goal : Goal
        What candidates are compared for.
    k : sequence of int
        Numbers of neighbours.
    temperature : sequence of float
        Temperatures of the votes' weights, in the unit of a cosine.
    folds : int
        Number of folds, fewer where there are fewer groups.
    seed : int
        Seed of the folds.
    progress : callable, optional
        Called with (folds done, folds) after each fold.

    Attributes
    ----------
    best_params_ : dict
        ``k`` and ``temperature`` of the winner.
    path_ : list of dict
        ``k``, ``temperature`` and ``score`` of every candidate; empty for a single one.
    at_edge_ : bool
        Whether the winner has the largest k, or either end of the temperatures.
    folds_ : np.ndarray of shape (N,)
        Fold of each training row; empty for a single candidate.

    References
    ----------
    Wu et al., Unsupervised feature learning via non-parametric instance discrimination, CVPR 2018, arXiv:1805.01978,
    section 3.4, for votes weighted by exp(similarity / temperature).
    """

    def __init__(
        self,
        goal: Goal,
        k: Sequence[int] = NEIGHBOURS,
        temperature: Sequence[float] = TEMPERATURES,
        folds: int = 5,
        seed: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ):
        self.goal = goal
        self.k = k
        self.temperature = temperature
        self.folds = folds
        self.seed = seed
        self.progress = progress

    def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray | None = None) -> KnnProbe:
        """Chooses k and temperature on patient-grouped folds and keeps all rows.

        Parameters
        ----------
        X : np.ndarray of shape (N, D)
            Features.
        y : np.ndarray of shape (N,)
            Labels as the task's kind has them.
        groups : np.ndarray of shape (N,), optional
            Patient of each row; not needed for a single candidate.

        Returns
        -------
        KnnProbe
            The fitted estimator itself.

        Raises
        ------
        BadInput
            For several candidates without groups, features that are not finite, labels that ``goal`` refuses, or a
            single group.
        """
        X, y = check_features(X), self.goal.labels(y)
        sizes, temperatures = sorted(set(self.k), reverse=True), sorted(set(self.temperature), reverse=True)
        best, self.path_, self.at_edge_, self.folds_ = (sizes[0], temperatures[0]), [], False, np.array([], int)
        if len(sizes) * len(temperatures) > 1:
            if groups is None:
                raise BadInput("knn", "k and temperature are chosen by group", "pass groups, or one k and temperature")
            pooled = self._pooled_scores(X, y, groups, sizes, temperatures)
            self.path_ = [
                {"k": k, "temperature": temperature, "score": self.goal.value(y, pooled[i, j])}
                for i, k in enumerate(sizes)
                for j, temperature in enumerate(temperatures)
            ]
            chosen = self.path_[self.goal.best(self.path_)]
            best = chosen["k"], chosen["temperature"]
            self.at_edge_ = (len(sizes) > 1 and best[0] == sizes[0]) or (
                len(temperatures) > 1 and best[1] in (temperatures[0], temperatures[-1])
            )
        self.best_params_ = {"k": min(best[0], len(y)), "temperature": best[1]}
        self._voters = _VotingRows(X, self.goal.targets(y), self.goal.kind)
        return self

    def predict_scores(self, X: np.ndarray) -> np.ndarray:
        """Scores (N, K) of features (N, D), as ``bench.scores.label_kinds`` has them."""
        k, temperature = self.best_params_.values()
        with workers(1) as pool:
            return pool.submit(self._voters.scores, check_features(X), [k], [temperature]).result()[0, 0]

    def _pooled_scores(
        self, x: np.ndarray, y: np.ndarray, groups: np.ndarray, sizes: Sequence[int], temperatures: Sequence[float]
    ) -> np.ndarray:
        """Out-of-fold scores (sizes, temperatures, N, K) of every candidate."""
        self.folds_, used = self.goal.folds(y, groups, self.folds, self.seed)
        pooled, targets = self.goal.blank(len(sizes), len(temperatures), len(y)), self.goal.targets(y)

        def held_out_scores(out: np.ndarray) -> np.ndarray:
            return _VotingRows(x[~out], targets[~out], self.goal.kind).scores(x[out], sizes, temperatures)

        with workers(used) as pool:
            masks = [out for out in (self.folds_ == f for f in range(used)) if out.any()]
            running = {pool.submit(held_out_scores, out): out for out in masks}
            for done, future in enumerate(as_completed(running), start=1):
                pooled[:, :, running[future]] = future.result()
                if self.progress:
                    self.progress(done, len(running))
        return pooled


class _VotingRows:
    """Rows (N, D) that vote with their targets (N, K)."""

    def __init__(self, x: np.ndarray, targets: np.ndarray, kind: str):
        z, self.scaler = standardise(x)
        self.rows, self.targets, self.kind = unit_rows(z), targets, kind

    def scores(self, x: np.ndarray, sizes: Sequence[int], temperatures: Sequence[float]) -> np.ndarray:
        """Scores (sizes, temperatures, N, K) of rows (N, D) for every number of neighbours and temperature."""
        z = unit_rows(self.scaler(x))
        step = max(1, CHUNK_CELLS // max(len(self.rows), max(sizes) * self.targets.shape[1]))
        parts = [self._chunk(z[start : start + step], sizes, temperatures) for start in range(0, len(z), step)]
        return np.concatenate(parts or [np.empty((len(sizes), len(temperatures), 0, self.targets.shape[1]))], axis=2)

    def _chunk(self, z: np.ndarray, sizes: Sequence[int], temperatures: Sequence[float]) -> np.ndarray:
        similarity = np.round(z @ self.rows.T, 12)  # so that equal rows tie whatever the rounding of the product
        nearest = largest_columns(similarity, max(sizes))
        similarity = np.take_along_axis(similarity, nearest, axis=1)
        votes, last = self.targets[nearest], np.minimum(sizes, nearest.shape[1]) - 1
        out = np.empty((len(sizes), len(temperatures), len(z), votes.shape[2]))
        for j, temperature in enumerate(temperatures):
            weight = np.exp((similarity - similarity[:, :1]) / temperature)[:, :, None]
            total = np.cumsum(weight, axis=1)[:, last]
            out[:, j] = self._scores_of_votes(
                *((np.cumsum(weight * v, axis=1)[:, last] / total) for v in (votes, 1 - votes))
            )
        return out

    def _scores_of_votes(self, votes: np.ndarray, against: np.ndarray) -> np.ndarray:
        """Scores (sizes, N, K) of shares (N, sizes, K) of the votes for and against."""
        votes, against = votes.swapaxes(0, 1), against.swapaxes(0, 1)
        if self.kind == "regression":
            return votes
        if self.kind == "multiclass":
            return from_shares(votes.reshape(-1, votes.shape[2])).reshape(votes.shape)
        with np.errstate(divide="ignore"):
            return np.clip(np.log(votes) - np.log(against), FLOOR, -FLOOR)


def largest_columns(similarity: np.ndarray, k: int) -> np.ndarray:
    """Columns (N, k) of the k largest values of every row of ``similarity`` (N, M), largest first.

    Equal ones come in the order of the columns; all columns are taken where there are fewer.
    """
    columns = similarity.shape[1]
    if columns <= 2 * k:
        return np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    largest = np.sort(np.argpartition(similarity, columns - k, axis=1)[:, columns - k :], axis=1)
    values = np.take_along_axis(similarity, largest, axis=1)
    largest = np.take_along_axis(largest, np.argsort(-values, axis=1, kind="stable"), axis=1)
    # where more rows are as near as the last one taken, a partition takes any of them
    ambiguous = np.flatnonzero((similarity >= values.min(axis=1, keepdims=True)).sum(axis=1) > k)
    largest[ambiguous] = np.argsort(-similarity[ambiguous], axis=1, kind="stable")[:, :k]
    return largest


def unit_rows(z: np.ndarray) -> np.ndarray:
    """Scales rows (N, D) to length 1; a row of zeros stays zero, at similarity 0 to everything."""
    norm = np.linalg.norm(z, axis=1, keepdims=True)
    return np.divide(z, norm, out=np.zeros_like(z), where=norm > 0)
