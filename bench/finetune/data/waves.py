"""Every clip of a task at one rate, decoded once and read from disk as often as training needs."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from bench.base.paths import cache_root, replacing, write_text
from bench.base.progress import Progress, silent
from bench.data import audio, clips
from bench.data.manifest import Prepared

FORMAT = 1


class Waves:
    """``waves[i]``: clip i of ``prepared.rows`` as float32 (T,), under a clip policy. They lie in the cache, one file
    for a task, rate and policy, so that memory does not grow with the corpus and the next run starts at once."""

    def __init__(self, prepared: Prepared, rate: int, clip: str, progress: Progress = silent):
        units = clips.units(prepared.rows, prepared.recordings)
        identity = [FORMAT, rate, audio.RESAMPLER, clip, [[unit.key, *unit.rows] for unit in units]]
        name = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:20]
        folder = cache_root() / "waves"
        samples, sizes = folder / f"{name}.f32", folder / f"{name}.json"
        if not sizes.exists():
            _write(units, prepared, rate, clip, samples, sizes, progress)
        # {clip: (first sample, number of samples)}
        self._where = {int(row): tuple(place) for row, place in json.loads(sizes.read_text()).items()}
        self._samples = np.memmap(samples, np.float32, mode="r")
        self.sizes = np.array([self._where[row][1] for row in range(len(prepared.rows))])

    def __getitem__(self, row: int) -> np.ndarray:
        first, size = self._where[int(row)]
        return np.array(self._samples[first : first + size])


def _write(units, prepared: Prepared, rate: int, clip: str, samples, sizes, progress: Progress) -> None:
    where, first = {}, 0
    total = sum(len(unit.rows) for unit in units)
    with replacing(samples) as partial, partial.open("wb") as file, progress("decode", total) as tick:
        for unit in units:
            for row, wave in zip(unit.rows, clips.waves(unit, prepared.root, rate, clip), strict=True):
                file.write(np.ascontiguousarray(wave, np.float32).tobytes())
                where[int(row)] = (first, len(wave))
                first += len(wave)
            tick(len(unit.rows))
    write_text(sizes, json.dumps(where))  # written last: samples without a listing do not exist
