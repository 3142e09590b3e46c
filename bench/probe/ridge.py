"""Ridge regression whose penalty is chosen inside the training rows, in closed form from one decomposition a fold."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.model_selection import GroupKFold

from bench.errors import BadInput
from bench.probe._solver import check_features, standardise

ALPHAS = tuple(float(10.0**power) for power in np.arange(-3, 6.5, 0.5))


class RidgeProbe(RegressorMixin, BaseEstimator):
    """Standardised features and target; minimises |y − Xw|² / N + alpha |w|² / N.

    Candidates are compared by the mean absolute error of pooled out-of-fold predictions of ``GroupKFold(folds,
    shuffle=True, random_state=seed)``; ties go to the larger alpha; the winner is refitted on all rows. After ``fit``:
    ``best_params_``, ``path_`` (alpha and score, the negated error, of every candidate), ``at_edge_``, ``folds_``.
    """

    def __init__(
        self,
        alphas: Sequence[float] = ALPHAS,
        folds: int = 5,
        seed: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ):
        self.alphas = alphas
        self.folds = folds
        self.seed = seed
        self.progress = progress

    def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> RidgeProbe:
        """Itself, fitted on features (N, D) and targets (N,). Raises ``BadInput`` for a single group."""
        X, y = check_features(X), np.asarray(y, float)
        used = min(self.folds, len(np.unique(groups)))
        if used < 2:
            raise BadInput("training rows", "all belong to one group", "choose a task with at least two in train")
        grid = sorted(self.alphas, reverse=True)
        pooled, self.folds_ = np.empty((len(grid), len(y))), np.empty(len(y), int)
        splitter = GroupKFold(used, shuffle=True, random_state=self.seed)
        for fold, (kept, held) in enumerate(splitter.split(X, y, groups)):
            self.folds_[held] = fold
            pooled[:, held] = _path(X[kept], y[kept], X[held], grid)
            if self.progress:
                self.progress(fold + 1, used)
        errors = np.abs(pooled - y).mean(axis=1)
        self.path_ = [{"alpha": alpha, "score": -float(error)} for alpha, error in zip(grid, errors, strict=True)]
        best = grid[int(np.argmin(errors))]
        self.best_params_ = {"alpha": best}
        self.at_edge_ = len(grid) > 1 and best in (grid[0], grid[-1])
        self._rows = X, y, best
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """(N,) targets, in their own unit."""
        rows, y, alpha = self._rows
        return _path(rows, y, check_features(X), [alpha])[0]

    def predict_scores(self, X: np.ndarray) -> np.ndarray:
        """(N, 1) ``predict``."""
        return self.predict(X)[:, None]


def _path(x: np.ndarray, y: np.ndarray, held: np.ndarray, alphas: Sequence[float]) -> np.ndarray:
    """(alphas, N held) predictions of every penalty, from one singular value decomposition of the training rows."""
    z, scaler = standardise(x)
    mean, spread = y.mean(), y.std() or 1.0
    u, s, vt = np.linalg.svd(z, full_matrices=False)
    rotated, target = scaler(held) @ vt.T, u.T @ ((y - mean) / spread)
    shrunk = s / (s**2 + np.asarray(alphas)[:, None]) * target  # (alphas, rank)
    return mean + spread * shrunk @ rotated.T
