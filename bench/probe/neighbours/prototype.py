"""Nearest prototype: the mean of each class's training rows, thinned towards the mean of all rows.

The thinning is that of nearest shrunken centroids (Tibshirani, Hastie, Narasimhan, Chu, Diagnosis of multiple cancer
types by shrunken centroids of gene expression, PNAS 2002, equations 1 to 5, with every spread 1 after standardising).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import as_completed

import numpy as np
from sklearn.base import BaseEstimator

from bench.base.errors import BadInput
from bench.base.threads import workers
from bench.probe.goal import Goal
from bench.probe.linear.design import check_features, standardise
from bench.probe.log_probabilities import from_logits
from bench.probe.neighbours.knn import unit_rows

SHRINKAGES = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)
TEMPERATURE = 0.1  # of the cosines; it moves no decision


class PrototypeProbe(BaseEstimator):
    """The class whose prototype has the largest cosine with a standardised row; scores from cosine / 0.1.

    A prototype is the class's mean, moved towards the overall mean by ``shrinkage`` standard errors in every feature
    and no further; the standard error of a class with n of N rows is sqrt(1/n - 1/N). Shrinkages are compared by
    ``goal`` on the pooled out-of-fold predictions of patient-grouped folds; ties go to the larger. Every label of a
    multilabel task has a prototype of its presence and one of its absence. After ``fit``: ``best_params_``, ``path_``
    (shrinkage, score), ``at_edge_`` (the largest shrinkage), ``folds_``.
    """

    def __init__(
        self,
        goal: Goal,
        shrinkage: Sequence[float] = SHRINKAGES,
        folds: int = 5,
        seed: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ):
        self.goal = goal
        self.shrinkage = shrinkage
        self.folds = folds
        self.seed = seed
        self.progress = progress

    def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> PrototypeProbe:
        """Itself, fitted on features (N, D), labels (N,) and patients (N,). Raises ``BadInput`` for a regression,
        features that are not finite, labels that ``goal`` refuses, or a single group."""
        if self.goal.kind == "regression":
            raise BadInput("prototype", "a regression has no classes to be near to", "take the protocol linear")
        X, y = check_features(X), self.goal.labels(y)
        targets, grid = self.goal.targets(y) > 0, sorted(set(self.shrinkage), reverse=True)
        self.folds_, used = self.goal.folds(y, groups, self.folds, self.seed)
        pooled = self.goal.blank(len(grid), len(y))
        with workers(used) as pool:
            masks = [out for out in (self.folds_ == f for f in range(used)) if out.any()]
            running = {pool.submit(self._told, X[~out], targets[~out], X[out], grid): out for out in masks}
            for done, future in enumerate(as_completed(running), start=1):
                pooled[:, running[future]] = future.result()
                if self.progress:
                    self.progress(done, len(running))
        self.path_ = [{"shrinkage": s, "score": self.goal.value(y, p)} for s, p in zip(grid, pooled, strict=True)]
        best = grid[self.goal.best(self.path_)]
        self.best_params_, self.at_edge_ = {"shrinkage": best}, len(grid) > 1 and best == grid[0]
        self._rows = X, targets
        return self

    def predict_scores(self, X: np.ndarray) -> np.ndarray:
        """(N, K) log probabilities, or log odds of labels."""
        with workers(1) as pool:
            told = pool.submit(self._told, *self._rows, check_features(X), [self.best_params_["shrinkage"]])
            return told.result()[0]

    def _told(self, x: np.ndarray, targets: np.ndarray, held: np.ndarray, grid: Sequence[float]) -> np.ndarray:
        """(shrinkages, N held, K) scores from rows (N, D) and their targets (N, K) bool."""
        z, scaler = standardise(x)
        near = unit_rows(scaler(held))
        multilabel = self.goal.kind == "multilabel"
        sides = (targets, ~targets) if multilabel else (targets,)
        found = [[near @ unit_rows(p).T / TEMPERATURE for p in _prototypes(z, side, grid)] for side in sides]
        if multilabel:
            return np.array(found[0]) - np.array(found[1])
        absent = ~targets.any(axis=0)
        return np.stack([from_logits(np.where(absent, -np.inf, logits)) for logits in found[0]])


def _prototypes(z: np.ndarray, members: np.ndarray, grid: Sequence[float]) -> list[np.ndarray]:
    """(K, D) prototypes for every shrinkage, from rows (N, D) whose mean is 0 and their classes (N, K) bool."""
    counts = np.maximum(members.sum(axis=0), 1)
    means = members.T.astype(float) @ z / counts[:, None]
    error = np.sqrt(np.maximum(1 / counts - 1 / len(z), 0))[:, None]
    return [np.sign(means) * np.maximum(np.abs(means) - shrinkage * error, 0) for shrinkage in grid]
