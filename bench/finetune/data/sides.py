"""Who is trained on, who chooses the epoch, who is only predicted; and the training rows as micro-batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from bench.base.errors import BadInput
from bench.data.manifest import TRAIN, Prepared
from bench.encoders.batches import fit_length
from bench.finetune.data.randomness import numpy_generator
from bench.finetune.data.waves import Waves
from bench.finetune.methods.shared.base import MicroBatch, TrainingFacts
from bench.finetune.recipe import Batches
from bench.probe.goal import assign_folds
from bench.types import EncoderCard, TaskCard

FOLDS = 5
UNKNOWN = ("", "unknown", "nan", "None")
ALIASES = {"device": "domain", "age": "meta_age_group", "patient": "group"}  # names of columns in methods


@dataclass(frozen=True)
class Sides:
    """Positions in ``prepared.rows``: the rows trained on, those of the validation patients, those predicted; and in
    words how validation patients were found."""

    fit: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    rule: str


def sides(card: TaskCard, prepared: Prepared, seed: int) -> Sides:
    """The task's own validation rows where it has some whose patients are not trained on; otherwise one of five folds
    by patient of all training rows, drawn by the seed and stratified by class.

    Raises ``BadInput`` where training or validation is left with fewer than two classes, for a task that is not
    multiclass or leaves one group out, and for a seed that is not from 0 to 2^32 - 1.
    """
    if not 0 <= seed < 2**32:
        raise BadInput(f"seed {seed}", "is out of range", "take a whole number from 0 to 4294967295")
    if card.kind != "multiclass" or card.leave_one_out:
        what = "leaves one group out" if card.leave_one_out else f"is {card.kind}"
        raise BadInput(card.id, f"{what}, and fine-tuning takes multiclass tasks", "take `respbench run`")
    rows = prepared.rows
    split, group, label = (rows[name].to_numpy() for name in ("split", "group", "label"))
    train = np.flatnonzero(np.isin(split, TRAIN))
    held = split[train] == "val"
    apart = not set(group[train][held]) & set(group[train][~held])
    if held.any() and (~held).any() and apart:
        rule = f"the task's own validation {card.group}s"
    else:
        folds, used = assign_folds(np.unique(label[train], return_inverse=True)[1], group[train], FOLDS, seed)
        held, rule = folds == 0, f"one of {used} folds by {card.group} of the training rows, drawn by the seed"
    for name, part in (("training", train[~held]), ("validation", train[held])):
        if len(np.unique(label[part])) < 2:
            problem = f"its {name} {card.group}s ({rule}) have one class only"
            raise BadInput(card.id, problem, "take another seed, or complete the corpus")
    return Sides(train[~held], train[held], np.flatnonzero(~np.isin(split, TRAIN)), rule)


@dataclass(frozen=True)
class Material:
    """What training sees of a task: ``label``, ``meta`` and ``quality`` are those of the rows ``fit`` and say nothing
    of any other. ``meta`` {column: (N,) codes, −1 where unknown}; ``quality`` (N,) in [0, 1]."""

    waves: Waves
    clip_id: np.ndarray
    fit: np.ndarray
    label: np.ndarray
    meta: Mapping[str, np.ndarray]
    quality: np.ndarray

    @classmethod
    def of(cls, prepared: Prepared, waves: Waves, fit: np.ndarray) -> Material:
        """The material with every quality at 0.5."""
        rows = prepared.rows
        label = np.full(len(rows), -1)
        label[fit] = rows["label"].to_numpy()[fit]
        quality = np.full(len(rows), 0.5, np.float32)
        return cls(waves, rows["clip_id"].to_numpy(), fit, label, metadata(rows, fit), quality)

    def facts(self, classes: int, width: int) -> TrainingFacts:
        """What a method is told before it is built."""
        counts = np.bincount(self.label[self.fit], minlength=classes)
        values = {name: len(np.unique(codes[codes >= 0])) for name, codes in self.meta.items()}
        return TrainingFacts(classes, width, tuple(map(int, counts)), {name: n for name, n in values.items() if n})


def metadata(rows: pd.DataFrame, fit: np.ndarray) -> dict[str, np.ndarray]:
    """{column: (N,) int64 codes of the values among the rows ``fit``, −1 elsewhere and where unknown}. Columns are
    ``domain``, ``group`` and the manifest's ``meta_*`` without that prefix; ``device`` is the domain, ``age`` the age
    group, ``patient`` the group."""
    columns = {"domain": "domain", "group": "group"}
    columns |= {name.removeprefix("meta_"): name for name in rows if name.startswith("meta_")}
    columns |= {alias: name for alias, name in ALIASES.items() if name in rows}
    out = {}
    for name, column in columns.items():
        values = rows[column].iloc[fit].astype(str).to_numpy()
        known = ~np.isin(values, UNKNOWN)
        codes = np.full(len(rows), -1)
        codes[fit[known]] = np.unique(values[known], return_inverse=True)[1]
        out[name] = codes
    return out


def epoch_batches(material: Material, choice: Batches, seed: int, epoch: int) -> list[np.ndarray]:
    """The rows of every micro-batch of an epoch, in the order in which they are taken."""
    source = numpy_generator(seed, "order", epoch)
    fit = material.fit
    if choice.sampling == "balanced":
        label = material.label[fit]
        weight = 1.0 / np.bincount(label)[label]
        drawn = source.choice(fit, len(fit), p=weight / weight.sum())
    else:
        drawn = source.permutation(fit)
    size = min(choice.size, len(fit))
    drawn = drawn[: len(drawn) // size * size]
    batches = []
    for pool in np.split(drawn, range(choice.pool * size, len(drawn), choice.pool * size)):
        by_length = pool[np.argsort(material.waves.sizes[pool], kind="stable")]
        batches += list(by_length.reshape(-1, size))
    return [batches[i] for i in source.permutation(len(batches))]


def groups_of(batches: Sequence[np.ndarray], accumulate: int) -> list[Sequence[np.ndarray]]:
    """The micro-batches of every step; the last step may have fewer."""
    return [batches[i : i + accumulate] for i in range(0, len(batches), accumulate)]


def collated(
    rows: np.ndarray, waves: Waves, card: EncoderCard, crop_s: float | None, source: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """(wave (B, T) float32, length (B,)): one length for all. A clip longer than ``crop_s`` (and than the encoder's
    ``max_s``) is cropped at random; one shorter than the longest that is left is repeated from its start; what is then
    shorter than the encoder's ``min_s`` is zero-padded, as at prediction."""
    bounds = [round(s * card.sample_rate) for s in (crop_s, card.max_s) if s is not None]
    size = min([int(waves.sizes[rows].max()), *bounds])
    out = []
    for row in rows:
        wave = waves[row]
        start = int(source.integers(0, max(len(wave) - size, 0) + 1))
        out.append(fit_length(np.resize(wave[start : start + size], size), card))
    wave = torch.from_numpy(np.stack(out))
    return wave, torch.full((len(rows),), wave.shape[1])


def micro_batch(
    rows: np.ndarray,
    material: Material,
    card: EncoderCard,
    crop_s: float | None,
    source: np.random.Generator,
    device: torch.device,
    progress: float,
    generator: torch.Generator,
) -> MicroBatch:
    """What a method is handed."""
    wave, length = collated(rows, material.waves, card, crop_s, source)
    meta = {name: torch.from_numpy(codes[rows]).to(device) for name, codes in material.meta.items()}
    label, quality = torch.from_numpy(material.label[rows]), torch.from_numpy(material.quality[rows])
    return MicroBatch(
        wave.to(device), length.to(device), label.to(device), meta, quality.to(device), progress, generator
    )
