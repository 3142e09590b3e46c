"""Every clip of a task at one sampling rate, decoded once on all cores and read from disk as often as training needs.

Samples are kept as float32. Recordings have 16 bits, but most are resampled, averaged over channels or faded, after
which 16 bits would round what training sees.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.base.parallel.engine import Engine
from bench.base.parallel.threads import cores, workers
from bench.base.paths import cache_root, file_digest, parse_json, replacing, write_text
from bench.base.progress import Progress, silent
from bench.data import audio, clips
from bench.data.manifest import Prepared
from bench.encoders.features.blocks import Block, cut
from bench.finetune.data.quality import ClipMeasures

STORE_FORMAT = 2  # raised whenever the files' content changes
THREADS = Engine(backend="threading")  # decoding and resampling leave the interpreter free

Places = dict[str, list[np.ndarray]]  # {recording's key: its clips}


def _warn(line: str) -> None:
    warnings.warn(line, stacklevel=2)


class ClipStore:
    """``store[i]`` is clip i of ``prepared.rows`` as float32 (T,), under a clip policy.

    The clips lie in the cache, in ``clips/<digest>/``, where the digest is that of recordings, clip boundaries, rate
    and policy: every seed, recipe, encoder, task and process that asks for the same clips reads the same files. They
    are files of some recordings each, written whole, with a digest; what is damaged or missing is decoded again. Where
    the cache cannot be written, the clips are held in memory.

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
    say
        Told where clips are held in memory; by default a warning.
    engine
        Where recordings are decoded.

    Attributes
    ----------
    sizes
        (N,) samples of each clip.
    measures
        {what measures: {clip: what it measured so far}}.

    Raises
    ------
    BadInput
        For audio that cannot be read.
    """

    def __init__(
        self,
        prepared: Prepared,
        rate: int,
        clip: str,
        progress: Progress = silent,
        say: Callable[[str], None] = _warn,
        engine: Engine = THREADS,
    ):
        units = clips.units(prepared.rows, prepared.recordings)
        identity = [STORE_FORMAT, rate, audio.RESAMPLER, clip, sorted(unit.key for unit in units)]
        folder = cache_root() / "clips" / hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:20]
        places = _stored(folder)
        if any(unit.key not in places for unit in units):
            with _alone(folder):
                places = _stored(folder)  # what another process has decoded in the meantime
                missing = {unit.key for unit in units} - set(places)
                held = _decode(_Decoding(folder, prepared.root, rate, clip), cut(units, missing), engine, progress)
            if held:
                say(_in_memory(folder, held))
            places = _stored(folder) | held
        waves = {row: wave for unit in units for row, wave in zip(unit.rows, places[unit.key], strict=True)}
        self._waves = [waves[row] for row in range(len(prepared.rows))]
        self.measures: dict[Callable, dict[int, ClipMeasures]] = {}
        self.sizes = np.array([len(wave) for wave in self._waves])

    def __getitem__(self, row: int) -> np.ndarray:
        return np.array(self._waves[int(row)])


class ClipStores:
    """The stores that a process has opened, each once, so that runs of many seeds and recipes share them."""

    def __init__(self, progress: Progress = silent, say: Callable[[str], None] = _warn):
        self._progress, self._say = progress, say
        self._open: dict[tuple[int, int, str], tuple[Prepared, ClipStore]] = {}

    def get(self, prepared: Prepared, rate: int, clip: str) -> ClipStore:
        """The store of a task's clips, as ``ClipStore``."""
        key = (id(prepared), rate, clip)
        if key not in self._open:
            self._open[key] = prepared, ClipStore(prepared, rate, clip, self._progress, self._say)
        return self._open[key][1]


@dataclass(frozen=True)
class _Decoding:
    """A unit of work: decodes the recordings of a block into a file; returns its clips where they cannot be written."""

    folder: Path
    root: Path
    rate: int
    clip: str

    def __call__(self, block: Block) -> Places:
        found = {unit.key: clips.waves(unit, self.root, self.rate, self.clip) for unit in block.units}
        samples, listing = self.folder / f"{block.name}.f32", self.folder / f"{block.name}.json"
        try:
            with replacing(samples) as partial, partial.open("wb") as file:
                for wave in (wave for waves in found.values() for wave in waves):
                    file.write(np.ascontiguousarray(wave, np.float32).tobytes())
            sizes = [(key, [len(wave) for wave in waves]) for key, waves in found.items()]
            # last: samples without a listing do not exist
            write_text(listing, json.dumps({"sizes": sizes, "sha256": file_digest(samples)}))
        except OSError:
            return found
        return {}


def _decode(decoding: _Decoding, todo: list[Block], engine: Engine, progress: Progress) -> Places:
    """Decode blocks into files; return the clips that could not be written."""
    held: Places = {}
    with progress("decode", sum(block.clip_count for block in todo)) as tick:
        for block, kept in engine.run(decoding, todo):
            held |= kept
            tick(block.clip_count)
    return held


def _in_memory(folder: Path, held: Places) -> str:
    size_mb = sum(wave.nbytes for waves in held.values() for wave in waves) / 1e6
    return (
        f"{folder} cannot be written: {size_mb:.0f} MB of clips are held in memory, and the next run decodes them "
        "again; free space, or set RESPBENCH_CACHE to a folder of yours"
    )


def _stored(folder: Path) -> Places:
    """The clips in a store's whole files."""
    places: Places = {}
    with workers(cores()) as pool:  # digests leave the interpreter free
        for found in pool.map(_mapped, sorted(folder.glob("*.json"))):
            places |= found
    return places


def _mapped(listing: Path) -> Places:
    """The clips of one file; none where it is damaged, so that they are decoded again."""
    samples = listing.with_suffix(".f32")
    try:
        content = parse_json(listing.read_text(encoding="utf-8"))
        if file_digest(samples) != content["sha256"]:
            return {}
        ends = np.cumsum([size for _, sizes in content["sizes"] for size in sizes])
        waves = iter(np.split(np.memmap(samples, np.float32, mode="r"), ends)[:-1])
        return {key: [next(waves) for _ in sizes] for key, sizes in content["sizes"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process decodes into the folder; without locks two may do the same work, byte for byte."""
    from filelock import FileLock

    lock = FileLock(folder / "lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (OSError, NotImplementedError):
        yield
        return
    try:
        yield
    finally:
        lock.release()
