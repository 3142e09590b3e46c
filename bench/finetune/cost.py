"""What a run will cost, from a few steps of it on this machine, on batches as short and as long as its own."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bench.base import provenance
from bench.base.progress import Progress, silent
from bench.data.manifest import Prepared, prepare
from bench.encoders.batches import BATCH_S, padded_length, plan_batches
from bench.finetune.data.sides import epoch_batches
from bench.finetune.fitting import Built, build
from bench.finetune.model.parts import trained_parameters
from bench.finetune.recipe import Recipe, load_recipe
from bench.finetune.training.checkpoints import Folder
from bench.finetune.training.loop import Training
from bench.types import Encoder, Task, TaskCard

QUANTILES = (0.1, 0.5, 0.9, 1.0)  # of the batches' lengths that are timed; the longest shows the memory


@dataclass(frozen=True)
class Estimate:
    """Of one seed: optimiser steps and micro-batches of an epoch, epochs at most, seconds of training and predicting
    in an epoch, numbers trained, memory in MB (of the GPU where there is one), clips trained on and predicted."""

    steps: int
    batches: int
    epochs: int
    train_s: float
    predict_s: float
    parameters: int
    memory_mb: float
    clips: int
    predicted: int
    device: str

    @property
    def wall_s(self) -> float:
        """Of the whole run, if it is not stopped early."""
        return self.epochs * (self.train_s + self.predict_s)

    @property
    def device_hours(self) -> float:
        """The energy proxy: one device for the wall time."""
        return self.wall_s / 3600

    def text(self, seeds: int = 1) -> str:
        """In words, for so many seeds."""
        several = f" x {seeds} seeds = {_duration(seeds * self.wall_s)}" if seeds > 1 else ""
        return (
            f"{self.clips} clips in {self.batches} batches ({self.steps} steps) an epoch, {self.predicted} predicted "
            f"after each; {self.parameters / 1e6:.2f} M numbers trained on {self.device}\n"
            f"an epoch: {_duration(self.train_s)} training, {_duration(self.predict_s)} predicting; "
            f"{self.epochs} epochs: {_duration(self.wall_s)}{several}\n"
            f"{seeds * self.device_hours:.3f} device-hours; {self.memory_mb:.0f} MB at the peak so far"
        )


def estimate(
    encoder: Encoder,
    task: Task,
    recipe: Recipe | str | Path,
    seed: int = 0,
    *,
    on_bad_clip: str = "error",
    progress: Progress = silent,
) -> Estimate:
    """What ``bench.finetune.fitting`` with these arguments will take; it trains a few steps of a copy and keeps
    nothing. Raises as ``fit``."""
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    return estimate_prepared(encoder, task.card, prepare(task, on_bad_clip, progress), recipe, seed, progress)


def estimate_prepared(
    encoder: Encoder,
    card: TaskCard,
    prepared: Prepared,
    recipe: Recipe,
    seed: int = 0,
    progress: Progress = silent,
) -> Estimate:
    """``estimate`` for data that has been prepared already."""
    built = build(encoder, card, prepared, recipe, seed, progress)
    with tempfile.TemporaryDirectory() as folder:
        training = built.training(Folder(Path(folder), "estimate"))
        batches = epoch_batches(built.material, recipe.batches, seed, 0)
        train_s = _training_time(training, batches)
        predict_s = _prediction_time(training, built)
    device = training.device
    memory_mb = torch.cuda.max_memory_allocated(device) / 1e6 if device.type == "cuda" else provenance.peak_memory_mb()
    predicted = len(built.sides.validation) + len(built.sides.test)
    heads = [*built.model.heads, built.method]
    return Estimate(
        steps=training.steps_per_epoch,
        batches=len(batches),
        epochs=recipe.epochs,
        train_s=train_s,
        predict_s=predict_s,
        parameters=trained_parameters(recipe, built.model.encoder, heads),
        memory_mb=memory_mb,
        clips=len(built.sides.fit),
        predicted=predicted,
        device=str(device),
    )


def _training_time(training: Training, batches: list[np.ndarray]) -> float:
    """Seconds of an epoch: batches of a few lengths are timed, the others lie between them."""
    waves, encoder = training.material.waves, training.model.encoder
    sizes = np.array([padded_length(encoder, int(waves.sizes[rows].max())) for rows in batches])
    order = np.argsort(sizes, kind="stable")
    chosen = sorted({int(order[round(q * (len(order) - 1))]) for q in QUANTILES}, key=lambda i: sizes[i])
    training.trial(batches[chosen[0]])  # warms up
    twice = [
        [_timed(lambda i=i: training.trial(batches[i]), training.device) for _ in range(2)] for i in chosen
    ]  # a length is met for the first time, or again
    timed = np.mean(twice, axis=1)
    return float(np.interp(sizes, sizes[chosen], timed).sum())


def _prediction_time(training: Training, built: Built) -> float:
    """Seconds of predicting all clips once, from a batch of middling and one of great length."""
    rows = np.concatenate([built.sides.validation, built.sides.test])
    encoder, waves = training.model.encoder, training.material.waves
    sizes = waves.sizes[rows]
    plan = plan_batches([int(size) for size in sizes], encoder, int(BATCH_S * encoder.card.sample_rate))
    chosen = sorted({len(plan) // 2, len(plan) - 1})
    work = np.array([sum(padded_length(encoder, int(size)) for size in sizes[batch]) for batch in plan], float)
    predict = lambda i: training.model.scores(training.method, waves, rows[plan[i]])  # noqa: E731
    predict(chosen[0])
    taken = [_timed(lambda i=i: predict(i), training.device) for i in chosen]
    return float(work.sum() * sum(taken) / work[chosen].sum())


def _timed(act: Callable[[], object], device: torch.device) -> float:
    began = time.perf_counter()
    act()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
