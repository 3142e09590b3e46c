"""Small torch heads trained side by side: every fold and candidate of one shape is a slice of the same tensors.

Parameters are (F, C, ...): folds, then candidates. A batch (F, B, ...) is drawn and standardised once for all
candidates of its fold, which also share their first parameters, order of rows and dropout, so that they differ by
their settings alone. AdamW (Loshchilov & Hutter, Decoupled weight decay regularization, ICLR 2019, arXiv:1711.05101,
algorithm 2) is written out, because every slice has its own learning rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.probe.linear.design import CONSTANT

BATCHES = 16  # in an epoch, as far as the bounds of a batch allow
SMALLEST_BATCH, LARGEST_BATCH = 16, 256
WEIGHT_DECAY = 0.01  # of matrices; vectors are left alone
BETAS, EPSILON = (0.9, 0.999), 1e-8
_CHUNK_CELLS = 8_000_000  # numbers of a batch that is only looked at
_DOUBLE = torch.float64

Parameters = dict[str, Tensor]


class Head(Protocol):
    """What is trained.

    Attributes
    ----------
    averaged_axes : tuple of int
        Axes of the features over which they are standardised (0 are the rows themselves).
    rate_factors : mapping of str to float
        Factor of a parameter's learning rate, 1 for parameters that are not named.
    """

    averaged_axes: tuple[int, ...]
    rate_factors: Mapping[str, float]

    def initial_parameters(self, shape: Sequence[int], columns: int, generator: torch.Generator) -> Parameters:
        """First parameters of one slice, for rows of ``shape`` and so many outputs."""

    def draw_noise(self, batch: int, generator: np.random.Generator) -> Tensor | None:
        """Noise (B, ...) of one fold's batch while training, None where nothing is drawn."""

    def outputs(self, p: Parameters, x: Tensor, noise: Tensor | None) -> Tensor:
        """Outputs (F, C, B, columns) of standardised rows (F, B, ...); ``noise`` (F, B, ...) only in training."""


@dataclass(frozen=True)
class Candidate:
    """Settings that leave the shapes alone.

    Attributes
    ----------
    rate : float
        Learning rate.
    class_weight : None or "balanced"
        ``balanced`` is N / (K · rows of the class); for a label N / (2 · rows with, or without, it).
    """

    rate: float
    class_weight: str | None = None


@dataclass(frozen=True)
class TrainingRows:
    """Rows that folds pick from.

    Attributes
    ----------
    x : torch.Tensor of shape (N, ...), float32
        Features.
    targets : torch.Tensor of shape (N, K), float32
        One-hot classes, labels as 0 and 1, or values of a regression.
    kind : str
        Kind of the task, see ``bench.scores.label_kinds``.
    """

    x: Tensor
    targets: Tensor
    kind: str

    def size(self) -> int:
        """Number of features of a row."""
        return self.x[0].numel()


