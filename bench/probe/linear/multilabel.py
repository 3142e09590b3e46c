"""The headline probe for labels that occur together: every label is a two-class task of its own on shared folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from sklearn.base import BaseEstimator

from bench.probe.goal import Goal
from bench.probe.linear.crossfit import Grid, crossfit
from bench.probe.linear.design import Designs, check_features
from bench.probe.linear.logistic import HALF_DECADES, WEIGHTS, at_edge, compared
from bench.scores import metrics
from bench.scores.label_kinds import bits
from bench.scores.metrics import Roles

METRIC = "auroc"


class MultilabelPathCV(BaseEstimator):
    """``LogisticPathCV`` for each of ``classes``, chosen by that label's AUROC on pooled out-of-fold predictions.

    Labels are bit masks. Folds are stratified by the combination of labels and shared by all of them, so a fold is
    factorised once. After ``fit``: ``best_params_`` and ``path_`` with the label in each entry, ``folds_``,
    ``at_edge_`` (of any label).
    """

    def __init__(
        self,
        classes: tuple[str, ...],
        Cs: Sequence[float] = HALF_DECADES,
        class_weights: Sequence[str | None] = WEIGHTS,
        folds: int = 5,
        seed: int = 0,
        device: str = "cpu",
        designs: Designs | None = None,
        progress: Callable[[int, int], None] | None = None,
    ):
        self.classes = classes
        self.Cs = Cs
        self.class_weights = class_weights
        self.folds = folds
        self.seed = seed
        self.device = device
        self.designs = designs
        self.progress = progress

    def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> MultilabelPathCV:
        """Itself. Raises ``BadInput`` for a label that all or no training rows have, and as ``LogisticPathCV``."""
        X, goal = check_features(X), Goal(tuple(self.classes), METRIC, "multilabel")
        y = goal.labels(y)
        self.folds_, self.n_folds_ = goal.folds(y, groups, self.folds, self.seed)
        grid = Grid(sorted({float(c) for c in self.Cs}), tuple(self.class_weights), 2)
        designs = self.designs or Designs(self.device)
        labels = bits(y, len(self.classes)).T.astype(int)
        pooled, refit = crossfit(X, labels, self.folds_, grid, designs, self.progress)
        self.best_params_, self.path_, self._fitted, self.at_edge_ = {}, [], [], False
        for k, name in enumerate(self.classes):

            def score(i: int, j: int, own: np.ndarray = labels[k], scores: np.ndarray = pooled[k]) -> float:
                return metrics.evaluate(METRIC, own, scores[i, j].argmax(axis=1), scores[i, j], Roles())

            path, best = compared(grid, score, METRIC)
            self.path_ += [{"label": name, **candidate} for candidate in path]
            self.best_params_ |= {f"{name} C": best["C"], f"{name} class_weight": best["class_weight"]}
            self.at_edge_ |= at_edge(grid, best["C"])
            self._fitted.append(refit(k, best["C"], best["class_weight"]))
        return self

    def predict_scores(self, X: np.ndarray) -> np.ndarray:
        """(N, K) log odds of every label."""
        log = [fitted.log_proba(check_features(X)) for fitted in self._fitted]
        return np.stack([pair[:, 1] - pair[:, 0] for pair in log], axis=1)
