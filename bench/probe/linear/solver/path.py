"""All strengths of the penalty, class weights and labels of one design: which problem starts from which solutions.

Solutions move smoothly with log C. In the first block of a path, the strong penalties, some of them, far apart, are
found roughly and one after the other; then all are found to tolerance together, from starts interpolated between the
rough ones, where a matrix product serves many. Weaker penalties follow in small blocks, so that a path may end where
they no longer matter (``bench.probe.linear.candidates``).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch

from bench.probe.linear.design import Design
from bench.probe.linear.kernel import Kernel
from bench.probe.linear.solver.dual import DualProblems
from bench.probe.linear.solver.exact import ExactSteps
from bench.probe.linear.solver.newton import Fits, Problems

MAX_CELLS = 4_000_000  # of (problem, class, row) solved at once: 32 MB an array
FIRST = 12  # values of C that are solved at least; only after these may a path end
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
    solutions = PathSolutions(design, targets, weights, path, tolerance)
    while solutions.solved < len(path):
        solutions.extend(range(len(targets)))
    return solutions.flat()


def one_hot(y: np.ndarray) -> np.ndarray:
    """One-hot labels (M, N) of class indices 0 … K−1, all present: the second class of two, else every class."""
    hot = np.eye(int(y.max()) + 1)[y].T
    return hot[1:] if len(hot) == 2 else hot


class PathSolutions:
    """Solutions of Q labellings along ascending C, one block of values after another.

    Parameters
    ----------
    design : Design or Kernel
        The standardised rows (N, D) that all problems share.
    targets, weights, path, tolerance
        As ``fit_path`` has them.

    Attributes
    ----------
    solved : int
        Number of values of C solved so far.
    w, b : torch.Tensor of shapes (Q, path, M, r) and (Q, path, M)
        Coordinates and intercepts; of values not solved, 0 and the intercepts of the class shares.
    """

    def __init__(
        self,
        design: Design | Kernel,
        targets: np.ndarray,
        weights: np.ndarray,
        path: Sequence[float],
        tolerance: float,
    ):
        self.design, self.tolerance, self.solved = design, tolerance, 0
        self.log_c = np.log10(np.asarray(path, float))
        self.target, self.sample = (
            torch.from_numpy(np.asarray(each, float)).to(design.device) for each in (targets, weights)
        )
        self.active = torch.arange(len(self.target), device=design.device)
        shape = len(self.target), len(self.log_c)
        # where problems are small, a start is worth less than what it costs
        self.small = isinstance(design, Design) and ExactSteps.serves(design.x, self.target.shape[1])
        self.kind = DualProblems if isinstance(design, Kernel) else Problems
        self.w = self.target.new_zeros(*shape, self.target.shape[1], design.width)
        self.b = _intercepts_of_shares(self.target, self.sample)[:, None].repeat(1, shape[1], 1)
        self.objective, self.gap = self.target.new_zeros(shape), self.target.new_zeros(shape)
        self.stiff = torch.zeros(shape, dtype=torch.bool, device=design.device)
        self.blocks, self.leading = self.kind.factored(design), self.kind.leading(design)
        self.products = 0

    def extend(self, labellings: Sequence[int]) -> None:
        """Solves the next block: ``FIRST`` values of C, then as many as pay together; all where problems are small.

        Parameters
        ----------
        labellings : sequence of int
            Positions of the labellings to solve, all of which are solved so far.

        Raises
        ------
        BadInput
            Where a problem cannot reach the tolerance, see ``Problems.solve``.
        """
        self.active = torch.as_tensor(list(labellings), device=self.design.device)
        first, kind = self.solved, self.kind
        size = len(self.log_c) if self.small else kind.NEXT if first else FIRST
        end = min(first + size, len(self.log_c))
        before = list(range(first))
        if first and end - first == 1:
            self.solve([first], self.extrapolated(first, before), self.tolerance)
        else:
            self._solve_together(first, end, before)
        self.solved = end

    def _solve_together(self, first: int, end: int, before: list[int]) -> None:
        """Solves the values of C from one position up to another, roughly at some of them first."""
        kind = self.kind
        rough: list[int] = []
        if not self.small and (before or end - first > kind.STRIDE):
            rough = sorted({*range(first, end, kind.STRIDE), end - 1})
        for start in range(0, len(rough), kind.ROUGH_TOGETHER):
            at = rough[start : start + kind.ROUGH_TOGETHER]
            starts = [self.extrapolated(i, before + rough[:start]) for i in at]
            self.solve(at, [torch.cat(each, 1) for each in zip(*starts, strict=True)], max(_ROUGH, self.tolerance))
        together = end - first if self.small else kind.TOGETHER
        size = int(np.clip(MAX_CELLS // (len(self.active) * self.target[0].numel()), 1, together))
        for start in range(first, end, size):
            at = list(range(start, min(start + size, end)))
            interpolated = [
                torch.stack([self.interpolated(each, i, before + rough) for i in at], 1) for each in (self.w, self.b)
            ]
            self.solve(at, interpolated, self.tolerance)

    def copy(self) -> PathSolutions:
        """The same solutions, to be extended by themselves; factors are made anew."""
        same = copy.copy(self)
        for name in ("w", "b", "objective", "gap", "stiff"):
            setattr(same, name, getattr(self, name).clone())
        same.blocks, same.leading = self.kind.factored(self.design), self.kind.leading(self.design)
        return same

    @property
    def nbytes(self) -> int:
        """Memory that they hold, the design's not counted."""
        return sum(each.nbytes for each in (self.target, self.sample, self.w, self.b))

    def solution(self, labelling: int, i: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Coordinates (M, r) and intercepts (M,) of a labelling at value i of C; intercepts sum to 0 for M > 1."""
        b = self.b[labelling, i]
        return self.w[labelling, i], b - b.mean() if len(b) > 1 else b

    def explained(self, count: int) -> torch.Tensor:
        """At least which share (Q,) of the null deviance solution number ``count`` explains, on the rows fitted.

        The null deviance is that of the class shares alone; the objective is no less than C times the deviance.
        """
        shares = _intercepts_of_shares(self.target, self.sample)[..., None].expand_as(self.target)
        nothing = self.target.new_zeros(1, 1, 1)
        null, _ = self.kind(self.design, self.target, self.sample).objective(shares, nothing, nothing)
        return 1 - self.objective[:, count - 1] / (10 ** self.log_c[count - 1] * null)

    def flat(self) -> Fits:
        """All of them, Q · path."""
        solutions = (each.flatten(0, 1) for each in (self.w, self.b, self.objective, self.gap))
        return Fits(*solutions, self.products, self.stiff.flatten())

    def problems(self, at: Sequence[int]) -> Problems:
        """Every active labelling at the values of C at these positions."""
        cost = torch.stack([10 ** self.log_c[i] * self.sample[self.active] for i in at], 1).flatten(0, 1)
        return self.kind(self.design, self.target[self.active].repeat_interleave(len(at), 0), cost)

    def solve(self, at: Sequence[int], start: Sequence[torch.Tensor], tolerance: float) -> None:
        """Solves the active labellings (A of them) at these positions from starts (A, at, M, r) and (A, at, M)."""
        # what was stiff at a stronger penalty is so at a weaker one
        stiff = torch.stack([self.stiff[self.active, : i + 1].any(1) for i in at], 1).flatten()
        keys = [(labelling, i) for labelling in self.active.tolist() for i in at]
        w, b = (each.flatten(0, 1) for each in start)
        fits = self.problems(at).solve(w, b, tolerance, stiff, self.blocks, self.leading, keys)
        shape, place = (len(self.active), len(at)), (self.active[:, None], torch.as_tensor(at, device=w.device))
        self.stiff[place] = fits.stiff.view(shape)
        self.w[place], self.b[place] = fits.w.view(*shape, *self.w.shape[2:]), fits.b.view(*shape, -1)
        self.objective[place], self.gap[place] = fits.objective.view(shape), fits.gap.view(shape)
        self.products += fits.products

    def extrapolated(self, i: int, before: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Coordinates (A, 1, M, r) and intercepts (A, 1, M) from which problem i of each active labelling starts.

        The best point on the line in log C through the solutions at the last two of the positions ``before``, the last
        one where there is no other, or intercepts of the class shares alone.
        """
        if len(before) < 2:
            last = before[-1] if before else i
            return self.w[self.active][:, [last]], self.b[self.active][:, [last]]
        last, other = before[-1], before[-2]
        ratio = (self.log_c[i] - self.log_c[last]) / (self.log_c[last] - self.log_c[other])
        change = [each[self.active, last] - each[self.active, other] for each in (self.w, self.b)]
        steps = [t * ratio for t in _BEYOND]
        point = self.w[self.active, last], self.b[self.active, last]
        w, b = self.problems([i]).best_along(*point, *change, steps)
        return w[:, None], b[:, None]

    def interpolated(self, values: torch.Tensor, i: int, solved: Sequence[int]) -> torch.Tensor:
        """Values (A, M, …) of each active labelling at position i of ``values`` (Q, path, M, …).

        Where i is not among the ``solved`` positions, the polynomial in log C through the nearest of them.
        """
        if i in solved or not solved:
            return values[self.active, i]
        at = self.log_c
        near = sorted(solved, key=lambda j: (abs(at[j] - at[i]), j))[:_NEAREST]
        parts = [
            np.prod([(at[i] - at[k]) / (at[j] - at[k]) for k in near if k != j]) * values[self.active, j] for j in near
        ]
        return torch.stack(parts).sum(0)


def _intercepts_of_shares(target: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
    """Intercepts (Q, M) that give the weighted class shares."""
    weight = torch.einsum("qmn,qn->qm", target, sample)
    if weight.shape[1] > 1:
        log = torch.log(weight)
        return log - log.mean(1, keepdim=True)
    return torch.log(weight) - torch.log(sample.sum(1, keepdim=True) - weight)
