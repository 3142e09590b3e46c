"""A trial of a recipe: the whole way in minutes on any machine, with few clips and epochs, and nothing that is kept.

A trial predicts, and says its losses, seconds and memory. It makes no record and no spec, so nothing that a results
folder holds, shows or verifies can come of it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from bench.base import provenance
from bench.base.progress import Progress, silent
from bench.data.manifest import Prepared
from bench.encoders.batches import device_of
from bench.finetune.data.clip_store import ClipStores
from bench.finetune.data.partition import Partition, partition
from bench.finetune.recipe import Recipe
from bench.finetune.training.checkpoints import RunFolder
from bench.finetune.training.start import prepare_run, run_folder
from bench.finetune.training.teachers import evenly_taught
from bench.types import Encoder, TaskCard

CLIPS, EPOCHS, BATCH, CROP_S = 16, 2, 8, 4.0  # at most: clips of each part, epochs, clips in a batch, seconds of a clip


@dataclass(frozen=True)
class Trial:
    """What a trial found.

    Attributes
    ----------
    losses
        Mean training loss of each epoch.
    trained, predicted
        Clips trained on, and predicted after each epoch.
    wall_s, memory_mb
        Seconds of everything, and the process's peak memory so far.
    device
        Where it ran.
    """

    losses: tuple[float, ...]
    trained: int
    predicted: int
    wall_s: float
    memory_mb: float
    device: str

    def text(self) -> str:
        """Say the trial in words."""
        losses = ", ".join(f"{loss:.3f}" for loss in self.losses)
        return (
            f"TRIAL, no result and no record: {self.trained} clips trained on and {self.predicted} predicted, "
            f"{len(self.losses)} epochs in {self.wall_s:.0f} s on {self.device}; loss {losses}; "
            f"{self.memory_mb:.0f} MB at the peak so far"
        )


def reduced_recipe(recipe: Recipe, encoder: Encoder) -> Recipe:
    """Return the recipe as a trial takes it: method, head, trained parts and augmentation stay, the rest shrinks.

    Half precision stays on CUDA alone: most processors compute it more slowly than float32.
    """
    limits = [CROP_S, *(s for s in (recipe.batches.crop_s,) if s is not None)]
    batches = replace(
        recipe.batches,
        size=min(recipe.batches.size, BATCH),
        accumulate=1,
        crop_s=max(min(limits), encoder.card.min_s),
    )
    return replace(
        recipe,
        name=f"trial of {recipe.name}",
        epochs=min(recipe.epochs, EPOCHS),
        patience=None,
        precision=recipe.precision if device_of(encoder).type == "cuda" else "float32",
        schedule=replace(recipe.schedule, warmup_epochs=min(recipe.schedule.warmup_epochs, 0.5)),
        batches=batches,
    )


def reduced_data(prepared: Prepared, parts: Partition) -> tuple[Prepared, Partition]:
    """Return at most ``CLIPS`` clips of each part, of every class alike, and the same parts of what is left."""
    label = prepared.rows["label"].to_numpy()
    chosen = [_alike(rows, label[rows]) for rows in (parts.training, parts.validation, parts.test)]
    kept = np.unique(np.concatenate(chosen))
    training, validation, test = (np.searchsorted(kept, rows) for rows in chosen)
    rows = prepared.rows.iloc[kept].reset_index(drop=True)
    return replace(prepared, rows=rows), Partition(training, validation, test, parts.rule)


def _alike(rows: np.ndarray, label: np.ndarray) -> np.ndarray:
    """At most ``CLIPS`` of the rows, ascending: the first of each class, then the second of each, and so on."""
    place = np.empty(len(rows), int)
    for each in np.unique(label):
        place[label == each] = np.arange((label == each).sum())
    return np.sort(rows[np.argsort(place, kind="stable")[:CLIPS]])


def try_recipe(
    encoder: Encoder, card: TaskCard, prepared: Prepared, recipe: Recipe, seed: int = 0, progress: Progress = silent
) -> Trial:
    """Train and predict as a run would, on little; nothing is kept. Raises as ``bench.finetune.fit``."""
    began = time.perf_counter()
    small, parts = reduced_data(prepared, partition(card, prepared, seed))
    recipe = reduced_recipe(recipe, encoder)
    start = evenly_taught(prepare_run(encoder, card, small, recipe, seed, ClipStores(progress), parts), card)
    with run_folder(None) as path:
        training = start.training(RunFolder(path, "trial"))
        title = f"{recipe.name} {encoder.card.id} on {card.id}"
        with progress(title, training.steps_per_epoch * recipe.epochs) as tick:
            training.run(tick)
    return Trial(
        losses=tuple(epoch.loss for epoch in training.history),
        trained=len(parts.training),
        predicted=len(parts.validation) + len(parts.test),
        wall_s=time.perf_counter() - began,
        memory_mb=provenance.peak_memory_mb(),
        device=str(training.device),
    )
