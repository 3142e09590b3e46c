"""Newton steps where a diagonal preconditioner will not do: features that are nearly collinear, weakly penalised.

The preconditioner is each class's own block of the Hessian, factorised in float64; what it leaves out is how classes
compete, which a few products make up for. For two classes it is the Hessian itself. Few rows curve a weakly penalised
objective, those near a boundary between classes: their part is exact, that of the others diagonal, and where they are
fewer than the axes the block is inverted through them (the Woodbury identity). A factor serves as long as it does so
well: for the next Newton steps, and for neighbouring penalties.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from bench.probe.linear.solver.hessian import (
    INTERCEPT_RIDGE,
    MAX_FACTOR_BYTES,
    ProblemKey,
    centred_over_classes,
    curvature_product,
)

_TOLERANCE = 1e-2  # relative residual of a step, in the preconditioner's norm
_STALE_AFTER = 25  # products after which a factor is made anew
_MAX_PRODUCTS = 200  # of a step, after which it is taken as it is
_NEIGHBOUR = 2  # positions of C over which a factor may serve
_CURVED = 0.1  # curvature times squared norm from which a row's part of a block is exact; the penalty's is 1
_FLAT = 0.05  # the same, summed over the rows that a product leaves out


class Factor(Protocol):
    """One class's block of the Hessian, factorised. ``nbytes`` is the memory that it holds."""

    nbytes: int

    def solve(self, residual: torch.Tensor) -> torch.Tensor:
        """Solution (r + 1,) for a right-hand side (r + 1,)."""


class _DenseFactor:
    """Cholesky factor of diagonal (r + 1,) plus A'A for rows A (n, r + 1), n not below r."""

    def __init__(self, diagonal: torch.Tensor, rows: torch.Tensor):
        block = rows.T @ rows
        block.diagonal().add_(diagonal)
        self._factor = torch.linalg.cholesky(block)
        self.nbytes = self._factor.nbytes

    def solve(self, residual: torch.Tensor) -> torch.Tensor:
        return torch.cholesky_solve(residual[:, None], self._factor)[:, 0]


class _WoodburyFactor:
    """The inverse of the same block through its rows, for rows fewer than axes."""

    def __init__(self, diagonal: torch.Tensor, rows: torch.Tensor):
        self._inverse = 1 / diagonal
        inner = (rows * self._inverse) @ rows.T
        inner.diagonal().add_(1)
        self._factor, self._rows = torch.linalg.cholesky(inner), rows
        self.nbytes = self._factor.nbytes + rows.nbytes

    def solve(self, residual: torch.Tensor) -> torch.Tensor:
        of_diagonal = self._inverse * residual
        of_rows = torch.cholesky_solve((self._rows @ of_diagonal)[:, None], self._factor)[:, 0]
        return of_diagonal - self._inverse * (of_rows @ self._rows)


