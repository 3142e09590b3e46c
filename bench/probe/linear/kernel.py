"""Standardised features through the products of their rows: for rows fewer than features, and many.

Where rows are fewer than features, finding all of their principal axes costs more than fitting on them. The optimum is
a combination of the rows, so their Gram matrix is all that a fit needs. The longest axes, found by subspace iteration
(Halko, Martinsson and Tropp, SIAM Review 53, 2011, 10.1137/090771806, algorithm 4.4), are taken out of it and kept as
features: they hold most of what makes a Hessian ill-conditioned, and the rest of the Gram matrix is then free of their
rounding.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

MIN_ROWS = 2000  # below which all principal axes are found in less time than it takes to do without
_MAX_AXES, _ITERATIONS = 384, 2
_SHORT = 1e-6  # of the largest eigenvalue


@dataclass(frozen=True)
class Kernel:
    """Rows (N, D) as N + k coordinates (α, c), which stand for the weights X̃ᵀα + Vc of the features.

    V (D, k) are the k longest axes, X̃ = X − XVVᵀ what the rows are without them.

    Attributes
    ----------
    rest : torch.Tensor of shape (N, N), float64
        Gram matrix X̃X̃ᵀ.
    axes : torch.Tensor of shape (N, k), float64
        The rows along the axes, XV.
    rest32, axes32 : torch.Tensor, float32
        The same in single precision.
    squares : torch.Tensor of shape (N, k), float32
        Element-wise square of ``axes32``.
    norms : torch.Tensor of shape (N,)
        Squared norms of the rows, with the intercept's 1.
    level : float
        Mean squared length of the axes that were left.
    rows : torch.Tensor of shape (N, D)
        The standardised features.
    """

    rest: torch.Tensor
    axes: torch.Tensor
    rest32: torch.Tensor
    axes32: torch.Tensor
    squares: torch.Tensor
    norms: torch.Tensor
    level: float
    _back: torch.Tensor  # (N, k), by which rows combine to V
    rows: torch.Tensor

    @staticmethod
    def serves(rows: int, features: int) -> bool:
        """Whether it takes less time than ``Design``; ``features`` counts those that vary."""
        return MIN_ROWS <= rows < features

    @classmethod
    def of(cls, z: np.ndarray, device: str = "cpu") -> Kernel:
        """The kernel of standardised features (N, D), held on ``device``."""
        z = np.ascontiguousarray(z)
        rows = torch.from_numpy(z).to(device)
        gram = torch.from_numpy(z @ z.T) if rows.device.type == "cpu" else rows @ rows.T  # NumPy makes one half of it
        basis = _longest_axes(gram.float(), min(_MAX_AXES, len(z) // 4)).double()
        # exact in float64, however far the basis is from the axes: what is taken out is what the features are
        image = gram @ basis
        factor = torch.linalg.cholesky(_symmetric(basis.T @ image))
        identity = torch.eye(len(factor), dtype=gram.dtype, device=gram.device)
        inverse = torch.linalg.solve_triangular(factor, identity, upper=False)
        axes, norms = image @ inverse.T, gram.diagonal() + 1
        rest = gram.sub_(axes @ axes.T)
        level = float(rest.diagonal().sum()) / (len(z) - axes.shape[1])
        return cls(rest, axes, rest.float(), axes.float(), axes.float().square(), norms, level, basis @ inverse.T, rows)

    @property
    def width(self) -> int:
        """Number of coordinates of a fit, N + k."""
        return len(self.rest) + self.axes.shape[1]

    @property
    def device(self) -> torch.device:
        """The device that holds it."""
        return self.rest.device

    @property
    def nbytes(self) -> int:
        """Memory that it holds."""
        arrays = (self.rest, self.axes, self.rest32, self.axes32, self.squares, self._back, self.rows)
        return sum(array.nbytes for array in arrays)

    def of_rows(self, w: torch.Tensor) -> torch.Tensor:
        """The combinations (..., N) of the rows that coordinates (..., N + k) stand for."""
        alpha, c = w.split([len(self.rest), self.axes.shape[1]], -1)
        return alpha + (c - alpha @ self.axes) @ self._back.T

    def coefficients(self, w: torch.Tensor) -> torch.Tensor:
        """Coefficients (..., D) of the standardised features from coordinates (..., N + k)."""
        return self.of_rows(w) @ self.rows

    def coordinates(self, z: torch.Tensor) -> torch.Tensor:
        """Other standardised rows (n, D) in the coordinates (n, N + k) by which (α, c) give their logits."""
        products = z @ self.rows.T
        along = products @ self._back
        return torch.cat([products - along @ self.axes.T, along], 1)

    def without_rows(self) -> Kernel:
        """The same for fits alone, which takes less memory: without the features of the rows."""
        return replace(self, rows=self.rows[:0])


def _longest_axes(gram: torch.Tensor, k: int) -> torch.Tensor:
    """Orthonormal vectors (N, at most k) close to the eigenvectors of the largest eigenvalues of ``gram`` (N, N).

    float32; none whose eigenvalue its rounding hides.
    """
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(len(gram), k, generator=generator).to(gram.device)
    for _ in range(_ITERATIONS):
        basis = torch.linalg.qr(gram @ basis).Q
    values, vectors = torch.linalg.eigh(_symmetric(basis.T @ (gram @ basis)))
    return basis @ vectors[:, values > _SHORT * values.amax()]


def _symmetric(a: torch.Tensor) -> torch.Tensor:
    return (a + a.T) / 2
