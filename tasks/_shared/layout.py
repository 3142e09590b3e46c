"""Finding a corpus by its structure, and the findings that every loader words alike."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from bench.base.errors import BadInput
from bench.types import Finding, TaskCard

SIMULATED = "SIMULATED.json"
_DEPTH = 5  # folders below the root in which a corpus is looked for


def walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """(folder, its sorted file names) of ``root`` and the folders below it, in a fixed order."""
    for folder, folders, files in os.walk(root, followlinks=True):
        here = Path(folder)
        deep = len(here.relative_to(root).parts) >= _DEPTH
        folders[:] = [] if deep else sorted(name for name in folders if not name.startswith("."))
        yield here, sorted(files)


def up_to(folder: Path, root: Path) -> list[Path]:
    """``folder`` and the folders above it, ``root`` last."""
    return [folder, *(parent for parent in folder.parents if parent.is_relative_to(root))]


def relative(path: Path, root: Path) -> str:
    """``path`` below ``root`` with forward slashes."""
    return path.relative_to(root).as_posix()


def is_audio(name: str) -> bool:
    """Whether a file name is that of a recording."""
    from bench.data.audio import EXTENSIONS  # brings numpy, which listing tasks must not

    return name.lower().endswith(EXTENSIONS)


def only(card: TaskCard, root: Path, candidates: list[Path], expected: str) -> Path:
    """The one folder among the candidates. Raises ``BadInput`` for none and for several."""
    if not candidates:
        remedy = f"it comes from {card.url} ({card.licence}) as {expected}; RESPBENCH_DATA or --root names the folder"
        raise BadInput(root, f"holds no copy of the corpus of {card.id}", remedy)
    if len(candidates) > 1:
        listed = ", ".join(relative(folder, root) or "." for folder in candidates[:4])
        raise BadInput(
            root,
            f"holds several copies of the corpus of {card.id}: {listed}",
            "name one of them, or move the others away",
        )
    return candidates[0]


def simulated(folder: Path, root: Path) -> Finding | None:
    """A note where the corpus was made by a program: its counts and splits are not the published ones."""
    for place in up_to(folder, root):
        if (place / SIMULATED).is_file():
            where = relative(place / SIMULATED, root)
            return Finding("note", "simulated", where, "simulated corpus: its numbers say nothing about real data")
    return None


def missing_audio(card: TaskCard, where: str, absent: list[str], total: int) -> Finding:
    """One warning for all annotated recordings that this copy has no audio of."""
    problem = f"{len(absent)} of {total} annotated recordings have no audio here (the first is {absent[0]})"
    return Finding("warning", "missing-audio", where, problem, f"results are marked subset; all audio is at {card.url}")


def index_audio(files: Iterator[tuple[str, Path]], root: Path, findings: list[Finding]) -> dict[str, Path]:
    """{recording: file}; of a recording that is there twice the .wav is taken, with a warning."""
    index: dict[str, Path] = {}
    for recording, path in files:
        other = index.get(recording)
        if other is None:
            index[recording] = path
            continue
        taken, left = (other, path) if other.suffix.lower() == ".wav" else (path, other)
        index[recording] = taken
        problem = f"the recording is also there as {relative(left, root)}, which is not used"
        findings.append(Finding("warning", "duplicate-audio", relative(taken, root), problem, "remove one of the two"))
    return index


def without_annotation(card: TaskCard, path: Path, root: Path) -> Finding:
    """The error for audio that nothing annotates."""
    remedy = f"restore its annotation file from {card.url}, or remove the recording"
    return Finding("error", "no-annotation", relative(path, root), "recording without annotation", remedy)


def bad_annotation(card: TaskCard, path: Path, root: Path, problem: str) -> Finding:
    """The error for an annotation file that cannot be used: its recording has no rows."""
    remedy = f"restore the file from {card.url}; until then recording {path.stem} is left out"
    return Finding("error", "annotation", relative(path, root), problem, remedy)


def shipped(name: str) -> list[dict[str, str]]:
    """The rows of a split table in ``tasks/splits``."""
    text = (resources.files("tasks") / "splits" / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
