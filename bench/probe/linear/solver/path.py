"""All strengths of the penalty, class weights and labels of one design: which problem starts from which solutions.

Solutions move smoothly with log C. Some of them, far apart, are found roughly and one after the other; then all are
found to tolerance together, from starts interpolated between the rough ones, where a matrix product serves many.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from bench.probe.linear.design import Design
from bench.probe.linear.solver.dual import DualProblems
from bench.probe.linear.solver.exact import ExactSteps
from bench.probe.linear.solver.kernel import Kernel
from bench.probe.linear.solver.newton import Fits, Problems

_ROUGH = 3e-4  # optimality gap of the rough solutions
_BEYOND = (0.0, 0.5, 1.0, 1.5)  # of the last change, where a start is extrapolated: separable data only scale up
_NEAREST = 4  # solutions that a start is interpolated from
_CELLS = 4_000_000  # of (problem, class, row) solved at once: 32 MB an array


def fit_path(
    design: Design | Kernel, targets: np.ndarray, weights: np.ndarray, path: Sequence[float], tolerance: float = 1e-8
) -> Fits:
    """The fits of Q labellings at every C of ``path`` (ascending), Q · len(path) problems in that order.

    ``targets`` (Q, M, N) one-hot labels, see ``one_hot``; ``weights`` (Q, N) sample weights. Fits stop at an objective
    gap of ``tolerance``, see ``Fits``; raises ``BadInput`` if one cannot reach it.
    """
    target, sample = (torch.from_numpy(np.asarray(each, float)).to(design.device) for each in (targets, weights))
    strength = np.log10(np.asarray(path, float))
    fits = _Fitted(target, sample, strength, design)
    # where problems are small, a start is worth less than what it costs
    small = isinstance(design, Design) and ExactSteps.serve(design.x, target.shape[1])
    of = fits.kind
    rough = sorted({*range(0, len(path), of.STRIDE), len(path) - 1}) if len(path) > of.STRIDE and not small else []
    for first in range(0, len(rough), of.ROUGH_TOGETHER):
        at = rough[first : first + of.ROUGH_TOGETHER]
        starts = [fits.extrapolated(i, rough[:first]) for i in at]
        fits.solve(at, [torch.cat(each, 1) for each in zip(*starts, strict=True)], max(_ROUGH, tolerance))
    size = int(np.clip(_CELLS // target.numel(), 1, len(path) if small else of.TOGETHER))
    for first in range(0, len(path), size):
        at = list(range(first, min(first + size, len(path))))
        start = [torch.stack([fits.between(each, i, rough) for i in at], 1) for each in (fits.w, fits.b)]
        fits.solve(at, start, tolerance)
    return fits.flat()


def one_hot(y: np.ndarray) -> np.ndarray:
    """(M, N) of class indices 0 … K−1, all present: the second class of two, else every class."""
    hot = np.eye(int(y.max()) + 1)[y].T
    return hot[1:] if len(hot) == 2 else hot


class _Fitted:
    """What has been solved: ``w`` (Q, path, M, r), ``b`` (Q, path, M), ``objective`` and ``gap`` (Q, path)."""

    def __init__(self, target: torch.Tensor, sample: torch.Tensor, strength: np.ndarray, design: Design | Kernel):
        self.target, self.sample, self.strength, self.design = target, sample, strength, design
        labellings, classes, _ = target.shape
        self.kind = DualProblems if isinstance(design, Kernel) else Problems
        self.w = target.new_zeros(labellings, len(strength), classes, design.width)
        self.b = _prior(target, sample)[:, None].repeat(1, len(strength), 1)
        self.objective, self.gap = (target.new_zeros(labellings, len(strength)) for _ in range(2))
        self.stiff = torch.zeros(labellings, len(strength), dtype=torch.bool, device=target.device)
        self.blocks = self.kind.factored(design)
        self.products = 0

    def flat(self) -> Fits:
        """All of them, Q · path."""
        solutions = (each.flatten(0, 1) for each in (self.w, self.b, self.objective, self.gap))
        return Fits(*solutions, self.products, self.stiff.flatten())

    def problems(self, at: Sequence[int]) -> Problems:
        """Every labelling at the values of C at these positions."""
        cost = torch.stack([10 ** self.strength[i] * self.sample for i in at], 1).flatten(0, 1)
        return self.kind(self.design, self.target.repeat_interleave(len(at), 0), cost)

    def solve(self, at: Sequence[int], start: Sequence[torch.Tensor], tolerance: float) -> None:
        """Solves them from starts ((Q, at, M, r), (Q, at, M))."""
        # what was stiff at a stronger penalty is so at a weaker one
        stiff = torch.stack([self.stiff[:, : i + 1].any(1) for i in at], 1).flatten()
        names = [(labelling, i) for labelling in range(len(self.target)) for i in at]
        flat = (each.flatten(0, 1) for each in start)
        found = self.problems(at).solve(*flat, tolerance, stiff, self.blocks, names)
        shape = (len(self.target), len(at))
        self.stiff[:, at] = found.stiff.view(shape)
        self.w[:, at], self.b[:, at] = found.w.view(*shape, *self.w.shape[2:]), found.b.view(*shape, -1)
        self.objective[:, at], self.gap[:, at] = found.objective.view(shape), found.gap.view(shape)
        self.products += found.products

    def extrapolated(self, i: int, before: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Where problem i starts: the best point on the line in log C through the last two of the positions
        ``before``, the last one where there is no other, or what knows the class shares alone."""
        if len(before) < 2:
            last = before[-1] if before else i
            return self.w[:, [last]], self.b[:, [last]]
        last, other = before[-1], before[-2]
        ratio = (self.strength[i] - self.strength[last]) / (self.strength[last] - self.strength[other])
        change = [each[:, last] - each[:, other] for each in (self.w, self.b)]
        steps = [t * ratio for t in _BEYOND]
        w, b = self.problems([i]).furthest(self.w[:, last], self.b[:, last], *change, steps)
        return w[:, None], b[:, None]

    def between(self, of: torch.Tensor, i: int, solved: Sequence[int]) -> torch.Tensor:
        """(Q, M, …) what ``of`` (Q, path, M, …) has at position i, else the polynomial in log C through the nearest
        solved positions."""
        if i in solved or not solved:
            return of[:, i]
        near = sorted(solved, key=lambda j: (abs(self.strength[j] - self.strength[i]), j))[:_NEAREST]
        at = self.strength
        parts = [np.prod([(at[i] - at[k]) / (at[j] - at[k]) for k in near if k != j]) * of[:, j] for j in near]
        return torch.stack(parts).sum(0)


def _prior(target: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
    """(Q, M) intercepts that give the weighted class shares."""
    held = torch.einsum("qmn,qn->qm", target, sample)
    if held.shape[1] > 1:
        log = torch.log(held)
        return log - log.mean(1, keepdim=True)
    return torch.log(held) - torch.log(sample.sum(1, keepdim=True) - held)
