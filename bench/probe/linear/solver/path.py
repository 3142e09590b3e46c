"""All strengths of the penalty, class weights and labels of one design: which problem starts from which solutions.

Solutions move smoothly with log C. Some of them, far apart, are found roughly and one after the other; then all are
found to tolerance together, from starts interpolated between the rough ones, where a matrix product serves many.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from bench.probe.linear.design import Design
from bench.probe.linear.kernel import Kernel
from bench.probe.linear.solver.dual import DualProblems
from bench.probe.linear.solver.exact import ExactSteps
from bench.probe.linear.solver.newton import Fits, Problems

MAX_CELLS = 4_000_000  # of (problem, class, row) solved at once: 32 MB an array
_ROUGH = 3e-4  # optimality gap of the rough solutions
_BEYOND = (0.0, 0.5, 1.0, 1.5)  # of the last change, where a start is extrapolated: separable data only scale up
_NEAREST = 4  # solutions that a start is interpolated from


def fit_path(
    design: Design | Kernel, targets: np.ndarray, weights: np.ndarray, path: Sequence[float], tolerance: float = 1e-8
) -> Fits:
    """Fits Q labellings at every C of a path: Q · len(path) problems, in that order.

    Parameters
    ----------
    design : Design or Kernel
        The standardised rows (N, D) that all problems share.
    targets : np.ndarray of shape (Q, M, N)
        One-hot labels, see ``one_hot``.
    weights : np.ndarray of shape (Q, N)
        Sample weights.
    path : sequence of float
        Values of C, ascending.
    tolerance : float
        Optimality gap to reach, see ``Fits``.

    Returns
    -------
    Fits
        The solutions.

    Raises
    ------
    BadInput
        Where a problem cannot reach the tolerance, see ``Problems.solve``.
    """
    target, sample = (torch.from_numpy(np.asarray(each, float)).to(design.device) for each in (targets, weights))
    log_c = np.log10(np.asarray(path, float))
    solutions = _PathSolutions(target, sample, log_c, design)
    # where problems are small, a start is worth less than what it costs
    small = isinstance(design, Design) and ExactSteps.serves(design.x, target.shape[1])
    kind = solutions.kind
    rough: list[int] = []
    if len(path) > kind.STRIDE and not small:
        rough = sorted({*range(0, len(path), kind.STRIDE), len(path) - 1})
    for first in range(0, len(rough), kind.ROUGH_TOGETHER):
        at = rough[first : first + kind.ROUGH_TOGETHER]
        starts = [solutions.extrapolated(i, rough[:first]) for i in at]
        solutions.solve(at, [torch.cat(each, 1) for each in zip(*starts, strict=True)], max(_ROUGH, tolerance))
    size = int(np.clip(MAX_CELLS // target.numel(), 1, len(path) if small else kind.TOGETHER))
    for first in range(0, len(path), size):
        at = list(range(first, min(first + size, len(path))))
        start = [
            torch.stack([solutions.interpolated(each, i, rough) for i in at], 1) for each in (solutions.w, solutions.b)
        ]
        solutions.solve(at, start, tolerance)
    return solutions.flat()


def one_hot(y: np.ndarray) -> np.ndarray:
    """One-hot labels (M, N) of class indices 0 … K−1, all present: the second class of two, else every class."""
    hot = np.eye(int(y.max()) + 1)[y].T
    return hot[1:] if len(hot) == 2 else hot


class _PathSolutions:
    """Solutions so far: ``w`` (Q, path, M, r), ``b`` (Q, path, M), ``objective``, ``gap``, ``stiff`` (Q, path)."""

    def __init__(self, target: torch.Tensor, sample: torch.Tensor, log_c: np.ndarray, design: Design | Kernel):
        self.target, self.sample, self.log_c, self.design = target, sample, log_c, design
        labellings, n_functions, _ = target.shape
        self.kind = DualProblems if isinstance(design, Kernel) else Problems
        self.w = target.new_zeros(labellings, len(log_c), n_functions, design.width)
        self.b = _intercepts_of_shares(target, sample)[:, None].repeat(1, len(log_c), 1)
        self.objective, self.gap = (target.new_zeros(labellings, len(log_c)) for _ in range(2))
        self.stiff = torch.zeros(labellings, len(log_c), dtype=torch.bool, device=target.device)
        self.blocks = self.kind.factored(design)
        self.products = 0

    def flat(self) -> Fits:
        """All of them, Q · path."""
        solutions = (each.flatten(0, 1) for each in (self.w, self.b, self.objective, self.gap))
        return Fits(*solutions, self.products, self.stiff.flatten())

    def problems(self, at: Sequence[int]) -> Problems:
        """Every labelling at the values of C at these positions."""
        cost = torch.stack([10 ** self.log_c[i] * self.sample for i in at], 1).flatten(0, 1)
        return self.kind(self.design, self.target.repeat_interleave(len(at), 0), cost)

    def solve(self, at: Sequence[int], start: Sequence[torch.Tensor], tolerance: float) -> None:
        """Solves the problems at these positions from starts (Q, at, M, r) and (Q, at, M)."""
        # what was stiff at a stronger penalty is so at a weaker one
        stiff = torch.stack([self.stiff[:, : i + 1].any(1) for i in at], 1).flatten()
        keys = [(labelling, i) for labelling in range(len(self.target)) for i in at]
        w, b = (each.flatten(0, 1) for each in start)
        fits = self.problems(at).solve(w, b, tolerance, stiff, self.blocks, keys)
        shape = (len(self.target), len(at))
        self.stiff[:, at] = fits.stiff.view(shape)
        self.w[:, at], self.b[:, at] = fits.w.view(*shape, *self.w.shape[2:]), fits.b.view(*shape, -1)
        self.objective[:, at], self.gap[:, at] = fits.objective.view(shape), fits.gap.view(shape)
        self.products += fits.products

    def extrapolated(self, i: int, before: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Coordinates (Q, 1, M, r) and intercepts (Q, 1, M) from which problem i starts.

        The best point on the line in log C through the solutions at the last two of the positions ``before``, the last
        one where there is no other, or intercepts of the class shares alone.
        """
        if len(before) < 2:
            last = before[-1] if before else i
            return self.w[:, [last]], self.b[:, [last]]
        last, other = before[-1], before[-2]
        ratio = (self.log_c[i] - self.log_c[last]) / (self.log_c[last] - self.log_c[other])
        change = [each[:, last] - each[:, other] for each in (self.w, self.b)]
        steps = [t * ratio for t in _BEYOND]
        w, b = self.problems([i]).best_along(self.w[:, last], self.b[:, last], *change, steps)
        return w[:, None], b[:, None]

    def interpolated(self, values: torch.Tensor, i: int, solved: Sequence[int]) -> torch.Tensor:
        """Values (Q, M, …) at position i of ``values`` (Q, path, M, …).

        Where i is not among the ``solved`` positions, the polynomial in log C through the nearest of them.
        """
        if i in solved or not solved:
            return values[:, i]
        at = self.log_c
        near = sorted(solved, key=lambda j: (abs(at[j] - at[i]), j))[:_NEAREST]
        parts = [np.prod([(at[i] - at[k]) / (at[j] - at[k]) for k in near if k != j]) * values[:, j] for j in near]
        return torch.stack(parts).sum(0)


def _intercepts_of_shares(target: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
    """Intercepts (Q, M) that give the weighted class shares."""
    weight = torch.einsum("qmn,qn->qm", target, sample)
    if weight.shape[1] > 1:
        log = torch.log(weight)
        return log - log.mean(1, keepdim=True)
    return torch.log(weight) - torch.log(sample.sum(1, keepdim=True) - weight)
