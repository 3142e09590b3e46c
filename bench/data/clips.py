"""From manifest rows to waveforms: one decode per recording, cropped at the native rate, resampled, then shaped.

What a clip is made into is a *clip policy*, asked for by name and part of every record's key; a policy whose numbers
change needs another name. ``native`` is the headline; the others are those of the literature.

The unit of work is the recording: its clips are decoded, encoded and stored together, whatever else was asked for.
An embedding is therefore the same to the last bit in every task that uses the recording, and after an interruption.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.base.errors import UnknownId
from bench.data import audio

if TYPE_CHECKING:
    import pandas as pd

    from bench.data.recordings import Recording

EIGHT_S = 8
FADES_PER_S = 16  # a fade lasts 1/16 s
RESPIRENET_HZ = 4000
SILENT_DB, FAINTEST = 60.0, 1e-10


def _native(wave: np.ndarray, rate: int) -> np.ndarray:
    """The clip as annotated; the encoder's own length limits are applied later."""
    return wave


def _tile8(wave: np.ndarray, rate: int) -> np.ndarray:
    """Eight seconds as in the literature on ICBHI's cycles.

    The clip fades in and out over 62.5 ms; of a longer one the first 8 s are kept, a shorter one is repeated, cut, and
    faded out again at its new end. A clip shorter than the fade rises, or falls, over its whole length.

    References
    ----------
    SCL (Moummad and Farrugia, WASPAA 2023); EVAR.
    """
    wave = wave * _rise(len(wave), rate) * _rise(len(wave), rate)[::-1]
    size = EIGHT_S * rate
    if len(wave) > size:
        return wave[:size]
    return _repeated(wave, size, lead=0) * _rise(size, rate)[::-1]


def _opera8(wave: np.ndarray, rate: int) -> np.ndarray:
    """A recording as OPERA prepares it (arXiv:2406.16148).

    Silence at both ends is trimmed; what is then shorter than 8 s is filled up in front with copies of itself, the
    first of them cut. Longer clips stay as long.
    """
    start, end = _audible_span(wave, rate)
    wave = wave[start:end]
    size = max(len(wave), EIGHT_S * rate)
    return _repeated(wave, size, lead=size - len(wave))


def _respirenet(wave: np.ndarray, rate: int) -> np.ndarray:
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


CLIP_POLICIES: Mapping[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "native": _native,
    "tile8": _tile8,
    "opera8": _opera8,
    "respirenet": _respirenet,
}


def clip_policy(name: str) -> Callable[[np.ndarray, int], np.ndarray]:
    """``(wave (T,), rate) -> wave (T',)``, both at the encoder's rate. Raises ``UnknownId``."""
    if name not in CLIP_POLICIES:
        raise UnknownId("clip policy", name, CLIP_POLICIES)
    return CLIP_POLICIES[name]


@dataclass(frozen=True)
class Unit:
    """The clips asked of one recording.

    ``key`` identifies audio content and boundaries, ``rows`` are positions in the table that the unit was made from,
    ``rate`` and ``frames`` are the recording's.
    """

    key: str
    path: str
    start_s: tuple[float, ...]
    end_s: tuple[float, ...]
    rows: tuple[int, ...]
    rate: int
    frames: int

    @property
    def seconds(self) -> float:
        """Total length of the clips."""
        return sum(end - start for start, end in zip(self.start_s, self.end_s))


def units(rows: pd.DataFrame, recordings: Mapping[str, Recording]) -> list[Unit]:
    """One unit per recording, ordered by path; clips ordered by start."""
    ordered = rows.assign(_row=np.arange(len(rows))).sort_values(["path", "start_s", "end_s"], kind="stable")
    out = []
    for name, part in ordered.groupby("path", sort=True):
        path = str(name)
        starts, ends = tuple(part["start_s"]), tuple(part["end_s"])
        recording = recordings[path]
        text = recording.digest + "".join(f"|{a:.6f}-{b:.6f}" for a, b in zip(starts, ends))
        key = hashlib.sha256(text.encode()).hexdigest()
        out.append(Unit(key, path, starts, ends, tuple(part["_row"]), recording.rate, recording.frames))
    return out


def digest(rows: pd.DataFrame, recordings: Mapping[str, Recording]) -> str:
    """SHA-256 of audio content and clip boundaries, independent of paths and of the order of rows."""
    return hashlib.sha256("".join(sorted(unit.key for unit in units(rows, recordings))).encode()).hexdigest()


def waves(unit: Unit, root: Path, rate: int, policy: str = "native") -> list[np.ndarray]:
    """The unit's clips as an encoder takes them.

    Parameters
    ----------
    unit
        Clips of one recording.
    root
        The folder that ``unit.path`` is relative to.
    rate
        Sampling rate of the encoder, in Hz.
    policy
        A key of ``CLIP_POLICIES``.

    Returns
    -------
    list of np.ndarray
        (T,) float32, mono at ``rate``, one per clip in the unit's order.

    Raises
    ------
    BadInput
        For audio that cannot be read.
    UnknownId
        For an unknown policy.
    """
    shape = clip_policy(policy)
    whole, native = audio.read(root / unit.path)
    cropped = (audio.crop(whole, native, start, end) for start, end in zip(unit.start_s, unit.end_s))
    return [shape(audio.resample(wave, native, rate), rate) for wave in cropped]


def silent_waves(unit: Unit, rate: int) -> list[np.ndarray]:
    """Zeros as long as ``waves`` under ``native``, for what reads nothing but lengths; no file is opened."""
    spans = (audio.span(unit.frames, unit.rate, start, end) for start, end in zip(unit.start_s, unit.end_s))
    sizes = (audio.resampled_length(max(0, stop - start), unit.rate, rate) for start, stop in spans)
    return [np.zeros(size, np.float32) for size in sizes]


def chunks(todo: list[Unit], seconds: float = 240.0) -> Iterator[list[Unit]]:
    """Runs of units with about ``seconds`` of clips each, so that memory does not grow with the corpus."""
    part, length_s = [], 0.0
    for unit in todo:
        part.append(unit)
        length_s += unit.seconds
        if length_s >= seconds:
            yield part
            part, length_s = [], 0.0
    if part:
        yield part
