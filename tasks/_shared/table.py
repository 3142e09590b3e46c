"""Tasks that a table defines, recording by recording, joined with whatever audio of them a copy holds.

The tables in ``tasks/splits`` are those of OPERA (Zhang et al., arXiv:2406.16148); ``tasks/splits/README.md`` says
where each comes from and under which licence. Recordings are found anywhere below the root by a key, most often their
name without suffix, so that an archive may be unpacked as it likes. Without audio the table alone makes the manifest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.base.errors import BadInput
from bench.types import Finding, TaskCard
from tasks._shared import layout

if TYPE_CHECKING:
    import pandas as pd

LITERATURE = "literature/opera"  # the variant in which a task is split as OPERA runs it
OPERA = "task: Zhang et al. (OPERA), NeurIPS 2024, arXiv:2406.16148"
METRICS = ("auroc", "uar", "macro_f1")
READABLE = (".wav", ".flac", ".ogg")  # of a recording that is there in several, the first is taken
FOREIGN = (".webm", ".mp3", ".m4a", ".opus")

Key = Callable[[Path], str | None]


@dataclass(frozen=True)
class Audio:
    """What a copy holds of a table's recordings.

    ``files``, ``foreign``: {key: file} in a format that is read, and in one that is not; ``spare``: further files of
    the same recordings; ``others``: recordings in the same folders that the table does not name.
    """

    files: Mapping[str, Path]
    foreign: Mapping[str, Path]
    spare: tuple[Path, ...]
    others: tuple[Path, ...]


def rows(card: TaskCard) -> list[dict[str, str]]:
    """The rows of the task's own table in ``tasks/splits``, whatever its variant."""
    return layout.shipped(f"{card.id.partition('@')[0]}.csv")


def stem(path: Path) -> str:
    """A recording's name without its suffix, where that identifies it."""
    return path.stem


def last_three(path: Path) -> str:
    """The last two folders and the name without its suffix, where files of every participant are named alike."""
    return "/".join((*path.parts[-3:-1], path.stem))


def audio(root: Path, keys: Container[str], key: Key = stem) -> Audio:
    """The sound files below ``root`` whose ``key`` is one of ``keys``. No file is opened."""
    by_key: dict[str, list[Path]] = defaultdict(list)
    rest: dict[Path, list[Path]] = defaultdict(list)
    formats = READABLE + FOREIGN
    for folder, names in layout.walk(root):
        for path in (folder / name for name in names if not name.startswith(".")):
            if path.suffix.lower() not in formats:
                continue
            known = key(path)
            (by_key[known] if known in keys else rest[folder]).append(path)
    best = {
        known: sorted(paths, key=lambda path: formats.index(path.suffix.lower())) for known, paths in by_key.items()
    }
    taken = {known: paths[0] for known, paths in best.items()}
    return Audio(
        files={known: path for known, path in taken.items() if path.suffix.lower() in READABLE},
        foreign={known: path for known, path in taken.items() if path.suffix.lower() in FOREIGN},
        spare=tuple(path for paths in best.values() for path in paths[1:] if path.suffix.lower() in READABLE),
        others=tuple(path for folder in sorted({path.parent for path in taken.values()}) for path in rest[folder]),
    )


def manifest(
    card: TaskCard, root: Path, findings: list[Finding], clips: Mapping[str, Mapping], sounds: Audio
) -> pd.DataFrame:
    """One row per entry of ``clips``, in the manifest's columns. A clip is its whole recording.

    ``clips`` is {the key of its recording: the row's ``clip_id``, ``label``, ``split``, ``group``, ``domain`` and
    ``meta_*``}.
    """
    import pandas as pd

    listed = []
    for key, clip in clips.items():
        path = sounds.files.get(key)
        where = layout.relative(path, root) if path else f"{clip['clip_id']}.wav"
        span = {"path": where, "start_s": 0.0, "end_s": float("nan"), "available": path is not None}
        listed.append({**clip, **span})
    columns = ["clip_id", "path", "start_s", "end_s", "label", "split", "group", "domain", "available"]
    meta = [name for name in (listed[0] if listed else ()) if name.startswith("meta_")]
    frame = pd.DataFrame(listed, columns=[*columns, *meta])
    findings += [*_about_audio(card, root, clips, sounds), *_shared_groups(card, frame)]
    return frame


