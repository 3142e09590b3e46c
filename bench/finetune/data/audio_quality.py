"""How clips are graded for methods that need their quality: what is measured, and how it becomes a number in [0, 1].

A method names its definition and settings (``QualityWanted``); this module turns them into functions of waveforms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy.signal import welch

from bench.base.errors import UnknownId
from bench.finetune.data.quality import SILENCE, SILENT_DB, ClipMeasures, QualityScale, measure_clip

TILE_S, FRAME_S, HOP_S = 8.0, 0.025, 0.010  # of the absolute measures


class Grading(NamedTuple):
    """A definition of quality.

    Attributes
    ----------
    measure
        From samples (T,) and their rate in Hz to what is measured of a clip by itself.
    qualities
        From the measures of all training clips, which may set a scale, and the corpus's name to a quality for each.
    """

    measure: Callable[[np.ndarray, int], ClipMeasures]
    qualities: Callable[[Sequence[ClipMeasures], str], list[float]]


def grading(definition: str, settings: Mapping[str, Any]) -> Grading:
    """Find a definition of quality.

    Parameters
    ----------
    definition
        ``structure`` (``bench.finetune.data.quality``), or QLung's audio quality score under one of two
        normalisations: ``aqs-training`` or ``aqs-absolute``.
    settings
        Of the score: ``entropy`` and ``energy``, its weights.

    Raises
    ------
    UnknownId
        For a definition that does not exist.
    """
    known: dict[str, Grading] = {
        "structure": Grading(measure_clip, _structure),
        "aqs-training": Grading(measure_clip, partial(_aqs, loudness=_loudness_in_training, **settings)),
        "aqs-absolute": Grading(measure_tiled, partial(_aqs, loudness=_amplitudes, **settings)),
    }
    if definition not in known:
        raise UnknownId("definition of quality", definition, known)
    return known[definition]


def audio_quality_score(entropy: float, energy: float, alpha: float, beta: float) -> float:
    """Compute QLung's audio quality score, clip(1 − alpha · entropy + beta · energy, 0, 1).

    Parameters
    ----------
    entropy, energy
        Normalised spectral entropy and RMS energy, in [0, 1].
    alpha, beta
        Their weights.

    References
    ----------
    Kim et al., Quality adaptive angular margin learning, Interspeech 2026 (arXiv:2606.11915).
    """
    return min(max(1 - alpha * entropy + beta * energy, 0.0), 1.0)


def measure_tiled(wave: np.ndarray, rate: int) -> ClipMeasures:
    """Measure a clip that is repeated to 8 s: entropy over the whole band, and RMS as it is.

    The entropy is −Σ p log p / log K of the power spectrum averaged over Hann windows of 25 ms every 10 ms, p its share
    in each of K bins from 0 Hz to half the sampling rate.

    Parameters
    ----------
    wave
        (T,) samples, full scale 1.
    rate
        Sampling rate in Hz.
    """
    tiled = np.resize(np.asarray(wave, np.float64), round(TILE_S * rate))
    power = float(np.mean(tiled**2))
    if power <= 10 ** (SILENT_DB / 10):
        return SILENCE
    size, hop = round(FRAME_S * rate), round(HOP_S * rate)
    spectrum = welch(tiled, rate, "hann", size, size - hop, detrend=False, scaling="spectrum")[1]
    share = spectrum[spectrum > 0] / spectrum.sum()
    entropy = -(share * np.log(share)).sum() / math.log(len(spectrum))
    return ClipMeasures(float(np.clip(entropy, 0, 1)), 10 * math.log10(power))


def _structure(measures: Sequence[ClipMeasures], dataset: str) -> list[float]:
    scale = QualityScale.fitted(measures, [dataset] * len(measures))
    return [scale.quality(measured, dataset) for measured in measures]


def _aqs(
    measures: Sequence[ClipMeasures],
    dataset: str,
    loudness: Callable[[Sequence[ClipMeasures], str], list[float]],
    entropy: float,
    energy: float,
) -> list[float]:
    loud = loudness(measures, dataset)
    return [audio_quality_score(m.entropy, r, entropy, energy) for m, r in zip(measures, loud, strict=True)]


def _loudness_in_training(measures: Sequence[ClipMeasures], dataset: str) -> list[float]:
    """Levels in dB between the 5th and the 95th percentile of the training clips'."""
    scale = QualityScale.fitted(measures, [dataset] * len(measures))
    return [scale.loudness(measured, dataset) for measured in measures]


def _amplitudes(measures: Sequence[ClipMeasures], dataset: str) -> list[float]:
    """RMS relative to full scale, at most 1."""
    return [0.0 if measured.silent else min(10 ** (measured.level_db / 20), 1.0) for measured in measures]
