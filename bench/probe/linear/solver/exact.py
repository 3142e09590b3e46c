"""Newton steps of problems with few unknowns: the whole Hessian, of all problems at once.

Where features are few, as those of a control row or of a small table, iterating costs more than solving.
"""

from __future__ import annotations

import torch

MAX_UNKNOWNS = 150  # of a problem, up to which it counts as small
_MAX_PAIR_PRODUCTS = 2_500_000  # products of pairs of features, over all rows, that may be held: 20 MB
_RIDGE = 1e-12  # of the largest curvature: what rounding may take from intercepts, which no penalty keeps from 0


class ExactSteps:
    """Newton steps from the factorised Hessian.

    Parameters
    ----------
    rows : torch.Tensor of shape (N, r), float64
        Coordinates of the training rows.
    """

    def __init__(self, rows: torch.Tensor):
        with_intercept = torch.cat([rows, rows.new_ones(len(rows), 1)], 1)
        self._pairs = (with_intercept[:, :, None] * with_intercept[:, None]).flatten(1)  # (N, (r + 1)²)
        self._penalty = torch.ones_like(with_intercept[0])
        self._penalty[-1] = 0

    @staticmethod
    def serves(rows: torch.Tensor, n_functions: int) -> bool:
        """Whether problems of ``n_functions`` (M) linear functions on rows (N, r) are small enough."""
        size = rows.shape[1] + 1
        return n_functions * size <= MAX_UNKNOWNS and len(rows) * size**2 <= _MAX_PAIR_PRODUCTS

    def solve(self, cost: torch.Tensor, probabilities: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """Solves H · step = −gradient.

        Parameters
        ----------
        cost : torch.Tensor of shape (P, N)
            C times the sample weight.
        probabilities : torch.Tensor of shape (P, M, N)
            Class probabilities at the current point.
        gradient : torch.Tensor of shape (P, M, r + 1)
            Gradient of the objective in coordinates and intercepts.

        Returns
        -------
        torch.Tensor of shape (P, M, r + 1)
            Newton steps.
        """
        n_problems, n_functions, size = gradient.shape
        hessian = gradient.new_zeros(n_problems, n_functions, size, n_functions, size)
        for k in range(n_functions):
            for m in range(k, n_functions):
                weight = cost * probabilities[:, k] * ((1.0 if k == m else 0.0) - probabilities[:, m])
                block = (weight @ self._pairs).view(n_problems, size, size)
                hessian[:, k, :, m] = hessian[:, m, :, k] = block
        if n_functions > 1:  # nothing curves along all intercepts together, and the gradient does not point there
            hessian[:, :, -1, :, -1] += hessian[:, :, -1, :, -1].diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
        hessian = hessian.flatten(3).flatten(1, 2)
        diagonal = hessian.diagonal(dim1=1, dim2=2)
        diagonal += self._penalty.repeat(n_functions) + _RIDGE * diagonal.amax(1, keepdim=True)
        factor = torch.linalg.cholesky(hessian)
        return -torch.cholesky_solve(gradient.flatten(1)[..., None], factor).view_as(gradient)
