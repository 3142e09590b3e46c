"""What the two words after ``respbench compare`` are, and the comparison of two systems that they ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.base import registry
from bench.base.errors import BadInput, RespBenchError
from bench.reports.agreement.paired import files, rows
from bench.reports.agreement.paired.difference import DRAWS, compared
from bench.reports.agreement.paired.matched import Matched
from bench.reports.agreement.paired.page import PairedReport
from bench.scores import records
from bench.scores.schema import Record

HOW = "give two results folders, two prediction files, or rows of one folder with --in FOLDER"
Kind = Literal["folder", "file", "row"]


@dataclass(frozen=True)
class Asked:
    """What is asked about two systems.

    Attributes
    ----------
    folder
        The results folder that rows are of; None where neither side is one.
    tasks, protocols, tests
        To compare; empty: all that both have. A test may be ``headline``, the one that stands for its task.
    metric
        To compare by; empty: each task's main metric.
    root
        The data folder, for the manifest of prediction files.
    labels
        What numbers in prediction files are (``bench.scores.submitted.READINGS``).
    draws
        Of the bootstrap.
    """

    folder: Path | None = None
    tasks: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    metric: str = ""
    root: Path | None = None
    labels: str | None = None
    draws: int = DRAWS


def _kinds(words: tuple[str, str], found: Sequence[Record], folder: Path | None) -> tuple[Kind, Kind]:
    """What each word is: a results folder, a prediction file, or a row of ``folder``.

    Raises ``BadInput`` for a word that is nothing or could be two things, and for kinds that cannot be compared.
    """
    first, second = (_kind(word, found, folder) for word in words)
    if "folder" in (first, second):
        what = "is a results folder, and no row or prediction file"
        raise BadInput(words[0] if first == "folder" else words[1], what, HOW)
    if folder and "row" not in (first, second):
        raise BadInput(folder, "is named with --in, but neither side is a row of it", HOW)
    return first, second


def _kind(word: str, found: Sequence[Record], folder: Path | None) -> Kind:
    path, row = Path(word), rows.is_row(found, word)
    exists: Kind | None = "folder" if path.is_dir() else "file" if path.is_file() else None
    if exists and row:
        problem = f"is a {exists} here and a row of {folder}"
        raise BadInput(word, problem, f"write ./{word} for the {exists}")
    if exists:
        return exists
    if folder:
        return "row"  # an unknown one is told with what the folder has
    raise BadInput(word, "is no file or folder", HOW)


def compare_systems(words: tuple[str, str], asked: Asked) -> PairedReport:
    """Compares two systems on the same clips.

    Parameters
    ----------
    words
        A and B: prediction files, or rows of a results folder.
    asked
        Which tasks, protocols, tests and metric.

    Returns
    -------
    PairedReport
        The difference A − B on every test.

    Raises
    ------
    UnknownId, BadInput
        For a side that cannot be found or read, that is not one row, or whose clips are not the other's.
    """
    found = records.load_all(asked.folder) if asked.folder else []
    sides = _kinds(words, found, asked.folder)
    notes: list[str] = []
    if sides == ("file", "file"):
        matched = [_files(words, asked)]
    elif sides == ("row", "row"):
        matched, notes = rows.matched(found, words, asked.tasks, asked.protocols, asked.tests)
    else:
        matched = [_with_row(found, words, sides[0] == "row", asked)]
    notes += [note for each in matched for note in each.notes if note not in notes]
    tests = compared(matched, asked.metric, asked.draws)
    return PairedReport(words, tuple(tests), matched[0].unit, asked.draws, tuple(notes))


def _files(words: tuple[str, str], asked: Asked) -> Matched:
    from bench.data.manifest import load_task  # reads corpora; rows of a folder need none

    paths = (Path(words[0]), Path(words[1]))
    if asked.protocols:
        raise BadInput("--protocol", "prediction files have no protocol", "leave it out")
    if len(asked.tasks) > 1:
        raise BadInput("--task", f"names {len(asked.tasks)} tasks", "name the one that the files are of")
    if not asked.tasks:
        return files.matched(paths, files.card_of(paths, asked.metric), labels=asked.labels, only=asked.tests)
    card, manifest, absent = registry.task_card(asked.tasks[0]), None, ""
    try:
        manifest = load_task(asked.tasks[0], asked.root).manifest
    except RespBenchError as error:
        absent = str(error)
    return files.matched(paths, card, manifest, absent, asked.labels, asked.tests)


def _with_row(found: Sequence[Record], words: tuple[str, str], row_is_first: bool, asked: Asked) -> Matched:
    row, file = words if row_is_first else words[::-1]
    if len(asked.protocols) > 1:
        raise BadInput("--protocol", f"names {len(asked.protocols)} protocols", "name the row's own")
    chosen = rows.chosen(found, row, asked.tasks, *asked.protocols)
    return files.matched_with_row(chosen, row, Path(file), asked.labels, row_is_first, asked.tests)
