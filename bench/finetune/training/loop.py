"""The training loop: epochs of steps, predictions after each, a checkpoint after each, exact resumption.

All random draws come from ``bench.finetune.data.randomness`` and the learning rate is a function of the step, so the
state of a run is its weights, optimiser, scaler, averages and history. Test clips are predicted and their scores
written; nothing here reads them again, and the labels of test clips are not available here.
"""

from __future__ import annotations

import itertools
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass

import numpy as np
import torch

from bench.base.errors import BadInput, RespBenchError
from bench.base.parallel.ahead import batches_ahead, made_ahead
from bench.base.progress import Tick
from bench.finetune.data.partition import Partition
from bench.finetune.data.randomness import derive_seed, numpy_generator, torch_generator
from bench.finetune.data.training_data import HostBatch, TrainingData, epoch_batches, group_by_step, host_batch
from bench.finetune.methods.shared.base import Method, MicroBatch
from bench.finetune.model.fine_tuned import DrawnView, FineTunedModel
from bench.finetune.model.parts import gradient_checkpointing, parameter_groups, train_mode
from bench.finetune.recipe import Recipe
from bench.finetune.training.averaging import Averager
from bench.finetune.training.checkpoints import CHOSEN, STATE, RunFolder
from bench.finetune.training.distillation import distilled_loss
from bench.finetune.training.schedule import rate_factor
from bench.probe.log_probabilities import from_logits
from bench.scores import records

FLOAT16_REMEDY = "take --device cuda; to see the whole way here, take --trial; to train here, take --precision float32"


class TrainingDiverged(RespBenchError):
    """A loss, gradient or prediction is not finite; for the first two the message names the file of the batch."""


@dataclass(frozen=True)
class Epoch:
    """The history of one epoch.

    Attributes
    ----------
    loss
        Mean over the micro-batches.
    score
        Validation metric, high is better; None where it is undefined, and without validation clips.
    train_s, predict_s
        Seconds.
    """

    loss: float
    score: float | None
    train_s: float
    predict_s: float


