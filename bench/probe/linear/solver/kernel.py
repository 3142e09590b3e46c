"""Standardised features through the products of their rows: for rows fewer than features, and many.

Where rows are fewer than features, finding all of their principal axes costs more than fitting on them. The optimum is
a combination of the rows, so their Gram matrix is all that a fit needs. The longest axes, found by subspace iteration
(Halko, Martinsson and Tropp 2011), are taken out of it and kept as features: they hold most of what makes a Hessian
ill-conditioned, and the rest of the Gram matrix is then free of their rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

ROWS = 2000  # below which all principal axes are found in less time than it takes to do without
_AXES, _ROUNDS = 384, 2
_SHORT = 1e-6  # of the largest eigenvalue


@dataclass(frozen=True)
class Kernel:
    """Rows (N, D) as N + k coordinates (α, c): weights X̃ᵀα + Vc of the features, ``axes`` XV (N, k) of the k longest
    axes V, and ``rest`` X̃X̃ᵀ (N, N) of the rows X̃ = X − XVVᵀ; float64, and in float32 as ``axes32`` and ``rest32``.

    ``squares`` (N, k) of the axes, ``norms`` (N,) the squared row norms with the intercept's 1, ``level`` the mean
    squared length of the axes that were left, ``rows`` (N, D) the features. ``_back`` (N, k) combines rows to V.
    """

    rest: torch.Tensor
    axes: torch.Tensor
    rest32: torch.Tensor
    axes32: torch.Tensor
    squares: torch.Tensor
    norms: torch.Tensor
    level: float
    _back: torch.Tensor
    rows: torch.Tensor

    @staticmethod
    def serves(rows: int, features: int) -> bool:
        """Whether it takes less time than ``Design``; ``features`` counts those that vary."""
        return ROWS <= rows < features

    @classmethod
    def of(cls, z: np.ndarray, device: str = "cpu") -> Kernel:
        """The kernel of standardised features (N, D), held on ``device``."""
        z = np.ascontiguousarray(z)
        rows = torch.from_numpy(z).to(device)
        gram = torch.from_numpy(z @ z.T) if rows.device.type == "cpu" else rows @ rows.T  # NumPy makes one half of it
        basis = _longest(gram.float(), min(_AXES, len(z) // 4)).double()
        # exact in float64, however far the basis is from the axes: what is taken out is what the features are
        image = gram @ basis
        factor = torch.linalg.cholesky(_symmetric(basis.T @ image))
        one = torch.eye(len(factor), dtype=gram.dtype, device=gram.device)
        inverse = torch.linalg.solve_triangular(factor, one, upper=False)
        axes, norms = image @ inverse.T, gram.diagonal() + 1
        rest = gram.sub_(axes @ axes.T)
        level = float(rest.diagonal().sum()) / (len(z) - axes.shape[1])
        return cls(rest, axes, rest.float(), axes.float(), axes.float().square(), norms, level, basis @ inverse.T, rows)

    @property
    def width(self) -> int:
        """Coordinates of a fit."""
        return len(self.rest) + self.axes.shape[1]

    @property
    def device(self) -> torch.device:
        return self.rest.device

    @property
    def bytes(self) -> int:
        """What it holds in memory."""
        held = (self.rest, self.axes, self.rest32, self.axes32, self.squares, self._back, self.rows)
        return sum(each.nbytes for each in held)

    def of_rows(self, w: torch.Tensor) -> torch.Tensor:
        """(..., N) the combinations of the rows that coordinates (..., N + k) stand for."""
        alpha, c = w.split([len(self.rest), self.axes.shape[1]], -1)
        return alpha + (c - alpha @ self.axes) @ self._back.T

    def coefficients(self, w: torch.Tensor) -> torch.Tensor:
        """(..., D) coefficients of the standardised features from coordinates (..., N + k)."""
        return self.of_rows(w) @ self.rows


def _longest(gram: torch.Tensor, k: int) -> torch.Tensor:
    """(N, at most k) orthonormal float32, close to the eigenvectors of the largest eigenvalues of ``gram`` (N, N)
    float32; none whose eigenvalue its rounding hides."""
    chance = torch.Generator().manual_seed(0)
    basis = torch.randn(len(gram), k, generator=chance).to(gram.device)
    for _ in range(_ROUNDS):
        basis = torch.linalg.qr(gram @ basis).Q
    values, vectors = torch.linalg.eigh(_symmetric(basis.T @ (gram @ basis)))
    return basis @ vectors[:, values > _SHORT * values.amax()]


def _symmetric(a: torch.Tensor) -> torch.Tensor:
    return (a + a.T) / 2
