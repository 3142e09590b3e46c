"""Nearest neighbours: what a representation offers without any training of weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import as_completed

import numpy as np
from sklearn.base import BaseEstimator

from bench.base.errors import BadInput
from bench.base.threads import workers
from bench.probe.goal import Goal
from bench.probe.linear.design import check_features, standardise
from bench.probe.log_probabilities import FLOOR, from_shares

NEIGHBOURS = (1, 5, 10, 20, 50, 100)
TEMPERATURES = (0.03, 0.07, 0.2)
_CHUNK_CELLS = 4_000_000  # similarities held at once: 32 MB


class KnnProbe(BaseEstimator):
    """Votes of the k nearest training rows by cosine similarity of standardised features, weighted by
    exp(similarity / temperature). Equal similarities are taken in the order of the training rows.

    Candidates (``k`` × ``temperature``) are compared by ``goal`` on the pooled out-of-fold predictions of patient-
    grouped folds; all of them share one product and one sort a fold. Ties go to the larger k, then to the higher
    temperature. A single candidate, as ``k=(10,), temperature=(0.07,)``, is taken as it is and needs no groups.
    Classes vote for themselves, labels each for itself, targets are averaged. After ``fit``: ``best_params_``,
    ``path_`` (k, temperature, score), ``at_edge_`` (the largest k, or either end of the temperatures), ``folds_``.
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
        """Itself, chosen on and holding features (N, D), labels (N,) and patients (N,). Raises ``BadInput`` for
        features that are not finite, labels that ``goal`` refuses, or a single group."""
        X, y = check_features(X), self.goal.labels(y)
        sizes, heats = sorted(set(self.k), reverse=True), sorted(set(self.temperature), reverse=True)
        best, self.path_, self.at_edge_, self.folds_ = (sizes[0], heats[0]), [], False, np.array([], int)
        if len(sizes) * len(heats) > 1:
            if groups is None:
                raise BadInput("knn", "k and temperature are chosen by group", "pass groups, or one k and temperature")
            pooled = self._pooled(X, y, groups, sizes, heats)
            self.path_ = [
                {"k": k, "temperature": heat, "score": self.goal.value(y, pooled[i, j])}
                for i, k in enumerate(sizes)
                for j, heat in enumerate(heats)
            ]
            chosen = self.path_[self.goal.best(self.path_)]
            best = chosen["k"], chosen["temperature"]
            self.at_edge_ = (len(sizes) > 1 and best[0] == sizes[0]) or (
                len(heats) > 1 and best[1] in (heats[0], heats[-1])
            )
        self.best_params_ = {"k": min(best[0], len(y)), "temperature": best[1]}
        self._bank = _Bank(X, self.goal.targets(y), self.goal.kind)
        return self

    def predict_scores(self, X: np.ndarray) -> np.ndarray:
        """(N, K) scores as ``bench.scores.label_kinds`` has them."""
        k, heat = self.best_params_.values()
        with workers(1) as pool:
            return pool.submit(self._bank.scores, check_features(X), [k], [heat]).result()[0, 0]

    def _pooled(
        self, x: np.ndarray, y: np.ndarray, groups: np.ndarray, sizes: Sequence[int], heats: Sequence[float]
    ) -> np.ndarray:
        """(sizes, heats, N, K) out-of-fold scores of every candidate."""
        self.folds_, used = self.goal.folds(y, groups, self.folds, self.seed)
        pooled, targets = self.goal.blank(len(sizes), len(heats), len(y)), self.goal.targets(y)

        def fold(out: np.ndarray) -> np.ndarray:
            return _Bank(x[~out], targets[~out], self.goal.kind).scores(x[out], sizes, heats)

        with workers(used) as pool:
            masks = [out for out in (self.folds_ == f for f in range(used)) if out.any()]
            running = {pool.submit(fold, out): out for out in masks}
            for done, future in enumerate(as_completed(running), start=1):
                pooled[:, :, running[future]] = future.result()
                if self.progress:
                    self.progress(done, len(running))
        return pooled


class _Bank:
    """Rows (N, D) that vote with their targets (N, K)."""

    def __init__(self, x: np.ndarray, targets: np.ndarray, kind: str):
        z, self.scaler = standardise(x)
        self.rows, self.targets, self.kind = unit_rows(z), targets, kind

    def scores(self, x: np.ndarray, sizes: Sequence[int], heats: Sequence[float]) -> np.ndarray:
        """(sizes, heats, N, K) scores of rows (N, D) for every number of neighbours and temperature."""
        z = unit_rows(self.scaler(x))
        step = max(1, _CHUNK_CELLS // max(len(self.rows), max(sizes) * self.targets.shape[1]))
        parts = [self._chunk(z[start : start + step], sizes, heats) for start in range(0, len(z), step)]
        return np.concatenate(parts or [np.empty((len(sizes), len(heats), 0, self.targets.shape[1]))], axis=2)

    def _chunk(self, z: np.ndarray, sizes: Sequence[int], heats: Sequence[float]) -> np.ndarray:
        similarity = np.round(z @ self.rows.T, 12)  # so that equal rows tie whatever the rounding of the product
        nearest = _largest(similarity, max(sizes))
        similarity = np.take_along_axis(similarity, nearest, axis=1)
        votes, last = self.targets[nearest], np.minimum(sizes, nearest.shape[1]) - 1
        out = np.empty((len(sizes), len(heats), len(z), votes.shape[2]))
        for j, heat in enumerate(heats):
            weight = np.exp((similarity - similarity[:, :1]) / heat)[:, :, None]
            total = np.cumsum(weight, axis=1)[:, last]
            out[:, j] = self._told(*((np.cumsum(weight * v, axis=1)[:, last] / total) for v in (votes, 1 - votes)))
        return out

    def _told(self, votes: np.ndarray, against: np.ndarray) -> np.ndarray:
        """(sizes, N, K) scores of shares (N, sizes, K) of the votes for and against."""
        votes, against = votes.swapaxes(0, 1), against.swapaxes(0, 1)
        if self.kind == "regression":
            return votes
        if self.kind == "multiclass":
            return from_shares(votes.reshape(-1, votes.shape[2])).reshape(votes.shape)
        with np.errstate(divide="ignore"):
            return np.clip(np.log(votes) - np.log(against), FLOOR, -FLOOR)


def _largest(similarity: np.ndarray, k: int) -> np.ndarray:
    """(N, k) columns of the k largest of every row, largest first, equal ones in the order of the columns; all columns
    where there are fewer."""
    columns = similarity.shape[1]
    if columns <= 2 * k:
        return np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    found = np.sort(np.argpartition(similarity, columns - k, axis=1)[:, columns - k :], axis=1)
    values = np.take_along_axis(similarity, found, axis=1)
    found = np.take_along_axis(found, np.argsort(-values, axis=1, kind="stable"), axis=1)
    # where more rows are as near as the last one taken, a partition takes any of them
    torn = np.flatnonzero((similarity >= values.min(axis=1, keepdims=True)).sum(axis=1) > k)
    found[torn] = np.argsort(-similarity[torn], axis=1, kind="stable")[:, :k]
    return found


def unit_rows(z: np.ndarray) -> np.ndarray:
    """Rows of length 1; a row of zeros stays zero, at similarity 0 to everything."""
    norm = np.linalg.norm(z, axis=1, keepdims=True)
    return np.divide(z, norm, out=np.zeros_like(z), where=norm > 0)
