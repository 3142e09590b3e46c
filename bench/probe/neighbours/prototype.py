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
from bench.base.parallel.threads import workers
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
    multilabel task has a prototype of its presence and one of its absence.

    Parameters
    ----------
    goal : Goal
        What candidates are compared for.
    shrinkage : sequence of float
        Numbers of standard errors by which prototypes are moved.
    folds : int
        Number of folds, fewer where there are fewer groups.
    seed : int
        Seed of the folds.
    progress : callable, optional
        Called with (folds done, folds) after each fold.

    Attributes
    ----------
    best_params_ : dict
        ``shrinkage`` of the winner.
    path_ : list of dict
        ``shrinkage`` and ``score`` of every candidate.
    at_edge_ : bool
        Whether the winner has the largest of several shrinkages.
    folds_ : np.ndarray of shape (N,)
        Fold of each training row.

    References
    ----------
    Tibshirani, Hastie, Narasimhan & Chu, Diagnosis of multiple cancer types by shrunken centroids of gene expression,
    PNAS 99 (2002), 10.1073/pnas.082099299, equations 1 to 5.
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
        """Chooses the shrinkage on patient-grouped folds and keeps all rows.

        Parameters
        ----------
        X : np.ndarray of shape (N, D)
            Features.
        y : np.ndarray of shape (N,)
            Labels as the task's kind has them.
        groups : np.ndarray of shape (N,)
            Patient of each row.

        Returns
        -------
        PrototypeProbe
            The fitted estimator itself.

        Raises
        ------
        BadInput
            For a regression, features that are not finite, labels that ``goal`` refuses, or a single group.
        """
        if self.goal.kind == "regression":
            raise BadInput("prototype", "a regression has no classes to be near to", "take the protocol linear")
        X, y = check_features(X), self.goal.labels(y)
        targets, shrinkages = self.goal.targets(y) > 0, sorted(set(self.shrinkage), reverse=True)
        self.folds_, used = self.goal.folds(y, groups, self.folds, self.seed)
        pooled = self.goal.blank(len(shrinkages), len(y))
        with workers(used) as pool:
            masks = [out for out in (self.folds_ == f for f in range(used)) if out.any()]
            running = {pool.submit(self._scores, X[~out], targets[~out], X[out], shrinkages): out for out in masks}
            for done, future in enumerate(as_completed(running), start=1):
                pooled[:, running[future]] = future.result()
                if self.progress:
                    self.progress(done, len(running))
        self.path_ = [{"shrinkage": s, "score": self.goal.value(y, p)} for s, p in zip(shrinkages, pooled, strict=True)]
        best = shrinkages[self.goal.best(self.path_)]
        self.best_params_, self.at_edge_ = {"shrinkage": best}, len(shrinkages) > 1 and best == shrinkages[0]
        self._rows = X, targets
        return self

    def predict_scores(self, X: np.ndarray) -> np.ndarray:
        """Log probabilities (N, K) of features (N, D), or log odds of labels."""
        with workers(1) as pool:
            shrinkages = [self.best_params_["shrinkage"]]
            return pool.submit(self._scores, *self._rows, check_features(X), shrinkages).result()[0]

    def _scores(
        self, x: np.ndarray, targets: np.ndarray, held_out: np.ndarray, shrinkages: Sequence[float]
    ) -> np.ndarray:
        """Scores (shrinkages, held-out rows, K) from rows (N, D) and their targets (N, K) bool."""
        z, scaler = standardise(x)
        directions = unit_rows(scaler(held_out))
        multilabel = self.goal.kind == "multilabel"
        sides = (targets, ~targets) if multilabel else (targets,)
        logits = [
            [directions @ unit_rows(prototypes).T / TEMPERATURE for prototypes in _prototypes(z, side, shrinkages)]
            for side in sides
        ]
        if multilabel:
            return np.array(logits[0]) - np.array(logits[1])
        absent = ~targets.any(axis=0)
        return np.stack([from_logits(np.where(absent, -np.inf, of_classes)) for of_classes in logits[0]])


def _prototypes(z: np.ndarray, members: np.ndarray, shrinkages: Sequence[float]) -> list[np.ndarray]:
    """Prototypes (K, D) for every shrinkage, from rows (N, D) whose mean is 0 and their classes (N, K) bool."""
    counts = np.maximum(members.sum(axis=0), 1)
    means = members.T.astype(float) @ z / counts[:, None]
    error = np.sqrt(np.maximum(1 / counts - 1 / len(z), 0))[:, None]
    return [np.sign(means) * np.maximum(np.abs(means) - shrinkage * error, 0) for shrinkage in shrinkages]
