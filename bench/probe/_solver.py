"""Many L2-regularised logistic regressions on one feature matrix, solved together.

Objective of each problem, as in scikit-learn: ``C · Σ_i w_i · loss_i + ½‖W‖²`` with an unpenalised intercept;
binomial loss with one weight vector for two classes, multinomial softmax for more. The features are rotated once
into their principal axes, where the Hessian is close to diagonal; all problems then share every matrix product of a
truncated Newton method (Nocedal & Wright 2006, algorithm 7.1, preconditioned). Gradients and objectives are float64;
only the products that shape a Newton step are float32, which changes the path to the optimum but not the optimum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import eigh, qr

from bench.errors import BadInput

_NEWTON_STEPS, _CG_STEPS = 200, 500
_ARMIJO, _SMALLEST_STEP = 1e-4, 1e-6
_NEGLIGIBLE, _TINY, _ROUNDING = 0.05, 1e-30, 1e-13
_FAR, _LOOSE, _TIGHT = 2e-3, 0.3, 0.1  # relative residual of a step far from the optimum, and near it


@dataclass(frozen=True)
class Scaler:
    """Train mean and standard deviation. ``kept`` (D,) bool: features that vary at all; the others are left out."""

    mean: np.ndarray
    scale: np.ndarray
    kept: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(N, kept) float64 standardised features."""
        return (np.asarray(x, float)[:, self.kept] - self.mean) / self.scale


def check_features(x: np.ndarray) -> np.ndarray:
    """The (N, D) array itself. Raises ``BadInput`` where it is not a matrix of finite numbers."""
    x = np.asarray(x)
    if x.ndim != 2:
        raise BadInput(
            "features", f"expected a matrix (clips, features), found shape {x.shape}", "pool the tokens first"
        )
    bad = ~np.isfinite(x).all(axis=1)
    if bad.any():
        raise BadInput(
            "features",
            f"{int(bad.sum())} of {len(x)} rows hold NaN or infinity, the first is row {int(np.flatnonzero(bad)[0])}",
            "find the clips that break the encoder",
        )
    return x


def standardise(x: np.ndarray) -> tuple[np.ndarray, Scaler]:
    """((N, kept) float64 standardised features, the scaler). A feature is dropped only if it is exactly constant, so
    features of any magnitude count alike. Raises ``BadInput`` for features that are not finite."""
    x = check_features(x).astype(float)
    kept = np.ptp(x, axis=0) > 0
    scaler = Scaler(x[:, kept].mean(axis=0), x[:, kept].std(axis=0), kept)
    return scaler(x), scaler


@dataclass(frozen=True)
class Design:
    """Standardised features in their principal axes: what all problems on the same rows share.

    ``x`` (N, r) float64 = z @ ``basis`` with ``basis`` (D, r) orthonormal and r = min(N, D); ``x32`` the same in
    float32, ``squares`` its element-wise square and ``norms`` (N,) the squared row norms with the intercept's 1.
    """

    x: torch.Tensor
    x32: torch.Tensor
    squares: torch.Tensor
    norms: torch.Tensor
    basis: np.ndarray

    @classmethod
    def of(cls, z: np.ndarray) -> Design:
        """The design of standardised features (N, D). Exact for an L2 penalty: the optimum lies in the rows' span."""
        basis = None
        if z.shape[0] < z.shape[1]:
            basis, lower = qr(z.T, mode="economic", check_finite=False)  # z.T = basis @ lower
            z = lower.T
        axes = eigh(z.T @ z, check_finite=False)[1]
        x = torch.from_numpy(np.ascontiguousarray(z @ axes))
        x32 = x.float()
        return cls(x, x32, x32.square(), x.square().sum(1) + 1, axes if basis is None else basis @ axes)


@dataclass(frozen=True)
class Fit:
    """A solution: ``w`` (M, r) in the design's axes and intercept ``b`` (M,), M = 1 for two classes, else K.

    ``gap`` estimates how far above the optimum the objective was before the last step, relative to the penalty
    ½‖W‖²: relative to the objective, a small C would leave W itself undetermined. ``products`` counts the Hessian
    products spent."""

    w: torch.Tensor
    b: torch.Tensor
    objective: float
    gap: float
    products: int

    def coefficients(self, design: Design) -> tuple[np.ndarray, np.ndarray]:
        """((D, M), (M,)): coefficients of the standardised features, and intercepts that sum to 0 for M > 1."""
        b = self.b - self.b.mean() if len(self.b) > 1 else self.b
        return design.basis @ self.w.numpy().T, b.numpy()


def fit_path(
    design: Design, y: np.ndarray, weights: np.ndarray, path: Sequence[float], tolerance: float = 1e-8
) -> list[Fit]:
    """One fit per C of ``path`` (ascending), each started from those before it.

    ``y`` (N,) class indices 0 … K−1, all present; ``weights`` (N,) sample weights. Fits stop at an objective
    gap of ``tolerance`` times the penalty; raises ``BadInput`` if one cannot reach it.
    """
    n_classes = int(y.max()) + 1
    one_hot = torch.nn.functional.one_hot(torch.from_numpy(y.astype(np.int64)), n_classes).T.double().contiguous()
    sample = torch.from_numpy(np.asarray(weights, float))
    prior = torch.log(one_hot @ sample)
    if n_classes == 2:  # a softmax whose first logit is pinned to 0
        one_hot, prior = one_hot[1:], prior[1:] - prior[:1]
    start = (torch.zeros(len(one_hot), design.x.shape[1], dtype=torch.float64), prior - prior.mean() * (n_classes > 2))
    fits: list[Fit] = []
    for c in path:
        problem = _Problem(design, one_hot, c * sample)
        if len(fits) > 1:
            start = problem.extrapolate(fits[-1], fits[-2])
        fits.append(problem.solve(*start, tolerance))
        start = (fits[-1].w, fits[-1].b)
    return fits


