"""How good a clip is to hear: structure of its spectrum and loudness, in one number.

The definition is this benchmark's own, after what QLung (arXiv:2606.11915) reports of its quality: a spectral entropy
and an RMS, weighed 0.4. On SPRSound it hardly tells the recordings that clinicians call of poor quality, and noise
that is added to a clip, rather than put in its place, makes the clip louder as well as less structured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.signal import welch

from bench.base.errors import BadInput, UnknownId

WINDOW_S = 0.032  # Hann, half overlapping
BAND_HZ = (50.0, 2000.0)
PERCENTILES = (5.0, 95.0)
STRUCTURE = 0.4  # share of the spectrum's structure; the rest is loudness
SILENT_DB = -120.0  # of full scale: below what 16 bits can hold, and below dither


class Sound(NamedTuple):
    """``entropy`` of the spectrum in [0, 1], ``level`` in dB of full scale; 1 and ``SILENT_DB`` for silence."""

    entropy: float
    level: float

    @property
    def silent(self) -> bool:
        """Whether there is nothing to hear."""
        return self.level <= SILENT_DB


SILENCE = Sound(1.0, SILENT_DB)


def sound(wave: np.ndarray, rate: int) -> Sound:
    """Entropy and level of a waveform (T,), full scale 1, as it was recorded: before it is repeated or padded.

    The level is that of the waveform without its mean, which is no sound. A clip is silent where the level is at most
    ``SILENT_DB`` or the band of the entropy is empty. Raises ``BadInput`` for samples that are not finite, none at all,
    and a rate at which the band has fewer than two bins.
    """
    wave = np.asarray(wave, np.float64)
    if wave.ndim != 1 or not len(wave) or not np.isfinite(wave).all():
        raise BadInput("quality", f"a waveform of shape {wave.shape}", "give finite samples (T,), one at least")
    power = float(np.mean((wave - wave.mean()) ** 2))
    if power <= 10 ** (SILENT_DB / 10):
        return SILENCE
    entropy = spectral_entropy(wave, rate)
    return SILENCE if entropy is None else Sound(entropy, 10 * math.log10(power))


def spectral_entropy(wave: np.ndarray, rate: int) -> float | None:
    """−Σ p log p / log K over the K bins of Welch's power spectrum within ``BAND_HZ``, p normalised to a sum of 1: 0
    for a single bin, 1 for a flat band; None where the band is empty. Raises ``BadInput`` where K < 2."""
    size = round(WINDOW_S * rate)
    wave = np.pad(wave, (0, max(size - len(wave), 0)))
    frequency, power = welch(wave, rate, "hann", size, size // 2) if size > 1 else (np.empty(0), np.empty(0))
    band = power[(frequency >= BAND_HZ[0]) & (frequency <= BAND_HZ[1])]
    if len(band) < 2:
        raise BadInput("quality", f"a sampling rate of {rate} Hz", "give waveforms at 200 Hz or more")
    if not band.sum() > 0:
        return None
    share = band / band.sum()
    share = share[share > 0]
    return float(np.clip(-(share * np.log(share)).sum() / math.log(len(band)), 0, 1))


@dataclass(frozen=True)
class Loudness:
    """``bounds``: {dataset: the 5th and the 95th percentile of its training clips' levels, dB of full scale}."""

    bounds: Mapping[str, tuple[float, float]]

    @classmethod
    def fitted(cls, sounds: Iterable[Sound], datasets: Iterable[str]) -> Loudness:
        """Of training clips alone. Silent ones have no level and are left out; a dataset of nothing else has both
        bounds at silence."""
        levels: dict[str, list[float]] = {}
        for heard, dataset in zip(sounds, datasets, strict=True):
            levels.setdefault(dataset, []).extend([] if heard.silent else [heard.level])
        return cls({name: _percentiles(found) for name, found in sorted(levels.items())})

    def loudness(self, heard: Sound, dataset: str) -> float:
        """(level − P5) / (P95 − P5) within [0, 1]; 0 for silence. Where the two are equal: 0 below, ½ at, 1 above.
        Raises ``UnknownId`` for a dataset that no training clip is of."""
        if dataset not in self.bounds:
            raise UnknownId("dataset of training clips", dataset, self.bounds)
        low, high = self.bounds[dataset]
        if heard.silent:
            return 0.0
        if high > low:
            return min(max((heard.level - low) / (high - low), 0.0), 1.0)
        return 0.5 if heard.level == low else float(heard.level > low)

    def quality(self, heard: Sound, dataset: str, structure: float = STRUCTURE) -> float:
        """q = structure · (1 − entropy) + (1 − structure) · loudness, in [0, 1]: 0 for silence. Raises as
        ``loudness``."""
        return structure * (1 - heard.entropy) + (1 - structure) * self.loudness(heard, dataset)


def _percentiles(levels: list[float]) -> tuple[float, float]:
    if not levels:
        return SILENT_DB, SILENT_DB
    low, high = np.percentile(levels, PERCENTILES)
    return float(low), float(high)
