"""Newton steps on a ``Kernel`` by factors, for problems that iteration does not solve in reasonable time.

Each class's own block of the Hessian is inverted on the rows that curve the objective; what that leaves out is how
classes compete, which conjugate gradients in the metric of the Gram matrix make up for, in float64.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bench.probe.linear.kernel import Kernel
from bench.probe.linear.solver.hessian import (
    INTERCEPT_RIDGE,
    MAX_FACTOR_BYTES,
    ProblemKey,
    centred_over_classes,
    curvature_product,
    with_exact_shared_part,
)

_FLAT = 0.05  # curvature times squared norm, summed over the rows that a step by factors takes for flat
_LEFT_OUT = 3.0  # the same, summed over the rows that a class's factor does without
_TOLERANCE = 1e-2  # residual of a step, to what it has gained, in the preconditioner's norm
_MAX_PRODUCTS = 200  # of a step, after which it is taken as it is
_STALE_AFTER, _NEIGHBOUR = 15, 2  # products after which factors are made anew; positions of C over which they may serve


class DualFactors:
    """Newton steps through the rows that curve an objective, by factors that are kept.

    Factors serve neighbouring strengths, and later steps, as long as they do so well.

    Parameters
    ----------
    design : Kernel
        The rows (N, D) that all problems share.
    """

    def __init__(self, design: Kernel):
        self._design = design
        self._kept: dict[ProblemKey, _ClassBlocks] = {}

    def solve(
        self, cost: torch.Tensor, probabilities: torch.Tensor, gradient: torch.Tensor, keys: Sequence[ProblemKey]
    ) -> tuple[torch.Tensor, int]:
        """Solves H · step = −gradient.

        Parameters
        ----------
        cost : torch.Tensor of shape (P, N)
            C times the sample weight.
        probabilities : torch.Tensor of shape (P, M, N)
            Class probabilities at the current point.
        gradient : torch.Tensor of shape (P, M, N + k + 1)
            Gradient of the objective in coordinates (times the metric's inverse) and intercepts.
        keys : sequence of ProblemKey, P of them
            By which factors are kept.

        Returns
        -------
        tuple of (torch.Tensor of shape (P, M, N + k + 1), int)
            Newton steps, and the Hessian products that they took.
        """
        solved = [self._solve_one(*each) for each in zip(keys, probabilities, cost, gradient, strict=True)]
        return torch.stack([step for step, _ in solved]), sum(products for _, products in solved)

    def _solve_one(
        self, key: ProblemKey, p: torch.Tensor, cost: torch.Tensor, gradient: torch.Tensor
    ) -> tuple[torch.Tensor, int]:
        """Solves one problem: ``p`` (M, N), ``cost`` (N,), ``gradient`` (M, N + k + 1)."""
        design = self._design
        blocks = self._ready(key, p * (1 - p) * cost)
        rows = blocks.rows
        whole = -design.of_rows(gradient[:, :-1])  # as combinations of the rows: those that do not curve have this step
        residual, alpha = whole[:, rows], whole.clone()
        alpha[:, rows] = 0
        p, cost = p[:, rows], cost[rows]
        image = alpha @ design.rest + (alpha @ design.axes) @ design.axes.T
        moved = curvature_product(image[None, :, rows], p[None], cost)[0]
        # how far the step of the other rows took the quadratic model down, which may be less than 0
        gain = ((whole - alpha / 2) * image).sum() - 0.5 * (moved * image[:, rows]).sum()
        of_rows, intercept, used = blocks.solve(p, cost, residual - moved, -gradient[:, -1] - moved.sum(1), gain)
        if used > _STALE_AFTER:
            self._kept = {known: each for known, each in self._kept.items() if each is not blocks}
        alpha[:, rows] = of_rows
        step = torch.cat([alpha, alpha @ design.axes, intercept[:, None]], 1)
        return with_exact_shared_part(step[None], gradient[None])[0], used

    def _ready(self, key: ProblemKey, curvature: torch.Tensor) -> _ClassBlocks:
        """Blocks on all rows that curve the objective, made anew where none that are kept reach."""
        weight, order = torch.sort(curvature.sum(0) * self._design.norms)
        curving = order[int(torch.searchsorted(weight.cumsum(0), _FLAT)) :]
        labelling, position = key
        near = [known for known in self._kept if known[0] == labelling and abs(known[1] - position) <= _NEIGHBOUR]
        for known in sorted(near, key=lambda known: abs(known[1] - position)):
            if torch.isin(curving, self._kept[known].rows).all():
                return self._kept[known]
        rows = curving.sort().values
        room = MAX_FACTOR_BYTES - (1 + len(curvature)) * 8 * len(rows) ** 2
        self._kept.pop(key, None)
        while self._kept and sum(each.nbytes for each in self._kept.values()) > room:
            del self._kept[next(iter(self._kept))]
        axes = self._design.axes[rows]
        blocks = _ClassBlocks(rows, self._design.rest[rows][:, rows] + axes @ axes.T, curvature[:, rows])
        self._kept[key] = blocks
        return blocks


class _ClassBlocks:
    """Classes' blocks I + W_k K on some rows, inverted; W_k is the class's curvature when they were made.

    The inverse is that of I + √W_k K √W_k (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006,
    algorithm 3.1) on the rows that curve the class.

    Parameters
    ----------
    rows : torch.Tensor of shape (n,)
        Indices of the rows.
    kernel : torch.Tensor of shape (n, n)
        K, the rows' Gram matrix.
    curvature : torch.Tensor of shape (M, n)
        W, of each class.
    """

    def __init__(self, rows: torch.Tensor, kernel: torch.Tensor, curvature: torch.Tensor):
        self.rows, self._kernel, self._root, self._factors = rows, kernel, curvature.sqrt(), []
        for k, of_class in enumerate(curvature * kernel.diagonal()):
            weight, order = torch.sort(of_class)
            least = int(torch.searchsorted(weight.cumsum(0), _LEFT_OUT))
            curving = order[least:].sort().values
            self._root[k, order[:least]] = 0
            root = self._root[k, curving]
            inner = kernel[curving][:, curving].mul_(root).mul_(root[:, None])
            inner.diagonal().add_(1)
            self._factors.append((curving, torch.linalg.cholesky(inner)))
        curved = self._root.square()
        self._of_curvature = self._inverse(curved)
        left_out = (curvature - curved).sum(1) + INTERCEPT_RIDGE * (1 + curvature.sum(1))
        self._of_intercept = self._of_curvature.sum(1) + left_out
        self.nbytes = kernel.nbytes + sum(factor.nbytes for _, factor in self._factors)

    def solve(
        self,
        p: torch.Tensor,
        cost: torch.Tensor,
        residual: torch.Tensor,
        residual_b: torch.Tensor,
        gain: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Solves one problem on the rows, from residuals (M, n) of the rows and (M,) of the intercepts.

        ``p`` (M, n) are probabilities, ``cost`` (n,); ``gain`` is how far down the quadratic model is already. Returns
        a combination of the rows (M, n), intercepts (M,), and the products used.
        """
        step, step_b = torch.zeros_like(residual), torch.zeros_like(residual_b)
        direction, direction_b = self._preconditioned(residual, residual_b)
        image = direction @ self._kernel
        norm = (residual * image).sum() + (residual_b * direction_b).sum()
        for turn in range(_MAX_PRODUCTS):
            if not norm > (2 * _TOLERANCE**2 * gain if turn else 0.0):
                return step, step_b, turn
            change = curvature_product((image + direction_b[:, None])[None], p[None], cost)[0]
            product, product_b = direction + change, change.sum(1)
            length = norm / ((image * product).sum() + (direction_b * product_b).sum())
            gain = gain + 0.5 * length * norm
            step, step_b = step + length * direction, step_b + length * direction_b
            residual, residual_b = residual - length * product, residual_b - length * product_b
            preconditioned, preconditioned_b = self._preconditioned(residual, residual_b)
            of_preconditioned = preconditioned @ self._kernel
            norm, previous = (residual * of_preconditioned).sum() + (residual_b * preconditioned_b).sum(), norm
            turned = norm / previous
            direction, direction_b = preconditioned + turned * direction, preconditioned_b + turned * direction_b
            image = of_preconditioned + turned * image
        return step, step_b, _MAX_PRODUCTS

    def _inverse(self, v: torch.Tensor) -> torch.Tensor:
        """(M, n) (I + W_k K)⁻¹ v_k."""
        inner, out = self._root * (v @ self._kernel), v.clone()
        for k, (curving, factor) in enumerate(self._factors):
            solved = torch.cholesky_solve(inner[k, curving][:, None], factor)[:, 0]
            out[k, curving] -= self._root[k, curving] * solved
        return out

    def _preconditioned(self, residual: torch.Tensor, residual_b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Each class's block solved, intercept included; without what it adds to all classes alike."""
        solved = self._inverse(residual)
        intercept = (solved.sum(1) - residual.sum(1) + residual_b) / self._of_intercept
        solved = torch.cat([solved - intercept[:, None] * self._of_curvature, intercept[:, None]], 1)
        solved = centred_over_classes(solved[None])[0]
        return solved[:, :-1], solved[:, -1]


def times(v: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """Products (P, M, m) of (P, M, n) with a matrix (n, m)."""
    return (v.flatten(0, 1) @ matrix).view(*v.shape[:2], -1)
