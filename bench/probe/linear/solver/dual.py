"""Many L2-regularised logistic regressions on one ``Kernel``, solved together.

The truncated Newton method of ``bench.probe.linear.solver.newton`` in the kernel's coordinates, whose metric is the
rest of the Gram matrix for α and 1 for c. Products are float32 where they shape a step. Where one takes too many of
them, as where rows are separable and hardly penalised, ``DualFactors`` finds it from the rows that curve the objective,
in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from bench.probe.linear.solver.blocks import Name
from bench.probe.linear.solver.kernel import Kernel
from bench.probe.linear.solver.newton import FAR, LOOSE, Problems, balanced

_PATIENCE = 300  # products of a problem before factors are made
_TIGHT = 0.1  # residual of a step near the optimum, to what it has gained, in the preconditioner's norm
_SURE = 0.5  # twice what may be left after such a step, to what it has gained
_WORTH_LESS = 0.1  # of the rows, from which it is worth to leave out those that do not curve
_FLAT = 0.05  # curvature times squared norm, summed over the rows that a step by factors takes for flat
_LEFT_OUT = 3.0  # the same, summed over the rows that a class's factor does without
_TOLERANCE, _STEPS = 1e-2, 200  # the same of a step by factors, and products after which it is taken as it is
_STALE, _NEIGHBOUR = 15, 2  # products after which factors are made anew; positions of C over which they may serve
_BYTES = 400_000_000  # of factors, beyond which the oldest go
_RIDGE = 1e-12  # of the intercept's curvature, which no penalty keeps from 0


@dataclass(frozen=True)
class DualProblems(Problems):
    """P objectives on one kernel; coordinates (P, M, N + k)."""

    STRIDE: ClassVar[int] = 4
    ROUGH_TOGETHER: ClassVar[int] = 2
    TOGETHER: ClassVar[int] = 12
    TAKEN: ClassVar[float] = 2.0

    design: Kernel

    def image(self, w: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        n, axes = self.target.shape[2], self.design.axes
        rest = (w[..., :n].flatten(0, 1) @ self.design.rest).view(*b.shape, n)
        logits = rest + (w[..., n:].flatten(0, 1) @ axes.T).view_as(rest) + b[..., None]
        return logits, torch.cat([rest, w[..., n:]], 2)

    def spread(self, residual: torch.Tensor) -> torch.Tensor:
        return torch.cat([residual, _times(residual, self.design.axes)], 2)

    def patience(self) -> int:
        return _PATIENCE

    def exact(self) -> None:
        return None

    def iterated(self, p: torch.Tensor) -> _DualStep:
        return _DualStep(self, p)

    @staticmethod
    def factored(design: Kernel) -> DualFactors:
        return DualFactors(design)


class _DualStep:
    """(P, M, N + k + 1) solutions of H·step = −gradient by conjugate gradients in the metric, preconditioned by the
    diagonal for c and the intercepts and by the mean curvature for α.

    A row whose curvature is nil has the step −gradient in its α, so rows that hardly curve any of the objectives (see
    ``bench.probe.linear.solver.newton``) are left out of the system.
    """

    def __init__(self, problems: DualProblems, p: torch.Tensor):
        design, n = problems.design, p.shape[2]
        curvature, of_intercept, order, flat = problems.curvature(p)
        self.p, self.cost = p.float(), problems.cost.float()[:, None]
        self.all, self.rest, self.axes, squares = design.rest32, design.rest32, design.axes32, design.squares
        self.rows = self.flat = None
        if flat > _WORTH_LESS * n:
            self.rows, self.flat = order[flat:].sort().values, order[:flat].sort().values
            self.rest = self.rest[self.rows][:, self.rows]
            self.axes, squares = self.axes[self.rows], squares[self.rows]
            self.p, self.cost, curvature = self.p[..., self.rows], self.cost[..., self.rows], curvature[..., self.rows]
        level = 1 + design.level * curvature.sum(2, keepdim=True).float() / n
        of_axes = 1 + _times(curvature.float(), squares)
        self.diagonal = torch.cat([level.expand(-1, -1, self.p.shape[2]), of_axes, of_intercept.float()], 2)

    def solve(
        self, gradient: torch.Tensor, value: torch.Tensor, limit: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(step, (P,) Hessian products used, at most ``limit`` (P,), which is what is told of a step that rounding
        spoils)."""
        left, gain = self._of_rows(gradient)
        p, cost, diagonal = self.p, self.cost, self.diagonal
        scaled = balanced(left / diagonal)
        direction, image = scaled, self._metric(scaled)
        norm = (left * image).sum((1, 2))
        near = norm <= FAR * value
        share = 2 * torch.where(near, _TIGHT, LOOSE) ** 2
        found, step = torch.zeros_like(left), torch.zeros_like(left)
        index, used, turn = torch.arange(len(left), device=left.device), torch.zeros_like(limit), 0
        while True:
            spoilt = ~(norm >= 0)  # by rounding: the metric has no negative length
            enough = norm <= (share * gain if turn else 0.0)
            if turn and len(told := torch.nonzero(enough & near)[:, 0]):
                unsure = told[self._bound(left[told], diagonal[told]) > _SURE * gain[told]]
                enough[unsure] = False
                share[unsure] /= 4
            done = enough | (limit <= turn) | spoilt
            if done.any():
                found[index[done]], used[index[done]] = step[done], torch.where(spoilt, limit, turn)[done]
                kept = ~done
                if not kept.any():
                    return self._of_all(found.double(), gradient), used
                index, p, cost, diagonal, near, share, limit = (
                    each[kept] for each in (index, p, cost, diagonal, near, share, limit)
                )
                step, left, direction, image, norm, gain = (
                    each[kept] for each in (step, left, direction, image, norm, gain)
                )
            turn += 1
            product = self._product(direction, image, p, cost)
            length = norm / (image * product).sum((1, 2))
            gain = gain + 0.5 * length * norm
            step = step + length[:, None, None] * direction
            left = left - length[:, None, None] * product
            scaled = balanced(left / diagonal)
            of_scaled = self._metric(scaled)
            norm, previous = (left * of_scaled).sum((1, 2)), norm
            turned = (norm / previous)[:, None, None]
            direction, image = scaled + turned * direction, of_scaled + turned * image

    def _metric(self, v: torch.Tensor) -> torch.Tensor:
        n = len(self.rest)
        return torch.cat([_times(v[..., :n], self.rest), v[..., n:]], 2)

    def _bound(self, left: torch.Tensor, diagonal: torch.Tensor) -> torch.Tensor:
        """(P,) no less than twice what the quadratic model has left to fall: the Hessian is at least the metric."""
        metric = self._metric(left[..., :-1])
        return (left[..., :-1] * metric).sum((1, 2)) + (left[..., -1].square() / diagonal[..., -1]).sum(1)

    def _product(
        self, direction: torch.Tensor, image: torch.Tensor, p: torch.Tensor, cost: torch.Tensor
    ) -> torch.Tensor:
        """H · direction, of which ``image`` is what the metric makes."""
        n = len(self.rest)
        u = _curved(image[..., :n] + _times(direction[..., n:-1], self.axes.T) + direction[..., -1:], p, cost)
        product = self._changed(u)
        product[..., :-1] += direction[..., :-1]
        return product

    def _changed(self, u: torch.Tensor) -> torch.Tensor:
        """What the gradient of the logits ``u`` (P, M, n) is in coordinates and intercepts."""
        return torch.cat([u, _times(u, self.axes), u.sum(2, keepdim=True)], 2)

    def _of_rows(self, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(−gradient of the quadratic model on the rows that are kept, after the step of the others; (P,) how far that
        step took the model down, which may be less than 0), float32."""
        gradient = gradient.float()
        if self.rows is None:
            return -gradient, gradient.new_zeros(len(gradient))
        n = len(self.all)
        alpha = torch.zeros_like(gradient[..., :n])
        alpha[..., self.flat] = -gradient[..., self.flat]
        image = _times(alpha, self.all)
        moved = image[..., self.rows]
        u = _curved(moved, self.p, self.cost)
        gain = -((gradient[..., :n] + alpha / 2) * image).sum((1, 2)) - 0.5 * (moved * u).sum((1, 2))
        own = torch.cat([gradient[..., self.rows], gradient[..., n:]], 2)
        return -own - self._changed(u), gain

    def _of_all(self, step: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        if self.rows is None:
            return step
        n, kept = len(self.rows) + len(self.flat), len(self.rows)
        alpha = -gradient[..., :n]
        alpha[..., self.rows] = step[..., :kept]
        return torch.cat([alpha, step[..., kept:]], 2)


class DualFactors:
    """Newton steps through the rows that curve an objective, by conjugate gradients in the metric of the Gram matrix,
    float64. Each class's own block of the Hessian is inverted on them; what that leaves out is how classes compete.
    Factors serve neighbouring strengths, and later steps, as long as they do so well."""

    def __init__(self, design: Kernel):
        self._design = design
        self._known: dict[Name, _Blocks] = {}

    def solve(
        self, problems: DualProblems, p: torch.Tensor, gradient: torch.Tensor, names: Sequence[Name]
    ) -> tuple[torch.Tensor, int]:
        """((P, M, N + k + 1) solutions of H·step = −gradient, Hessian products used)."""
        told = [self._one(*each) for each in zip(names, p, problems.cost, gradient, strict=True)]
        return torch.stack([step for step, _ in told]), sum(used for _, used in told)

    def _one(self, name: Name, p: torch.Tensor, cost: torch.Tensor, gradient: torch.Tensor) -> tuple[torch.Tensor, int]:
        """Of one problem: ``p`` (M, N), ``cost`` (N,), ``gradient`` (M, N + k + 1)."""
        design = self._design
        blocks = self._ready(name, p * (1 - p) * cost)
        rows = blocks.rows
        whole = -design.of_rows(gradient[:, :-1])  # as combinations of the rows: those that do not curve have this step
        left, alpha = whole[:, rows], whole.clone()
        alpha[:, rows] = 0
        p, cost = p[:, rows], cost[rows]
        image = alpha @ design.rest + (alpha @ design.axes) @ design.axes.T
        moved = _curved(image[None, :, rows], p[None], cost)[0]
        # how far the step of the other rows took the quadratic model down, which may be less than 0
        gain = ((whole - alpha / 2) * image).sum() - 0.5 * (moved * image[:, rows]).sum()
        found, intercept, used = blocks.solve(p, cost, left - moved, -gradient[:, -1] - moved.sum(1), gain)
        if used > _STALE:
            self._known = {key: each for key, each in self._known.items() if each is not blocks}
        alpha[:, rows] = found
        return torch.cat([alpha, alpha @ design.axes, intercept[:, None]], 1), used

    def _ready(self, name: Name, curvature: torch.Tensor) -> _Blocks:
        """Blocks on all rows that curve the objective, made anew where none that are known reach."""
        weight, order = torch.sort(curvature.sum(0) * self._design.norms)
        curving = order[int(torch.searchsorted(weight.cumsum(0), _FLAT)) :]
        near = [key for key in self._known if key[0] == name[0] and abs(key[1] - name[1]) <= _NEIGHBOUR]
        for key in sorted(near, key=lambda key: abs(key[1] - name[1])):
            if torch.isin(curving, self._known[key].rows).all():
                return self._known[key]
        rows = curving.sort().values
        room = _BYTES - (1 + len(curvature)) * 8 * len(rows) ** 2
        self._known.pop(name, None)
        while self._known and sum(each.nbytes for each in self._known.values()) > room:
            del self._known[next(iter(self._known))]
        axes = self._design.axes[rows]
        made = _Blocks(rows, self._design.rest[rows][:, rows] + axes @ axes.T, curvature[:, rows])
        self._known[name] = made
        return made


class _Blocks:
    """Classes' blocks I + W_k K on ``rows`` with the Gram matrix ``kernel`` (n, n), inverted by the factor of
    I + √W_k K √W_k (Rasmussen and Williams 2006, algorithm 3.1) on the rows that curve the class; W_k is the class's
    curvature (M, n) when they were made."""

    def __init__(self, rows: torch.Tensor, kernel: torch.Tensor, curvature: torch.Tensor):
        self.rows, self._kernel, self._root, self._factors = rows, kernel, curvature.sqrt(), []
        for k, each in enumerate(curvature * kernel.diagonal()):
            weight, order = torch.sort(each)
            least = int(torch.searchsorted(weight.cumsum(0), _LEFT_OUT))
            own = order[least:].sort().values
            self._root[k, order[:least]] = 0
            root = self._root[k, own]
            inner = kernel[own][:, own].mul_(root).mul_(root[:, None])
            inner.diagonal().add_(1)
            self._factors.append((own, torch.linalg.cholesky(inner)))
        curved = self._root.square()
        self._of_curvature = self._inverse(curved)
        left_out = (curvature - curved).sum(1) + _RIDGE * (1 + curvature.sum(1))
        self._of_intercept = self._of_curvature.sum(1) + left_out
        self.nbytes = kernel.nbytes + sum(factor.nbytes for _, factor in self._factors)

    def solve(
        self, p: torch.Tensor, cost: torch.Tensor, left: torch.Tensor, left_b: torch.Tensor, gain: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, int]:
        """((M, n) combination of the rows, (M,) intercepts, products used) at probabilities ``p`` (M, n); ``gain`` is
        how far down the quadratic model is already."""
        step, step_b = torch.zeros_like(left), torch.zeros_like(left_b)
        direction, direction_b = self._scaled(left, left_b)
        image = direction @ self._kernel
        norm = (left * image).sum() + (left_b * direction_b).sum()
        for turn in range(_STEPS):
            if not norm > (2 * _TOLERANCE**2 * gain if turn else 0.0):
                return step, step_b, turn
            u = _curved((image + direction_b[:, None])[None], p[None], cost)[0]
            product, product_b = direction + u, u.sum(1)
            length = norm / ((image * product).sum() + (direction_b * product_b).sum())
            gain = gain + 0.5 * length * norm
            step, step_b = step + length * direction, step_b + length * direction_b
            left, left_b = left - length * product, left_b - length * product_b
            scaled, scaled_b = self._scaled(left, left_b)
            of_scaled = scaled @ self._kernel
            norm, previous = (left * of_scaled).sum() + (left_b * scaled_b).sum(), norm
            turned = norm / previous
            direction, direction_b = scaled + turned * direction, scaled_b + turned * direction_b
            image = of_scaled + turned * image
        return step, step_b, _STEPS

    def _inverse(self, v: torch.Tensor) -> torch.Tensor:
        """(M, n) (I + W_k K)⁻¹ v_k."""
        inner, out = self._root * (v @ self._kernel), v.clone()
        for k, (own, factor) in enumerate(self._factors):
            solved = torch.cholesky_solve(inner[k, own][:, None], factor)[:, 0]
            out[k, own] -= self._root[k, own] * solved
        return out

    def _scaled(self, left: torch.Tensor, left_b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Each class's block solved, intercept included; without what it adds to all classes alike."""
        alone = self._inverse(left)
        intercept = (alone.sum(1) - left.sum(1) + left_b) / self._of_intercept
        alone = torch.cat([alone - intercept[:, None] * self._of_curvature, intercept[:, None]], 1)
        alone = balanced(alone[None])[0]
        return alone[:, :-1], alone[:, -1]


def _times(v: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """(P, M, m) products of (P, M, n) with a matrix (n, m)."""
    return (v.flatten(0, 1) @ matrix).view(*v.shape[:2], -1)


def _curved(u: torch.Tensor, p: torch.Tensor, cost: torch.Tensor) -> torch.Tensor:
    """(P, M, n) the change of the gradient by that of the logits: the curvature of softmax, or of the logistic."""
    u = p * u
    return (u - p * u.sum(1, keepdim=True)) * cost
