"""The training clips of a task as micro-batches: labels, codes of metadata, order within an epoch, collation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from bench.base.errors import BadInput
from bench.data.manifest import Prepared
from bench.encoders.batches import fit_length
from bench.finetune.data.clip_store import ClipStore
from bench.finetune.data.randomness import numpy_generator
from bench.finetune.methods.shared.base import MicroBatch, TrainingFacts
from bench.finetune.recipe import Batches
from bench.types import EncoderCard

UNKNOWN = ("", "unknown", "nan", "None")  # values of metadata that say nothing
NEUTRAL_QUALITY = 0.5  # of clips whose quality was not measured
ALIASES = {"device": "domain", "age": "meta_age_group", "patient": "group"}  # {name in methods: manifest column}


@dataclass(frozen=True)
class TrainingData:
    """What training may read of a task's N clips.

    ``label``, ``metadata`` and ``quality`` hold values of the training clips only and say nothing of any other.

    Attributes
    ----------
    clips
        Waveforms of all clips.
    clip_id
        (N,) names of all clips.
    training
        (n,) positions of the clips trained on.
    label
        (N,) int64 class indices, −1 outside ``training``.
    metadata
        {column: (N,) int64 codes of its values, −1 outside ``training`` and where unknown}.
    quality
        (N,) float32 in [0, 1].
    soft_label
        (N, K) float32 probabilities, NaN outside ``training``; None without teachers.
    """

    clips: ClipStore
    clip_id: np.ndarray
    training: np.ndarray
    label: np.ndarray
    metadata: Mapping[str, np.ndarray]
    quality: np.ndarray
    soft_label: np.ndarray | None = None

    @classmethod
    def of(cls, prepared: Prepared, clips: ClipStore, training: np.ndarray) -> TrainingData:
        """Take labels and metadata of the clips at ``training``; every quality is ``NEUTRAL_QUALITY``."""
        rows = prepared.rows
        label = np.full(len(rows), -1)
        label[training] = rows["label"].to_numpy()[training]
        quality = np.full(len(rows), NEUTRAL_QUALITY, np.float32)
        return cls(clips, rows["clip_id"].to_numpy(), training, label, metadata_codes(rows, training), quality)


def training_facts(
    rows: pd.DataFrame, training: np.ndarray, classes: Sequence[str], width: int, token: int = 0
) -> TrainingFacts:
    """Return what a method is told before it is built, from a manifest alone.

    Parameters
    ----------
    rows
        The manifest's N clips.
    training
        (n,) positions of the clips trained on.
    classes
        Their names.
    width
        Number of features that the head reads.
    token
        Channels of the encoder's tokens; 0 where it gives none.
    """
    counts = np.bincount(rows["label"].to_numpy()[training], minlength=len(classes))
    codes = metadata_codes(rows, training).items()
    domains = {name: n for name, column in codes if (n := len(np.unique(column[column >= 0])))}
    return TrainingFacts(len(classes), width, tuple(map(int, counts)), domains, token, tuple(classes))


def metadata_codes(rows: pd.DataFrame, training: np.ndarray) -> dict[str, np.ndarray]:
    """Number the values of each column of metadata among the training clips.

    Parameters
    ----------
    rows
        The manifest's N clips.
    training
        Positions of the clips trained on.

    Returns
    -------
    dict
        {column: (N,) int64 codes, −1 outside ``training`` and where unknown}. Columns are ``domain``, ``group`` and
        the manifest's ``meta_*`` without that prefix; ``device`` is the domain, ``age`` the age group and ``patient``
        the group.
    """
    columns = {"domain": "domain", "group": "group"}
    columns |= {name.removeprefix("meta_"): name for name in rows if name.startswith("meta_")}
    columns |= {alias: name for alias, name in ALIASES.items() if name in rows}
    out = {}
    for name, column in columns.items():
        values = rows[column].iloc[training].astype(str).to_numpy()
        known = ~np.isin(values, UNKNOWN)
        codes = np.full(len(rows), -1)
        codes[training[known]] = np.unique(values[known], return_inverse=True)[1]
        out[name] = codes
    return out


def input_texts(rows: pd.DataFrame, columns: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the texts of metadata that a method reads as input.

    Parameters
    ----------
    rows
        The manifest's N clips.
    columns
        Names as in ``metadata_codes``.

    Returns
    -------
    dict
        {column: (N,) texts, empty where unknown}.

    Raises
    ------
    BadInput
        For a column that the task does not have.
    """
    out = {}
    for name in columns:
        column = next((each for each in (ALIASES.get(name), f"meta_{name}", name) if each in rows), None)
        if column is None:
            problem = f"the method reads the {name} of every clip, and this task's manifest has none"
            raise BadInput("metadata", problem, "take another task, or a method that reads sound alone")
        values = rows[column].astype(str).to_numpy(dtype=object)
        out[name] = np.where(np.isin(values, UNKNOWN), "", values)
    return out


