"""What every candidate of a linear probe is worth, on held-out training rows and on the test: input of a rule's study.

A trial is one probe with its whole table of candidates: scores and decisions on pooled held-out rows for several draws
of the folds, and the log probabilities of the test rows when all training rows are fitted. Rules of selection are then
tried without solving anything again (``selection_rules``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.data.manifest import TRAIN, Prepared
from bench.probe.goal import CLASS_WEIGHTS, assign_folds, class_positions
from bench.probe.linear.candidates import CandidateGrid
from bench.probe.linear.crossfit import Candidate, coefficients, crossfit
from bench.probe.linear.design import Designs
from bench.probe.linear.fold import class_log_probabilities, sample_weights
from bench.probe.linear.logistic import HALF_DECADES
from bench.probe.linear.solver.path import one_hot
from bench.scores import metrics
from bench.scores.metrics import Roles
from bench.types import TaskCard

SHARPNESS = (2.0, 4.0, 8.0)  # of ``softened``, in standard deviations of the log probabilities of a candidate
GAP = 1e-6  # optimality of the candidates on all training rows, as of those on the folds


@dataclass(frozen=True)
class Trial:
    """One probe's candidates, C × class weights.

    Attributes
    ----------
    scores : np.ndarray of shape (S, C, W)
        The main metric on pooled held-out rows, for S draws of the folds.
    decisions : np.ndarray of shape (S, C, W, N), int8
        Decisions on the training rows, held out; -1 beyond a path's end.
    softened : np.ndarray of shape (S, T, C, W)
        The main metric of decisions that are drawn rather than made, for ``SHARPNESS`` of the draw.
    losses : np.ndarray of shape (S, C, W)
        Log loss in nats on pooled held-out rows, the mean over classes of each class's mean.
    solved : np.ndarray of shape (S, W)
        Number of values of C that were solved.
    log_proba : np.ndarray of shape (C, W, N_test, K), float32
        Of the test rows, fitted on all training rows; NaN beyond a path's end.
    labels, groups : np.ndarray of shape (N,)
        Class and patient of the training rows.
    tested : np.ndarray of shape (N_test,)
        Class of the test rows.
    """

    scores: np.ndarray
    decisions: np.ndarray
    softened: np.ndarray
    losses: np.ndarray
    solved: np.ndarray
    log_proba: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    tested: np.ndarray

    def save(self, path: Path) -> None:
        np.savez(path, **self.__dict__)

    @classmethod
    def load(cls, path: Path) -> Trial:
        with np.load(path, allow_pickle=False) as stored:
            return cls(**{name: stored[name] for name in stored.files})


@dataclass(frozen=True)
class Rows:
    """Features and labels of a probe's training and test rows.

    Attributes
    ----------
    x, x_test : np.ndarray of shapes (N, D) and (N_test, D)
        Features.
    y, y_test : np.ndarray of shapes (N,) and (N_test,), int
        Class indices.
    groups : np.ndarray of shape (N,)
        Patient of each training row.
    """

    x: np.ndarray
    y: np.ndarray
    groups: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    @classmethod
    def of_task(cls, features: np.ndarray, prepared: Prepared, card: TaskCard) -> Rows:
        """Those of a task and its headline test, of features (N, D) of all clips."""
        rows = prepared.rows
        train = rows["split"].isin(TRAIN).to_numpy()
        test = rows["split"].isin(next(iter(card.tests.values()))).to_numpy()
        y, groups = rows["label"].to_numpy(), rows["group"].to_numpy()
        patients = np.unique(groups[train], return_inverse=True)[1]
        return cls(features[train], y[train], patients, features[test], y[test])


def solved(rows: Rows, classes: int, metric: str, roles: Roles, seeds: range) -> Trial:
    """Solves the candidates of one probe for several draws of the folds."""
    _, y = class_positions(rows.y, range(classes))
    grid = CandidateGrid(HALF_DECADES, CLASS_WEIGHTS, classes)
    designs = Designs(threads=1)
    scores, decisions, softened, losses, n_solved = [], [], [], [], []
    for seed in seeds:
        table = np.full((*grid.shape, len(y)), -1, np.int8)
        soft_table = np.full((len(SHARPNESS), *grid.shape), np.nan)
        loss_table = np.full(grid.shape, np.nan)

        def score(
            at: Candidate,
            pooled: np.ndarray,
            table: np.ndarray = table,
            soft: np.ndarray = soft_table,
            loss: np.ndarray = loss_table,
        ) -> float:
            _, i, j = at
            table[i, j] = pooled.argmax(axis=1)
            soft[:, i, j] = _softened(y, pooled, metric, roles)
            loss[i, j] = _balanced_log_loss(y, pooled)
            return metrics.evaluate(metric, y, table[i, j], pooled, roles)

        folds, _ = assign_folds(y, rows.groups, 5, seed)
        found = crossfit(rows.x, y[None], folds, grid, designs, score)
        scores.append(found.scores[0])
        n_solved.append(found.solved[0])
        beyond = np.arange(grid.shape[0])[:, None] >= found.solved[0]
        table[beyond], soft_table[:, beyond], loss_table[beyond] = -1, np.nan, np.nan
        decisions.append(table)
        softened.append(soft_table)
        losses.append(loss_table)
    log_proba = _on_test(rows, grid, designs, np.max(n_solved, axis=0))
    held_out = np.array(scores), np.array(decisions), np.array(softened), np.array(losses), np.array(n_solved)
    return Trial(*held_out, log_proba, y, rows.groups, rows.y_test)


def _softened(y: np.ndarray, log_proba: np.ndarray, metric: str, roles: Roles) -> np.ndarray:
    known = metrics.get(metric)
    if known.kind != "confusion":
        return np.full(len(SHARPNESS), metrics.evaluate(metric, y, log_proba.argmax(axis=1), log_proba, roles))
    finite = np.maximum(log_proba, -50.0)
    centred = finite - finite.mean(axis=1, keepdims=True)
    spread = np.sqrt(np.mean((centred - centred.mean(axis=0)) ** 2))
    out = []
    for sharpness in SHARPNESS:
        logits = centred * (sharpness / max(float(spread), 1e-12))
        drawn = np.exp(logits - logits.max(axis=1, keepdims=True))
        drawn /= drawn.sum(axis=1, keepdims=True)
        counts = np.zeros((drawn.shape[1], drawn.shape[1]))
        np.add.at(counts, y, drawn)
        out.append(float(known.fn(counts, roles)))
    return np.array(out)


def _balanced_log_loss(y: np.ndarray, log_proba: np.ndarray) -> float:
    of_rows = -np.maximum(log_proba[np.arange(len(y)), y], -50.0)
    return float(np.mean([of_rows[y == each].mean() for each in np.unique(y)]))


def _on_test(rows: Rows, grid: CandidateGrid, designs: Designs, n_solved: np.ndarray) -> np.ndarray:
    design, scaler = designs.of(rows.x, principal=False)
    present, position = np.unique(rows.y, return_inverse=True)
    z = scaler(rows.x_test)
    out = np.full((*grid.shape, len(z), grid.n_classes), np.nan, np.float32)
    for j, weight in enumerate(grid.class_weights):
        path = grid.C[: n_solved[j]]
        w, b = coefficients(design, one_hot(position)[None], sample_weights(position, weight)[None], path, GAP)
        logits = np.einsum("nd,pmd->pnm", z, w.cpu().numpy(), optimize=True) + b.cpu().numpy()[:, None]
        out[: len(path), j] = class_log_probabilities(logits, present, grid.n_classes)
    return out
