"""Newton steps where a diagonal preconditioner will not do: features that are nearly collinear, weakly penalised.

The preconditioner is each class's own block of the Hessian, factorised in float64; what it leaves out is how classes
compete, which a few products make up for. For two classes it is the Hessian itself. A factor serves as long as it does
so well: for the next Newton steps, and for neighbouring penalties.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from bench.probe._solver import Problems

Name = tuple[int, int]  # of a problem: its labelling, and the position of its C on the path

_TOLERANCE = 1e-2  # relative residual of a step, in the preconditioner's norm
_STALE, _STEPS = 25, 200  # products after which a factor is made anew, and after which a step is taken as it is
_NEIGHBOUR = 2  # positions of C over which a factor may serve
_BYTES = 400_000_000  # of factors, beyond which the oldest go
_RIDGE = 1e-12  # of the intercept's curvature, which no penalty keeps from 0


class BlockSteps:
    """Newton steps of problems on rows ``x`` (N, r) float64, and the factors made for them."""

    def __init__(self, x: torch.Tensor):
        self._rows = x
        self._factors: dict[Name, torch.Tensor] = {}

    def solve(
        self, problems: Problems, p: torch.Tensor, gradient: torch.Tensor, names: Sequence[Name]
    ) -> tuple[torch.Tensor, int]:
        """((P, M, r + 1) solutions of H·step = −gradient, Hessian products used); ``p`` (P, M, N) probabilities."""
        factors = [self._ready(name, each, cost) for name, each, cost in zip(names, p, problems.cost, strict=True)]
        found, index = torch.zeros_like(gradient), torch.arange(len(names), device=gradient.device)
        step, left, used, cost = torch.zeros_like(gradient), -gradient, torch.zeros_like(index), problems.cost
        scaled = _scaled(left, factors)
        direction, norm = scaled, (left * scaled).sum((1, 2))
        target = norm * _TOLERANCE**2
        for turn in range(_STEPS + 1):
            done = (norm <= target) | torch.tensor(turn == _STEPS, device=norm.device)
            if done.any():
                found[index[done]], used[index[done]] = step[done], turn
                kept = ~done
                factors = [factor for factor, keep in zip(factors, kept.tolist(), strict=True) if keep]
                if not factors:
                    break
                index, p, cost, target, step, left, direction, norm = (
                    each[kept] for each in (index, p, cost, target, step, left, direction, norm)
                )
            image = self._product(direction, p, cost[:, None])
            length = (norm / (direction * image).sum((1, 2)))[:, None, None]
            step = step + length * direction
            left = left - length * image
            scaled = _scaled(left, factors)
            norm, previous = (left * scaled).sum((1, 2)), norm
            direction = scaled + (norm / previous)[:, None, None] * direction
        for name, products in zip(names, used.tolist(), strict=True):
            if products > _STALE:
                worn = self._known(name)
                self._factors = {key: each for key, each in self._factors.items() if each is not worn}
        return found, int(used.sum())

    @cached_property
    def x(self) -> torch.Tensor:
        """(N, r + 1): the rows with the intercept's 1."""
        return torch.cat([self._rows, self._rows.new_ones(len(self._rows), 1)], 1)

    def _ready(self, name: Name, p: torch.Tensor, cost: torch.Tensor) -> torch.Tensor:
        """The factor for a problem, made where none is near enough."""
        factor = self._known(name)
        if factor is None:
            factor = self._factors[name] = self._factor(p * (1 - p) * cost)
            while sum(each.nbytes for each in self._factors.values()) > _BYTES and len(self._factors) > 1:
                del self._factors[next(iter(self._factors))]
        return factor

    def _known(self, name: Name) -> torch.Tensor | None:
        """The factor made nearest to a problem, if near enough."""
        near = [key for key in self._factors if key[0] == name[0] and abs(key[1] - name[1]) <= _NEIGHBOUR]
        return self._factors[min(near, key=lambda key: abs(key[1] - name[1]))] if near else None

    def _factor(self, curvature: torch.Tensor) -> torch.Tensor:
        """(M, r + 1, r + 1) Cholesky factors of the blocks, from each class's curvature (M, N)."""
        blocks = torch.stack([self.x.T @ (self.x * each[:, None]) for each in curvature])
        penalty = torch.ones_like(blocks[0, 0])
        penalty[-1] = 0
        blocks.diagonal(dim1=1, dim2=2).add_(penalty)
        blocks[:, -1, -1] += _RIDGE * (1 + blocks[:, -1, -1])
        return torch.linalg.cholesky(blocks)

    def _product(self, direction: torch.Tensor, p: torch.Tensor, cost: torch.Tensor) -> torch.Tensor:
        """H · direction."""
        u = p * (direction.flatten(0, 1) @ self.x.T).view_as(p)
        u = (u - p * u.sum(1, keepdim=True)) * cost
        image = (u.flatten(0, 1) @ self.x).view_as(direction)
        image[..., :-1] += direction[..., :-1]
        return image


def _scaled(left: torch.Tensor, factors: Sequence[torch.Tensor]) -> torch.Tensor:
    """(P, M, r + 1) what each problem's blocks make of ``left``."""
    solved = torch.stack([torch.cholesky_solve(own[..., None], f)[..., 0] for own, f in zip(left, factors)])
    return solved - solved.mean(1, keepdim=True) if solved.shape[1] > 1 else solved  # see _solver.balanced
