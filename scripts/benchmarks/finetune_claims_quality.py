"""What a clip's quality and its margin do when noise is added, when it gets quieter, and when there is nothing to hear.

Added noise is white, of no mean, and made orthogonal to the clip, so that it raises the level by exactly
10 log10(1 + 10^(-SNR/10)) dB; at equal level the sum is brought back to the level of the clip. What the definition then
says of q follows from the clip's own level, that change, the bounds of the training clips and the measured entropy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from bench.data.manifest import TRAIN, prepare
from bench.finetune.data.audio_quality import grading
from bench.finetune.data.clip_store import ClipStore
from bench.finetune.data.partition import partition
from bench.finetune.data.quality import STRUCTURE, ClipMeasures, QualityScale, measure_clip
from bench.finetune.methods.quality_margin import quality_margins
from bench.types import Task

SNR_DB, QUIETER_DB = (20.0, 10.0, 0.0, -10.0), (10.0, 40.0)
SILENCES = ("silence: zeros", "silence: a constant", "silence: noise at -130 dB")
CLEAN, EQUAL, FREE = "as recorded", "noise, equal level", "noise, level free"
DATASET, PURPOSE, EVERY = "simulated", 77, 3
TARGET, KAPPA = 0.2, 0.5  # of the margin by quality, its defaults
_AQS = {"entropy": 0.7, "energy": 0.3}  # QLung's
DEFINITIONS = {
    "`quality-margin`'s": ("structure", {}),
    "`qlung`'s, normalised by training clips": ("aqs-training", _AQS),
    "`qlung`'s, absolute": ("aqs-absolute", _AQS),
}


def reactions(data: Task, rate: int, seeds: Sequence[int]) -> pd.DataFrame:
    """A line for every third test clip, condition and seed: ``q``, ``change`` of q from the clip as recorded, ``off``,
    how far q is from what the definition says, ``margin`` in radians. A seed draws noise and the clips that set bounds.
    """
    prepared = prepare(data)
    clips, rows = ClipStore(prepared, rate, "native"), prepared.rows
    lines = []
    for seed in seeds:
        part = partition(data.card, prepared, seed)
        bounds = QualityScale.fitted(
            [measure_clip(clips[row], rate) for row in part.training], [DATASET] * len(part.training)
        )
        rng = np.random.default_rng([PURPOSE, seed])
        for row in part.test[::EVERY]:
            wave = clips[row].astype(np.float64)
            clean = measure_clip(wave, rate)
            first = bounds.quality(clean, DATASET)
            for condition, level, changed, shift_db in conditions(wave, rng):
                measured = measure_clip(changed, rate)
                q = bounds.quality(measured, DATASET)
                off = abs(q - defined(measured, clean, shift_db, bounds.bounds[DATASET]))
                lines.append((seed, rows["group"].iloc[row], condition, level, q, q - first, off))
    table = pd.DataFrame(lines, columns=["seed", "group", "condition", "db", "q", "change", "off"])
    return table.assign(margin=quality_margins(table["q"], TARGET, KAPPA))


def conditions(wave: np.ndarray, rng: np.random.Generator) -> Iterator[tuple[str, float, np.ndarray, float | None]]:
    """(condition, its level in dB or NaN, the clip under it, change of its level in dB; None: nothing to hear)."""
    wave = wave - wave.mean()
    yield CLEAN, math.nan, wave, 0.0
    noise = rng.standard_normal(len(wave))
    noise -= noise.mean()
    noise -= (noise @ wave) / (wave @ wave) * wave
    noise *= np.sqrt((wave @ wave) / (noise @ noise))
    for snr_db in SNR_DB:
        sum_ = wave + 10 ** (-snr_db / 20) * noise
        louder_db = 10 * math.log10(1 + 10 ** (-snr_db / 10))
        yield EQUAL, snr_db, 10 ** (-louder_db / 20) * sum_, 0.0
        yield FREE, snr_db, sum_, louder_db
    for down_db in QUIETER_DB:
        yield "quieter", down_db, 10 ** (-down_db / 20) * wave, -down_db
    nothing = np.zeros(len(wave)), np.full(len(wave), 0.3), 10 ** (-130 / 20) * noise / noise.std()
    for condition, silent in zip(SILENCES, nothing, strict=True):
        yield condition, math.nan, silent, None


def defined(measured: ClipMeasures, clean: ClipMeasures, shift_db: float | None, bounds: tuple[float, float]) -> float:
    """q by the definition: 0 where there is nothing to hear, else from the measured entropy and the level that the
    condition makes of the clip's."""
    if shift_db is None:
        return 0.0
    loudness = (clean.level_db + shift_db - bounds[0]) / (bounds[1] - bounds[0])
    return STRUCTURE * (1 - measured.entropy) + (1 - STRUCTURE) * min(max(loudness, 0.0), 1.0)


def wear(worn: Task, clear: Task, rate: int) -> pd.DataFrame:
    """What noise does to quality: a line per training clip of ``worn`` that differs from the same one of ``clear``, and
    definition of quality in ``DEFINITIONS``: ``group``, ``clear``, ``worn`` and their ``change``."""
    sides = [prepare(each) for each in (worn, clear)]
    stores = [ClipStore(side, rate, "native") for side in sides]
    rows = np.flatnonzero(np.isin(sides[0].rows["split"], TRAIN))
    noisy = [row for row in rows if not np.array_equal(stores[0][row], stores[1][row])]
    lines = []
    for name, (definition, settings) in DEFINITIONS.items():
        by = grading(definition, settings)
        graded = [by.qualities([by.measure(store[row], rate) for row in rows], DATASET) for store in stores]
        told = [dict(zip(rows.tolist(), qualities, strict=True)) for qualities in graded]
        for row in noisy:
            worn_q, clear_q = told[0][int(row)], told[1][int(row)]
            lines.append((name, sides[0].rows["group"].iloc[row], clear_q, worn_q, worn_q - clear_q))
    return pd.DataFrame(lines, columns=["definition", "group", "clear", "worn", "change"])
