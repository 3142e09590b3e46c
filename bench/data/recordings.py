"""Looks at every recording before anything is computed: identity of its audio, and what is wrong with it.

Each file is decoded once; what is found is kept in the cache under its absolute path, size and modification time,
so a second look at an unchanged corpus opens no sound file.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.base import paths
from bench.base.errors import BadInput
from bench.base.progress import Progress, Tick, silent
from bench.data import audio

_VERSION = 1  # of the cache; raised when the digest or the checks change
_THREADS = 2


@dataclass(frozen=True)
class Recording:
    """A recording as decoded.

    ``digest`` is the identity of its audio, whatever container holds it: SHA-256 over rate, channels and the float32
    little-endian samples, interleaved; empty where ``problem`` says why it cannot be used and ``remedy`` what to do.
    """

    digest: str
    rate: int
    channels: int
    frames: int
    problem: str | None = None
    remedy: str | None = None

    @property
    def duration_s(self) -> float:
        """Length; 0 where it could not be decoded."""
        return self.frames / self.rate if self.rate else 0.0


def inspect(root: Path, paths: Iterable[str], progress: Progress = silent) -> dict[str, Recording]:
    """{path: Recording} of every path below ``root``. Never raises for a bad file: see ``Recording.problem``."""
    by_folder: dict[Path, list[str]] = defaultdict(list)
    for path in dict.fromkeys(paths):
        by_folder[(root / path).parent].append(path)
    recordings: dict[str, Recording] = {}
    with progress("check recordings", sum(map(len, by_folder.values()))) as tick:
        for folder, members in by_folder.items():
            recordings |= _inspect_folder(root, folder.resolve(), members, tick)
    return recordings


def examine(path: Path) -> Recording:
    """What decoding one file shows."""
    try:
        wave, rate = audio.samples(path)
    except BadInput as error:
        return Recording("", 0, 0, 0, error.problem, error.remedy)
    digest = hashlib.sha256(f"{rate} {wave.shape[1]}\n".encode())
    digest.update(wave.astype("<f4", order="C", copy=False).data)
    return Recording(digest.hexdigest(), rate, wave.shape[1], len(wave))


def _inspect_folder(root: Path, folder: Path, members: list[str], tick: Tick) -> dict[str, Recording]:
    cache = _cache_file(folder)
    cached = _load(cache)
    stamps = {path: _stamp(root / path) for path in members}
    recalled = {path: _recall(cached.get(Path(path).name), stamps[path]) for path in members}
    recordings = {path: recording for path, recording in recalled.items() if recording is not None}
    todo = [path for path in members if path not in recordings]
    tick(len(members) - len(todo))
    fresh: dict[str, dict] = {}
    try:
        with ThreadPoolExecutor(_THREADS) as pool:
            for path, recording in zip(todo, pool.map(lambda path: examine(root / path), todo)):
                recordings[path] = recording
                if not recording.problem:  # a bad file is looked at again: it may have been unreadable for a while
                    fresh[Path(path).name] = {"stamp": stamps[path], "recording": asdict(recording)}
                tick(1)
    finally:
        if fresh:  # also when interrupted: what has been decoded stays decoded
            _save(cache, _load(cache) | fresh)
    return recordings


def _stamp(path: Path) -> list[int]:
    try:
        stat = path.stat()
    except OSError:
        return []
    return [stat.st_size, stat.st_mtime_ns]


def _recall(entry: object, stamp: list[int]) -> Recording | None:
    if not isinstance(entry, Mapping) or not stamp or entry.get("stamp") != stamp:
        return None
    try:
        return Recording(**entry["recording"])
    except (KeyError, TypeError):
        return None


def _cache_file(folder: Path) -> Path:
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:32]
    return paths.cache_root() / "recordings" / f"v{_VERSION}-{name}.json"


def _load(cache: Path) -> dict:
    """The cached entries; none where the file is absent or damaged."""
    try:
        content = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _save(cache: Path, entries: dict) -> None:
    paths.write_text(cache, json.dumps(entries, separators=(",", ":")))
