"""Recording quality of a clip in one number: structure of its spectrum, and loudness.

The definition is this benchmark's own: a spectral entropy and an RMS level, weighed 0.4 and 0.6. On SPRSound it hardly
tells the recordings that clinicians call of poor quality, and noise that is added to a clip, rather than put in its
place, makes the clip louder as well as less structured. QLung's score is in ``audio_quality``.
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


class ClipMeasures(NamedTuple):
    """What quality is computed from.

    Attributes
    ----------
    entropy
        Normalised spectral entropy in [0, 1]; 1 for silence.
    level_db
        Level in dB of full scale; ``SILENT_DB`` for silence.
    """

    entropy: float
    level_db: float

    @property
    def silent(self) -> bool:
        """Whether there is nothing to hear."""
        return self.level_db <= SILENT_DB


SILENCE = ClipMeasures(1.0, SILENT_DB)


def measure_clip(wave: np.ndarray, rate: int) -> ClipMeasures:
    """Measure spectral entropy and level of a clip as it was recorded, before it is repeated or padded.

    The level is that of the waveform without its mean, which is no sound. A clip is silent where the level is at most
    ``SILENT_DB`` or the band of the entropy is empty.

    Parameters
    ----------
    wave
        (T,) samples, full scale 1.
    rate
        Sampling rate in Hz.

    Raises
    ------
    BadInput
        For samples that are not finite, none at all, and a rate at which the band has fewer than two bins.
    """
    wave = np.asarray(wave, np.float64)
    if wave.ndim != 1 or not len(wave) or not np.isfinite(wave).all():
        raise BadInput("quality", f"a waveform of shape {wave.shape}", "give finite samples (T,), one at least")
    power = float(np.mean((wave - wave.mean()) ** 2))
    if power <= 10 ** (SILENT_DB / 10):
        return SILENCE
    entropy = spectral_entropy(wave, rate)
    return SILENCE if entropy is None else ClipMeasures(entropy, 10 * math.log10(power))


def spectral_entropy(wave: np.ndarray, rate: int) -> float | None:
    """Compute −Σ p log p / log K over the K bins of Welch's power spectrum within ``BAND_HZ``.

    p is the spectrum normalised to a sum of 1, so the entropy is 0 for a single bin and 1 for a flat band.

    Parameters
    ----------
    wave
        (T,) float64 samples.
    rate
        Sampling rate in Hz.

    Returns
    -------
    float or None
        In [0, 1]; None where the band is empty.

    Raises
    ------
    BadInput
        Where K < 2.

    References
    ----------
    Welch, IEEE Transactions on Audio and Electroacoustics 15(2), 1967.
    """
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
class QualityScale:
    """The scale of quality, set by the levels of training clips.

    Attributes
    ----------
    bounds
        {dataset: the 5th and the 95th percentile of its training clips' levels, dB of full scale}.
    """

    bounds: Mapping[str, tuple[float, float]]

    @classmethod
    def fitted(cls, measures: Iterable[ClipMeasures], datasets: Iterable[str]) -> QualityScale:
        """Fit the bounds to training clips and the dataset of each.

        Silent clips have no level and are left out; a dataset of nothing else has both bounds at silence.
        """
        levels: dict[str, list[float]] = {}
        for measured, dataset in zip(measures, datasets, strict=True):
            levels.setdefault(dataset, []).extend([] if measured.silent else [measured.level_db])
        return cls({name: _level_bounds(values) for name, values in sorted(levels.items())})

    def loudness(self, measured: ClipMeasures, dataset: str) -> float:
        """Compute (level − P5) / (P95 − P5) clipped to [0, 1]; 0 for silence.

        Where the two percentiles are equal: 0 below them, ½ at them, 1 above them.

        Raises
        ------
        UnknownId
            For a dataset without training clips.
        """
        if dataset not in self.bounds:
            raise UnknownId("dataset of training clips", dataset, self.bounds)
        low, high = self.bounds[dataset]
        if measured.silent:
            return 0.0
        if high > low:
            return min(max((measured.level_db - low) / (high - low), 0.0), 1.0)
        return 0.5 if measured.level_db == low else float(measured.level_db > low)

    def quality(self, measured: ClipMeasures, dataset: str, structure: float = STRUCTURE) -> float:
        """Compute q = structure · (1 − entropy) + (1 − structure) · loudness, in [0, 1]; 0 for silence.

        Raises as ``loudness``.
        """
        return structure * (1 - measured.entropy) + (1 - structure) * self.loudness(measured, dataset)


def _level_bounds(levels_db: list[float]) -> tuple[float, float]:
    if not levels_db:
        return SILENT_DB, SILENT_DB
    low, high = np.percentile(levels_db, PERCENTILES)
    return float(low), float(high)
