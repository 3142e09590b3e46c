"""Newton steps of problems with few unknowns: the Hessian itself, of all problems at once.

Where features are few, as those of a control row or of a small table, iterating costs more than solving.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from bench.probe.linear.solver.newton import Problems

_UNKNOWNS = 150  # of a problem, up to which it counts as small
_NUMBERS = 2_500_000  # products of pairs of features, over all rows, that may be held: 20 MB
_RIDGE = 1e-12  # of the largest curvature: what rounding may take from intercepts, which no penalty keeps from 0


class ExactSteps:
    """Newton steps of problems on rows ``x`` (N, r) float64."""

    def __init__(self, x: torch.Tensor):
        rows = torch.cat([x, x.new_ones(len(x), 1)], 1)
        self._pairs = (rows[:, :, None] * rows[:, None]).flatten(1)  # (N, (r + 1)²)
        self._penalty = torch.ones_like(rows[0])
        self._penalty[-1] = 0

    @staticmethod
    def serve(x: torch.Tensor, classes: int) -> bool:
        """Whether problems on these rows are small."""
        size = x.shape[1] + 1
        return classes * size <= _UNKNOWNS and len(x) * size**2 <= _NUMBERS

    def solve(self, problems: Problems, p: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """(P, M, r + 1) solutions of H·step = −gradient; ``p`` (P, M, N) probabilities."""
        many, classes, size = gradient.shape
        hessian = gradient.new_zeros(many, classes, size, classes, size)
        for k in range(classes):
            for m in range(k, classes):
                weight = problems.cost * p[:, k] * ((1.0 if k == m else 0.0) - p[:, m])
                hessian[:, k, :, m] = hessian[:, m, :, k] = (weight @ self._pairs).view(many, size, size)
        if classes > 1:  # nothing curves along all intercepts together, and the gradient does not point there
            hessian[:, :, -1, :, -1] += hessian[:, :, -1, :, -1].diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
        hessian = hessian.flatten(3).flatten(1, 2)
        diagonal = hessian.diagonal(dim1=1, dim2=2)
        diagonal += self._penalty.repeat(classes) + _RIDGE * diagonal.amax(1, keepdim=True)
        factor = torch.linalg.cholesky(hessian)
        return -torch.cholesky_solve(gradient.flatten(1)[..., None], factor).view_as(gradient)
