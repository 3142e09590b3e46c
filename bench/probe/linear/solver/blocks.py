"""Newton steps where a diagonal preconditioner will not do: features that are nearly collinear, weakly penalised.

The preconditioner is each class's own block of the Hessian, factorised in float64; what it leaves out is how classes
compete, which a few products make up for. For two classes it is the Hessian itself. Few rows curve a weakly penalised
objective, those near a boundary between classes: their part is exact, that of the others diagonal, and where they are
fewer than the axes the block is inverted through them (the Woodbury identity). A factor serves as long as it does so
well: for the next Newton steps, and for neighbouring penalties.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from bench.probe.linear.solver.newton import Problems

Name = tuple[int, int]  # of a problem: its labelling, and the position of its C on the path

_TOLERANCE = 1e-2  # relative residual of a step, in the preconditioner's norm
_STALE, _STEPS = 25, 200  # products after which a factor is made anew, and after which a step is taken as it is
_NEIGHBOUR = 2  # positions of C over which a factor may serve
_BYTES = 400_000_000  # of factors, beyond which the oldest go
_RIDGE = 1e-12  # of the intercept's curvature, which no penalty keeps from 0
_CURVED = 0.1  # curvature times squared norm from which a row's part of a block is exact; the penalty's is 1
_FLAT = 0.05  # summed over the rows that a product leaves out


class Factor(Protocol):
    """One class's block, factorised. ``nbytes`` is what it holds in memory."""

    nbytes: int

    def solve(self, left: torch.Tensor) -> torch.Tensor:
        """(r + 1,) solution for a right-hand side (r + 1,)."""


class _Dense:
    """The block itself: diagonal (r + 1,) plus A'A of the rows A (n, r + 1), n not below r."""

    def __init__(self, diagonal: torch.Tensor, rows: torch.Tensor):
        block = rows.T @ rows
        block.diagonal().add_(diagonal)
        self._factor = torch.linalg.cholesky(block)
        self.nbytes = self._factor.nbytes

    def solve(self, left: torch.Tensor) -> torch.Tensor:
        return torch.cholesky_solve(left[:, None], self._factor)[:, 0]


class _Woodbury:
    """The same through the rows, fewer than the axes."""

    def __init__(self, diagonal: torch.Tensor, rows: torch.Tensor):
        self._inverse = 1 / diagonal
        inner = (rows * self._inverse) @ rows.T
        inner.diagonal().add_(1)
        self._factor, self._rows = torch.linalg.cholesky(inner), rows
        self.nbytes = self._factor.nbytes + rows.nbytes

    def solve(self, left: torch.Tensor) -> torch.Tensor:
        plain = self._inverse * left
        through = torch.cholesky_solve((self._rows @ plain)[:, None], self._factor)[:, 0]
        return plain - self._inverse * (through @ self._rows)


class BlockSteps:
    """Newton steps of problems on float64 rows ``x`` (N, r) of squared ``norms`` (N,); keeps the factors it makes."""

    def __init__(self, x: torch.Tensor, norms: torch.Tensor):
        self._x, self._norms = torch.cat([x, x.new_ones(len(x), 1)], 1), norms  # with the intercept's 1
        self._factors: dict[Name, list[Factor]] = {}

    def solve(
        self, problems: Problems, p: torch.Tensor, gradient: torch.Tensor, names: Sequence[Name]
    ) -> tuple[torch.Tensor, int]:
        """((P, M, r + 1) solutions of H·step = −gradient, Hessian products used); ``p`` (P, M, N) probabilities."""
        factors = [self._ready(name, each, cost) for name, each, cost in zip(names, p, problems.cost, strict=True)]
        found, index = torch.zeros_like(gradient), torch.arange(len(names), device=gradient.device)
        step, left, used = torch.zeros_like(gradient), -gradient, torch.zeros_like(index)
        curving = self._curving(p, problems.cost)
        x, p, cost = self._x[curving], p[..., curving], problems.cost[:, curving]
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
            image = _product(direction, x, p, cost[:, None])
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

    def _curving(self, p: torch.Tensor, cost: torch.Tensor) -> torch.Tensor:
        """The rows that curve any of the objectives by more than ``_FLAT`` in all."""
        curves = ((p * (1 - p)).sum(1) * cost * self._norms).amax(0)
        weight, order = torch.sort(curves)
        return order[int(torch.searchsorted(weight.cumsum(0), _FLAT)) :].sort().values

    def _ready(self, name: Name, p: torch.Tensor, cost: torch.Tensor) -> list[Factor]:
        """The factors for a problem, made where none are near enough."""
        factor = self._known(name)
        if factor is None:
            factor = self._factors[name] = self._factor(p * (1 - p) * cost)
            while self._held() > _BYTES and len(self._factors) > 1:
                del self._factors[next(iter(self._factors))]
        return factor

    def _held(self) -> int:
        return sum(factor.nbytes for own in self._factors.values() for factor in own)

    def _known(self, name: Name) -> list[Factor] | None:
        """The factors made nearest to a problem, if near enough."""
        near = [key for key in self._factors if key[0] == name[0] and abs(key[1] - name[1]) <= _NEIGHBOUR]
        return self._factors[min(near, key=lambda key: abs(key[1] - name[1]))] if near else None

    def _factor(self, curvature: torch.Tensor) -> list[Factor]:
        """Every class's factor, from its curvature (M, N)."""
        return [self._of_class(each) for each in curvature]

    def _of_class(self, curvature: torch.Tensor) -> Factor:
        exact = curvature * self._norms > _CURVED
        diagonal = curvature[~exact] @ self._x[~exact].square()
        diagonal[:-1] += 1
        diagonal[-1] += _RIDGE * (1 + curvature.sum())
        rows = self._x[exact] * curvature[exact].sqrt()[:, None]
        return (_Woodbury if len(rows) < len(diagonal) else _Dense)(diagonal, rows)


def _product(direction: torch.Tensor, x: torch.Tensor, p: torch.Tensor, cost: torch.Tensor) -> torch.Tensor:
    """H · direction (P, M, r + 1) on rows ``x`` (n, r + 1)."""
    u = p * (direction.flatten(0, 1) @ x.T).view_as(p)
    u = (u - p * u.sum(1, keepdim=True)) * cost
    image = (u.flatten(0, 1) @ x).view_as(direction)
    image[..., :-1] += direction[..., :-1]
    return image


def _scaled(left: torch.Tensor, factors: Sequence[Sequence[Factor]]) -> torch.Tensor:
    """(P, M, r + 1) what each problem's blocks make of ``left``."""
    solved = torch.stack([torch.stack([f.solve(v) for f, v in zip(own, each)]) for own, each in zip(factors, left)])
    return solved - solved.mean(1, keepdim=True) if solved.shape[1] > 1 else solved  # see _solver.balanced
