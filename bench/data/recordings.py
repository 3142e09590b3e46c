"""Looks at every recording before anything is computed: identity of its audio, and what is wrong with it.

Each file is decoded once, its clips with it; what is found is kept in the cache under its absolute path, size and
modification time, so a second look at the same clips of an unchanged corpus opens no sound file.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from bench.base import paths
from bench.base.errors import BadInput, UnknownId
from bench.base.parallel.threads import cores
from bench.base.paths import parse_json
from bench.base.progress import Progress, Tick, silent
from bench.data import audio
from bench.data.sound_files import plausible
from bench.data.sound_files.contents import REPLACE
from bench.data.sound_files.plausible import Remark
from bench.types import Finding

KEEP_SHORT = "keep-short"  # the choice of --on-bad-clip that takes short recordings as they are
ON_BAD_CLIP = ("error", "exclude", KEEP_SHORT)
SHORT = "short"  # code of the finding about a recording of which less is read than its header or its file promises
END_TOLERANCE_S = 0.010  # annotations are rounded: an end this far past the audio is moved to the audio's end
_VERSION = 7  # of the cache; raised when the digest or the checks change
_LEAST_THREADS = 2  # one reads while another decodes


Seconds = tuple[float, float]  # start and end of a clip; an end of NaN is that of the recording
Span = tuple[int, int]  # its first and last-plus-one sample


@dataclass(frozen=True)
class Recording:
    """A recording as decoded.

    ``digest`` is the identity of its audio, whatever container holds it: SHA-256 over rate, channels and the float32
    little-endian samples, interleaved. ``problem`` says why it cannot be used and ``remedy`` what to do; the digest is
    then empty, unless the recording is only ``short``: it holds fewer samples than its header promises, or more than
    are read, and what is read may be accepted as it is. ``remarks`` are what is odd about it all the same, and
    ``clips`` what is odd or wrong within spans of it: first and last-plus-one sample, and the remark.
    """

    digest: str
    rate: int
    channels: int
    frames: int
    problem: str | None = None
    remedy: str | None = None
    short: bool = False
    remarks: tuple[Remark, ...] = ()
    clips: tuple[tuple[int, int, Remark], ...] = ()

    def spans(self, seconds: Iterable[Seconds]) -> set[Span]:
        """Spans in seconds as spans in samples, without those of the whole and such as enclose nothing."""
        known = {(start, end) for start, end in seconds if 0 <= start < math.inf}
        spans = {audio.span(self.frames, self.rate, start, end) for start, end in known}
        return {(start, stop) for start, stop in spans if 0 < stop - start < self.frames}

    @property
    def duration_s(self) -> float:
        """Length; 0 where it could not be decoded."""
        return self.frames / self.rate if self.rate else 0.0


def keeps_short(on_bad_clip: str) -> bool:
    """Whether a choice of ``ON_BAD_CLIP`` takes short recordings as they are. Raises ``UnknownId`` for another one."""
    if on_bad_clip not in ON_BAD_CLIP:
        raise UnknownId("choice for --on-bad-clip", on_bad_clip, ON_BAD_CLIP)
    return on_bad_clip == KEEP_SHORT


@dataclass(frozen=True)
class _Task:
    """A file that is to be decoded; ``spans`` are those of its clips that were looked at before."""

    folder: Path
    path: str
    stamp: list[int]
    spans: frozenset[Span]


def inspect(
    root: Path, paths: Iterable[str], progress: Progress = silent, clips: Mapping[str, Sequence[Seconds]] | None = None
) -> dict[str, Recording]:
    """Looks at recordings, and at clips of them.

    Parameters
    ----------
    root, paths
        The recordings, as paths below a folder.
    progress
        Shows how many have been looked at.
    clips
        {path: start and end of each clip in seconds}, as manifests have them.

    Returns
    -------
    dict
        {path: Recording}. It never raises for a bad file: see ``Recording.problem``.
    """
    clips = clips or {}
    by_folder: dict[Path, list[str]] = defaultdict(list)
    for path in dict.fromkeys(paths):
        by_folder[(root / path).parent].append(path)
    recordings: dict[str, Recording] = {}
    todo: list[_Task] = []
    with progress("check recordings", sum(map(len, by_folder.values()))) as tick:
        for folder, members in by_folder.items():
            place = Path(os.path.realpath(folder))  # which takes a loop of links as it is, unlike Path.resolve
            cached = _load(_cache_file(place))
            for path in members:
                stamp = _stamp(root / path)
                recording, spans = _recall(cached.get(Path(path).name), stamp)
                if recording is None or not recording.spans(clips.get(path, ())) <= spans:
                    todo.append(_Task(place, path, stamp, spans))
                else:
                    recordings[path] = recording
        tick(len(recordings))
        recordings |= _decoded(root, todo, clips, tick)
    return recordings


def _decoded(root: Path, todo: list[_Task], clips: Mapping[str, Sequence[Seconds]], tick: Tick) -> dict[str, Recording]:
    """What decoding shows of each path, a thread for each core; folder by folder it is kept in the cache."""
    recordings: dict[str, Recording] = {}
    fresh: dict[Path, dict[str, dict]] = defaultdict(dict)
    with ThreadPoolExecutor(max(_LEAST_THREADS, cores())) as pool:
        try:
            found = pool.map(lambda each: examine(root / each.path, clips.get(each.path, ()), each.spans), todo)
            for each, recording in zip(todo, found):
                if each.folder not in fresh:
                    _keep(fresh)
                recordings[each.path] = recording
                entries = fresh[each.folder]
                if not recording.problem:  # a bad file is looked at again: it may have been unreadable for a while
                    spans = sorted(recording.spans(clips.get(each.path, ())) | each.spans)
                    entry = {"stamp": each.stamp, "recording": asdict(recording), "spans": spans}
                    entries[Path(each.path).name] = entry
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


def examine(path: Path, clips: Sequence[Seconds] = (), spans: Iterable[Span] = ()) -> Recording:
    """What decoding one file shows, of clips in seconds and of spans in samples too.

    Never raises: what fails is that recording's problem.
    """
    try:
        return _examined(path, clips, spans)
    except BadInput as error:
        return Recording("", 0, 0, 0, error.problem, error.remedy)
    except Exception as error:  # of thousands of files, one that no check foresaw
        problem = f"cannot be checked ({type(error).__name__}: {error})"
        return Recording("", 0, 0, 0, problem, "report this, if you can with the file")


def _examined(path: Path, clips: Sequence[Seconds], spans: Iterable[Span]) -> Recording:
    """Raises ``BadInput`` for a file that does not decode."""
    found = audio.decoded(path)
    wave, rate = found.wave, found.rate
    remarks = plausible.remarks(wave, rate, path.name)
    if remarks and remarks[0].wrong:
        return Recording("", 0, 0, 0, remarks[0].problem, remarks[0].remedy)
    digest = hashlib.sha256(f"{rate} {wave.shape[1]}\n".encode())
    digest.update(wave.astype("<f4", order="C", copy=False).data)
    remedy = REPLACE if found.shortage else None
    facts = digest.hexdigest(), rate, wave.shape[1], len(wave), found.shortage, remedy, bool(found.shortage)
    recording = Recording(*facts, remarks=tuple(remarks))
    parts = sorted(recording.spans(clips) | set(spans))
    return replace(recording, clips=tuple(plausible.of_parts(wave, parts, remarks, path.name)))


def unusable(path: str, recording: Recording, clips: Iterable[str], keep_short: bool = False) -> Finding:
    """What is wrong with a recording; a warning where it is only short and that is accepted."""
    problem, remedy = recording.problem or "", recording.remedy or ""
    if not recording.short:
        return Finding("error", "audio", path, problem, remedy, tuple(clips))
    if keep_short:
        return Finding("warning", SHORT, path, problem, "what is read of it is taken", tuple(clips))
    remedy += f", or take what is read of it: --on-bad-clip={KEEP_SHORT}"
    return Finding("error", SHORT, path, problem, remedy, tuple(clips))


def clip_faults(
    path: str, recording: Recording, clips: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> list[Finding]:
    """Errors about clips of one recording, one per kind.

    Parameters
    ----------
    path, recording
        A usable recording.
    clips, starts, ends
        Its clips' ids, and where they start and end in seconds, no end missing.
    """
    starts = np.where(np.isfinite(starts), starts, 0.0)  # a start that is none is the manifest's error
    late, names = ends > recording.duration_s, np.asarray(clips)
    spans = [audio.span(recording.frames, recording.rate, start, end) for start, end in zip(starts, ends)]
    empty = ~late & np.array([stop <= start for start, stop in spans])
    findings = []
    remedy = "mend the annotation, or replace the recording if it was cut short"
    if late.any():
        problem = f"{names[late][0]} ends at {ends[late][0]:.3f} s, the recording lasts {recording.duration_s:.3f} s"
        findings.append(fault("past-end", path, and_more(problem, late.sum()), remedy, names[late]))
    if empty.any():
        problem = f"{names[empty][0]} encloses no sample: it starts at {starts[empty][0]:.3f} s"
        findings.append(fault("empty-clip", path, and_more(problem, empty.sum()), remedy, names[empty]))
    wrong: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    within = _within(recording)
    for clip, span in zip(clips, spans):
        for remark in within.get(span, ()):
            if remark.wrong:
                wrong[remark.code].append((_told(clip, span, recording.rate, remark), remark.remedy, clip))
    for code, found in wrong.items():
        problem, remedy, _ = found[0]
        findings.append(fault(code, path, and_more(problem, len(found)), remedy, [clip for *_, clip in found]))
    return findings


def fault(code: str, where: str, problem: str, remedy: str, clips: Iterable[str] = ()) -> Finding:
    """An error about clips."""
    return Finding("error", code, where, problem, remedy, tuple(map(str, clips)))


def and_more(problem: str, total: int) -> str:
    """A problem of the first of ``total`` clips."""
    return problem if total == 1 else f"{problem} and {total - 1} more clips"


def _within(recording: Recording) -> dict[Span, list[Remark]]:
    """The remarks on each span of a recording."""
    remarks: dict[Span, list[Remark]] = defaultdict(list)
    for start, stop, remark in recording.clips:
        remarks[start, stop].append(remark)
    return remarks


def _told(clip: str, span: Span, rate: int, remark: Remark) -> str:
    start, stop = span
    return f"{clip}, {start / rate:.3f} to {stop / rate:.3f} s: {remark.problem}"


def oddities(recordings: Mapping[str, Recording], clips: Iterable[tuple[str, str, float, float]]) -> list[Finding]:
    """Warnings about recordings and clips that are used all the same.

    One per kind of remark, which names the first recording, and one per kind that is made of clips alone, which names
    the first of them.

    Parameters
    ----------
    recordings
        {path: recording}.
    clips
        Path, id, start and end in seconds of every clip that is used.
    """
    by_path: dict[str, list[tuple[str, float, float]]] = defaultdict(list)
    for path, clip, start, end in clips:
        by_path[path].append((clip, start, end))
    # by code: (path, problem, remedy, clips)
    whole: dict[str, list[tuple[str, str, str, tuple[str, ...]]]] = defaultdict(list)
    parts: dict[str, list[tuple[str, str, str, tuple[str, ...]]]] = defaultdict(list)
    for path in sorted(by_path):
        recording = recordings[path]
        for remark in recording.remarks:
            ids = tuple(clip for clip, _, _ in by_path[path])
            whole[remark.code].append((path, remark.problem, remark.remedy, ids))
        within = _within(recording)
        for clip, start, end in by_path[path] if within else ():
            span = audio.span(recording.frames, recording.rate, start, end)
            for remark in within.get(span, ()):
                told = _told(clip, span, recording.rate, remark)
                parts[remark.code].append((path, told, remark.remedy, (clip,)))
    findings = []
    for by_code, kind in ((whole, "recordings"), (parts, "clips")):
        for code, found in by_code.items():
            path, problem, remedy, _ = found[0]
            problem += f" (and {len(found) - 1} more {kind} alike)" if len(found) > 1 else ""
            concerned = tuple(clip for *_, each in found for clip in each)
            findings.append(Finding("warning", code, path, problem, remedy, concerned))
    return findings


def _stamp(path: Path) -> list[int]:
    try:
        stat = path.stat()
    except OSError:
        return []
    return [stat.st_size, stat.st_mtime_ns]


def _recall(entry: object, stamp: list[int]) -> tuple[Recording | None, frozenset[Span]]:
    """What the cache has of a file, and the spans of it that were looked at; None where it has nothing, or is stale."""
    nothing = None, frozenset[Span]()
    if not isinstance(entry, Mapping) or not stamp or entry.get("stamp") != stamp:
        return nothing
    try:
        kept = entry["recording"]
        remarks = tuple(Remark(*remark) for remark in kept["remarks"])
        clips = tuple((start, stop, Remark(*remark)) for start, stop, remark in kept["clips"])
        spans = frozenset((start, stop) for start, stop in entry["spans"])
        return Recording(**kept | {"remarks": remarks, "clips": clips}), spans
    except (KeyError, TypeError, ValueError):
        return nothing


def _cache_file(folder: Path) -> Path:
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:32]
    return paths.cache_root() / "recordings" / f"v{_VERSION}-{name}.json"


def _load(cache: Path) -> dict:
    """The cached entries; none where the file is absent or damaged."""
    try:
        content = parse_json(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _save(cache: Path, entries: dict) -> None:
    paths.write_text(cache, json.dumps(entries, separators=(",", ":")))
