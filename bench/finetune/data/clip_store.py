"""Every clip of a task at one sampling rate, decoded once and read from disk as often as training needs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.base.paths import cache_root, replacing, write_text
from bench.base.progress import Progress, silent
from bench.data import audio, clips
from bench.data.manifest import Prepared

STORE_FORMAT = 1  # raised whenever the files' content changes


class ClipStore:
    """``store[i]`` is clip i of ``prepared.rows`` as float32 (T,), under a clip policy.

    The clips lie in the cache, one file for a task, rate and policy, so that memory does not grow with the corpus and
    the next run starts at once.

    Parameters
    ----------
    prepared
        The task's clips and where their recordings are.
    rate
        Sampling rate in Hz.
    clip
        The clip policy, by name.
    progress
        Shows how many clips are decoded.

    Attributes
    ----------
    sizes
        (N,) samples of each clip.
    """

    def __init__(self, prepared: Prepared, rate: int, clip: str, progress: Progress = silent):
        units = clips.units(prepared.rows, prepared.recordings)
        identity = [STORE_FORMAT, rate, audio.RESAMPLER, clip, [[unit.key, *unit.rows] for unit in units]]
        name = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:20]
        folder = cache_root() / "waves"
        samples, listing = folder / f"{name}.f32", folder / f"{name}.json"
        if not listing.exists():
            _write_clips(units, prepared, rate, clip, samples, listing, progress)
        # {clip: (first sample, number of samples)}
        self._places = {int(row): tuple(place) for row, place in json.loads(listing.read_text()).items()}
        self._samples = np.memmap(samples, np.float32, mode="r")
        self.sizes = np.array([self._places[row][1] for row in range(len(prepared.rows))])

    def __getitem__(self, row: int) -> np.ndarray:
        first, size = self._places[int(row)]
        return np.array(self._samples[first : first + size])


def _write_clips(
    units: Sequence[clips.Unit],
    prepared: Prepared,
    rate: int,
    clip: str,
    samples: Path,
    listing: Path,
    progress: Progress,
) -> None:
    places, first = {}, 0
    n_clips = sum(len(unit.rows) for unit in units)
    with replacing(samples) as partial, progress("decode", n_clips) as tick, partial.open("wb") as file:
        for unit in units:
            for row, wave in zip(unit.rows, clips.waves(unit, prepared.root, rate, clip), strict=True):
                file.write(np.ascontiguousarray(wave, np.float32).tobytes())
                places[int(row)] = (first, len(wave))
                first += len(wave)
            tick(len(unit.rows))
    write_text(listing, json.dumps(places))  # last: samples without a listing do not exist