@dataclass(frozen=True)
class _Problem:
    """One objective: ``target`` (M, N) one-hot, ``cost`` (N,) C times the sample weight."""

    design: Design
    target: torch.Tensor
    cost: torch.Tensor

    def logits(self, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return w @ self.design.x.T + b[:, None]  # (M, N)

    def objective(self, logits: torch.Tensor, w: torch.Tensor) -> tuple[float, torch.Tensor]:
        """(objective, (N,) log normaliser)."""
        total = torch.logsumexp(logits, 0) if len(logits) > 1 else torch.nn.functional.softplus(logits[0], threshold=50)
        loss = total - (self.target * logits).sum(0)
        return float(self.cost @ loss + 0.5 * w.square().sum()), total

    def extrapolate(self, last: Fit, before: Fit) -> tuple[torch.Tensor, torch.Tensor]:
        """The best start on the line through the two previous solutions: separable data only scale up with C."""
        w, b, dw, db = last.w, last.b, last.w - before.w, last.b - before.b
        base, slope = self.logits(w, b), self.logits(dw, db)
        step = min((0.0, 0.5, 1.0, 1.5), key=lambda t: self.objective(base + t * slope, w + t * dw)[0])
        return w + step * dw, b + step * db

    def solve(self, w: torch.Tensor, b: torch.Tensor, tolerance: float) -> Fit:
        products, gap = 0, np.inf
        logits = self.logits(w, b)
        value, total = self.objective(logits, w)
        for _ in range(_NEWTON_STEPS):
            p = torch.exp(logits - total)
            residual = (p - self.target) * self.cost
            gradient = torch.cat([residual @ self.design.x + w, residual.sum(1, keepdim=True)], 1)  # (M, r + 1)
            step, used = self.newton_step(p, gradient, value)
            products += used
            decrease = -0.5 * float((gradient * step).sum())
            along = self.logits(step[:, :-1], step[:, -1])
            t = 1.0
            while True:
                moved = w + t * step[:, :-1]
                reached, total = self.objective(logits + t * along, moved)
                if reached <= value * (1 + _ROUNDING) - 2 * _ARMIJO * t * decrease or t < _SMALLEST_STEP:
                    break
                t /= 2
            w, b, logits, value = moved, b + t * step[:, -1], logits + t * along, reached
            penalty = 0.5 * float(w.square().sum())
            gap = decrease / max(penalty, _ROUNDING * value)
            if gap <= 10 * tolerance:  # of the point before this step, which took out at least nine tenths of it
                return Fit(w, b, value, gap, products)
        raise BadInput(
            "linear probe", f"no optimum within {_NEWTON_STEPS} Newton steps (gap {gap:.1e})", "lower the largest C"
        )

    def newton_step(self, p: torch.Tensor, gradient: torch.Tensor, value: float) -> tuple[torch.Tensor, int]:
        """((M, r + 1) step, products used): conjugate gradients on H·step = −gradient, diagonal preconditioner.

        Rows that hardly curve the objective are left out of H: their summed trace is below ``_NEGLIGIBLE``, while
        the penalty alone contributes 1 to every eigenvalue, and so is their share of any intercept's curvature.
        """
        x, squares = self.design.x32, self.design.squares
        curvature = p * (1 - p) * self.cost  # (M, N)
        p32, cost = p.float(), self.cost.float()
        of_intercept = curvature.sum(1, keepdim=True).clamp(min=_TINY)
        weight, order = torch.sort(curvature.sum(0) * self.design.norms + (curvature / of_intercept).amax(0))
        flat = int(torch.searchsorted(weight.cumsum(0), _NEGLIGIBLE))
        if flat > 0.3 * len(order):
            rows = order[flat:].sort().values
            x, p32, cost, curvature = x[rows], p32[:, rows], cost[rows], curvature[:, rows]
            squares = x.square()
        diagonal = torch.cat([(curvature.float() @ squares + 1).double(), of_intercept], 1)
        step, left = torch.zeros_like(gradient), -gradient
        scaled = _balanced(left / diagonal)
        direction, norm = scaled, float((left * scaled).sum())
        if norm == 0:  # at the optimum already, as where no feature varies
            return step, 0
        target = norm * (_LOOSE if norm > _FAR * value else _TIGHT) ** 2
        used = 0
        while used < _CG_STEPS:
            used += 1
            u = direction[:, :-1].float() @ x.T + direction[:, -1:].float()
            u *= p32
            u -= p32 * u.sum(0)
            u *= cost
            image = torch.cat([(u @ x).double() + direction[:, :-1], u.sum(1, keepdim=True).double()], 1)
            length = norm / float((direction * image).sum())
            step = step + length * direction
            left = left - length * image
            scaled = _balanced(left / diagonal)
            norm, previous = float((left * scaled).sum()), norm
            if norm <= target:
                break
            direction = scaled + norm / previous * direction
        return step, used


def _balanced(step: torch.Tensor) -> torch.Tensor:
    """The step (M, r + 1) without what it adds to all classes alike. The loss does not see that part, so a diagonal
    preconditioner, which does, would make the system as ill-conditioned as C is large (ten times the products)."""
    return step - step.mean(0) if len(step) > 1 else step