@dataclass
class Training:
    """One run of training.

    Attributes
    ----------
    model, method
        Trained in place.
    data, partition
        Training clips, and which clips are predicted.
    recipe, seed
        How it is trained.
    folder
        Checkpoints and scores.
    validation_metric
        From log probabilities (v, K) of the validation clips to the metric, high is better, NaN where undefined.

    Raises
    ------
    BadInput
        For float16 on a device other than CUDA.
    """

    model: FineTunedModel
    method: Method
    data: TrainingData
    partition: Partition
    recipe: Recipe
    seed: int
    folder: RunFolder
    validation_metric: Callable[[np.ndarray], float]

    def __post_init__(self):
        recipe, encoder = self.recipe, self.model.encoder
        self.device = next(self.model.parameters()).device
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        require_precision(recipe, self.device)
        heads = [*self.model.heads, self.method]
        groups = parameter_groups(encoder, heads, recipe.encoder, recipe.optimiser)
        kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[recipe.optimiser.name]
        self.optimiser = kind(groups, lr=recipe.optimiser.lr, betas=recipe.optimiser.betas)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=recipe.precision == "float16")
        self.averager = Averager(recipe.averaging, {"model": self.model, "method": self.method})
        self.history: list[Epoch] = []

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of an epoch, the same in each."""
        size = min(self.recipe.batches.size, len(self.partition.training))
        return math.ceil(len(self.partition.training) // size / self.recipe.batches.accumulate)

    def run(self, tick: Tick = lambda n: None) -> None:
        """Train from the last checkpoint, if there is one, to the end of the run; ``tick`` counts steps."""
        self.resume()
        tick(len(self.history) * self.steps_per_epoch)
        with _isolated_randomness(self.device):
            while not self._ended():
                self._epoch(len(self.history), tick)

    def best_epoch(self) -> int | None:
        """Return the epoch (from 0) of the best validation score, the first of equals; None where none is defined."""
        defined = [epoch.score for epoch in self.history if epoch.score is not None]
        return [epoch.score for epoch in self.history].index(max(defined)) if defined else None

    def _ended(self) -> bool:
        return len(self.history) >= self.recipe.epochs or self.patience_exhausted()

    def patience_exhausted(self) -> bool:
        """Whether the recipe's patience has passed without a better validation score; never without validation."""
        if not len(self.partition.validation):
            return False
        best = self.best_epoch()
        waited = len(self.history) - 1 - best if best is not None else len(self.history)
        return self.recipe.patience is not None and waited >= self.recipe.patience

    def _epoch(self, epoch: int, tick: Tick) -> None:
        began = time.monotonic()
        loss = self._train(epoch, tick)
        trained = time.monotonic()
        with self.averager.for_prediction():
            validation, test = (self._predict(rows) for rows in (self.partition.validation, self.partition.test))
            self.folder.save_scores(epoch, validation, test)
            score = self.validation_metric(validation) if len(self.partition.validation) else math.nan
            score = None if math.isnan(score) else round(score, records.DECIMALS)
            self.history.append(Epoch(loss, score, trained - began, time.monotonic() - trained))
            if self.best_epoch() == epoch:
                self.folder.save(CHOSEN, {"model": self.model.state_dict(), "method": self.method.state_dict()})
        self.folder.save(STATE, self.state())

    def _predict(self, rows: np.ndarray) -> np.ndarray:
        """Predict log probabilities (N, K) of clips. Raises ``TrainingDiverged``."""
        if not len(rows):
            return np.empty((0, 0))
        logits = self.model.predict(self.method, self.data.clips, rows)
        if len(lost := rows[~np.isfinite(logits).all(axis=1)]):  # argmax would call them the first class
            raise TrainingDiverged(
                f"{self.recipe.name}: the predictions of {len(lost)} clips after epoch {len(self.history) + 1} are not "
                f"finite, those of {self.data.clip_id[lost[0]]} first; lower the learning rate, or take another "
                "--precision"
            )
        return from_logits(logits)

    def _train(self, epoch: int, tick: Tick) -> float:
        """Train one epoch; return its mean loss."""
        recipe, total, losses = self.recipe, self.steps_per_epoch * self.recipe.epochs, []
        seed_networks(derive_seed(self.seed, "network", epoch))
        generator = torch_generator(self.seed, "method", epoch)
        train_mode(self.model.encoder, [*self.model.heads, self.method], recipe.encoder)
        batches = epoch_batches(self.data, recipe.batches, self.seed, epoch)
        steps = group_by_step(batches, recipe.batches.accumulate)
        places = [(rows, (epoch, position)) for position, rows in enumerate(batches)]
        most = batches_ahead(self.device)
        with (
            gradient_checkpointing(self.model.encoder, recipe.encoder.checkpointing),
            closing(made_ahead(self._prepared, places, threads=1, most=most)) as fed,
        ):
            for index, group in enumerate(steps):
                step = epoch * len(steps) + index
                self._set_rate(rate_factor(recipe.schedule, step, len(steps), recipe.epochs))
                self.optimiser.zero_grad(set_to_none=True)
                for (rows, position), prepared in itertools.islice(fed, len(group)):
                    batch = self._given(prepared, position, step / total, generator)
                    losses.append(self.backward(batch, rows, position, len(group)))
                self._step(batch, group, position)
                tick(1)
        return float(np.mean(losses))

    def trial(self, rows: np.ndarray) -> None:
        """Train one step on one micro-batch, to time it: weights change, and nothing is recorded."""
        train_mode(self.model.encoder, [*self.model.heads, self.method], self.recipe.encoder)
        with (
            _isolated_randomness(self.device),
            gradient_checkpointing(self.model.encoder, self.recipe.encoder.checkpointing),
        ):
            batch = self.make_batch(rows, 0, 0, 0.0, torch_generator(self.seed, "method", 0))
            self.optimiser.zero_grad(set_to_none=True)
            self.backward(batch, rows, (0, 0), 1)
            self._step(batch, [rows], (0, 0))

    def _set_rate(self, share: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = group["base_lr"] * share

    def make_batch(
        self, rows: np.ndarray, epoch: int, position: int, progress: float, generator: torch.Generator
    ) -> MicroBatch:
        """Build the micro-batch of the clips at ``rows`` and tell the model its epoch and position."""
        prepared = self._prepared((rows, (epoch, position)))
        return self._given(prepared, (epoch, position), progress, generator)

    def _prepared(self, place: tuple[np.ndarray, tuple[int, int]]) -> tuple[HostBatch, dict[int, DrawnView]]:
        """What a micro-batch needs, on the CPU, by its clips and (epoch, position): a thread may prepare it.

        All that is drawn comes from generators of that position, whichever thread draws and when. The views are those
        that were asked for so far.
        """
        rows, position = place
        crop_generator = numpy_generator(self.seed, "crop", *position)
        batch = host_batch(rows, self.data, self.model.encoder.card, self.recipe.batches.crop_s, crop_generator)
        drawn = {view: self.model.draw(position, view, batch.wave.shape) for view in self.model.views}
        if self.device.type == "cuda":
            drawn = {view: each._replace(waves=each.waves.pinned()) for view, each in drawn.items()}
            batch = batch.pinned()
        return batch, drawn

    def _given(
        self,
        prepared: tuple[HostBatch, dict[int, DrawnView]],
        position: tuple[int, int],
        progress: float,
        generator: torch.Generator,
    ) -> MicroBatch:
        """The micro-batch on the device; the model is told its epoch and position, and what was drawn for it."""
        batch, drawn = prepared
        self.model.position = position
        self.model.drawn = {(*position, view): each for view, each in drawn.items()}
        return batch.on(self.device, progress, generator)

    def backward(self, batch: MicroBatch, rows: np.ndarray, position: tuple[int, int], accumulate: int) -> float:
        """Add the gradient of a micro-batch's loss, divided by ``accumulate``; return the loss.

        Raises
        ------
        TrainingDiverged
            For a loss that is not finite.
        """
        if self.recipe.distillation.teachers:
            loss = distilled_loss(self.method, self.model, batch, self.recipe.distillation)
        else:
            loss = self.method.loss(self.model, batch)
        value = float(loss.detach())
        if not math.isfinite(value):
            self._diverged(f"the loss is {value}", batch, [rows], position)
        self.scaler.scale(loss / accumulate).backward()
        return value

    def _step(self, batch: MicroBatch, group: Sequence[np.ndarray], position: tuple[int, int]) -> None:
        """Take one optimiser step on a group of micro-batches, the last of which is ``batch``.

        A gradient scaler skips steps whose half-precision gradient overflowed.
        """
        self.scaler.unscale_(self.optimiser)
        trained = [p for group in self.optimiser.param_groups for p in group["params"] if p.grad is not None]
        bound = self.recipe.optimiser.clip_norm
        norm = float(torch.nn.utils.clip_grad_norm_(trained, bound or math.inf))
        if not self.scaler.is_enabled() and not math.isfinite(norm):
            self._diverged(f"the gradient's norm is {norm}", batch, group, position)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.averager.update()

    def _diverged(
        self, problem: str, batch: MicroBatch, group: Sequence[np.ndarray], position: tuple[int, int]
    ) -> None:
        """Save the batch, and the ids of all clips that its step accumulated; raise ``TrainingDiverged``."""
        ids = [[str(name) for name in self.data.clip_id[rows]] for rows in group]
        content = {
            "epoch": position[0],
            "micro_batch": position[1],
            "clip_id": ids[-1],
            "step": ids,
            "wave": batch.wave.cpu(),
            "length": batch.length.cpu(),
            "label": batch.label.cpu(),
        }
        path = self.folder.save("diverged.pt", content)
        raise TrainingDiverged(
            f"{self.recipe.name}: {problem} in epoch {position[0] + 1}, batch {position[1] + 1}; that batch is in "
            f"{path} (torch.load with weights_only=True); lower the learning rate, or look at its clips"
        )

    # ---------------------------------------------------------------- state

    def state(self) -> dict:
        """Return all that the next epoch depends on."""
        return {
            "history": [asdict(epoch) for epoch in self.history],
            "model": self.model.state_dict(),
            "method": self.method.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "averaging": self.averager.state(),
        }

    def resume(self) -> bool:
        """Restore the last checkpoint, if there is one; return whether the run has ended there."""
        checkpoint = self.folder.load(STATE, self.device)
        if checkpoint is not None:
            self.model.load_state_dict(checkpoint["model"])
            self.method.load_state_dict(checkpoint["method"])
            self.optimiser.load_state_dict(checkpoint["optimiser"])
            self.scaler.load_state_dict(checkpoint["scaler"])
            self.averager.restore(checkpoint["averaging"])
            self.history = [Epoch(**epoch) for epoch in checkpoint["history"]]
        return self._ended()

    def restore_chosen(self) -> None:
        """Put the weights of the best epoch into model and method."""
        checkpoint = self.folder.load(CHOSEN, self.device)
        if checkpoint is not None:
            self.model.load_state_dict(checkpoint["model"])
            self.method.load_state_dict(checkpoint["method"])


def require_precision(recipe: Recipe, device: torch.device) -> None:
    """Raise ``BadInput`` for float16 on a device other than CUDA."""
    if recipe.precision == "float16" and device.type != "cuda":
        raise BadInput(recipe.name, f"float16 does not train on {device.type}", FLOAT16_REMEDY)


def seed_networks(seed: int) -> None:
    """Seed the global generators, from which networks draw in training: dropout, and in some networks numpy's masks."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


@contextmanager
def _isolated_randomness(device: torch.device) -> Iterator[None]:
    """Restore the global generators afterwards, and have cuDNN choose deterministic algorithms without timing them."""
    backend = torch.backends.cudnn
    before = backend.deterministic, backend.benchmark
    states = np.random.get_state(), random.getstate()
    backend.deterministic, backend.benchmark = True, False
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        backend.deterministic, backend.benchmark = before
        np.random.set_state(states[0])
        random.setstate(states[1])
