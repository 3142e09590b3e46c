"""Regression probe: ridge on standardised features; every penalty, every group left out, from one eigendecomposition.

A linear smoother ŷ = Hy predicts a group g as it would without having seen it from its residual alone:
y_g − ŷ_g⁻ᵍ = (I − H_gg)⁻¹ (y − ŷ)_g (Golub, Heath & Wahba, Technometrics 21, 1979, for single rows,
10.1080/00401706.1979.10489751).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from bench.base.errors import BadArray
from bench.probe.linear.candidates import shares_of_errors, told
from bench.probe.linear.design import Designs, check_features

ALPHAS = tuple(float(f"{10.0 ** (half / 2):.6g}") for half in range(-6, 13))  # 1e-3 to 1e6


class RidgePathCV(RegressorMixin, BaseEstimator):
    """Ridge regression whose penalty is chosen inside the training rows.

    Minimises |y − b − Zw|² + alpha |w|² on standardised features Z with a free intercept b.

    Candidates are compared by the mean absolute error of predictions for one group (patient) at a time, left out
    exactly; only mean and scale of the features are those of all training rows. Those near the best are fitted
    on all rows, and the estimator is their mean (``bench.probe.linear.candidates.shares_of_errors``).

    Parameters
    ----------
    alphas : sequence of float
        Strengths of the penalty.
    device : str
        torch's name of the device that factorises.
    designs : Designs, optional
        Shares factorisations between fits on the same rows.
    progress : callable, optional
        Called with (1, 1) when all candidates are compared.

    Attributes
    ----------
    best_params_ : dict
        ``alpha`` of the best candidate, the larger of equals.
    path_ : list of dict
        ``alpha``, ``score`` (the negated mean absolute error) and ``share``, if any, of every candidate.
    at_edge_ : bool
        Whether the chosen alpha is the first or last of several.
    folds_ : np.ndarray of shape (N,)
        Group of each training row.
    left_out_ : int
        Number of features left out as constant, see ``bench.probe.linear.design.standardise``.
    coef_ : np.ndarray of shape (D - left_out_,)
        Coefficients of the standardised features.
    intercept_ : float
        Intercept, the mean of the targets.

    References
    ----------
    Golub, Heath & Wahba, Generalized cross-validation as a method for choosing a good ridge parameter, Technometrics
    21 (1979), 10.1080/00401706.1979.10489751.
    """

    def __init__(
        self,
        alphas: Sequence[float] = ALPHAS,
        device: str = "cpu",
        designs: Designs | None = None,
        progress: Callable[[int, int], None] | None = None,
    ):
        self.alphas = alphas
        self.device = device
        self.designs = designs
        self.progress = progress

    def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray | None = None) -> RidgePathCV:
        """Chooses alpha by leaving out one group at a time and fits all rows.

        Parameters
        ----------
        X : np.ndarray of shape (N, D)
            Features.
        y : np.ndarray of shape (N,)
            Targets, in their own unit.
        groups : np.ndarray of shape (N,), optional
            Group (patient) of each row; by default every row is one.

        Returns
        -------
        RidgePathCV
            The fitted estimator itself.

        Raises
        ------
        BadArray
            A ``ValueError``, for features that are not finite and for a single group.
        """
        types = (np.float64, np.float32)
        X, y = validate_data(self, X, y, dtype=types, ensure_all_finite=False, ensure_min_samples=2, y_numeric=True)
        check_features(X)
        y = np.asarray(y, float)
        self.folds_ = np.arange(len(y)) if groups is None else np.unique(groups, return_inverse=True)[1]
        if self.folds_.max() == 0:
            raise BadArray("training rows", "all belong to one group", "choose a task with at least two in train")
        design, self._scaler = (self.designs or Designs(self.device)).of(X)
        x, centre = design.x.cpu().numpy(), y.mean()
        squares = np.einsum("nr,nr->r", x, x)
        grid = np.array(sorted({float(alpha) for alpha in self.alphas}, reverse=True))
        shrink = 1 / (squares + grid[:, None])  # (alphas, r)
        weights = shrink * (x.T @ (y - centre))
        errors = np.abs(_left_out_residuals(x, shrink, y - centre - weights @ x.T, self.folds_)).mean(axis=1)
        shared = shares_of_errors(errors, grid)
        self.path_ = [
            {"alpha": float(a), "score": -float(e)} | told(share)
            for a, e, share in zip(grid, errors, shared, strict=True)
        ]
        best = int(np.argmin(errors))
        self.best_params_ = {"alpha": float(grid[best])}
        self.at_edge_ = len(grid) > 1 and best in (0, len(grid) - 1)
        self.coef_ = design.coefficients(design.x.new_tensor(shared @ weights)).cpu().numpy()
        self.intercept_ = float(centre)
        self.left_out_ = self._scaler.left_out
        if self.progress:
            self.progress(1, 1)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Targets (N,) of features (N, D), in their own unit."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=(np.float64, np.float32), ensure_all_finite=False, reset=False)
        return self._scaler(check_features(X)) @ self.coef_ + self.intercept_

    def predict_scores(self, X: np.ndarray) -> np.ndarray:
        """``predict`` as a column (N, 1)."""
        return self.predict(X)[:, None]


def _left_out_residuals(x: np.ndarray, shrink: np.ndarray, residual: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Targets minus their predictions without their own group, (alphas, N).

    From centred coordinates ``x`` (N, r), ``shrink`` (alphas, r) and residuals (alphas, N).
    """
    out = np.empty_like(residual)
    for group in np.unique(groups):
        own = np.flatnonzero(groups == group)
        smoother = np.einsum("ir,ar,jr->aij", x[own], shrink, x[own], optimize=True) + 1 / len(x)
        out[:, own] = np.linalg.solve(np.eye(len(own)) - smoother, residual[:, own, None])[..., 0]
    return out