def epoch_batches(data: TrainingData, batches: Batches, seed: int, epoch: int) -> list[np.ndarray]:
    """Draw the micro-batches of an epoch.

    Parameters
    ----------
    data
        The training clips.
    batches
        The recipe's size, sampling and pool.
    seed, epoch
        The run's seed and the epoch from 0, which alone decide the draws.

    Returns
    -------
    list
        Positions of the clips of every micro-batch, (``batches.size``,) each, in the order in which they are taken.
    """
    generator = numpy_generator(seed, "order", epoch)
    training = data.training
    if batches.sampling == "balanced":
        label = data.label[training]
        weight = 1.0 / np.bincount(label)[label]
        drawn = generator.choice(training, len(training), p=weight / weight.sum())
    else:
        drawn = generator.permutation(training)
    size = min(batches.size, len(training))
    drawn = drawn[: len(drawn) // size * size]
    out = []
    for pool in np.split(drawn, range(batches.pool * size, len(drawn), batches.pool * size)):
        by_length = pool[np.argsort(data.clips.sizes[pool], kind="stable")]
        out += list(by_length.reshape(-1, size))
    return [out[i] for i in generator.permutation(len(out))]


def group_by_step(batches: Sequence[np.ndarray], accumulate: int) -> list[Sequence[np.ndarray]]:
    """Group micro-batches by the optimiser step that takes them; the last step may have fewer than ``accumulate``."""
    return [batches[i : i + accumulate] for i in range(0, len(batches), accumulate)]


def collate_cropped(
    rows: np.ndarray, clips: ClipStore, card: EncoderCard, crop_s: float | None, generator: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Bring clips to one length for training.

    A clip longer than ``crop_s`` or than the encoder's ``max_s`` is cropped at a random place. One shorter than the
    longest that is left is repeated from its start. What is then shorter than the encoder's ``min_s`` is zero-padded,
    as at prediction.

    Parameters
    ----------
    rows
        (B,) positions of the clips.
    clips
        Their waveforms.
    card
        The encoder's sampling rate and bounds.
    crop_s
        Longest duration in seconds; None: the encoder's.
    generator
        Draws where a clip is cropped.

    Returns
    -------
    wave, length
        (B, T) float32, and (B,) int64 samples, all T.
    """
    limits = [round(seconds * card.sample_rate) for seconds in (crop_s, card.max_s) if seconds is not None]
    size = min([int(clips.sizes[rows].max()), *limits])
    out = []
    for row in rows:
        wave = clips[row]
        start = int(generator.integers(0, max(len(wave) - size, 0) + 1))
        out.append(fit_length(np.resize(wave[start : start + size], size), card))
    wave = torch.from_numpy(np.stack(out))
    return wave, torch.full((len(rows),), wave.shape[1])


class HostBatch(NamedTuple):
    """What a ``MicroBatch`` holds of its clips, on the CPU: made ahead while a device computes."""

    wave: torch.Tensor
    length: torch.Tensor
    label: torch.Tensor
    meta: Mapping[str, torch.Tensor]
    quality: torch.Tensor
    row: torch.Tensor
    soft_label: torch.Tensor | None = None

    def pinned(self) -> HostBatch:
        """The same in pinned memory, from which CUDA copies beside its work."""
        meta = {name: codes.pin_memory() for name, codes in self.meta.items()}
        return HostBatch(
            self.wave.pin_memory(),
            self.length.pin_memory(),
            self.label.pin_memory(),
            meta,
            self.quality.pin_memory(),
            self.row.pin_memory(),
            None if self.soft_label is None else self.soft_label.pin_memory(),
        )

    def on(self, device: torch.device, progress: float, generator: torch.Generator) -> MicroBatch:
        """The micro-batch on a device; the host waits for no copy from pinned memory."""
        meta = {name: codes.to(device, non_blocking=True) for name, codes in self.meta.items()}
        parts = (self.wave, self.length, self.label, self.quality, self.row)
        wave, length, label, quality, row = (part.to(device, non_blocking=True) for part in parts)
        soft = None if self.soft_label is None else self.soft_label.to(device, non_blocking=True)
        return MicroBatch(wave, length, label, meta, quality, progress, generator, row, soft)


def host_batch(
    rows: np.ndarray,
    data: TrainingData,
    card: EncoderCard,
    crop_s: float | None,
    crop_generator: np.random.Generator,
) -> HostBatch:
    """Collect what a method is given of the clips at ``rows``; other arguments are those of ``collate_cropped``."""
    wave, length = collate_cropped(rows, data.clips, card, crop_s, crop_generator)
    meta = {name: torch.from_numpy(codes[rows]) for name, codes in data.metadata.items()}
    label, quality = (torch.from_numpy(values[rows]) for values in (data.label, data.quality))
    soft = None if data.soft_label is None else torch.from_numpy(data.soft_label[rows])
    return HostBatch(wave, length, label, meta, quality, torch.from_numpy(rows), soft)