def _about_audio(card: TaskCard, root: Path, clips: Mapping[str, Mapping], sounds: Audio) -> list[Finding]:
    findings = []
    first = next(iter([*sounds.files.values(), *sounds.foreign.values()]), None)
    where = layout.relative(first.parent, root) if first else card.id
    if first and (marked := layout.simulated(first.parent, root)):
        findings.append(marked)
    if sounds.foreign:
        ids = tuple(clips[key]["clip_id"] for key in sounds.foreign)
        one = next(iter(sounds.foreign.values()))
        problem = f"{len(ids)} recordings are in a format that is not read ({one.name})"
        remedy = f"convert them to .wav under the same name (ffmpeg -i {one.name} {one.stem}.wav)"
        findings.append(Finding("error", "format", layout.relative(one, root), problem, remedy, ids))
    if sounds.spare:
        again = layout.relative(sounds.spare[0], root)
        problem = f"{len(sounds.spare)} recordings are there more than once; this file is not used"
        findings.append(Finding("warning", "duplicate-audio", again, problem, "remove one of the copies"))
    absent = sorted(clips[key]["clip_id"] for key in clips if key not in sounds.files and key not in sounds.foreign)
    if absent:
        findings.append(layout.missing_audio(card, where, absent, len(clips)))
    if sounds.others:
        problem = f"{len(sounds.others)} other recordings lie beside those of {card.id}, which does not use them"
        findings.append(Finding("note", "other-recordings", where, problem))
    return findings


def _shared_groups(card: TaskCard, frame: pd.DataFrame) -> list[Finding]:
    """A warning for every test split that shares groups with training by the card's own word."""
    train = set(frame.loc[frame["split"].isin(("train", "val")), "group"])
    findings = []
    for split in card.within_patient:
        part = frame[frame["split"] == split]
        known = part["group"].isin(train)
        if known.any():
            names = part.loc[known, "group"].nunique()
            problem = f"{names} {card.group}s of {split} are in train: {known.sum()} of its {len(part)} recordings"
            remedy = "scores on it are too high; compare them with the literature alone"
            findings.append(Finding("warning", "known-overlap", card.id, problem, remedy))
    return findings


def counted(
    classes: tuple[str, ...], labels: Mapping[str, tuple[int, ...]], groups: Mapping[str, int] | None = None
) -> dict[str, dict[str, int]]:
    """``TaskCard.counts`` from the recordings per class of every split.

    Each recording is its own group unless ``groups`` has their numbers.
    """
    return {
        split: {"recordings": sum(n), "patients": (groups or {}).get(split, sum(n)), **dict(zip(classes, n))}
        for split, n in labels.items()
    }


def as_run(card: TaskCard) -> TaskCard:
    """The card with one test, which pools all test splits. They may share no group."""
    pooled: dict[str, dict[str, int]] = {}
    for split, part in card.counts.items():
        into = pooled.setdefault("test" if split.startswith("test") else split, dict.fromkeys(part, 0))
        for name, n in part.items():
            into[name] += n
    return replace(card, tests={"test": ("test",)}, counts=pooled)


def on_application(card: TaskCard, root: Path, candidates: list[Path], expected: str) -> Path:
    """The one file or folder of a corpus that is handed out on application.

    Raises ``BadInput``: for none with where to apply, and for several.
    """
    if not candidates:
        remedy = f"{card.access}; it is expected as {expected}"
        raise BadInput(root, f"holds no copy of the corpus of {card.id}", remedy)
    return layout.only(card, root, candidates, expected)


def unreadable_name(path: Path, root: Path, form: str) -> Finding:
    """The error for a recording whose name does not have the corpus's form: it has no row."""
    remedy = "restore its name, or remove it"
    return Finding("error", "name", layout.relative(path, root), f"not a name of the form {form}", remedy)
