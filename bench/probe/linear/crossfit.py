"""Logistic regression for every candidate, on patient-grouped folds of the training rows and on all of them.

Every fold is standardised and its design made once, whatever the number of penalties, class weights and labels that are
fitted on it; folds, and the factorisation of all rows that the refit will need, run side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from bench.base.errors import BadInput
from bench.base.parallel.threads import workers
from bench.probe.linear.candidates import CandidateGrid, may_end
from bench.probe.linear.design import Design, Designs, Scaler
from bench.probe.linear.fold import FoldPaths, class_log_probabilities, gap_to_reach, sample_weights
from bench.probe.linear.kernel import Kernel
from bench.probe.linear.solver.path import fit_path, one_hot
from bench.probe.log_probabilities import comparable

GAP_TO_PREDICT = 1e-8  # optimality gap of the refit
Candidate = tuple[int, int, int]  # positions of a labelling, of a C and of a class weight
_WORTH_THREADS = 100_000  # features below which threads would only wait for each other


@dataclass(frozen=True)
class FittedLinear:
    """A fitted linear probe.

    Attributes
    ----------
    scaler : Scaler
        Standardises features (N, D) first.
    coef : np.ndarray of shape (M, D)
        Coefficients of the standardised features; M = 1 for two classes present, else one row per class.
    intercept : np.ndarray of shape (M,)
        Intercepts.
    present : np.ndarray
        Positions of the classes that have training rows.
    n_classes : int
        Number of all classes, K.
    """

    scaler: Scaler
    coef: np.ndarray
    intercept: np.ndarray
    present: np.ndarray
    n_classes: int

    def log_proba(self, x: np.ndarray) -> np.ndarray:
        """Natural logarithms (N, K) of the class probabilities, as ``bench.probe.log_probabilities`` keeps them."""
        logits = self.scaler(x) @ self.coef.T + self.intercept
        return class_log_probabilities(logits[None], self.present, self.n_classes)[0]


@dataclass(frozen=True)
class CrossFit:
    """What candidates are worth on rows that they have not seen.

    Attributes
    ----------
    scores : np.ndarray of shape (L, C, class weights)
        The score of every candidate on pooled out-of-fold predictions; beyond a path's end the last one solved.
    solved : np.ndarray of shape (L, class weights), int
        Number of values of C that were solved, from the smallest on.
    refit : callable
        Fits all rows: takes a labelling's position and the candidates' shares (C, class weights), and returns a
        ``FittedLinear``, the mean of the candidates under these.
    """

    scores: np.ndarray
    solved: np.ndarray
    refit: Callable[[int, np.ndarray], FittedLinear]


def crossfit(
    x: np.ndarray,
    labels: np.ndarray,
    folds: np.ndarray,
    grid: CandidateGrid,
    designs: Designs,
    score: Callable[[Candidate, np.ndarray], float],
    progress: Callable[[int, int], None] | None = None,
    whole: bool = False,
) -> CrossFit:
    """Scores every candidate on rows that it was not fitted on.

    The folds are solved side by side, one block of C after another; before each but the first, paths end that
    ``bench.probe.linear.candidates.may_end`` says may.

    Parameters
    ----------
    x : np.ndarray of shape (N, D)
        Features.
    labels : np.ndarray of shape (L, N), int
        Class indices of L labellings.
    folds : np.ndarray of shape (N,), int
        Fold of every row.
    grid : CandidateGrid
        The candidates.
    designs : Designs
        Makes the designs, and keeps what other fits on the same rows need.
    score : callable
        Takes a candidate and log probabilities (N, K) of all rows, rounded as
        ``bench.probe.log_probabilities.comparable``; higher is better. Between 0 and 1 unless ``whole``.
    progress : callable, optional
        Called with (folds done, folds) after each fold's first block.
    whole : bool
        Whether no path may end early.

    Returns
    -------
    CrossFit
        The scores, and what refits.

    Raises
    ------
    BadArray
        For features that are no matrix or not finite.
    BadInput
        Where a fit does not reach its optimum.
    """
    masks = [out for out in (folds == fold for fold in range(folds.max() + 1)) if out.any()]
    with workers(_side_by_side(x, designs, len(masks) + 1)) as pool:
        all_rows = pool.submit(designs.of, x, principal=False)
        start = partial(_first_blocks, x, labels, masks, grid, designs, pool, progress)
        paths = [each.copy() for each in designs.path((x, labels, folds, grid), start)]
        scores, solved = _scored(paths, labels, grid, score, pool, whole)
        design, scaler = all_rows.result()

    def refit(position: int, shares: np.ndarray) -> FittedLinear:
        present, y = np.unique(labels[position], return_inverse=True)
        coef = intercept = 0.0
        with workers(1) as pool:  # one thread: its rounding, and with it the record, is the same on any machine
            for weight, of_weight in zip(grid.class_weights, shares.T, strict=True):
                if path := [c for c, share in zip(grid.C, of_weight, strict=True) if share > 0]:
                    problem = one_hot(y)[None], sample_weights(y, weight)[None], path, GAP_TO_PREDICT
                    fits = pool.submit(coefficients, design, *problem).result()
                    w, b = (np.tensordot(of_weight[of_weight > 0], each.cpu().numpy(), 1) for each in fits)
                    coef, intercept = coef + w, intercept + b
        return FittedLinear(scaler, coef, intercept, present, grid.n_classes)

    return CrossFit(scores, solved, refit)


def _first_blocks(
    x: np.ndarray,
    labels: np.ndarray,
    masks: Sequence[np.ndarray],
    grid: CandidateGrid,
    designs: Designs,
    pool: Executor,
    progress: Callable[[int, int], None] | None,
) -> list[FoldPaths]:
    """The paths of every fold, the rows ``out`` held out, after their first block."""
    running = [pool.submit(FoldPaths.started, x, labels, out, grid, designs) for out in masks]
    for done, _ in enumerate(as_completed(running), start=1):
        if progress:
            progress(done, len(running))
    return [future.result() for future in running]


def _scored(
    paths: Sequence[FoldPaths],
    labels: np.ndarray,
    grid: CandidateGrid,
    score: Callable[[Candidate, np.ndarray], float],
    pool: Executor,
    whole: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Scores (L, C, class weights), and the number of values of C solved (L, class weights)."""
    n, n_weights = grid.shape
    scores, solved = np.full((len(labels), n, n_weights), np.nan), np.full((len(labels), n_weights), n)
    done = 0
    while True:
        going_on = solved == n
        end = min(each.solved(going_on) for each in paths)
        for position, i, j in np.ndindex(len(labels), end - done, n_weights):
            if going_on[position, j]:
                pooled = np.empty((labels.shape[1], grid.n_classes))
                for each in paths:
                    pooled[each.out] = each.predictions(position, done + i, j)
                scores[position, done + i, j] = score((position, done + i, j), comparable(pooled))
        for now in range(done + 1, end + 1) if not whole else ():  # one C after another, whatever was solved together
            explained = np.min([each.explained(now) for each in paths], axis=0)
            for position, j in np.argwhere(going_on & (solved == n)):
                best = np.nanmax(scores[position, :now], initial=-np.inf)
                if may_end(scores[position, :now, j], best, n - now, explained[position, j]):
                    solved[position, j], scores[position, now:, j] = now, scores[position, now - 1, j]
        done = end
        if end == n or not (solved == n).any():
            return scores, solved
        going_on = solved == n
        for running in [pool.submit(each.extend, end + 1, going_on) for each in paths]:
            running.result()


