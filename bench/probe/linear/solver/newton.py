"""Many L2-regularised logistic regressions on one design, solved together.

Objective of each problem, as in scikit-learn: ``C · Σ_i w_i · loss_i + ½‖W‖²`` with an unpenalised intercept; binomial
loss with one weight vector for two classes, multinomial softmax for more. All problems share every matrix product of a
truncated Newton method (Nocedal & Wright 2006, algorithm 7.1, preconditioned by the diagonal, which in principal axes
is most of the Hessian). Gradients and objectives are float64; only the products that shape a Newton step are float32,
which changes the path to the optimum but not the optimum. Where a problem takes more products than factorising its
Hessian would cost, it goes on with ``bench.probe.linear.solver.blocks``; one with few unknowns is solved by
``bench.probe.linear.solver.exact`` from the start, and many rows of more features still by
``bench.probe.linear.solver.dual``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import ClassVar

import torch

from bench.base.errors import BadInput
from bench.probe.linear.design import Design
from bench.probe.linear.solver.blocks import BlockSteps, Name
from bench.probe.linear.solver.exact import ExactSteps

_NEWTON_STEPS = 200
_PATIENCE, _LEAST_PATIENCE = 0.25, 30  # products of a problem, by the number of axes, before factors are made
_ARMIJO, _SMALLEST_STEP = 1e-4, 1e-6
_NEGLIGIBLE, _TINY, _ROUNDING = 0.05, 1e-30, 1e-13
_ROUNDED = 1e-12  # gap below which one that no longer shrinks is as small as it gets
_WRONG = 1e-3  # gap below 0 by which a step is no descent, whatever the rounding
_ENOUGH = 1e-8  # gap with which a tolerance that rounding forbids is given up
_PARABOLIC, _FINE = 0.1, 1e-9  # share of a step's expected fall that it may miss; of the objective, below which it may
_LEVEL, _TRIALS = 0.1, 12  # of the slope at the start of a step; most points tried along it
FAR, LOOSE, _TIGHT = 2e-3, 0.3, 0.1  # relative residual of a step far from the optimum, and near it


@dataclass(frozen=True)
class Fits:
    """Solutions of P problems: ``w`` (P, M, r) in the design's coordinates and intercepts ``b`` (P, M), M = 1 for two
    classes, else K; ``objective`` (P,).

    ``gap`` (P,) estimates how far above the optimum the objective was before the last step, relative to the penalty
    ½‖W‖²: relative to the objective, a small C would leave W itself undetermined. ``products`` counts the Hessian
    products spent on all of them, none of small ones; ``stiff`` (P,) are the problems that needed factors."""

    w: torch.Tensor
    b: torch.Tensor
    objective: torch.Tensor
    gap: torch.Tensor
    products: int
    stiff: torch.Tensor

    def coefficients(self, design: Design) -> tuple[torch.Tensor, torch.Tensor]:
        """((P, M, D), (P, M)): coefficients of the standardised features, and intercepts that sum to 0 for M > 1."""
        return design.coefficients(self.w), balanced(self.b[..., None])[..., 0]


@dataclass(frozen=True)
class Problems:
    """P objectives on one design: ``target`` (P, M, N) float64 one-hot, ``cost`` (P, N) C times the sample weight.

    Coordinates w (P, M, r) are worth the penalty ½⟨w, metric·w⟩; here the metric is 1, see
    ``bench.probe.linear.solver.dual`` for another.
    """

    STRIDE: ClassVar[int] = 2  # of solutions that are found roughly first, in values of C on a path
    ROUGH_TOGETHER: ClassVar[int] = 1  # values of C found roughly at once
    TOGETHER: ClassVar[int] = 6  # values of C solved at once: rows that are flat for all of them need no product
    TAKEN: ClassVar[float] = 1.0  # times the tolerance, the gap that a last step is trusted to close

    design: Design
    target: torch.Tensor
    cost: torch.Tensor

    def __len__(self) -> int:
        return len(self.cost)

    def __getitem__(self, chosen: torch.Tensor) -> Problems:
        return replace(self, target=self.target[chosen], cost=self.cost[chosen])

    def image(self, w: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """((P, M, N) logits, (P, M, r) metric·w)."""
        return (w.flatten(0, 1) @ self.design.x.T).view(*b.shape, -1) + b[..., None], w

    def spread(self, residual: torch.Tensor) -> torch.Tensor:
        """(P, M, r) the loss's gradient in the coordinates, from that in the logits (P, M, N)."""
        return (residual.flatten(0, 1) @ self.design.x).view(*residual.shape[:2], -1)

    def objective(
        self, logits: torch.Tensor, w: torch.Tensor, metric_w: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """((P,) objectives, (P, N) log normalisers)."""
        many = logits.shape[1] > 1
        total = logits.logsumexp(1) if many else torch.nn.functional.softplus(logits[:, 0], threshold=50)
        loss = total - (self.target * logits).sum(1)
        return (self.cost * loss).sum(1) + 0.5 * (w * metric_w).sum((1, 2)), total

    def furthest(
        self, w: torch.Tensor, b: torch.Tensor, dw: torch.Tensor, db: torch.Tensor, steps: Sequence[float]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(w, b) after the best of ``steps`` along (dw, db), each problem its own."""
        (base, own), (slope, moved) = self.image(w, b), self.image(dw, db)
        values = torch.stack([self.objective(base + t * slope, w + t * dw, own + t * moved)[0] for t in steps])
        t = w.new_tensor(steps)[values.argmin(0)]
        return w + t[:, None, None] * dw, b + t[:, None] * db

    def solve(
        self,
        w: torch.Tensor,
        b: torch.Tensor,
        tolerance: float,
        stiff: torch.Tensor,
        blocks: BlockSteps,
        names: Sequence[Name],
    ) -> Fits:
        """The optima from starts ``w`` (P, M, r), ``b`` (P, M). ``stiff`` (P,) are known to need factors, of which
        ``blocks`` holds those that are there, by ``names``. Raises ``BadInput`` where an optimum is not reached."""
        stiff, spent = stiff.clone(), torch.zeros_like(stiff, dtype=torch.long)
        w, b, gap = w.clone(), b.clone(), torch.full_like(b[:, 0], torch.inf)
        objective, products = torch.empty_like(gap), 0
        left = torch.arange(len(self), device=w.device)
        patience, exact, here = self.patience(), self.exact(), self
        logits, metric_w = here.image(w, b)
        value, total = here.objective(logits, w, metric_w)
        for _ in range(_NEWTON_STEPS):
            p = torch.exp(logits - total[:, None])
            residual = (p - here.target) * here.cost[:, None]
            gradient = torch.cat([here.spread(residual) + w[left], residual.sum(2, keepdim=True)], 2)  # (P, M, r + 1)
            step = exact.solve(here, p, gradient) if exact else torch.empty_like(gradient)
            if not exact and len(easy := torch.nonzero(~stiff[left])[:, 0]):
                limit = patience - spent[left[easy]]
                step[easy], used = here[easy].iterated(p[easy]).solve(gradient[easy], value[easy], limit)
                spent[left[easy]] += used
                stiff[left[easy]] = spent[left[easy]] >= patience
                products += int(used.sum())
            if len(hard := torch.nonzero(stiff[left])[:, 0]):
                own = [names[i] for i in left[hard].tolist()]
                step[hard], used = blocks.solve(here[hard], p[hard], gradient[hard], own)
                products += used
            dw, db = step[..., :-1], step[..., -1]
            along, metric_dw = here.image(dw, db)
            decrease = -0.5 * (gradient * torch.cat([metric_dw, step[..., -1:]], 2)).sum((1, 2))
            line = _Line(here, w[left], dw, metric_w, metric_dw, logits, along)
            t, value, total = line.search(value, decrease)
            logits, metric_w = logits + t[:, None, None] * along, metric_w + t[:, None, None] * metric_dw
            w[left] += t[:, None, None] * dw
            b[left] += t[:, None] * db
            penalty = 0.5 * (w[left] * metric_w).sum((1, 2))
            before, objective[left] = gap[left], value
            gap[left] = now = decrease / torch.maximum(penalty, _ROUNDING * value)
            # of the point before this step, which took out most of it unless rounding is all that is left
            going = ~(now > -_WRONG) | (now > self.TAKEN * tolerance) & ((now > _ROUNDED) | (now < before / 4))
            if not going.any():
                return Fits(w, b, objective, gap, products, stiff)
            if not going.all():
                left, here = left[going], here[going]
                logits, metric_w, value, total = logits[going], metric_w[going], value[going], total[going]
        if (gap.abs() <= max(self.TAKEN * tolerance, _ENOUGH)).all():
            return Fits(w, b, objective, gap, products, stiff)
        raise BadInput(
            "linear probe",
            f"no optimum within {_NEWTON_STEPS} Newton steps (gap {float(gap.max()):.1e})",
            "lower the largest C",
        )

    def curvature(self, p: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]:
        """((P, M, N) curvature of each row at probabilities ``p``, (P, M, 1) that of the intercepts, (N,) the rows by
        how much they curve the objectives, how many of them hardly curve any): the summed trace of those is below
        ``_NEGLIGIBLE``, while the penalty alone contributes 1 to every eigenvalue, and so is their share of any
        intercept's curvature."""
        curvature = p * (1 - p) * self.cost[:, None]
        of_intercept = curvature.sum(2, keepdim=True).clamp(min=_TINY)
        curves = (curvature.sum(1) * self.design.norms + (curvature / of_intercept).amax(1)).amax(0)
        weight, order = torch.sort(curves)
        return curvature, of_intercept, order, int(torch.searchsorted(weight.cumsum(0), _NEGLIGIBLE))

    def patience(self) -> int:
        """Products that are spent on a problem before factors are made."""
        return max(_LEAST_PATIENCE, int(_PATIENCE * self.design.width))

    def exact(self) -> ExactSteps | None:
        """Newton steps of small problems."""
        return ExactSteps(self.design.x) if ExactSteps.serve(self.design.x, self.target.shape[1]) else None

    def iterated(self, p: torch.Tensor) -> _NewtonStep:
        """Newton steps by iteration, at probabilities ``p`` (P, M, N)."""
        return _NewtonStep(self, p)

    @staticmethod
    def factored(design: Design) -> BlockSteps:
        """Newton steps by factors, which are kept."""
        return BlockSteps(design.x, design.norms)


@dataclass(frozen=True)
class _Line:
    """The line from coordinates ``w`` along ``dw`` (P, M, r), with what the metric makes of both, and from logits
    ``logits`` along ``along`` (P, M, N)."""

    problems: Problems
    w: torch.Tensor
    dw: torch.Tensor
    metric_w: torch.Tensor
    metric_dw: torch.Tensor
    logits: torch.Tensor
    along: torch.Tensor

    def __getitem__(self, chosen: torch.Tensor) -> _Line:
        return _Line(self.problems[chosen], *(getattr(self, each.name)[chosen] for each in fields(self)[1:]))

    def at(self, t: torch.Tensor | float) -> tuple[torch.Tensor, torch.Tensor]:
        """((P,) objectives, (P, N) log normalisers) at step lengths ``t`` (P, 1, 1)."""
        w, metric_w = self.w + t * self.dw, self.metric_w + t * self.metric_dw
        return self.problems.objective(self.logits + t * self.along, w, metric_w)

    def search(self, value: torch.Tensor, decrease: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """((P,) step lengths, objectives and normalisers there): 1 where the objective falls about as a parabola would,
        else near the lowest point along the step, and by halving from there until it falls enough."""
        t = torch.ones_like(value)
        reached, total = self.at(1.0)
        fallen = value - reached
        odd = ~((fallen - decrease).abs() <= _PARABOLIC * decrease) & (decrease > _FINE * value)
        while True:
            allowed = value * (1 + _ROUNDING) - 2 * _ARMIJO * t * decrease
            again = torch.nonzero(odd | ~((reached <= allowed) | (t < _SMALLEST_STEP)))[:, 0]
            if not len(again):
                return t, reached, total
            part = self[again]
            if odd.any():
                t[again] = part.lowest(2 * decrease[again])
                odd[:] = False
            else:
                t[again] /= 2
            reached[again], total[again] = part.at(t[again, None, None])

    def lowest(self, fall: torch.Tensor) -> torch.Tensor:
        """(P,) t at which the objective, convex in t, is level: its slope at most ``_LEVEL`` of the slope −``fall``
        (P,) at 0. Newton's method between what is known to be too short and too long."""
        logits, along, cost = self.logits, self.along, self.problems.cost
        many, square = logits.shape[1] > 1, (self.dw * self.metric_dw).sum((1, 2))
        linear = (self.w * self.metric_dw).sum((1, 2)) - (cost[:, None] * self.problems.target * along).sum((1, 2))
        t, short, long = torch.ones_like(fall), torch.zeros_like(fall), torch.full_like(fall, torch.inf)
        for _ in range(_TRIALS):
            at = logits + t[:, None, None] * along
            p = at.softmax(1) if many else at.sigmoid()
            mean = (p * along).sum(1)
            spread = (p * along.square()).sum(1) - mean.square()
            slope = (cost * mean).sum(1) + linear + t * square
            curvature = (cost * spread).sum(1) + square
            if (slope.abs() <= _LEVEL * fall).all():
                break
            short, long = torch.where(slope < 0, t, short), torch.where(slope < 0, long, t)
            newton = t - slope / curvature
            middle = torch.where(long.isinf(), 2 * t, (short + long) / 2)
            t = torch.where((newton > short) & (newton < long) & (newton < 4 * t), newton, middle)
        return t


class _NewtonStep:
    """(P, M, r + 1) solutions of H·step = −gradient by conjugate gradients with a diagonal preconditioner.

    Rows that hardly curve any of the objectives are left out of H."""

    def __init__(self, problems: Problems, p: torch.Tensor):
        design = problems.design
        x, squares = design.x32, design.squares
        curvature, of_intercept, order, flat = problems.curvature(p)
        self.p, self.cost = p.float(), problems.cost.float()[:, None]
        if flat > 0.3 * len(order):
            rows = order[flat:].sort().values
            x, self.p, self.cost, curvature = x[rows], self.p[..., rows], self.cost[..., rows], curvature[..., rows]
            squares = x.square()
        self.x = x
        of_axes = curvature.flatten(0, 1).float() @ squares + 1
        self.diagonal = torch.cat([of_axes.view(*p.shape[:2], -1).double(), of_intercept], 2)

    def solve(
        self, gradient: torch.Tensor, value: torch.Tensor, limit: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(step, (P,) Hessian products used, at most ``limit`` (P,))."""
        found, left = torch.zeros_like(gradient), -gradient
        scaled = balanced(left / self.diagonal)
        direction, norm = scaled, (left * scaled).sum((1, 2))
        target = norm * torch.where(norm > FAR * value, LOOSE, _TIGHT) ** 2
        step, index = torch.zeros_like(gradient), torch.arange(len(gradient), device=gradient.device)
        used, p, cost, diagonal = torch.zeros_like(limit), self.p, self.cost, self.diagonal
        turn = 0
        while True:
            # no step where the gradient is nil, as where no feature varies
            done = (norm <= (target if turn else 0.0)) | (limit <= turn)
            if done.any():
                found[index[done]], used[index[done]] = step[done], turn
                kept = ~done
                if not kept.any():
                    return found, used
                index, p, cost, diagonal, target = (each[kept] for each in (index, p, cost, diagonal, target))
                step, left, direction, norm, limit = (each[kept] for each in (step, left, direction, norm, limit))
            turn += 1
            image = self._product(direction, p, cost)
            length = (norm / (direction * image).sum((1, 2)))[:, None, None]
            step = step + length * direction
            left = left - length * image
            scaled = balanced(left / diagonal)
            norm, previous = (left * scaled).sum((1, 2)), norm
            direction = scaled + (norm / previous)[:, None, None] * direction

    def _product(self, direction: torch.Tensor, p: torch.Tensor, cost: torch.Tensor) -> torch.Tensor:
        """H · direction."""
        u = (direction[..., :-1].flatten(0, 1).float() @ self.x.T).view(*p.shape)
        u += direction[..., -1:].float()
        u *= p
        u -= p * u.sum(1, keepdim=True)
        u *= cost
        of_axes = (u.flatten(0, 1) @ self.x).view(*p.shape[:2], -1).double()
        return torch.cat([of_axes + direction[..., :-1], u.sum(2, keepdim=True).double()], 2)


def balanced(step: torch.Tensor) -> torch.Tensor:
    """The step (P, M, r + 1) without what it adds to all classes alike. The loss does not see that part, so a diagonal
    preconditioner, which does, would make the system as ill-conditioned as C is large (ten times the products)."""
    return step - step.mean(1, keepdim=True) if step.shape[1] > 1 else step
