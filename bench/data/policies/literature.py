"""Clips as annotated, and as the literature prepares them: functions (wave (T,), rate) -> wave (T',)."""

from __future__ import annotations

import numpy as np

from bench.data import audio

EIGHT_S, FIVE_S, TEN_S = 8, 5, 10
FADES_PER_S = 16  # a fade lasts 1/16 s
RESPIRENET_HZ = 4000
SILENT_DB, FAINTEST = 60.0, 1e-10


def native(wave: np.ndarray, rate: int) -> np.ndarray:
    """The clip as annotated; the encoder's own length limits are applied later."""
    return wave


def tile8(wave: np.ndarray, rate: int) -> np.ndarray:
    """Eight seconds as in the literature on ICBHI's cycles.

    The clip fades in and out over 62.5 ms; of a longer one the first 8 s are kept, a shorter one is repeated, cut, and
    faded out again at its new end. A clip shorter than the fade rises, or falls, over its whole length.

    References
    ----------
    SCL (Moummad and Farrugia, WASPAA 2023); EVAR.
    """
    return _tiled(wave, rate, EIGHT_S)


def tile5(wave: np.ndarray, rate: int) -> np.ndarray:
    """Five seconds, otherwise as ``tile8``.

    References
    ----------
    PAFA (Jeong and Kim, Interspeech 2025), which fades recordings, not clips.
    """
    return _tiled(wave, rate, FIVE_S)


def tile10(wave: np.ndarray, rate: int) -> np.ndarray:
    """Ten seconds, otherwise as ``tile8``.

    References
    ----------
    PC-MCL (Jeong and Kim, ICASSP 2026).
    """
    return _tiled(wave, rate, TEN_S)


def _tiled(wave: np.ndarray, rate: int, seconds: int) -> np.ndarray:
    """A clip faded at its ends, then cut, or repeated and faded out again, to some seconds."""
    wave = wave * _rise(len(wave), rate) * _rise(len(wave), rate)[::-1]
    size = seconds * rate
    if len(wave) > size:
        return wave[:size]
    return _repeated(wave, size, lead=0) * _rise(size, rate)[::-1]


def opera8(wave: np.ndarray, rate: int) -> np.ndarray:
    """A recording as OPERA prepares it (arXiv:2406.16148).

    Silence at both ends is trimmed; what is then shorter than 8 s is filled up in front with copies of itself, the
    first of them cut. Longer clips stay as long.
    """
    start, end = _audible_span(wave, rate)
    wave = wave[start:end]
    size = max(len(wave), EIGHT_S * rate)
    return _repeated(wave, size, lead=size - len(wave))


def respirenet(wave: np.ndarray, rate: int) -> np.ndarray:
    """Eight seconds without anything above 2 kHz, as in RespireNet (Gairola et al., EMBC 2021).

    At 4 kHz, a shorter clip is filled up with copies of itself on both sides; then it is resampled to the encoder's
    rate again. RespireNet pads one side, drawn at random, and cuts a longer cycle into halfway overlapping frames whose
    answers vote. Here each side gets half, and of a longer clip only the first frame is used: 15 of ICBHI's 6,898
    cycles.
    """
    wave = audio.resample(wave, rate, RESPIRENET_HZ)[: EIGHT_S * RESPIRENET_HZ]
    missing = EIGHT_S * RESPIRENET_HZ - len(wave)
    return audio.resample(_repeated(wave, EIGHT_S * RESPIRENET_HZ, lead=missing // 2), RESPIRENET_HZ, rate)


def _rise(size: int, rate: int) -> np.ndarray:
    """(size,) float32 gain of a linear fade-in."""
    ramp = min(size, rate // FADES_PER_S)
    return np.concatenate([np.linspace(0, 1, ramp, dtype=np.float32), np.ones(size - ramp, np.float32)])


def _repeated(wave: np.ndarray, size: int, lead: int) -> np.ndarray:
    """``size`` samples of the clip repeated end to end in both directions, a whole copy starting at ``lead``."""
    if not len(wave):
        return np.zeros(size, np.float32)
    return wave[(np.arange(size) - lead) % len(wave)]


def _audible_span(wave: np.ndarray, rate: int) -> tuple[int, int]:
    """First and last-plus-one sample of what is less than 60 dB below the loudest frame.

    Frames of 0.1 s every 0.05 s, centred and zero-padded, as ``librosa.effects.trim``. Silence is equally loud
    everywhere and stays.
    """
    frame = rate // 10
    hop = frame // 2
    padded = np.pad(wave.astype(np.float64), frame // 2)
    padded = np.pad(padded, (0, max(0, frame - len(padded))))
    energy = np.concatenate([[0.0], np.cumsum(padded**2)])
    first = np.arange(0, len(padded) - frame + 1, hop)
    level = 10 * np.log10(np.maximum((energy[first + frame] - energy[first]) / frame, FAINTEST))
    audible = np.flatnonzero(level > level.max() - SILENT_DB)
    return hop * int(audible[0]), min(len(wave), hop * (int(audible[-1]) + 1))
