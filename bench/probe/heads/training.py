"""Probes with a trained torch head: candidates and epochs chosen by patient-grouped folds, then one refit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import as_completed

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from bench.base.parallel.threads import workers
from bench.probe.goal import CLASS_WEIGHTS, Goal
from bench.probe.heads.stack import Candidate, Head, Stack, TrainingRows, batch_size
from bench.probe.linear.design import check_features
from bench.probe.log_probabilities import FLOOR, from_logits

MAX_STACK_CELLS = 4_000_000  # numbers up to which all folds are one stack; larger ones are a stack each, in threads


class HeadProbe(BaseEstimator):
    """A head whose settings and number of epochs are chosen inside the training rows.

    Every candidate (a head's shape × learning rate × class weight) is trained for ``epochs`` epochs on each patient-
    grouped fold's training rows; after every epoch, ``goal`` compares the pooled out-of-fold predictions. The best
    (candidate, epochs) is trained anew on all rows for that many epochs. Ties go to the head named first, then to
    fewer epochs, the lower rate, no class weight. Random numbers follow from ``seed`` and the fold alone, and products
    use one thread each, so that results are the same bits on any number of cores.

    Subclasses name these parameters in their own signature too, and give ``heads`` and ``row_axes``.

    Parameters
    ----------
    goal : Goal
        What candidates are compared for.
    rates : sequence of float
        Learning rates.
    epochs : int
        Most epochs.
    folds : int
        Number of folds, fewer where there are fewer groups.
    seed : int
        Seed of folds, first parameters and batches.
    progress : callable, optional
        Called with (parts done, parts) after each part of the work.

    Attributes
    ----------
    best_params_ : dict
        Settings, ``rate``, ``class_weight`` and ``epochs`` of the winner.
    path_ : list of dict
        The same and ``score`` of every candidate after every epoch.
    at_edge_ : bool
        Whether the winner has the last epoch, or either end of three rates or more.
    folds_ : np.ndarray of shape (N,)
        Fold of each training row.
    """

    row_axes: int  # of one row of the features

    def __init__(
        self,
        goal: Goal,
        rates: Sequence[float],
        epochs: int,
        folds: int,
        seed: int,
        progress: Callable[[int, int], None] | None,
    ):
        self.goal = goal
        self.rates = rates
        self.epochs = epochs
        self.folds = folds
        self.seed = seed
        self.progress = progress

    def heads(self) -> list[tuple[dict, Head]]:
        """Settings and head of every shape, the simplest first."""
        raise NotImplementedError

    def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> HeadProbe:
        """Chooses settings and epochs on patient-grouped folds and trains on all rows.

        Parameters
        ----------
        X : np.ndarray of shape (N, ...)
            Features.
        y : np.ndarray of shape (N,)
            Labels as the task's kind has them.
        groups : np.ndarray of shape (N,)
            Patient of each row.

        Returns
        -------
        HeadProbe
            The fitted estimator itself.

        Raises
        ------
        BadInput
            For features that are not finite or of another shape, labels that ``goal`` refuses, or a single group.
        """
        y = self.goal.labels(y)
        rows = TrainingRows(self._tensor(X), torch.from_numpy(self.goal.targets(y)).float(), self.goal.kind)
        weights = (None,) if self.goal.kind == "regression" else CLASS_WEIGHTS
        candidates = [Candidate(rate, weight) for rate in sorted(self.rates) for weight in weights]
        self.folds_, used = self.goal.folds(y, groups, self.folds, self.seed)
        heads = self.heads()
        self.path_ = []
        for (settings, _), pooled in zip(heads, self._out_of_fold_outputs(rows, heads, candidates, used), strict=True):
            self.path_ += [
                {**settings, "rate": c.rate, "class_weight": c.class_weight, "epochs": epoch + 1}
                | {"score": self.goal.value(y, self._scores(pooled[i, epoch]))}
                for epoch in range(self.epochs)
                for i, c in enumerate(candidates)
            ]
        best = self.goal.best(self.path_)
        settings, head = heads[best // (self.epochs * len(candidates))]
        self.best_params_ = {name: value for name, value in self.path_[best].items() if name != "score"}
        rate, epochs = self.best_params_["rate"], self.best_params_["epochs"]
        self.at_edge_ = epochs == self.epochs > 1 or (
            len(self.rates) > 2 and rate in (min(self.rates), max(self.rates))
        )
        with workers(1) as pool:
            self._fitted = pool.submit(self._refit, rows, head, candidates[best % len(candidates)], epochs).result()
        return self

    def predict_scores(self, X: np.ndarray) -> np.ndarray:
        """Scores (N, K) of features (N, ...), as ``bench.scores.label_kinds`` has them."""
        x = self._tensor(X)
        with workers(1) as pool:
            outputs = pool.submit(self._fitted.outputs, 0, x, torch.arange(len(x))).result()
        return self._scores(outputs[0].numpy())

    def _tensor(self, X: np.ndarray) -> Tensor:
        X = np.ascontiguousarray(X, np.float32)
        if X.ndim == self.row_axes + 1:
            check_features(X.reshape(len(X), -1))
            return torch.from_numpy(X)
        return torch.from_numpy(check_features(X))  # which refuses it

    def _out_of_fold_outputs(
        self, rows: TrainingRows, heads: Sequence[tuple[dict, Head]], candidates: Sequence[Candidate], used: int
    ) -> list[np.ndarray]:
        """Per head, out-of-fold outputs (candidates, epochs, N, K)."""
        pooled = [
            np.zeros((len(candidates), self.epochs, len(self.folds_), self.goal.columns), np.float32) for _ in heads
        ]
        present = [fold for fold in range(used) if (self.folds_ == fold).any()]
        batch = batch_size(len(rows.x))
        with workers(len(heads) * used) as pool:
            tasks = [
                (index, head, chunk)
                for index, (_, head) in enumerate(heads)
                for chunk in _fold_chunks(head, rows, present, len(candidates), batch)
            ]
            running = {
                pool.submit(self.held_out_outputs, rows, head, candidates, chunk, batch): (i, chunk)
                for i, head, chunk in tasks
            }
            for done, future in enumerate(as_completed(running), start=1):
                index, chunk = running[future]
                for fold, outputs in zip(chunk, future.result(), strict=True):
                    pooled[index][:, :, self.folds_ == fold] = outputs
                if self.progress:
                    self.progress(done, len(running))
        return pooled

    def held_out_outputs(
        self, rows: TrainingRows, head: Head, candidates: Sequence[Candidate], folds: Sequence[int], batch: int
    ) -> list[np.ndarray]:
        """Per fold, outputs (candidates, epochs, held-out rows, K) after every epoch."""
        training = [np.flatnonzero(self.folds_ != fold) for fold in folds]
        held_out = [np.flatnonzero(self.folds_ == fold) for fold in folds]
        stack = Stack(head, candidates, rows, training, batch, [(self.seed, fold) for fold in folds])
        curves: list[list[np.ndarray]] = [[] for _ in folds]
        for _ in range(self.epochs):
            stack.epoch()
            for curve, outputs in zip(curves, stack.scores(held_out), strict=True):
                curve.append(outputs.numpy())
        return [np.stack(curve, axis=1) for curve in curves]

    def _refit(self, rows: TrainingRows, head: Head, candidate: Candidate, epochs: int) -> Stack:
        """Trains one slice on all rows; it keeps no rows."""
        n = len(rows.x)
        stack = Stack(head, [candidate], rows, [np.arange(n)], batch_size(n), [(self.seed, self.folds)])
        for _ in range(epochs):
            stack.epoch()
        stack.rows = TrainingRows(rows.x[:1].clone(), rows.targets[:1].clone(), rows.kind)
        stack.moments = {}
        return stack

    def _scores(self, outputs: np.ndarray) -> np.ndarray:
        """Scores (N, K), float64, of outputs (N, K)."""
        outputs = outputs.astype(float)
        if self.goal.kind == "multiclass":
            return from_logits(outputs)
        return outputs if self.goal.kind == "regression" else np.clip(outputs, FLOOR, -FLOOR)


def _fold_chunks(head: Head, rows: TrainingRows, folds: Sequence[int], candidates: int, batch: int) -> list[list[int]]:
    """Groups folds into stacks: all of them together where they are small.

    It depends on shapes alone, never on the cores.
    """
    parameters = head.initial_parameters(rows.x.shape[1:], rows.targets.shape[1], torch.Generator().manual_seed(0))
    cells = candidates * sum(value.numel() for value in parameters.values()) + batch * rows.size()
    return [list(folds)] if cells * len(folds) <= MAX_STACK_CELLS else [[fold] for fold in folds]