class BlockSteps:
    """Newton steps by conjugate gradients, preconditioned by factors of the class blocks, which are kept.

    Parameters
    ----------
    rows : torch.Tensor of shape (N, r), float64
        Coordinates of the training rows.
    squared_norms : torch.Tensor of shape (N,)
        Squared norms of the rows, with the intercept's 1.
    """

    def __init__(self, rows: torch.Tensor, squared_norms: torch.Tensor):
        self._rows, self._squared_norms = torch.cat([rows, rows.new_ones(len(rows), 1)], 1), squared_norms
        self._factors: dict[ProblemKey, list[Factor]] = {}

    def solve(
        self, cost: torch.Tensor, probabilities: torch.Tensor, gradient: torch.Tensor, keys: Sequence[ProblemKey]
    ) -> tuple[torch.Tensor, int]:
        """Solves H · step = −gradient to a relative residual of 1e-2, or as far as 200 products reach.

        Parameters
        ----------
        cost : torch.Tensor of shape (P, N)
            C times the sample weight.
        probabilities : torch.Tensor of shape (P, M, N)
            Class probabilities at the current point.
        gradient : torch.Tensor of shape (P, M, r + 1)
            Gradient of the objective in coordinates and intercepts.
        keys : sequence of ProblemKey, P of them
            By which factors are kept.

        Returns
        -------
        tuple of (torch.Tensor of shape (P, M, r + 1), int)
            Newton steps, and the Hessian products that they took.
        """
        factors = [self._ready(*each) for each in zip(keys, probabilities, cost, strict=True)]
        solutions, active = torch.zeros_like(gradient), torch.arange(len(keys), device=gradient.device)
        step, residual, products = torch.zeros_like(gradient), -gradient, torch.zeros_like(active)
        curving = self._curving(probabilities, cost)
        x, p, cost = self._rows[curving], probabilities[..., curving], cost[:, curving]
        preconditioned = _preconditioned(residual, factors)
        direction, norm = preconditioned, (residual * preconditioned).sum((1, 2))
        target = norm * _TOLERANCE**2
        for turn in range(_MAX_PRODUCTS + 1):
            done = (norm <= target) | torch.tensor(turn == _MAX_PRODUCTS, device=norm.device)
            if done.any():
                solutions[active[done]], products[active[done]] = step[done], turn
                kept = ~done
                factors = [factor for factor, keep in zip(factors, kept.tolist(), strict=True) if keep]
                if not factors:
                    break
                active, p, cost, target, step, residual, direction, norm = (
                    each[kept] for each in (active, p, cost, target, step, residual, direction, norm)
                )
            image = _hessian_product(direction, x, p, cost[:, None])
            length = (norm / (direction * image).sum((1, 2)))[:, None, None]
            step = step + length * direction
            residual = residual - length * image
            preconditioned = _preconditioned(residual, factors)
            norm, previous = (residual * preconditioned).sum((1, 2)), norm
            direction = preconditioned + (norm / previous)[:, None, None] * direction
        for key, spent in zip(keys, products.tolist(), strict=True):
            if spent > _STALE_AFTER:
                stale = self._nearest(key)
                self._factors = {known: each for known, each in self._factors.items() if each is not stale}
        return solutions, int(products.sum())

    def _curving(self, probabilities: torch.Tensor, cost: torch.Tensor) -> torch.Tensor:
        """Indices of the rows that curve any of the objectives by more than ``_FLAT`` in all."""
        curvature = ((probabilities * (1 - probabilities)).sum(1) * cost * self._squared_norms).amax(0)
        weight, order = torch.sort(curvature)
        return order[int(torch.searchsorted(weight.cumsum(0), _FLAT)) :].sort().values

    def _ready(self, key: ProblemKey, probabilities: torch.Tensor, cost: torch.Tensor) -> list[Factor]:
        """One factor per class for a problem, made where none are near enough."""
        factors = self._nearest(key)
        if factors is None:
            curvature = probabilities * (1 - probabilities) * cost
            factors = self._factors[key] = [self._factor_of_class(each) for each in curvature]
            while self._bytes_held() > MAX_FACTOR_BYTES and len(self._factors) > 1:
                del self._factors[next(iter(self._factors))]
        return factors

    def _bytes_held(self) -> int:
        return sum(factor.nbytes for factors in self._factors.values() for factor in factors)

    def _nearest(self, key: ProblemKey) -> list[Factor] | None:
        """The factors made nearest to a problem, if near enough."""
        labelling, position = key
        near = [known for known in self._factors if known[0] == labelling and abs(known[1] - position) <= _NEIGHBOUR]
        return self._factors[min(near, key=lambda known: abs(known[1] - position))] if near else None

    def _factor_of_class(self, curvature: torch.Tensor) -> Factor:
        """The factor of one class's block, from the class's curvature (N,)."""
        exact = curvature * self._squared_norms > _CURVED
        diagonal = curvature[~exact] @ self._rows[~exact].square()
        diagonal[:-1] += 1
        diagonal[-1] += INTERCEPT_RIDGE * (1 + curvature.sum())
        rows = self._rows[exact] * curvature[exact].sqrt()[:, None]
        return (_WoodburyFactor if len(rows) < len(diagonal) else _DenseFactor)(diagonal, rows)


def _hessian_product(
    direction: torch.Tensor, rows: torch.Tensor, probabilities: torch.Tensor, cost: torch.Tensor
) -> torch.Tensor:
    """H · direction (P, M, r + 1) on rows (n, r + 1)."""
    change = (direction.flatten(0, 1) @ rows.T).view_as(probabilities)
    changed = curvature_product(change, probabilities, cost)
    image = (changed.flatten(0, 1) @ rows).view_as(direction)
    image[..., :-1] += direction[..., :-1]
    return image


def _preconditioned(residual: torch.Tensor, factors: Sequence[Sequence[Factor]]) -> torch.Tensor:
    """Each problem's class blocks solved for residuals (P, M, r + 1)."""
    solved = torch.stack(
        [
            torch.stack([factor.solve(right) for factor, right in zip(of_problem, rights, strict=True)])
            for of_problem, rights in zip(factors, residual, strict=True)
        ]
    )
    return centred_over_classes(solved)
