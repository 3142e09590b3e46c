"""Estimate what a run will cost from a few of its steps on this machine, on its shortest to its longest batches."""

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
from bench.finetune.data.clip_store import ClipStores
from bench.finetune.data.training_data import epoch_batches
from bench.finetune.model.parts import count_trained
from bench.finetune.recipe import Recipe, load_recipe
from bench.finetune.training.checkpoints import RunFolder
from bench.finetune.training.loop import Training
from bench.finetune.training.start import RunStart, prepare_run
from bench.finetune.training.teachers import evenly_taught
from bench.probe.protocols import FINETUNE
from bench.types import Encoder, Task, TaskCard

TIMED_QUANTILES = (0.1, 0.5, 0.9, 1.0)  # of the batches' lengths; the longest batch shows the peak of memory


@dataclass(frozen=True)
class Estimate:
    """What a run of one seed will cost.

    Attributes
    ----------
    steps, batches
        Optimiser steps and micro-batches of an epoch.
    epochs
        At most.
    train_s, predict_s
        Seconds of training and of predicting in an epoch.
    parameters
        Trained scalar parameters.
    memory_mb
        Peak memory in MB, of the GPU where there is one.
    clips, predicted
        Clips trained on, and predicted after each epoch.
    device
        Where the steps were timed.
    """

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
        """Seconds of the whole run, if it is not stopped early."""
        return self.epochs * (self.train_s + self.predict_s)

    @property
    def device_hours(self) -> float:
        """Device-hours, a proxy of energy: one device for the wall time."""
        return self.wall_s / 3600

    def text(self, seeds: int = 1) -> str:
        """Say the estimate in words, for a number of seeds."""
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
    """Estimate what ``fit`` will cost with the same arguments.

    A few steps of a copy of the encoder are trained; nothing is kept. Raises as ``fit``.
    """
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    prepared, stores = prepare(task, on_bad_clip, progress), ClipStores(progress)
    return estimate_prepared(encoder, task.card, prepared, recipe, seed, stores)


def estimate_prepared(
    encoder: Encoder,
    card: TaskCard,
    prepared: Prepared,
    recipe: Recipe,
    seed: int = 0,
    stores: ClipStores | None = None,
    protocol: str = FINETUNE,
) -> Estimate:
    """Do what ``estimate`` does, for clips that have been prepared already; ``protocol`` says which run."""
    start = evenly_taught(prepare_run(encoder, card, prepared, recipe, seed, stores, protocol=protocol), card)
    with tempfile.TemporaryDirectory() as folder:
        training = start.training(RunFolder(Path(folder), "estimate"))
        batches = epoch_batches(start.data, recipe.batches, seed, 0)
        train_s = _training_time(training, batches)
        predict_s = _prediction_time(training, start)
    device = training.device
    memory_mb = torch.cuda.max_memory_allocated(device) / 1e6 if device.type == "cuda" else provenance.peak_memory_mb()
    predicted = len(start.partition.validation) + len(start.partition.test)
    heads = [*start.model.heads, start.method]
    return Estimate(
        steps=training.steps_per_epoch,
        batches=len(batches),
        epochs=recipe.epochs,
        train_s=train_s,
        predict_s=predict_s,
        parameters=count_trained(recipe, start.model.encoder, heads),
        memory_mb=memory_mb,
        clips=len(start.partition.training),
        predicted=predicted,
        device=str(device),
    )


def _training_time(training: Training, batches: list[np.ndarray]) -> float:
    """Seconds of an epoch: batches of a few lengths are timed, the others interpolated."""
    clips, encoder = training.data.clips, training.model.encoder
    sizes = np.array([padded_length(encoder, int(clips.sizes[rows].max())) for rows in batches])
    order = np.argsort(sizes, kind="stable")
    chosen = sorted({int(order[round(q * (len(order) - 1))]) for q in TIMED_QUANTILES}, key=lambda i: sizes[i])
    training.trial(batches[chosen[0]])  # warms up
    repeats = [
        [_time(lambda i=i: training.trial(batches[i]), training.device) for _ in range(2)] for i in chosen
    ]  # the first batch of a length may be slower than later ones, which an epoch has too
    timed = np.mean(repeats, axis=1)
    return float(np.interp(sizes, sizes[chosen], timed).sum())


def _prediction_time(training: Training, start: RunStart) -> float:
    """Seconds of predicting all clips once, from a batch of median length and the longest."""
    rows = np.concatenate([start.partition.validation, start.partition.test])
    encoder, clips = training.model.encoder, training.data.clips
    sizes = clips.sizes[rows]
    plan = plan_batches([int(size) for size in sizes], encoder, int(BATCH_S * encoder.card.sample_rate))
    chosen = sorted({len(plan) // 2, len(plan) - 1})
    work = np.array([sum(padded_length(encoder, int(size)) for size in sizes[batch]) for batch in plan], float)
    predict = lambda i: training.model.predict(training.method, clips, rows[plan[i]])  # noqa: E731
    predict(chosen[0])
    taken = [_time(lambda i=i: predict(i), training.device) for i in chosen]
    return float(work.sum() * sum(taken) / work[chosen].sum())


def _time(act: Callable[[], object], device: torch.device) -> float:
    began = time.perf_counter()
    act()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
