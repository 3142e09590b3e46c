"""Many L2-regularised logistic regressions on one ``Kernel``, solved together.

The truncated Newton method of ``bench.probe.linear.solver.newton`` in the kernel's coordinates, whose metric is the
rest of the Gram matrix for α and 1 for c. Products are float32 where they shape a step. Where one takes too many of
them, as where rows are separable and hardly penalised, ``bench.probe.linear.solver.dual_factors`` finds it from the
rows that curve the objective, in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from bench.probe.linear.kernel import Kernel
from bench.probe.linear.solver.dual_factors import DualFactors, times
from bench.probe.linear.solver.hessian import (
    ProblemKey,
    centred_over_classes,
    curvature_product,
    with_exact_shared_part,
)
from bench.probe.linear.solver.leading import LeadingBlocks
from bench.probe.linear.solver.newton import FAR, LOOSE, Problems

PATIENCE = 300  # products spent on a problem before factors are made
_TIGHT = 0.1  # residual of a step near the optimum, to what it has gained, in the preconditioner's norm
_MAX_LEADING, _LEADING_WORTH = 256, 20  # axes in a block, at most; products spent on a problem, after which one is made
_SURE = 0.5  # twice what may be left after such a step, to what it has gained
_WORTH_LEAVING_OUT = 0.1  # of the rows, from which a step is worth taking without those that hardly curve


@dataclass(frozen=True)
class DualProblems(Problems):
    """P objectives on one kernel; coordinates (P, M, N + k).

    Attributes
    ----------
    design : Kernel
        The rows that all problems share.
    target : torch.Tensor of shape (P, M, N), float64
        One-hot labels.
    cost : torch.Tensor of shape (P, N), float64
        C times the sample weight.
    """

    STRIDE: ClassVar[int] = 4
    ROUGH_TOGETHER: ClassVar[int] = 2
    TOGETHER: ClassVar[int] = 12
    NEXT: ClassVar[int] = 4
    TRUSTED: ClassVar[float] = 2.0

    design: Kernel

    def image(self, w: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (P, M, N) and metric·w (P, M, N + k) of coordinates (P, M, N + k) and intercepts (P, M)."""
        n, axes = self.target.shape[2], self.design.axes
        rest = (w[..., :n].flatten(0, 1) @ self.design.rest).view(*b.shape, n)
        logits = rest + (w[..., n:].flatten(0, 1) @ axes.T).view_as(rest) + b[..., None]
        return logits, torch.cat([rest, w[..., n:]], 2)

    def loss_gradient(self, residual: torch.Tensor) -> torch.Tensor:
        """The loss's gradient (P, M, N + k), times the metric's inverse, from that in the logits (P, M, N)."""
        return torch.cat([residual, times(residual, self.design.axes)], 2)

    def patience(self) -> int:
        """Products that are spent on a problem before factors are made."""
        return PATIENCE

    def exact(self) -> None:
        """None: no problem on a kernel is small."""
        return None

    def iterated(
        self, probabilities: torch.Tensor, leading: LeadingBlocks, keys: Sequence[ProblemKey], spent: torch.Tensor
    ) -> IteratedDualStep:
        """Newton steps by iteration, at probabilities (P, M, N), after products spent (P,)."""
        return IteratedDualStep(self, probabilities, leading, keys, spent)

    @staticmethod
    def leading(design: Kernel) -> LeadingBlocks:
        """Preconditioners of the steps by iteration, which are kept."""
        return LeadingBlocks(min(_MAX_LEADING, design.axes.shape[1]), _LEADING_WORTH)

    @staticmethod
    def factored(design: Kernel) -> DualFactors:
        """Newton steps by factors, which are kept."""
        return DualFactors(design)


