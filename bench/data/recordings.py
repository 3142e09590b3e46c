"""Looks at every recording before anything is computed: identity of its audio, and what is wrong with it.

Each file is decoded once; what is found is kept in the cache under its absolute path, size and modification time,
so a second look at an unchanged corpus opens no sound file.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.base import paths
from bench.base.errors import BadInput, UnknownId
from bench.base.parallel.threads import cores
from bench.base.progress import Progress, Tick, silent
from bench.data import audio
from bench.data.sound_files import plausible
from bench.data.sound_files.contents import REPLACE
from bench.data.sound_files.plausible import Remark
from bench.types import Finding

KEEP_SHORT = "keep-short"  # the choice of --on-bad-clip that takes short recordings as they are
ON_BAD_CLIP = ("error", "exclude", KEEP_SHORT)
SHORT = "short"  # code of the finding about a recording of which less is read than its header or its file promises
_VERSION = 4  # of the cache; raised when the digest or the checks change
_LEAST_THREADS = 2  # one reads while another decodes


@dataclass(frozen=True)
class Recording:
    """A recording as decoded.

    ``digest`` is the identity of its audio, whatever container holds it: SHA-256 over rate, channels and the float32
    little-endian samples, interleaved. ``problem`` says why it cannot be used and ``remedy`` what to do; the digest is
    then empty, unless the recording is only ``short``: it holds fewer samples than its header promises, or more than
    are read, and what is read may be accepted as it is. ``remarks`` are what is odd about it all the same.
    """

    digest: str
    rate: int
    channels: int
    frames: int
    problem: str | None = None
    remedy: str | None = None
    short: bool = False
    remarks: tuple[Remark, ...] = ()

    @property
    def duration_s(self) -> float:
        """Length; 0 where it could not be decoded."""
        return self.frames / self.rate if self.rate else 0.0


def keeps_short(on_bad_clip: str) -> bool:
    """Whether a choice of ``ON_BAD_CLIP`` takes short recordings as they are. Raises ``UnknownId`` for another one."""
    if on_bad_clip not in ON_BAD_CLIP:
        raise UnknownId("choice for --on-bad-clip", on_bad_clip, ON_BAD_CLIP)
    return on_bad_clip == KEEP_SHORT


def inspect(root: Path, paths: Iterable[str], progress: Progress = silent) -> dict[str, Recording]:
    """{path: Recording} of every path below ``root``. Never raises for a bad file: see ``Recording.problem``."""
    by_folder: dict[Path, list[str]] = defaultdict(list)
    for path in dict.fromkeys(paths):
        by_folder[(root / path).parent].append(path)
    recordings: dict[str, Recording] = {}
    todo: list[tuple[Path, str, list[int]]] = []  # (folder, path, stamp) of what is to be decoded
    with progress("check recordings", sum(map(len, by_folder.values()))) as tick:
        for folder, members in by_folder.items():
            place = Path(os.path.realpath(folder))  # which takes a loop of links as it is, unlike Path.resolve
            cached = _load(_cache_file(place))
            for path in members:
                stamp = _stamp(root / path)
                if (recording := _recall(cached.get(Path(path).name), stamp)) is None:
                    todo.append((place, path, stamp))
                else:
                    recordings[path] = recording
        tick(len(recordings))
        recordings |= _decoded(root, todo, tick)
    return recordings


def _decoded(root: Path, todo: list[tuple[Path, str, list[int]]], tick: Tick) -> dict[str, Recording]:
    """What decoding shows of each path, a thread for each core; folder by folder it is kept in the cache."""
    recordings: dict[str, Recording] = {}
    fresh: dict[Path, dict[str, dict]] = defaultdict(dict)
    with ThreadPoolExecutor(max(_LEAST_THREADS, cores())) as pool:
        try:
            found = pool.map(lambda each: examine(root / each[1]), todo)
            for (folder, path, stamp), recording in zip(todo, found):
                if folder not in fresh:
                    _keep(fresh)
                recordings[path] = recording
                entries = fresh[folder]
                if not recording.problem:  # a bad file is looked at again: it may have been unreadable for a while
                    entries[Path(path).name] = {"stamp": stamp, "recording": asdict(recording)}
                tick(1)
        finally:  # also when interrupted: what has been decoded stays decoded
            pool.shutdown(cancel_futures=True)
            _keep(fresh)
    return recordings


def _keep(fresh: dict[Path, dict[str, dict]]) -> None:
    """Moves what is known of files, by folder, into the cache."""
    while fresh:
        folder, entries = fresh.popitem()
        if entries:
            cache = _cache_file(folder)
            try:
                _save(cache, _load(cache) | entries)
            except OSError as error:
                warnings.warn(f"{cache} cannot be written ({error}), so recordings are decoded anew", stacklevel=2)


def examine(path: Path) -> Recording:
    """What decoding one file shows. Never raises: what fails is that recording's problem."""
    try:
        return _examined(path)
    except BadInput as error:
        return Recording("", 0, 0, 0, error.problem, error.remedy)
    except Exception as error:  # of thousands of files, one that no check foresaw
        problem = f"cannot be checked ({type(error).__name__}: {error})"
        return Recording("", 0, 0, 0, problem, "report this, if you can with the file")


def _examined(path: Path) -> Recording:
    """Raises ``BadInput`` for a file that does not decode."""
    found = audio.decoded(path)
    wave, rate = found.wave, found.rate
    remarks = plausible.remarks(wave, rate, path.name)
    if remarks and remarks[0].wrong:
        return Recording("", 0, 0, 0, remarks[0].problem, remarks[0].remedy)
    digest = hashlib.sha256(f"{rate} {wave.shape[1]}\n".encode())
    digest.update(wave.astype("<f4", order="C", copy=False).data)
    facts = digest.hexdigest(), rate, wave.shape[1], len(wave)
    if found.shortage:
        return Recording(*facts, found.shortage, REPLACE, True, tuple(remarks))
    return Recording(*facts, remarks=tuple(remarks))


def unusable(path: str, recording: Recording, clips: Iterable[str], keep_short: bool = False) -> Finding:
    """What is wrong with a recording; a warning where it is only short and that is accepted."""
    problem, remedy = recording.problem or "", recording.remedy or ""
    if not recording.short:
        return Finding("error", "audio", path, problem, remedy, tuple(clips))
    if keep_short:
        return Finding("warning", SHORT, path, problem, "what is read of it is taken", tuple(clips))
    remedy += f", or take what is read of it: --on-bad-clip={KEEP_SHORT}"
    return Finding("error", SHORT, path, problem, remedy, tuple(clips))


def oddities(recordings: Mapping[str, Recording], clips: Mapping[str, tuple[str, ...]]) -> list[Finding]:
    """One warning per kind of remark, which names the first recording; ``clips`` are those of each path."""
    by_code: dict[str, list[tuple[str, Remark]]] = defaultdict(list)
    for path in clips:
        for remark in recordings[path].remarks:
            by_code[remark.code].append((path, remark))
    findings = []
    for code, found in by_code.items():
        path, remark = found[0]
        problem = remark.problem + (f" (and {len(found) - 1} more recordings alike)" if len(found) > 1 else "")
        concerned = tuple(clip for each, _ in found for clip in clips[each])
        findings.append(Finding("warning", code, path, problem, remark.remedy, concerned))
    return findings


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
        kept = entry["recording"]
        return Recording(**kept | {"remarks": tuple(Remark(*remark) for remark in kept["remarks"])})
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
