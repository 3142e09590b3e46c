"""The training loop: epochs of steps, predictions after each, a checkpoint after each, exact resumption.

All chance comes from ``bench.finetune.data.randomness`` and the learning rate is a function of the step, so the state
of a run is its weights, optimiser, scaler, averages and history. Test rows are predicted and their scores written;
nothing here reads them again, and their labels are not at hand.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import numpy as np
import torch

from bench.base.errors import BadInput, RespBenchError
from bench.base.progress import Tick
from bench.finetune.data.randomness import numpy_generator, seed_of, torch_generator
from bench.finetune.data.sides import Material, Sides, epoch_batches, groups_of, micro_batch
from bench.finetune.methods.shared.base import Method, MicroBatch
from bench.finetune.model.model import FineTuned
from bench.finetune.model.parts import parameter_groups, recomputed, train_mode
from bench.finetune.recipe import Recipe
from bench.finetune.training.averaging import Averager
from bench.finetune.training.checkpoints import CHOSEN, STATE, Folder
from bench.finetune.training.schedule import factor
from bench.probe.log_probabilities import from_logits
from bench.scores import records


class TrainingDiverged(RespBenchError):
    """A loss or gradient that is not finite, the text names the file that holds the batch; or such a prediction."""


@dataclass(frozen=True)
class Epoch:
    """What an epoch left: mean loss, the validation metric (high is better; None where undefined), seconds."""

    loss: float
    score: float | None
    train_s: float
    predict_s: float


@dataclass
class Training:
    """One run. ``value`` gives the metric of validation scores (N, K), NaN where it is undefined, high is better."""

    model: FineTuned
    method: Method
    material: Material
    sides: Sides
    recipe: Recipe
    seed: int
    folder: Folder
    value: Callable[[np.ndarray], float]

    def __post_init__(self):
        recipe, encoder = self.recipe, self.model.encoder
        self.device = next(self.model.parameters()).device
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        if recipe.precision == "float16" and self.device.type != "cuda":
            raise BadInput(recipe.name, f"float16 does not train on {self.device.type}", "take --precision bfloat16")
        heads = [*self.model.heads, self.method]
        groups = parameter_groups(encoder, heads, recipe.encoder, recipe.optimiser)
        kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[recipe.optimiser.name]
        self.optimiser = kind(groups, lr=recipe.optimiser.lr, betas=recipe.optimiser.betas)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=recipe.precision == "float16")
        self.averager = Averager(recipe.averaging, {"model": self.model, "method": self.method})
        self.history: list[Epoch] = []

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of an epoch: the same in each."""
        size = min(self.recipe.batches.size, len(self.sides.fit))
        return math.ceil(len(self.sides.fit) // size / self.recipe.batches.accumulate)

    def run(self, tick: Tick = lambda n: None) -> None:
        """Trains from wherever the folder says the run is to its last epoch; ``tick`` counts steps."""
        self.resume()
        tick(len(self.history) * self.steps_per_epoch)
        with _own_chance(self.device):
            while not self._ended():
                self._epoch(len(self.history), tick)

    def best(self) -> int | None:
        """The epoch (from 0) of the best validation score, the first of equals; None where none is defined."""
        defined = [epoch.score for epoch in self.history if epoch.score is not None]
        return [epoch.score for epoch in self.history].index(max(defined)) if defined else None

    def _ended(self) -> bool:
        return len(self.history) >= self.recipe.epochs or self._exhausted()

    def _exhausted(self) -> bool:
        best = self.best()
        waited = len(self.history) - 1 - best if best is not None else len(self.history)
        return self.recipe.patience is not None and waited >= self.recipe.patience

    def _epoch(self, epoch: int, tick: Tick) -> None:
        began = time.monotonic()
        loss = self._train(epoch, tick)
        trained = time.monotonic()
        with self.averager.lent():
            told = [self._predicted(rows) for rows in (self.sides.validation, self.sides.test)]
            self.folder.save_scores(epoch, *told)
            score = self.value(told[0])
            score = None if math.isnan(score) else round(score, records.DECIMALS)
            self.history.append(Epoch(loss, score, trained - began, time.monotonic() - trained))
            if self.best() == epoch:
                self.folder.save(CHOSEN, {"model": self.model.state_dict(), "method": self.method.state_dict()})
        self.folder.save(STATE, self.state())

    def _predicted(self, rows: np.ndarray) -> np.ndarray:
        """Log probabilities (N, K) of clips."""
        logits = self.model.scores(self.method, self.material.waves, rows)
        if len(lost := rows[~np.isfinite(logits).all(axis=1)]):  # whose highest class would be the first one
            raise TrainingDiverged(
                f"{self.recipe.name}: the predictions of {len(lost)} clips after epoch {len(self.history) + 1} are not "
                f"finite, those of {self.material.clip_id[lost[0]]} first; lower the learning rate, or take another "
                "--precision"
            )
        return from_logits(logits)

    def _train(self, epoch: int, tick: Tick) -> float:
        """Mean loss of one epoch of steps."""
        recipe, total, losses = self.recipe, self.steps_per_epoch * self.recipe.epochs, []
        seed_networks(seed_of(self.seed, "network", epoch))
        generator = torch_generator(self.seed, "method", epoch)
        train_mode(self.model.encoder, [*self.model.heads, self.method], recipe.encoder)
        steps = groups_of(epoch_batches(self.material, recipe.batches, self.seed, epoch), recipe.batches.accumulate)
        place = 0
        with recomputed(self.model.encoder, recipe.encoder.checkpointing):
            for index, group in enumerate(steps):
                step = epoch * len(steps) + index
                self._set_rate(factor(recipe.schedule, step, len(steps), recipe.epochs))
                self.optimiser.zero_grad(set_to_none=True)
                for rows in group:
                    batch = self._batch(rows, epoch, place, step / total, generator)
                    losses.append(self._backward(batch, rows, (epoch, place), len(group)))
                    place += 1
                self._step(batch, group, (epoch, place - 1))
                tick(1)
        return float(np.mean(losses))

    def trial(self, rows: np.ndarray) -> None:
        """One step on one micro-batch, to see what it takes: the weights move and nothing is counted."""
        train_mode(self.model.encoder, [*self.model.heads, self.method], self.recipe.encoder)
        with _own_chance(self.device), recomputed(self.model.encoder, self.recipe.encoder.checkpointing):
            batch = self._batch(rows, 0, 0, 0.0, torch_generator(self.seed, "method", 0))
            self.optimiser.zero_grad(set_to_none=True)
            self._backward(batch, rows, (0, 0), 1)
            self._step(batch, [rows], (0, 0))

    def _set_rate(self, share: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = group["base_lr"] * share

    def _batch(
        self, rows: np.ndarray, epoch: int, place: int, progress: float, generator: torch.Generator
    ) -> MicroBatch:
        self.model.place = (epoch, place)
        source = numpy_generator(self.seed, "crop", epoch, place)
        card, crop_s = self.model.encoder.card, self.recipe.batches.crop_s
        return micro_batch(rows, self.material, card, crop_s, source, self.device, progress, generator)

    def _backward(self, batch: MicroBatch, rows: np.ndarray, place: tuple[int, int], parts: int) -> float:
        loss = self.method.loss(self.model, batch)
        value = float(loss.detach())
        if not math.isfinite(value):
            self._diverged(f"the loss is {value}", batch, [rows], place)
        self.scaler.scale(loss / parts).backward()
        return value

    def _step(self, batch: MicroBatch, group: Sequence[np.ndarray], place: tuple[int, int]) -> None:
        """One step of the optimiser on a group of micro-batches, the last of which is ``batch``; a scaler skips those
        whose half-precision gradient overflowed."""
        self.scaler.unscale_(self.optimiser)
        trained = [p for group in self.optimiser.param_groups for p in group["params"] if p.grad is not None]
        bound = self.recipe.optimiser.clip_norm
        norm = float(torch.nn.utils.clip_grad_norm_(trained, bound or math.inf))
        if not self.scaler.is_enabled() and not math.isfinite(norm):
            self._diverged(f"the gradient's norm is {norm}", batch, group, place)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.averager.update()

    def _diverged(self, problem: str, batch: MicroBatch, group: Sequence[np.ndarray], place: tuple[int, int]) -> None:
        """Saves the batch, and the ids of all clips that its step accumulated, and stops."""
        ids = [[str(name) for name in self.material.clip_id[rows]] for rows in group]
        content = {
            "epoch": place[0],
            "micro_batch": place[1],
            "clip_id": ids[-1],
            "step": ids,
            "wave": batch.wave.cpu(),
            "length": batch.length.cpu(),
            "label": batch.label.cpu(),
        }
        path = self.folder.save("diverged.pt", content)
        raise TrainingDiverged(
            f"{self.recipe.name}: {problem} in epoch {place[0] + 1}, batch {place[1] + 1}; that batch is in {path} "
            "(torch.load with weights_only=True); lower the learning rate, or look at its clips"
        )

    # ---------------------------------------------------------------- state

    def state(self) -> dict:
        """All that the next epoch depends on."""
        return {
            "history": [asdict(epoch) for epoch in self.history],
            "model": self.model.state_dict(),
            "method": self.method.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "averaging": self.averager.state(),
        }

    def resume(self) -> bool:
        """Takes the run to wherever the folder says it is; whether it has ended there."""
        held = self.folder.load(STATE, self.device)
        if held is not None:
            self.model.load_state_dict(held["model"])
            self.method.load_state_dict(held["method"])
            self.optimiser.load_state_dict(held["optimiser"])
            self.scaler.load_state_dict(held["scaler"])
            self.averager.restore(held["averaging"])
            self.history = [Epoch(**epoch) for epoch in held["history"]]
        return self._ended()

    def take_chosen(self) -> None:
        """Puts the weights of the best epoch into the model."""
        held = self.folder.load(CHOSEN, self.device)
        if held is not None:
            self.model.load_state_dict(held["model"])
            self.method.load_state_dict(held["method"])


def seed_networks(seed: int) -> None:
    """Seeds the global generators, from which networks draw in training: dropout, and in some the masks of numpy."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


@contextmanager
def _own_chance(device: torch.device) -> Iterator[None]:
    """Leaves the global generators as they were, and makes cuDNN choose its algorithms without looking at the clock."""
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
