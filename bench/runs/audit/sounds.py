"""A closer look at each recording than decoding it: fingerprint, effective bit depth, stretches that do not move.

What is found depends on the samples alone and is kept in the cache under their digest, so recordings that several
tasks share are looked at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.base import paths
from bench.base.progress import Progress, silent
from bench.data import audio
from bench.data.recordings import Recording
from bench.runs.audit import fingerprint

STUCK_S = 0.05  # shortest stretch of equal samples that is reported
_VERSION = 1  # of the cache; raised when anything below or the fingerprint changes
_FULL_SCALE = 0.999
_STEPS = 1 << 23


@dataclass(frozen=True)
class Sound:
    """What the samples of a recording look like.

    ``bits``: the fewest bits per sample that represent the recording, 24 at most. ``clipped``: share of samples at full
    scale. ``stuck`` (R, 3): start_s, end_s and value of each stretch of at least ``STUCK_S`` in which no channel's
    samples change; value 0 is digital silence. ``words`` and ``informative``: see ``fingerprint.words``.
    """

    bits: int
    clipped: float
    stuck: np.ndarray = field(repr=False)
    words: np.ndarray = field(repr=False)
    informative: np.ndarray = field(repr=False)

    def stuck_s(self, start_s: float, end_s: float, silence: bool) -> float:
        """Seconds between two times that are digitally silent, or stuck at another value."""
        runs = self.stuck[(self.stuck[:, 2] == 0) == silence]
        return float(np.clip(np.minimum(runs[:, 1], end_s) - np.maximum(runs[:, 0], start_s), 0, None).sum())


def analyse_recordings(
    root: Path, recordings: Mapping[str, Recording], progress: Progress = silent
) -> dict[str, Sound]:
    """{path: Sound} of the recordings that decode; of short ones, of what is there."""
    sound = {path: recording for path, recording in recordings.items() if recording.digest}
    out = {}
    with progress("listen to recordings", len(sound)) as tick:
        for path, recording in sound.items():
            cached = _load_cached(recording.digest)
            heard = cached or analyse(*audio.samples(root / path, known=recording.frames))
            out[path] = cached or _stored(recording.digest, heard)
            tick(1)
    return out


def analyse(wave: np.ndarray, rate: int) -> Sound:
    """Analyses samples (T, channels) at ``rate`` per second."""
    words, informative = fingerprint.words(wave.mean(axis=1, dtype=np.float32), rate)
    return Sound(_bits(wave), float((np.abs(wave) >= _FULL_SCALE).mean()), _stuck(wave, rate), words, informative)


def _bits(wave: np.ndarray) -> int:
    used = int(np.bitwise_or.reduce(np.abs(np.rint(wave * _STEPS).astype(np.int64)), axis=None))
    return 24 - ((used & -used).bit_length() - 1) if used else 0


def _stuck(wave: np.ndarray, rate: int) -> np.ndarray:
    moved = np.flatnonzero((np.diff(wave, axis=0) != 0).any(axis=1)) + 1
    edges = np.concatenate([[0], moved, [len(wave)]])
    long = np.flatnonzero(np.diff(edges) >= STUCK_S * rate)
    return np.stack([edges[long] / rate, edges[long + 1] / rate, wave[edges[long], 0]], axis=1).astype(float)


def cache_file(digest: str) -> Path:
    """Where the analysis of a recording is cached, by the digest of its samples."""
    return paths.cache_root() / "sounds" / f"v{_VERSION}" / digest[:2] / f"{digest}.npz"


def _load_cached(digest: str) -> Sound | None:
    """The cached Sound; None where there is none or it is damaged."""
    try:
        with np.load(cache_file(digest)) as kept:
            bits, clipped = kept["facts"]
            return Sound(int(bits), float(clipped), kept["stuck"], kept["words"], kept["told"])
    except (OSError, ValueError, KeyError, EOFError):
        return None


def _stored(digest: str, sound: Sound) -> Sound:
    facts = np.array([sound.bits, sound.clipped])
    with paths.replacing(cache_file(digest)) as partial, partial.open("wb") as file:
        np.savez(file, facts=facts, stuck=sound.stuck, words=sound.words, told=sound.informative)
    return sound