class Stack:
    """F folds × C candidates of one head, trained side by side.

    Rows are met in ``ceil(rows of the largest fold / batch)`` equal batches an epoch.

    Parameters
    ----------
    head : Head
        What is trained.
    candidates : sequence of Candidate
        C settings.
    rows : TrainingRows
        Rows that all folds pick from.
    training_rows : sequence of np.ndarray of int
        Indices of the rows that each of F folds trains on.
    batch : int
        Most rows of a batch.
    seeds : sequence of tuple of int
        Seed of each fold's random numbers.

    Attributes
    ----------
    parameters : dict of str to torch.Tensor of shape (F, C, ...)
        Trained parameters.
    """

    def __init__(
        self,
        head: Head,
        candidates: Sequence[Candidate],
        rows: TrainingRows,
        training_rows: Sequence[np.ndarray],
        batch: int,
        seeds: Sequence[tuple[int, int]],
    ):
        self.head, self.rows, self.training_rows = head, rows, training_rows
        self.batches = max(-(-len(index) // batch) for index in training_rows)
        self.generators = [np.random.default_rng(seed) for seed in seeds]
        self.scalers = [feature_scaler(rows.x, index, head.averaged_axes) for index in training_rows]
        self.target_moments = [_target_moments(rows, index) for index in training_rows]
        weights = [[loss_weights(rows, index, c.class_weight) for c in candidates] for index in training_rows]
        self.loss_weights = torch.stack([torch.stack(of_fold) for of_fold in weights])  # (F, C, 2, K)
        generators = [torch.Generator().manual_seed(int(rng.integers(2**62))) for rng in self.generators]
        columns = rows.targets.shape[1]
        first = [head.initial_parameters(rows.x.shape[1:], columns, generator) for generator in generators]
        self.parameters: Parameters = {
            name: torch.stack([of_fold[name] for of_fold in first])[:, None].repeat(
                1, len(candidates), *[1] * value.ndim
            )
            for name, value in first[0].items()
        }
        self.rate = torch.tensor([c.rate for c in candidates])
        self.moments = {name: (torch.zeros_like(v), torch.zeros_like(v)) for name, v in self.parameters.items()}
        self.step = 0

    def epoch(self) -> None:
        """Trains on every row of every fold once."""
        parts = [
            np.array_split(rng.permutation(index), self.batches)
            for rng, index in zip(self.generators, self.training_rows, strict=True)
        ]
        for number in range(self.batches):
            self._update([part[number] for part in parts])

    def scores(self, rows: Sequence[np.ndarray]) -> list[Tensor]:
        """Per fold, outputs (C, rows, K) for the rows (indices) given; a target's in its own unit."""
        return [self.outputs(fold, self.rows.x, torch.from_numpy(index)) for fold, index in enumerate(rows)]

    @torch.no_grad()
    def outputs(self, fold: int, x: Tensor, index: Tensor) -> Tensor:
        """Outputs (C, rows, K) of one fold's slices for rows ``index`` of ``x``; a target's in its own unit."""
        of_fold = {name: value[fold : fold + 1] for name, value in self.parameters.items()}
        size = max(1, _CHUNK_CELLS // (self.rows.size() * len(self.rate)))
        mean, spread = self.target_moments[fold]
        parts = [self.head.outputs(of_fold, self.scalers[fold](x[i])[None], None)[0] for i in index.split(size)]
        return torch.cat(parts, dim=1) * spread + mean

    def _update(self, index: Sequence[np.ndarray]) -> None:
        """One step of AdamW on the batches (row indices) of all folds; shorter ones are filled with weight 0."""
        longest = max(map(len, index))
        filled = [torch.from_numpy(np.pad(i, (0, longest - len(i)), mode="edge")) for i in index]
        share = torch.stack([(torch.arange(longest) < len(i)) / len(i) for i in index])  # (F, B)
        x = torch.stack([scaler(self.rows.x[i]) for scaler, i in zip(self.scalers, filled, strict=True)])
        targets = torch.stack(
            [((self.rows.targets[i] - m) / s) for (m, s), i in zip(self.target_moments, filled, strict=True)]
        )
        noise = [self.head.draw_noise(longest, rng) for rng in self.generators]
        for value in self.parameters.values():
            value.requires_grad_(True)
        outputs = self.head.outputs(self.parameters, x, None if noise[0] is None else torch.stack(noise))
        losses = _losses(outputs, targets[:, None], self.rows.kind)  # (F, C, B, K)
        if self.rows.kind != "regression":
            present = targets[:, None] > 0
            losses = losses * torch.where(present, self.loss_weights[:, :, 1:], self.loss_weights[:, :, :1])
        total = (losses.sum(dim=3) * share[:, None]).sum()
        gradients = torch.autograd.grad(total, list(self.parameters.values()))
        self.step += 1
        with torch.no_grad():
            for (name, value), gradient in zip(self.parameters.items(), gradients, strict=True):
                self._adamw(name, value.requires_grad_(False), gradient)

    def _adamw(self, name: str, value: Tensor, gradient: Tensor) -> None:
        first, second = self.moments[name]
        rate = (self.rate * self.head.rate_factors.get(name, 1.0)).reshape(1, -1, *[1] * (value.ndim - 2))
        first.lerp_(gradient, 1 - BETAS[0])
        second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        step = (second / (1 - BETAS[1] ** self.step)).sqrt_().add_(EPSILON)
        torch.div(first, step, out=step).mul_(rate / (1 - BETAS[0] ** self.step))
        if value.ndim > 3:  # folds, candidates and a matrix
            value.mul_(1 - rate * WEIGHT_DECAY)
        value.sub_(step)


@dataclass(frozen=True)
class TensorScaler:
    """Standardises rows of tensors.

    Attributes
    ----------
    mean, inverse : torch.Tensor
        Mean of the features, and the inverse of their standard deviation: 0 for a feature that does not vary, as
        ``bench.probe.linear.design.standardise`` has it.
    """

    mean: Tensor
    inverse: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Standardises rows (B, ...) in place. Rounding the mean shifts a feature by less than its own digits."""
        return x.sub_(self.mean).mul_(self.inverse)


def feature_scaler(x: Tensor, index: np.ndarray, averaged_axes: tuple[int, ...]) -> TensorScaler:
    """The scaler of rows ``index`` of x (N, ...), over ``averaged_axes``, in float64 without a copy of x."""
    parts = torch.from_numpy(index).split(max(1, _CHUNK_CELLS // x[0].numel()))
    counted = len(index) * int(np.prod([x.shape[axis] for axis in averaged_axes if axis]))
    low = torch.stack([x[i].amin(averaged_axes) for i in parts]).amin(0)
    high = torch.stack([x[i].amax(averaged_axes) for i in parts]).amax(0)
    mean = _widened(sum(x[i].to(_DOUBLE).sum(averaged_axes) for i in parts) / counted, averaged_axes)
    variance = sum((x[i].to(_DOUBLE) - mean).square().sum(averaged_axes) for i in parts) / counted
    size = torch.maximum(-low, high).to(_DOUBLE)
    varies = (high > low) & (variance.sqrt() > CONSTANT * size)
    spread = torch.where(varies, variance, torch.inf).sqrt()
    return TensorScaler(mean.float(), _widened(1 / spread, averaged_axes).float())


def _widened(value: Tensor, averaged_axes: tuple[int, ...]) -> Tensor:
    """Adds an axis of length 1 for every averaged one but the rows', so that a value broadcasts over rows."""
    for axis in sorted(averaged_axes):
        if axis:
            value = value.unsqueeze(axis - 1)
    return value


def uniform_weights(shape: Sequence[int], inputs: int, generator: torch.Generator) -> Tensor:
    """First weights of a layer with so many inputs, from U(±1/√inputs)."""
    return (2 * torch.rand(*shape, generator=generator) - 1) / inputs**0.5


def batch_size(rows: int) -> int:
    """Number of rows of a batch: a sixteenth of all, at least 16 and at most 256."""
    return min(LARGEST_BATCH, max(SMALLEST_BATCH, rows // BATCHES))


def _losses(outputs: Tensor, targets: Tensor, kind: str) -> Tensor:
    """Losses (F, C, B, K) whose sum over K is a row's."""
    match kind:
        case "multiclass":
            return -targets * F.log_softmax(outputs, dim=-1)
        case "multilabel":
            return F.binary_cross_entropy_with_logits(outputs, targets.expand_as(outputs), reduction="none")
    return (outputs - targets).square()


def _target_moments(rows: TrainingRows, index: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation by which targets are standardised; (0, 1) but for regression."""
    if rows.kind != "regression":
        return 0.0, 1.0
    targets = rows.targets[torch.from_numpy(index)].to(_DOUBLE)
    return float(targets.mean()), float(targets.std(correction=0)) or 1.0


def loss_weights(rows: TrainingRows, index: np.ndarray, class_weight: str | None) -> Tensor:
    """Weights (2, K) of each class's loss where it is absent, and where it is present, from the rows ``index``."""
    columns = rows.targets.shape[1]
    if class_weight is None:
        return torch.ones(2, columns)
    present = rows.targets[torch.from_numpy(index)].sum(dim=0).to(_DOUBLE)
    counts = torch.stack([len(index) - present, present])
    parts = 2 if rows.kind == "multilabel" else int((present > 0).sum())
    return (len(index) / (parts * counts.clamp(min=1))).float()
