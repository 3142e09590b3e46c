"""Many L2-regularised logistic regressions on one design, solved together.

Objective of each problem, as in scikit-learn: ``C · Σ_i w_i · loss_i + ½‖W‖²`` with an unpenalised intercept;
binomial loss with one weight vector for two classes, multinomial softmax for more. All problems share every matrix
product of a truncated Newton method (Nocedal & Wright 2006, algorithm 7.1, preconditioned by the diagonal, which in
principal axes is most of the Hessian). Gradients and objectives are float64; only the products that shape a Newton
step are float32, which changes the path to the optimum but not the optimum. Where a problem takes more products
than factorising its Hessian would cost, it goes on with ``bench.probe._stiff``; one with few unknowns is solved by
``bench.probe._small`` from the start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from bench.errors import BadInput
from bench.probe._design import Design
from bench.probe._small import ExactSteps
from bench.probe._stiff import BlockSteps, Name

_NEWTON_STEPS = 200
_PATIENCE, _LEAST_PATIENCE = 0.25, 30  # products of a problem, by the number of axes, before factors are made
_ARMIJO, _SMALLEST_STEP = 1e-4, 1e-6
_NEGLIGIBLE, _TINY, _ROUNDING = 0.05, 1e-30, 1e-13
_ROUNDED = 1e-12  # gap below which one that no longer shrinks is as small as it gets
_ENOUGH = 1e-8  # gap with which a tolerance that rounding forbids is given up
_PARABOLIC, _FINE = 0.1, 1e-9  # share of a step's expected fall that it may miss; of the objective, below which it may
_LEVEL, _TRIALS = 0.1, 12  # of the slope at the start of a step; most points tried along it
_FAR, _LOOSE, _TIGHT = 2e-3, 0.3, 0.1  # relative residual of a step far from the optimum, and near it


@dataclass(frozen=True)
class Fits:
    """Solutions of P problems: ``w`` (P, M, r) in the design's axes and intercepts ``b`` (P, M), M = 1 for two
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
    """P objectives on one design: ``target`` (P, M, N) float64 one-hot, ``cost`` (P, N) C times the sample weight."""

    design: Design
    target: torch.Tensor
    cost: torch.Tensor

    def __len__(self) -> int:
        return len(self.cost)

    def __getitem__(self, chosen: torch.Tensor) -> Problems:
        return replace(self, target=self.target[chosen], cost=self.cost[chosen])

    def logits(self, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """(P, M, N)."""
        return (w.flatten(0, 1) @ self.design.x.T).view(*b.shape, -1) + b[..., None]

    def objective(self, logits: torch.Tensor, w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """((P,) objectives, (P, N) log normalisers)."""
        many = logits.shape[1] > 1
        total = logits.logsumexp(1) if many else torch.nn.functional.softplus(logits[:, 0], threshold=50)
        loss = total - (self.target * logits).sum(1)
        return (self.cost * loss).sum(1) + 0.5 * w.square().sum((1, 2)), total

    def furthest(
        self, w: torch.Tensor, b: torch.Tensor, dw: torch.Tensor, db: torch.Tensor, steps: Sequence[float]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(w, b) after the best of ``steps`` along (dw, db), each problem its own."""
        base, slope = self.logits(w, b), self.logits(dw, db)
        values = torch.stack([self.objective(base + t * slope, w + t * dw)[0] for t in steps])
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
        patience = max(_LEAST_PATIENCE, int(_PATIENCE * w.shape[2]))
        left = torch.arange(len(self), device=w.device)
        exact = ExactSteps(self.design.x) if ExactSteps.serve(self.design.x, w.shape[1]) else None
        here = self
        logits = here.logits(w, b)
        value, total = here.objective(logits, w)
        for _ in range(_NEWTON_STEPS):
            p = torch.exp(logits - total[:, None])
            residual = (p - here.target) * here.cost[:, None]
            slope = (residual.flatten(0, 1) @ here.design.x).view_as(w[left]) + w[left]
            gradient = torch.cat([slope, residual.sum(2, keepdim=True)], 2)  # (P, M, r + 1)
            step = exact.solve(here, p, gradient) if exact else torch.empty_like(gradient)
            if not exact and len(easy := torch.nonzero(~stiff[left])[:, 0]):
                step[easy], used = _NewtonStep(here[easy], p[easy]).solve(
                    gradient[easy], value[easy], patience - spent[left[easy]]
                )
                spent[left[easy]] += used
                stiff[left[easy]] = spent[left[easy]] >= patience
                products += int(used.sum())
            if len(hard := torch.nonzero(stiff[left])[:, 0]):
                own = [names[i] for i in left[hard].tolist()]
                step[hard], used = blocks.solve(here[hard], p[hard], gradient[hard], own)
                products += used
            decrease = -0.5 * (gradient * step).sum((1, 2))
            along = here.logits(step[..., :-1], step[..., -1])
            t, value, total = here._line(w[left], step, logits, along, value, decrease)
            w[left] += t[:, None, None] * step[..., :-1]
            b[left] += t[:, None] * step[..., -1]
            logits = logits + t[:, None, None] * along
            penalty = 0.5 * w[left].square().sum((1, 2))
            before, objective[left] = gap[left], value
            gap[left] = now = decrease / torch.maximum(penalty, _ROUNDING * value)
            # of the point before this step, which took out nine tenths of it unless rounding is all that is left
            going = (now > 10 * tolerance) & ((now > _ROUNDED) | (now < before / 4))
            if not going.any():
                return Fits(w, b, objective, gap, products, stiff)
            if not going.all():
                left, here = left[going], here[going]
                logits, value, total = logits[going], value[going], total[going]
        if (gap <= max(10 * tolerance, _ENOUGH)).all():
            return Fits(w, b, objective, gap, products, stiff)
        raise BadInput(
            "linear probe",
            f"no optimum within {_NEWTON_STEPS} Newton steps (gap {float(gap.max()):.1e})",
            "lower the largest C",
        )

    def _line(
        self,
        w: torch.Tensor,
        step: torch.Tensor,
        logits: torch.Tensor,
        along: torch.Tensor,
        value: torch.Tensor,
        decrease: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """((P,) step lengths, objectives and normalisers there): 1 where the objective falls about as a parabola would,
        else near the lowest point along the step, and by halving from there until it falls enough."""
        t = torch.ones_like(value)
        reached, total = self.objective(logits + along, w + step[..., :-1])
        fallen = value - reached
        odd = ~((fallen - decrease).abs() <= _PARABOLIC * decrease) & (decrease > _FINE * value)
        while True:
            allowed = value * (1 + _ROUNDING) - 2 * _ARMIJO * t * decrease
            again = torch.nonzero(odd | ~((reached <= allowed) | (t < _SMALLEST_STEP)))[:, 0]
            if not len(again):
                return t, reached, total
            part = self[again]
            if odd.any():
                t[again] = part.lowest(w[again], step[again], logits[again], along[again], 2 * decrease[again])
                odd[:] = False
            else:
                t[again] /= 2
            scale = t[again, None, None]
            ends = logits[again] + scale * along[again], w[again] + scale * step[again, :, :-1]
            reached[again], total[again] = part.objective(*ends)

    def lowest(
        self, w: torch.Tensor, step: torch.Tensor, logits: torch.Tensor, along: torch.Tensor, fall: torch.Tensor
    ) -> torch.Tensor:
        """(P,) t at which the objective on w + t · step, convex in t, is level: its slope at most ``_LEVEL`` of the
        slope −``fall`` (P,) at 0. Newton's method between what is known to be too short and too long."""
        many, square = logits.shape[1] > 1, step[..., :-1].square().sum((1, 2))
        linear = (w * step[..., :-1]).sum((1, 2)) - (self.cost[:, None] * self.target * along).sum((1, 2))
        t, short, long = torch.ones_like(fall), torch.zeros_like(fall), torch.full_like(fall, torch.inf)
        for _ in range(_TRIALS):
            at = logits + t[:, None, None] * along
            p = at.softmax(1) if many else at.sigmoid()
            mean = (p * along).sum(1)
            spread = (p * along.square()).sum(1) - mean.square()
            slope = (self.cost * mean).sum(1) + linear + t * square
            curvature = (self.cost * spread).sum(1) + square
            if (slope.abs() <= _LEVEL * fall).all():
                break
            short, long = torch.where(slope < 0, t, short), torch.where(slope < 0, long, t)
            newton = t - slope / curvature
            middle = torch.where(long.isinf(), 2 * t, (short + long) / 2)
            t = torch.where((newton > short) & (newton < long) & (newton < 4 * t), newton, middle)
        return t


class _NewtonStep:
    """(P, M, r + 1) solutions of H·step = −gradient by conjugate gradients with a diagonal preconditioner.

    Rows that hardly curve any of the objectives are left out of H: their summed trace is below ``_NEGLIGIBLE``, while
    the penalty alone contributes 1 to every eigenvalue, and so is their share of any intercept's curvature.
    """

    def __init__(self, problems: Problems, p: torch.Tensor):
        design = problems.design
        x, squares = design.x32, design.squares
        curvature = p * (1 - p) * problems.cost[:, None]  # (P, M, N)
        of_intercept = curvature.sum(2, keepdim=True).clamp(min=_TINY)
        curves = (curvature.sum(1) * design.norms + (curvature / of_intercept).amax(1)).amax(0)
        weight, order = torch.sort(curves)
        flat = int(torch.searchsorted(weight.cumsum(0), _NEGLIGIBLE))
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
        target = norm * torch.where(norm > _FAR * value, _LOOSE, _TIGHT) ** 2
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
