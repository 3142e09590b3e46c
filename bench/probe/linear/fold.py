"""One fold of a probe: paths of all labellings and class weights on its training rows, read on its held-out rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from bench.base.errors import BadArray, BadInput
from bench.probe.linear.candidates import CandidateGrid
from bench.probe.linear.design import Design, Designs, standardise
from bench.probe.linear.kernel import Kernel
from bench.probe.linear.solver.path import PathSolutions, one_hot
from bench.probe.log_probabilities import FLOOR, from_logits

GAP_TO_COMPARE = 1e-6  # optimality gap of candidates
_FEW_AXES = 64  # of a design whose classes can tie, its features being facts more than sounds
_GAP_TO_TELL_TIES = 1e-20  # optimality gap on such a design


def sample_weights(y: np.ndarray, class_weight: str | None) -> np.ndarray:
    """Weight of every row.

    Parameters
    ----------
    y : np.ndarray of shape (N,), int
        Class indices.
    class_weight : None or "balanced"
        With None all rows count alike; else as N / (K · rows of the class), over the K classes present.

    Returns
    -------
    np.ndarray of shape (N,)
        The weights.

    Raises
    ------
    BadArray
        For another ``class_weight``.
    """
    if class_weight is None:
        return np.ones(len(y))
    if class_weight != "balanced":
        raise BadArray("class_weight", f"unknown value {class_weight!r}", "use None or 'balanced'")
    counts = np.bincount(y)
    return (len(y) / (np.count_nonzero(counts) * counts[y])).astype(float)


def gap_to_reach(design: Design | Kernel, usual_gap: float) -> float:
    """The optimality gap that fits on a design are solved to: on few axes, one that tells ties."""
    return usual_gap if design.width > _FEW_AXES else _GAP_TO_TELL_TIES


@dataclass(frozen=True)
class _Alike:
    """Labellings of as many classes present, which are solved together.

    Attributes
    ----------
    positions : list of int
        Which of the labellings they are, A of them.
    present : list of np.ndarray
        The classes of each that have training rows.
    targets, weights : np.ndarray of shapes (A · class weights, M, n) and (A · class weights, n)
        As ``PathSolutions`` takes them, class weights varying fastest.
    """

    positions: list[int]
    present: list[np.ndarray]
    targets: np.ndarray
    weights: np.ndarray


@dataclass
class _Solved:
    """Their solutions so far, and the held-out rows in the coordinates (n, r) of the same design."""

    solutions: PathSolutions
    held_out: torch.Tensor


class FoldPaths:
    """The paths of L labellings on all rows but those held out.

    Parameters
    ----------
    x : np.ndarray of shape (N, D)
        Features.
    labels : np.ndarray of shape (L, N), int
        Class indices of L labellings.
    out : np.ndarray of shape (N,), bool
        The rows held out.
    grid : CandidateGrid
        The candidates.
    designs : Designs
        Makes the design.
    """

    def __init__(self, x: np.ndarray, labels: np.ndarray, out: np.ndarray, grid: CandidateGrid, designs: Designs):
        self.out, self.grid, self._x, self._device = out, grid, x, designs.device
        self._n_labellings = len(labels)
        design, scaler = designs.of(x[~out], principal=False, keep=False)
        held_out = design.coordinates(torch.from_numpy(scaler(x[out])).to(design.device))
        self._only: dict[int, int] = {}  # {labelling: its only class present}
        self._alike: list[_Alike] = []
        training = [np.unique(y[~out], return_inverse=True) for y in labels]  # (classes present, class indices)
        for n_present in sorted({len(present) for present, _ in training}):
            positions = [i for i, (present, _) in enumerate(training) if len(present) == n_present]
            if n_present == 1:
                self._only = {i: int(training[i][0][0]) for i in positions}
                continue
            targets = np.stack([one_hot(training[i][1]) for i in positions for _ in grid.class_weights])
            weights = [sample_weights(training[i][1], weight) for i in positions for weight in grid.class_weights]
            self._alike.append(_Alike(positions, [training[i][0] for i in positions], targets, np.stack(weights)))
        slim = design.without_rows()
        self._solved = [self._nothing_solved(alike, slim, held_out) for alike in self._alike]

    @classmethod
    def started(
        cls, x: np.ndarray, labels: np.ndarray, out: np.ndarray, grid: CandidateGrid, designs: Designs
    ) -> FoldPaths:
        """The paths after their first block."""
        paths = cls(x, labels, out, grid, designs)
        paths.extend(1, np.ones((len(labels), len(grid.class_weights)), bool))
        return paths

    def copy(self) -> FoldPaths:
        """The same paths, to be extended by themselves."""
        same = FoldPaths.__new__(FoldPaths)
        same.__dict__ |= self.__dict__
        same._solved = [replace(each, solutions=each.solutions.copy()) for each in self._solved]
        return same

    def solved(self, going_on: np.ndarray) -> int:
        """Number of values of C solved so far of every path (L, class weights) that is ``going_on``.

        All of them where none of these has anything to solve in this fold, because its training rows lack a class.
        """
        both = zip(self._alike, self._solved, strict=True)
        counts = (each.solutions.solved for alike, each in both if going_on[alike.positions].any())
        return min(counts, default=len(self.grid.C))

    @property
    def nbytes(self) -> int:
        """Memory that they hold, all in all."""
        designs = {id(each.solutions.design): each.solutions.design.nbytes for each in self._solved}
        return sum(designs.values()) + sum(each.held_out.nbytes + each.solutions.nbytes for each in self._solved)

    def extend(self, end: int, going_on: np.ndarray) -> None:
        """Solves at least ``end`` values of C of the paths (L, class weights) that are ``going_on``.

        What a kernel does not solve is solved in principal axes.
        """
        for k, alike in enumerate(self._alike):
            chosen = np.flatnonzero(going_on[alike.positions]).tolist()
            while chosen and self._solved[k].solutions.solved < end:
                try:
                    self._solved[k].solutions.extend(chosen)
                except (BadInput, torch.linalg.LinAlgError):
                    if isinstance(self._solved[k].solutions.design, Design):
                        raise
                    self._solved[k] = self._in_principal_axes(alike, self._solved[k].solutions.solved)

    def explained(self, count: int) -> np.ndarray:
        """At least which share of the null deviance (L, class weights) each path's solution ``count`` explains."""
        shares = np.ones((self._n_labellings, len(self.grid.class_weights)))
        for alike, solved in zip(self._alike, self._solved, strict=True):
            shares[alike.positions] = solved.solutions.explained(count).cpu().numpy().reshape(len(alike.positions), -1)
        return shares

    def predictions(self, labelling: int, i: int, j: int) -> np.ndarray:
        """Log probabilities (held-out rows, K) of a labelling by the candidate of C number i and class weight j."""
        if labelling in self._only:
            certain = np.full((int(self.out.sum()), self.grid.n_classes), FLOOR)
            certain[:, self._only[labelling]] = 0.0
            return certain
        alike, solved = next(
            both for both in zip(self._alike, self._solved, strict=True) if labelling in both[0].positions
        )
        a = alike.positions.index(labelling)
        w, b = solved.solutions.solution(a * len(self.grid.class_weights) + j, i)
        logits = (solved.held_out @ w.T + b).cpu().numpy()
        return class_log_probabilities(logits[None], alike.present[a], self.grid.n_classes)[0]

    def _nothing_solved(self, alike: _Alike, design: Design | Kernel, held_out: torch.Tensor) -> _Solved:
        gap = gap_to_reach(design, GAP_TO_COMPARE)
        return _Solved(PathSolutions(design, alike.targets, alike.weights, self.grid.C, gap), held_out)

    def _in_principal_axes(self, alike: _Alike, solved: int) -> _Solved:
        """Every labelling solved anew, as far as they were."""
        z, scaler = standardise(self._x[~self.out])
        design = Design.of(z, self._device)
        held_out = design.coordinates(torch.from_numpy(scaler(self._x[self.out])).to(design.device))
        anew = self._nothing_solved(alike, design.without_rows(), held_out)
        while anew.solutions.solved < solved:
            anew.solutions.extend(range(len(alike.targets)))
        return anew


def class_log_probabilities(logits: np.ndarray, present: np.ndarray, n_classes: int) -> np.ndarray:
    """Log probabilities of all classes, ``FLOOR`` for those without training rows.

    Parameters
    ----------
    logits : np.ndarray of shape (..., N, M)
        Linear functions of the rows; M = 1 for two classes present, else one per class present.
    present : np.ndarray
        Positions of the classes that have training rows.
    n_classes : int
        Number of all classes, K.

    Returns
    -------
    np.ndarray of shape (..., N, K)
        Natural logarithms, as ``bench.probe.log_probabilities`` keeps them.
    """
    out = np.full((*logits.shape[:-1], n_classes), FLOOR)
    of_present = logits if len(present) > 2 else np.concatenate([np.zeros_like(logits), logits], axis=-1)
    out[..., present] = from_logits(of_present)
    return out
