"""From manifest rows to waveforms: one decode per recording, cropped at the native rate, then resampled.

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

from bench import audio
from bench.errors import UnknownId

if TYPE_CHECKING:
    import pandas as pd

    from bench.preflight import Recording


def _native(wave: np.ndarray, rate: int) -> np.ndarray:
    """The clip as annotated; the encoder's own length limits are applied later."""
    return wave


CLIP_POLICIES: Mapping[str, Callable[[np.ndarray, int], np.ndarray]] = {"native": _native}


def clip_policy(name: str) -> Callable[[np.ndarray, int], np.ndarray]:
    """``(wave (T,), rate) -> wave (T',)``. Raises ``UnknownId``."""
    if name not in CLIP_POLICIES:
        raise UnknownId("clip policy", name, CLIP_POLICIES)
    return CLIP_POLICIES[name]


@dataclass(frozen=True)
class Unit:
    """The clips asked of one recording. ``key`` identifies audio content and boundaries, ``rows`` are positions in
    the table that the unit was made from."""

    key: str
    path: str
    start_s: tuple[float, ...]
    end_s: tuple[float, ...]
    rows: tuple[int, ...]

    @property
    def seconds(self) -> float:
        return sum(end - start for start, end in zip(self.start_s, self.end_s))


def units(rows: pd.DataFrame, recordings: Mapping[str, Recording]) -> list[Unit]:
    """One unit per recording, ordered by path; clips ordered by start."""
    ordered = rows.assign(_row=np.arange(len(rows))).sort_values(["path", "start_s", "end_s"], kind="stable")
    out = []
    for path, part in ordered.groupby("path", sort=True):
        starts, ends = tuple(part["start_s"]), tuple(part["end_s"])
        text = recordings[path].digest + "".join(f"|{a:.6f}-{b:.6f}" for a, b in zip(starts, ends))
        out.append(Unit(hashlib.sha256(text.encode()).hexdigest(), path, starts, ends, tuple(part["_row"])))
    return out


def digest(rows: pd.DataFrame, recordings: Mapping[str, Recording]) -> str:
    """SHA-256 of audio content and clip boundaries, independent of paths and of the order of rows."""
    return hashlib.sha256("".join(sorted(unit.key for unit in units(rows, recordings))).encode()).hexdigest()


def waves(unit: Unit, root: Path, rate: int, policy: str = "native") -> list[np.ndarray]:
    """The unit's clips as float32 (T,) mono at ``rate`` Hz. Raises ``BadInput`` for unreadable audio."""
    shape = clip_policy(policy)
    whole, native = audio.read(root / unit.path)
    cropped = (audio.crop(whole, native, start, end) for start, end in zip(unit.start_s, unit.end_s))
    return [audio.resample(shape(wave, native), native, rate) for wave in cropped]


def chunks(todo: list[Unit], seconds: float = 240.0) -> Iterator[list[Unit]]:
    """Runs of units with about ``seconds`` of clips each, so that memory does not grow with the corpus."""
    part, held = [], 0.0
    for unit in todo:
        part.append(unit)
        held += unit.seconds
        if held >= seconds:
            yield part
            part, held = [], 0.0
    if part:
        yield part
