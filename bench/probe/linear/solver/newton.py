"""Many L2-regularised logistic regressions on one design, solved together.

Objective of each problem, as in scikit-learn: ``C · Σ_i w_i · loss_i + ½‖W‖²`` with an unpenalised intercept; binomial
loss with one weight vector for two classes, multinomial softmax for more. All problems share every matrix product of a
truncated Newton method (Nocedal & Wright, Numerical Optimization, 2006, algorithm 7.1). It is preconditioned by the
diagonal, which in principal axes is most of the Hessian, and by blocks of the leading axes
(``bench.probe.linear.solver.leading``). Gradients and objectives are float64; only the products that shape a Newton
step are float32, which changes the path to the optimum but not the optimum. Where a problem takes more products than
factorising its Hessian would cost, it goes on with ``bench.probe.linear.solver.blocks``; one with few unknowns is
solved by ``bench.probe.linear.solver.exact`` from the start, and many rows of more features still by
``bench.probe.linear.solver.dual``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from bench.base.errors import BadInput
from bench.probe.linear.design import Design
from bench.probe.linear.solver.blocks import BlockSteps
from bench.probe.linear.solver.exact import ExactSteps
from bench.probe.linear.solver.hessian import ProblemKey, centred_over_classes, full_float32
from bench.probe.linear.solver.leading import LeadingBlocks
from bench.probe.linear.solver.line_search import ROUNDING, Line, objective

PATIENCE_PER_AXIS, LEAST_PATIENCE = 0.25, 30  # products spent on a problem, per axis, before factors are made
FAR, LOOSE, _TIGHT = 2e-3, 0.3, 0.1  # squared gradient, to the objective, that is far from the optimum; residuals
_MAX_LEADING, _LEADING_SHARE = 256, 3  # axes whose curvature is inverted as a block: at most, and one in so many
_LEADING_WORTH = 10  # products spent on a problem, after which its block is made
_MAX_STEPS = 200
_NEGLIGIBLE, _TINY = 0.05, 1e-30  # summed curvature of rows left out of a step; least curvature of an intercept
_WORTH_LEAVING_OUT = 0.3  # of the rows, from which a step is worth taking without those that hardly curve
_ROUNDED = 1e-12  # gap below which one that no longer shrinks is as small as it gets
_ENOUGH = 1e-8  # gap with which a tolerance that rounding forbids is given up, on either side of 0


@dataclass(frozen=True)
class Fits:
    """Solutions of P problems.

    Attributes
    ----------
    w : torch.Tensor of shape (P, M, r)
        Coefficients in the design's coordinates; M = 1 for two classes, else the number of classes.
    b : torch.Tensor of shape (P, M)
        Intercepts.
    objective : torch.Tensor of shape (P,)
        Objectives reached.
    gap : torch.Tensor of shape (P,)
        Estimates of how far above the optimum the objective was before the last step, relative to the penalty ½‖W‖²:
        relative to the objective, a small C would leave W itself undetermined.
    products : int
        Hessian products spent on all problems, none of small ones.
    stiff : torch.Tensor of shape (P,), bool
        Problems that needed factors.
    """

    w: torch.Tensor
    b: torch.Tensor
    objective: torch.Tensor
    gap: torch.Tensor
    products: int
    stiff: torch.Tensor

    def coefficients(self, design: Design) -> tuple[torch.Tensor, torch.Tensor]:
        """Coefficients (P, M, D) of the standardised features, and intercepts (P, M) that sum to 0 for M > 1."""
        return design.coefficients(self.w), centred_over_classes(self.b[..., None])[..., 0]


@dataclass(frozen=True)
class Problems:
    """P objectives on one design.

    Coordinates w (P, M, r) are worth the penalty ½⟨w, metric·w⟩; here the metric is 1, see
    ``bench.probe.linear.solver.dual`` for another.

    Attributes
    ----------
    design : Design
        The rows (N, r) that all problems share.
    target : torch.Tensor of shape (P, M, N), float64
        One-hot labels.
    cost : torch.Tensor of shape (P, N), float64
        C times the sample weight.
    """

    STRIDE: ClassVar[int] = 2  # of solutions that are found roughly first, in values of C on a path
    ROUGH_TOGETHER: ClassVar[int] = 1  # values of C found roughly at once
    TOGETHER: ClassVar[int] = 6  # values of C solved at once: rows that are flat for all of them need no product
    NEXT: ClassVar[int] = 1  # values of C in a block that follows the first
    TRUSTED: ClassVar[float] = 1.0  # times the tolerance, the gap that a last step is trusted to close

    design: Design
    target: torch.Tensor
    cost: torch.Tensor

    def __len__(self) -> int:
        """The number of problems."""
        return len(self.cost)

    def __getitem__(self, chosen: torch.Tensor) -> Problems:
        """The problems at these positions."""
        return replace(self, target=self.target[chosen], cost=self.cost[chosen])

    def image(self, w: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (P, M, N) and metric·w (P, M, r) of coordinates ``w`` (P, M, r) and intercepts ``b`` (P, M)."""
        return (w.flatten(0, 1) @ self.design.x.T).view(*b.shape, -1) + b[..., None], w

    def loss_gradient(self, residual: torch.Tensor) -> torch.Tensor:
        """The loss's gradient (P, M, r) in the coordinates, from that in the logits (P, M, N)."""
        return (residual.flatten(0, 1) @ self.design.x).view(*residual.shape[:2], -1)

    def objective(
        self, logits: torch.Tensor, w: torch.Tensor, metric_w: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Objectives (P,) and log denominators (P, N), see ``bench.probe.linear.solver.line_search.objective``."""
        return objective(self.target, self.cost, logits, w, metric_w)

    def best_along(
        self, w: torch.Tensor, b: torch.Tensor, dw: torch.Tensor, db: torch.Tensor, steps: Sequence[float]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(w, b) after the best of ``steps`` along (dw, db), each problem its own."""
        (logits, metric_w), (dlogits, metric_dw) = self.image(w, b), self.image(dw, db)
        values = torch.stack(
            [self.objective(logits + t * dlogits, w + t * dw, metric_w + t * metric_dw)[0] for t in steps]
        )
        t = w.new_tensor(steps)[values.argmin(0)]
        return w + t[:, None, None] * dw, b + t[:, None] * db

    @full_float32()
    def solve(
        self,
        w: torch.Tensor,
        b: torch.Tensor,
        tolerance: float,
        stiff: torch.Tensor,
        blocks: BlockSteps,
        leading: LeadingBlocks,
        keys: Sequence[ProblemKey],
    ) -> Fits:
        """Finds the optima from given starts.

        A problem is done once the gap before its last step (see ``Fits``) is at most ``TRUSTED`` times the tolerance,
        or below 1e-12 and no longer shrinking. A step that is no descent, whose gap is negative, ends nothing.

        Parameters
        ----------
        w : torch.Tensor of shape (P, M, r)
            Coordinates to start from.
        b : torch.Tensor of shape (P, M)
            Intercepts to start from.
        tolerance : float
            Gap to reach.
        stiff : torch.Tensor of shape (P,), bool
            Problems known to need factors.
        blocks : BlockSteps
            Newton steps by factors, as ``factored`` makes them for the design, with the factors kept so far.
        leading : LeadingBlocks
            Preconditioners of the steps by iteration, with the blocks kept so far.
        keys : sequence of ProblemKey, P of them
            By which ``blocks`` and ``leading`` keep what they make.

        Returns
        -------
        Fits
            The solutions.

        Raises
        ------
        BadInput
            Where after 200 Newton steps a gap is above both the tolerance and 1e-8.
        """
        stiff, spent = stiff.clone(), torch.zeros_like(stiff, dtype=torch.long)
        w, b, gap = w.clone(), b.clone(), torch.full_like(b[:, 0], torch.inf)
        objectives, products = torch.empty_like(gap), 0
        active = torch.arange(len(self), device=w.device)
        patience, exact, problems = self.patience(), self.exact(), self
        logits, metric_w = problems.image(w, b)
        value, log_total = problems.objective(logits, w, metric_w)
        for _ in range(_MAX_STEPS):
            p = torch.exp(logits - log_total[:, None])
            residual = (p - problems.target) * problems.cost[:, None]
            of_coordinates = problems.loss_gradient(residual) + w[active]
            gradient = torch.cat([of_coordinates, residual.sum(2, keepdim=True)], 2)  # (P, M, r + 1)
            step = exact.solve(problems.cost, p, gradient) if exact else torch.empty_like(gradient)
            if not exact and len(easy := torch.nonzero(~stiff[active])[:, 0]):
                limit = patience - spent[active[easy]]
                of_easy = [keys[i] for i in active[easy].tolist()]
                iterated = problems[easy].iterated(p[easy], leading, of_easy, spent[active[easy]])
                step[easy], used = iterated.solve(gradient[easy], value[easy], limit)
                spent[active[easy]] += used
                stiff[active[easy]] = spent[active[easy]] >= patience
                products += int(used.sum())
            if len(hard := torch.nonzero(stiff[active])[:, 0]):
                of_hard = [keys[i] for i in active[hard].tolist()]
                step[hard], used = blocks.solve(problems.cost[hard], p[hard], gradient[hard], of_hard)
                products += used
            dw, db = step[..., :-1], step[..., -1]
            dlogits, metric_dw = problems.image(dw, db)
            decrease = -0.5 * (gradient * torch.cat([metric_dw, step[..., -1:]], 2)).sum((1, 2))
            line = Line(problems.target, problems.cost, w[active], dw, metric_w, metric_dw, logits, dlogits)
            t, value, log_total = line.search(value, decrease)
            logits, metric_w = logits + t[:, None, None] * dlogits, metric_w + t[:, None, None] * metric_dw
            w[active] += t[:, None, None] * dw
            b[active] += t[:, None] * db
            penalty = 0.5 * (w[active] * metric_w).sum((1, 2))
            before, objectives[active] = gap[active], value
            gap[active] = now = decrease / torch.maximum(penalty, ROUNDING * value)
            # of the point before this step, which took out most of it unless rounding is all that is left
            rising = ~(now >= -max(self.TRUSTED * tolerance, _ENOUGH))
            stiff[active] |= rising  # rounding of float32 products spoilt the step: float64 factors go on
            going_on = rising | (now > self.TRUSTED * tolerance) & ((now > _ROUNDED) | (now < before / 4))
            if not going_on.any():
                return Fits(w, b, objectives, gap, products, stiff)
            if not going_on.all():
                active, problems = active[going_on], problems[going_on]
                logits, metric_w, value, log_total = (each[going_on] for each in (logits, metric_w, value, log_total))
        if (gap.abs() <= max(self.TRUSTED * tolerance, _ENOUGH)).all():
            return Fits(w, b, objectives, gap, products, stiff)
        raise BadInput(
            "linear probe",
            f"no optimum within {_MAX_STEPS} Newton steps (gap {float(gap.max()):.1e})",
            "lower the largest C",
        )

    def curvature(self, probabilities: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]:
        """How much each row curves the objectives at ``probabilities`` (P, M, N).

        Returns
        -------
        tuple
            Curvature (P, M, N) of each row; that of the intercepts (P, M, 1); rows (N,) in ascending order of how much
            they curve the objectives; how many of the first of them hardly curve any: the summed trace of those is
            below ``_NEGLIGIBLE``, while the penalty alone contributes 1 to every eigenvalue, and so is their share of
            any intercept's curvature.
        """
        curvature = probabilities * (1 - probabilities) * self.cost[:, None]
        of_intercept = curvature.sum(2, keepdim=True).clamp(min=_TINY)
        of_rows = (curvature.sum(1) * self.design.norms + (curvature / of_intercept).amax(1)).amax(0)
        weight, order = torch.sort(of_rows)
        return curvature, of_intercept, order, int(torch.searchsorted(weight.cumsum(0), _NEGLIGIBLE))

    def patience(self) -> int:
        """Products that are spent on a problem before factors are made."""
        return max(LEAST_PATIENCE, int(PATIENCE_PER_AXIS * self.design.width))

    def exact(self) -> ExactSteps | None:
        """Newton steps of small problems, None for others."""
        return ExactSteps(self.design.x) if ExactSteps.serves(self.design.x, self.target.shape[1]) else None

    def iterated(
        self, probabilities: torch.Tensor, leading: LeadingBlocks, keys: Sequence[ProblemKey], spent: torch.Tensor
    ) -> IteratedStep:
        """Newton steps by iteration, at probabilities (P, M, N), after products spent (P,)."""
        return IteratedStep(self, probabilities, leading, keys, spent)

    @staticmethod
    def leading(design: Design) -> LeadingBlocks:
        """Preconditioners of the steps by iteration, which are kept."""
        return LeadingBlocks(min(_MAX_LEADING, design.width // _LEADING_SHARE), _LEADING_WORTH)

    @staticmethod
    def factored(design: Design) -> BlockSteps:
        """Newton steps by factors, which are kept."""
        return BlockSteps(design.x, design.norms)


class IteratedStep:
    """Newton steps by conjugate gradients, preconditioned by the diagonal and the leading axes; products are float32.

    Rows that hardly curve any of the objectives (see ``Problems.curvature``) are left out of the Hessian.

    Parameters
    ----------
    problems : Problems
        P objectives.
    probabilities : torch.Tensor of shape (P, M, N)
        Class probabilities at the current point.
    leading : LeadingBlocks
        Preconditioners kept so far.
    keys : sequence of ProblemKey, P of them
        By which they are kept.
    spent : torch.Tensor of shape (P,), int
        Products spent on each problem so far.
    """

    def __init__(
        self,
        problems: Problems,
        probabilities: torch.Tensor,
        leading: LeadingBlocks,
        keys: Sequence[ProblemKey],
        spent: torch.Tensor,
    ):
        design = problems.design
        x, squares = design.x32, design.squares
        curvature, of_intercept, order, flat = problems.curvature(probabilities)
        self.p, self.cost = probabilities.float(), problems.cost.float()[:, None]
        if flat > _WORTH_LEAVING_OUT * len(order):
            rows = order[flat:].sort().values
            x, self.p, self.cost, curvature = x[rows], self.p[..., rows], self.cost[..., rows], curvature[..., rows]
            squares = x.square()
        self.x = x
        of_axes = curvature.flatten(0, 1).float() @ squares + 1
        self.diagonal = torch.cat([of_axes.view(*probabilities.shape[:2], -1).double(), of_intercept], 2)
        self.leading, self.serving = leading, leading.ready(keys, spent, x, curvature)

    def solve(
        self, gradient: torch.Tensor, value: torch.Tensor, limit: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Solves H · step = −gradient, roughly far from the optimum.

        Parameters
        ----------
        gradient : torch.Tensor of shape (P, M, r + 1)
            Gradient of the objective in coordinates and intercepts.
        value : torch.Tensor of shape (P,)
            Objectives.
        limit : torch.Tensor of shape (P,), int
            Most Hessian products to spend on each problem.

        Returns
        -------
        tuple of torch.Tensor of shapes (P, M, r + 1) and (P,)
            Newton steps, and the Hessian products that each took.
        """
        solutions, residual = torch.zeros_like(gradient), -gradient
        serving = self.serving
        preconditioned = centred_over_classes(self.leading.solve(residual, self.diagonal, serving))
        direction, norm = preconditioned, (residual * preconditioned).sum((1, 2))
        target = norm * torch.where(norm > FAR * value, LOOSE, _TIGHT) ** 2
        step, active = torch.zeros_like(gradient), torch.arange(len(gradient), device=gradient.device)
        used, p, cost, diagonal = torch.zeros_like(limit), self.p, self.cost, self.diagonal
        turn = 0
        while True:
            # no step where the gradient is nil, as where no feature varies
            done = (norm <= (target if turn else 0.0)) | (limit <= turn)
            if done.any():
                solutions[active[done]], used[active[done]] = step[done], turn
                kept = ~done
                if not kept.any():
                    self.leading.drop_stale(self.serving, used)
                    return solutions, used
                serving = [each for each, keep in zip(serving, kept.tolist(), strict=True) if keep]
                active, p, cost, diagonal, target = (each[kept] for each in (active, p, cost, diagonal, target))
                step, residual, direction, norm, limit = (
                    each[kept] for each in (step, residual, direction, norm, limit)
                )
            turn += 1
            image = self._product(direction, p, cost)
            length = (norm / (direction * image).sum((1, 2)))[:, None, None]
            step = step + length * direction
            residual = residual - length * image
            preconditioned = centred_over_classes(self.leading.solve(residual, diagonal, serving))
            norm, previous = (residual * preconditioned).sum((1, 2)), norm
            direction = preconditioned + (norm / previous)[:, None, None] * direction

    def _product(self, direction: torch.Tensor, p: torch.Tensor, cost: torch.Tensor) -> torch.Tensor:
        """H · direction; in place, since these are the largest arrays of a fit."""
        change = (direction[..., :-1].flatten(0, 1).float() @ self.x.T).view(*p.shape)
        change += direction[..., -1:].float()
        change *= p
        change -= p * change.sum(1, keepdim=True)
        change *= cost
        of_axes = (change.flatten(0, 1) @ self.x).view(*p.shape[:2], -1).double()
        return torch.cat([of_axes + direction[..., :-1], change.sum(2, keepdim=True).double()], 2)
