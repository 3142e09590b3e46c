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

from bench.base.errors import BadArray, BadInput
from bench.base.parallel.threads import workers
from bench.probe.linear.design import Design, Designs, Scaler
from bench.probe.linear.kernel import Kernel
from bench.probe.linear.solver.path import fit_path, one_hot
from bench.probe.log_probabilities import FLOOR, comparable, from_logits

GAP_TO_COMPARE, GAP_TO_PREDICT = 1e-6, 1e-8  # optimality gap of candidates, and of the refit
_FEW_AXES = 64  # of a design whose classes can tie, its features being facts more than sounds
_GAP_TO_TELL_TIES = 1e-20  # optimality gap on such a design
_WORTH_THREADS = 100_000  # features below which threads would only wait for each other


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


@dataclass(frozen=True)
class CandidateGrid:
    """Candidates that a fit compares: strengths × class weights.

    Attributes
    ----------
    C : sequence of float
        Inverse strengths of the penalty, ascending, each once.
    class_weights : sequence of None or "balanced"
        Class weights.
    n_classes : int
        Number of classes of the labels, K.
    """

    C: Sequence[float]
    class_weights: Sequence[str | None]
    n_classes: int

    @property
    def shape(self) -> tuple[int, int]:
        """(number of strengths, number of class weights)."""
        return len(self.C), len(self.class_weights)

    def at_edge(self, c: float) -> bool:
        """Whether a strength is the first or last of several."""
        return len(self.C) > 1 and c in (self.C[0], self.C[-1])

    def compare(self, score: Callable[[int, int], float], metric: object) -> tuple[list[dict], dict]:
        """Scores every candidate and finds the best.

        Parameters
        ----------
        score : callable
            Takes the positions of C and class weight and returns the candidate's score, higher is better.
        metric : object
            What the error names where the score is undefined.

        Returns
        -------
        tuple of (list of dict, dict)
            Every candidate (``C``, ``class_weight``, ``score``), and the best of them: the first of equals, so the
            smallest C and first class weight.

        Raises
        ------
        BadInput
            Where the score of no candidate is defined.
        """
        path = [
            {"C": c, "class_weight": weight, "score": score(i, j)}
            for i, c in enumerate(self.C)
            for j, weight in enumerate(self.class_weights)
        ]
        scores = np.array([candidate["score"] for candidate in path], float)
        if np.isnan(scores).all():
            raise BadInput("linear probe", f"{metric} is undefined on the training rows", "choose another metric")
        return path, path[int(np.nanargmax(scores))]


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


def crossfit(
    x: np.ndarray,
    labels: np.ndarray,
    folds: np.ndarray,
    grid: CandidateGrid,
    designs: Designs,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[np.ndarray, Callable[[int, float, str | None], FittedLinear]]:
    """Predicts every row by every candidate fitted on the other folds.

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
    progress : callable, optional
        Called with (folds done, folds) after each fold.

    Returns
    -------
    pooled : np.ndarray of shape (L, C, class weights, N, K)
        Out-of-fold log probabilities of every candidate, rounded as ``bench.probe.log_probabilities.comparable``.
    refit : callable
        Fits all rows: takes a labelling's position, C and class weight, and returns a ``FittedLinear``.

    Raises
    ------
    BadArray
        For features that are no matrix or not finite.
    BadInput
        Where a fit does not reach its optimum.
    """
    masks = [out for out in (folds == fold for fold in range(folds.max() + 1)) if out.any()]
    with workers(_side_by_side(x, designs, len(masks) + 1)) as pool:
        whole = pool.submit(designs.of, x, principal=False)
        solve = partial(_pooled_predictions, x, labels, masks, grid, designs, pool, progress)
        pooled = designs.path((x, labels, folds, grid), solve)
        design, scaler = whole.result()

    def refit(position: int, c: float, class_weight: str | None) -> FittedLinear:
        present, y = np.unique(labels[position], return_inverse=True)
        with workers(1) as pool:  # one thread: its rounding, and with it the record, is the same on any machine
            problem = one_hot(y)[None], sample_weights(y, class_weight)[None], [c], GAP_TO_PREDICT
            coef, intercept = pool.submit(coefficients, design, *problem).result()
        coef, intercept = coef[0].cpu().numpy(), intercept[0].cpu().numpy()
        return FittedLinear(scaler, coef, intercept, present, grid.n_classes)

    return pooled, refit


def _pooled_predictions(
    x: np.ndarray,
    labels: np.ndarray,
    masks: Sequence[np.ndarray],
    grid: CandidateGrid,
    designs: Designs,
    pool: Executor,
    progress: Callable[[int, int], None] | None,
) -> np.ndarray:
    """Log probabilities (L, C, class weights, N, K): the rows of each of ``masks`` from fits on all others."""
    pooled = np.full((len(labels), *grid.shape, x.shape[0], grid.n_classes), FLOOR)
    running = {pool.submit(_fold_predictions, x, labels, out, grid, designs): out for out in masks}
    for done, future in enumerate(as_completed(running), start=1):
        pooled[:, :, :, running[future]] = future.result()
        if progress:
            progress(done, len(running))
    return pooled


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
    tolerance = usual_gap if design.width > _FEW_AXES else _GAP_TO_TELL_TIES
    try:
        return fit_path(design, targets, weights, path, tolerance).coefficients(design)
    except (BadInput, torch.linalg.LinAlgError):
        if isinstance(design, Design):
            raise
    whole = Design.of(design.rows.cpu().numpy(), str(design.device))
    return fit_path(whole, targets, weights, path, tolerance).coefficients(whole)


def _side_by_side(x: np.ndarray, designs: Designs, jobs: int) -> int:
    return min(jobs, designs.threads or jobs) if x.size > _WORTH_THREADS and designs.device == "cpu" else 1


def _fold_predictions(
    x: np.ndarray, labels: np.ndarray, out: np.ndarray, grid: CandidateGrid, designs: Designs
) -> np.ndarray:
    """Log probabilities (L, C, class weights, held-out rows, K) of every candidate, fitted on the rows not ``out``."""
    design, scaler = designs.of(x[~out], principal=False, keep=False)
    z = torch.from_numpy(scaler(x[out])).to(designs.device)
    predictions = np.full((len(labels), *grid.shape, int(out.sum()), grid.n_classes), FLOOR)
    training = [np.unique(y[~out], return_inverse=True) for y in labels]  # (classes present, class indices)
    for n_present in {len(present) for present, _ in training}:  # labellings of as many classes are solved together
        alike = [i for i, (present, _) in enumerate(training) if len(present) == n_present]
        if n_present == 1:
            for i in alike:
                predictions[i][..., training[i][0][0]] = 0.0
            continue
        targets = np.stack([one_hot(training[i][1]) for i in alike for _ in grid.class_weights])
        weights = np.stack([sample_weights(training[i][1], weight) for i in alike for weight in grid.class_weights])
        coef, intercept = coefficients(design, targets, weights, grid.C, GAP_TO_COMPARE)
        logits = z @ coef.flatten(0, 1).T  # (held-out rows, problems · M)
        logits = logits.view(len(z), *intercept.shape).permute(1, 0, 2) + intercept[:, None]
        logits = logits.cpu().numpy().reshape(len(alike), len(grid.class_weights), len(grid.C), len(z), -1)
        for i, of_labelling in zip(alike, logits.swapaxes(1, 2), strict=True):
            predictions[i] = comparable(class_log_probabilities(of_labelling, training[i][0], grid.n_classes))
    return predictions


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