class IteratedDualStep:
    """Newton steps by conjugate gradients in the kernel's metric; products are float32.

    The preconditioner is the mean curvature for α; for c and the intercepts it is the diagonal, or a class's block of
    the longest axes. A row whose curvature is nil has the step −gradient in its α, so rows that hardly curve any of the
    objectives (see ``Problems.curvature``) are left out of the system.

    Parameters
    ----------
    problems : DualProblems
        P objectives.
    probabilities : torch.Tensor of shape (P, M, N)
        Class probabilities at the current point.
    leading : LeadingBlocks
        Preconditioners kept so far.
    keys : sequence of ProblemKey, P of them
        By which they are kept.
    spent : torch.Tensor of shape (P,), int
        Products spent on each problem so far.

    Attributes
    ----------
    rows, flat : torch.Tensor of shapes (n,) and (N − n,), or None
        Indices of the rows in the system and of those left out; None where no row is left out.
    """

    def __init__(
        self,
        problems: DualProblems,
        probabilities: torch.Tensor,
        leading: LeadingBlocks,
        keys: Sequence[ProblemKey],
        spent: torch.Tensor,
    ):
        design, n = problems.design, probabilities.shape[2]
        curvature, of_intercept, order, flat = problems.curvature(probabilities)
        self.p, self.cost = probabilities.float(), problems.cost.float()[:, None]
        self.all, self.rest, self.axes, squares = design.rest32, design.rest32, design.axes32, design.squares
        self.rows = self.flat = None
        if flat > _WORTH_LEAVING_OUT * n:
            self.rows, self.flat = order[flat:].sort().values, order[:flat].sort().values
            self.rest = self.rest[self.rows][:, self.rows]
            self.axes, squares = self.axes[self.rows], squares[self.rows]
            self.p, self.cost, curvature = self.p[..., self.rows], self.cost[..., self.rows], curvature[..., self.rows]
        level = 1 + design.level * curvature.sum(2, keepdim=True).float() / n
        of_axes = 1 + times(curvature.float(), squares)
        self.diagonal = torch.cat([level.expand(-1, -1, self.p.shape[2]), of_axes, of_intercept.float()], 2)
        self.leading, self.serving = leading, leading.ready(keys, spent, self.axes, curvature)

    def solve(
        self, gradient: torch.Tensor, value: torch.Tensor, limit: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Solves H · step = −gradient, roughly far from the optimum.

        Near the optimum a step is done only once a bound on what it leaves of the quadratic model's fall is at most
        ``_SURE`` of what it has gained.

        Parameters
        ----------
        gradient : torch.Tensor of shape (P, M, N + k + 1)
            Gradient of the objective in coordinates (times the metric's inverse) and intercepts.
        value : torch.Tensor of shape (P,)
            Objectives.
        limit : torch.Tensor of shape (P,), int
            Most Hessian products to spend on each problem.

        Returns
        -------
        tuple of torch.Tensor of shapes (P, M, N + k + 1) and (P,)
            Newton steps, and the Hessian products that each took: ``limit`` where rounding spoilt the step.
        """
        residual, gain = self.without_flat_rows(gradient)
        p, cost, diagonal = self.p, self.cost, self.diagonal
        serving = self.serving
        preconditioned = centred_over_classes(self.leading.solve(residual, diagonal, serving))
        direction, image = preconditioned, self._metric(preconditioned)
        norm = (residual * image).sum((1, 2))
        near = norm <= FAR * value
        share = 2 * torch.where(near, _TIGHT, LOOSE) ** 2
        solutions, step = torch.zeros_like(residual), torch.zeros_like(residual)
        active, used, turn = torch.arange(len(residual), device=residual.device), torch.zeros_like(limit), 0
        while True:
            spoilt = ~(norm >= 0)  # by rounding: the metric has no negative length
            enough = norm <= (share * gain if turn else 0.0)
            if turn and len(to_check := torch.nonzero(enough & near)[:, 0]):
                unsure = to_check[self._bound(residual[to_check], diagonal[to_check]) > _SURE * gain[to_check]]
                enough[unsure] = False
                share[unsure] /= 4
            done = enough | (limit <= turn) | spoilt
            if done.any():
                solutions[active[done]], used[active[done]] = step[done], torch.where(spoilt, limit, turn)[done]
                kept = ~done
                if not kept.any():
                    self.leading.drop_stale(self.serving, used)
                    step = self._with_flat_rows(solutions.double(), gradient)
                    return with_exact_shared_part(step, gradient), used
                serving = [each for each, keep in zip(serving, kept.tolist(), strict=True) if keep]
                active, p, cost, diagonal, near, share, limit = (
                    each[kept] for each in (active, p, cost, diagonal, near, share, limit)
                )
                step, residual, direction, image, norm, gain = (
                    each[kept] for each in (step, residual, direction, image, norm, gain)
                )
            turn += 1
            product = self._product(direction, image, p, cost)
            length = norm / (image * product).sum((1, 2))
            gain = gain + 0.5 * length * norm
            step = step + length[:, None, None] * direction
            residual = residual - length[:, None, None] * product
            preconditioned = centred_over_classes(self.leading.solve(residual, diagonal, serving))
            of_preconditioned = self._metric(preconditioned)
            norm, previous = (residual * of_preconditioned).sum((1, 2)), norm
            turned = (norm / previous)[:, None, None]
            direction, image = preconditioned + turned * direction, of_preconditioned + turned * image

    def without_flat_rows(self, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Takes the step of the rows that are left out.

        Parameters
        ----------
        gradient : torch.Tensor of shape (P, M, N + k + 1)
            Gradient of the objective in coordinates (times the metric's inverse) and intercepts.

        Returns
        -------
        tuple of torch.Tensor of shapes (P, M, n + k + 1) and (P,), float32
            −gradient of the quadratic model on the rows that are kept, after the step of the others; how far that step
            took the model down, which may be less than 0.
        """
        gradient = gradient.float()
        if self.rows is None:
            return -gradient, gradient.new_zeros(len(gradient))
        n = len(self.all)
        alpha = torch.zeros_like(gradient[..., :n])
        alpha[..., self.flat] = -gradient[..., self.flat]
        image = times(alpha, self.all)
        moved = image[..., self.rows]
        change = curvature_product(moved, self.p, self.cost)
        gain = -((gradient[..., :n] + alpha / 2) * image).sum((1, 2)) - 0.5 * (moved * change).sum((1, 2))
        of_rows = torch.cat([gradient[..., self.rows], gradient[..., n:]], 2)
        return -of_rows - self._in_coordinates(change), gain

    def _with_flat_rows(self, step: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """The step (P, M, N + k + 1) of all rows, from that of the rows that are kept."""
        if self.rows is None:
            return step
        n, kept = len(self.rows) + len(self.flat), len(self.rows)
        alpha = -gradient[..., :n]
        alpha[..., self.rows] = step[..., :kept]
        return torch.cat([alpha, step[..., kept:]], 2)

    def _metric(self, v: torch.Tensor) -> torch.Tensor:
        n = len(self.rest)
        return torch.cat([times(v[..., :n], self.rest), v[..., n:]], 2)

    def _bound(self, residual: torch.Tensor, diagonal: torch.Tensor) -> torch.Tensor:
        """(P,) no less than twice what the quadratic model has left to fall: the Hessian is at least the metric."""
        metric = self._metric(residual[..., :-1])
        return (residual[..., :-1] * metric).sum((1, 2)) + (residual[..., -1].square() / diagonal[..., -1]).sum(1)

    def _product(
        self, direction: torch.Tensor, image: torch.Tensor, p: torch.Tensor, cost: torch.Tensor
    ) -> torch.Tensor:
        """H · direction, where ``image`` is the metric times the direction."""
        n = len(self.rest)
        logits = image[..., :n] + times(direction[..., n:-1], self.axes.T) + direction[..., -1:]
        product = self._in_coordinates(curvature_product(logits, p, cost))
        product[..., :-1] += direction[..., :-1]
        return product

    def _in_coordinates(self, of_logits: torch.Tensor) -> torch.Tensor:
        """The gradient in coordinates and intercepts, from that in the logits (P, M, n)."""
        return torch.cat([of_logits, times(of_logits, self.axes), of_logits.sum(2, keepdim=True)], 2)