def coefficients(
    design: Design | Kernel, targets: np.ndarray, weights: np.ndarray, path: Sequence[float], usual_gap: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Coefficients of ``fit_path``'s problems; what a kernel does not solve is solved in principal axes.

    Parameters
    ----------
    design : Design or Kernel
        The standardised rows (N, D).
    targets : np.ndarray of shape (Q, M, N)
        One-hot labels of Q labellings.
    weights : np.ndarray of shape (Q, N)
        Sample weights.
    path : sequence of float
        Values of C, ascending.
    usual_gap : float
        Optimality gap to reach; on a design of few axes it is one that tells ties.

    Returns
    -------
    tuple of torch.Tensor of shapes (P, M, D) and (P, M)
        Coefficients of the standardised features and intercepts of the P = Q · len(path) problems.

    Raises
    ------
    BadInput
        Where a problem does not reach its optimum in principal axes either.
    """
    tolerance = gap_to_reach(design, usual_gap)
    try:
        return fit_path(design, targets, weights, path, tolerance).coefficients(design)
    except (BadInput, torch.linalg.LinAlgError):
        if isinstance(design, Design):
            raise
    whole = Design.of(design.rows.cpu().numpy(), str(design.device))
    return fit_path(whole, targets, weights, path, tolerance).coefficients(whole)


def _side_by_side(x: np.ndarray, designs: Designs, jobs: int) -> int:
    return min(jobs, designs.threads or jobs) if x.size > _WORTH_THREADS and designs.device == "cpu" else 1
