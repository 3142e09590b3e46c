"""Logistic regression over a grid, on patient-grouped folds of the training rows and on all of them.

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
from bench.base.threads import workers
from bench.probe.linear.design import Design, Designs, Scaler
from bench.probe.linear.kernel import Kernel
from bench.probe.linear.solver.path import fit_path, one_hot
from bench.probe.log_probabilities import FLOOR, comparable, from_logits

TO_COMPARE, TO_PREDICT = 1e-6, 1e-8  # optimality gap of candidates, and of the refit
FEW, TO_TELL_TIES = 64, 1e-20  # axes of a design whose classes can tie, being facts more than sounds; gap on those
_WORTH_THREADS = 100_000  # features below which threads would only wait for each other

Progress = Callable[[int, int], None]


def sample_weights(y: np.ndarray, class_weight: str | None) -> np.ndarray:
    """(N,) ones, or N / (K · rows of the class) for ``balanced``, over the K classes present."""
    if class_weight is None:
        return np.ones(len(y))
    if class_weight != "balanced":
        raise BadArray("class_weight", f"unknown value {class_weight!r}", "use None or 'balanced'")
    counts = np.bincount(y)
    return (len(y) / (np.count_nonzero(counts) * counts[y])).astype(float)


@dataclass(frozen=True)
class Grid:
    """Candidates: strengths ``C`` (ascending, each once) × class weights, for labels of ``classes`` classes."""

    C: Sequence[float]
    class_weight: Sequence[str | None]
    classes: int

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.C), len(self.class_weight)


@dataclass(frozen=True)
class Linear:
    """A fitted probe: ``coef`` (M, D) of standardised features and ``intercept`` (M,) of the classes ``present``."""

    scaler: Scaler
    coef: np.ndarray
    intercept: np.ndarray
    present: np.ndarray
    classes: int

    def log_proba(self, x: np.ndarray) -> np.ndarray:
        """(N, K) natural logarithms of the class probabilities, as ``bench.probe.log_probabilities`` keeps them."""
        logits = self.scaler(x) @ self.coef.T + self.intercept
        return log_probabilities(logits[None], self.present, self.classes)[0]


def crossfit(
    x: np.ndarray,
    labels: np.ndarray,
    folds: np.ndarray,
    grid: Grid,
    designs: Designs,
    progress: Progress | None = None,
) -> tuple[np.ndarray, Callable[[int, float, str | None], Linear]]:
    """((L, C, class weights, N, K) out-of-fold log probabilities of every candidate, rounded as ``comparable``; the
    refit on all rows).

    ``x`` (N, D); ``labels`` (L, N) class indices of L labellings; ``folds`` (N,). The refit takes a labelling's
    position, C and class weight.
    """
    masks = [out for out in (folds == fold for fold in range(folds.max() + 1)) if out.any()]
    with workers(_side_by_side(x, designs, len(masks) + 1)) as pool:
        whole = pool.submit(designs.of, x, principal=False)
        pooled = designs.path((x, labels, folds, grid), partial(_path, x, labels, masks, grid, designs, pool, progress))
        design, scaler = whole.result()

    def refit(position: int, c: float, class_weight: str | None) -> Linear:
        present, y = np.unique(labels[position], return_inverse=True)
        with workers(1) as pool:  # one thread: its rounding, and with it the record, is the same on any machine
            problem = one_hot(y)[None], sample_weights(y, class_weight)[None], [c], TO_PREDICT
            coef, intercept = pool.submit(coefficients, design, *problem).result()
        coef, intercept = coef[0].cpu().numpy(), intercept[0].cpu().numpy()
        return Linear(scaler, coef, intercept, present, grid.classes)

    return pooled, refit


def _path(
    x: np.ndarray,
    labels: np.ndarray,
    masks: Sequence[np.ndarray],
    grid: Grid,
    designs: Designs,
    pool: Executor,
    progress: Progress | None,
) -> np.ndarray:
    """(L, C, class weights, N, K) log probabilities: the rows of each of ``masks`` from fits on all others."""
    pooled = np.full((len(labels), *grid.shape, x.shape[0], grid.classes), FLOOR)
    running = {pool.submit(_fold, x, labels, out, grid, designs): out for out in masks}
    for done, future in enumerate(as_completed(running), start=1):
        pooled[:, :, :, running[future]] = future.result()
        if progress:
            progress(done, len(running))
    return pooled


def coefficients(
    design: Design | Kernel, targets: np.ndarray, weights: np.ndarray, path: Sequence[float], usual: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """((P, M, D) coefficients, (P, M) intercepts) of ``fit_path``'s problems, to the optimality gap ``usual`` or, on a
    design of few axes, to one that tells ties. What a kernel does not solve is solved in principal axes."""
    tolerance = usual if design.width > FEW else TO_TELL_TIES
    try:
        return fit_path(design, targets, weights, path, tolerance).coefficients(design)
    except (BadInput, torch.linalg.LinAlgError):
        if isinstance(design, Design):
            raise
    whole = Design.of(design.rows.cpu().numpy(), str(design.device))
    return fit_path(whole, targets, weights, path, tolerance).coefficients(whole)


def _side_by_side(x: np.ndarray, designs: Designs, jobs: int) -> int:
    return min(jobs, designs.threads or jobs) if x.size > _WORTH_THREADS and designs.device == "cpu" else 1


def _fold(x: np.ndarray, labels: np.ndarray, out: np.ndarray, grid: Grid, designs: Designs) -> np.ndarray:
    """(L, C, class weights, N held out, K) log probabilities of every candidate, fitted on the other rows."""
    design, scaler = designs.of(x[~out], principal=False, keep=False)
    z = torch.from_numpy(scaler(x[out])).to(designs.device)
    found = np.full((len(labels), *grid.shape, int(out.sum()), grid.classes), FLOOR)
    known = [np.unique(y[~out], return_inverse=True) for y in labels]
    for size in {len(present) for present, _ in known}:  # labellings of as many classes are solved together
        alike = [i for i, (present, _) in enumerate(known) if len(present) == size]
        if size == 1:
            for i in alike:
                found[i][..., known[i][0][0]] = 0.0
            continue
        targets = np.stack([one_hot(known[i][1]) for i in alike for _ in grid.class_weight])
        weights = np.stack([sample_weights(known[i][1], weight) for i in alike for weight in grid.class_weight])
        coef, intercept = coefficients(design, targets, weights, grid.C, TO_COMPARE)
        logits = z @ coef.flatten(0, 1).T  # (N held out, problems · M)
        logits = logits.view(len(z), *intercept.shape).permute(1, 0, 2) + intercept[:, None]
        logits = logits.cpu().numpy().reshape(len(alike), len(grid.class_weight), len(grid.C), len(z), -1)
        for i, own in zip(alike, logits.swapaxes(1, 2), strict=True):
            found[i] = comparable(log_probabilities(own, known[i][0], grid.classes))
    return found


def log_probabilities(logits: np.ndarray, present: np.ndarray, classes: int) -> np.ndarray:
    """(..., N, K) log probabilities from logits (..., N, M) of the classes ``present``, M = 1 for two."""
    out = np.full((*logits.shape[:-1], classes), FLOOR)
    whole = logits if len(present) > 2 else np.concatenate([np.zeros_like(logits), logits], axis=-1)
    out[..., present] = from_logits(whole)
    return out
