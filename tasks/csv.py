"""Anybody's own recordings as a task, without code: ``csv.<file>``, a table with a line per clip.

====================  =============================================================================================
``path``              the recording, below the table's folder
``label``             the name of its class
``group``             whom it is from (patient); never on both sides of a split
``start``, ``end``    seconds within the recording; optional, or empty: from its beginning, to its end
``split``             ``train``, ``val``, ``test`` or ``test_<name>``; without the column 30 % of the groups, drawn by
                      a hash of their names, are the test
``domain``            device or site; optional
any other             kept as ``meta_<name>``
====================  =============================================================================================

Whatever ``bench.base.tables.reader`` reads: comma, semicolon, tab or bar; decimals with a point or a comma. Every cell
is text as it stands, ``NA`` and ``None`` too; an empty one is missing. What may be one class in two spellings is told,
and stays two classes; a group in two spellings is one group.

Classes stand in alphabetical order, the one named normal (or healthy, none, negative) first; without such a name the
first counts as normal. Two classes are compared by AUROC, more by UAR.

``csv.<file>`` is a path below the data folder where there is such a file, else below the current folder; one that
starts with ``/``, ``./``, ``../`` or ``~`` is any file. It needs no ``--root``: recordings are looked for from the
table's own folder on, wherever it lies. The name as given is part of every result, and a relative one keeps the
machine's paths out. ``@`` introduces a variant in every id, so in a path it is written ``%40`` (and ``%`` as ``%25``).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from bench.base import paths
from bench.base.errors import BadInput
from bench.base.tables import spellings
from bench.base.tables.reader import TextTable, is_one_line, read_table
from bench.types import Finding, TaskCard
from tasks._shared import clip_names, layout
from tasks._shared.listed_paths import ListedPaths

if TYPE_CHECKING:
    import pandas as pd

PREFIX = "csv."
OPEN = "csv.<file>: your own recordings, listed in a table (path, label, group, split, …)"
MANDATORY = ("path", "label", "group")
SECONDS = ("start", "end")
KNOWN = (*MANDATORY, *SECONDS, "split", "domain")
NORMAL = ("normal", "healthy", "none", "negative")
COUNTED = ("recordings", "patients", "clips", "available")  # what reports count beside the classes
TEST_SHARE = 0.3
SEED = 0

_SPLIT = re.compile(r"train|val|test(_\w+)?")


@dataclass(frozen=True)
class _Table:
    """The table's clips and what is wrong with its other lines. ``split`` of a clip is empty without the column."""

    clips: tuple[dict, ...]
    faults: tuple[tuple[int, str, str], ...]  # (line, problem, remedy)
    meta: tuple[str, ...]
    made_split: bool


def card(id: str) -> TaskCard:
    """The card that the table implies.

    Raises ``KeyError`` for no id of this family, ``BadInput`` for a file that is not there or no such table.
    """
    name = unquote(id.removeprefix(PREFIX))
    if not id.startswith(PREFIX) or not name:
        raise KeyError(id)
    path = _file(name)
    table = _read(path)
    classes = _classes(path, table)
    if table.made_split and len({spellings.key(clip["group"]) for clip in table.clips}) < 2:
        problem = "all of its clips are of one group, so that no test can be drawn"
        raise BadInput(path, problem, "name whom each clip is from, or give a column split")
    tests = sorted({clip["split"] for clip in table.clips if clip["split"].startswith("test")})
    metrics = ("auroc", "uar", "macro_f1") if len(classes) == 2 else ("uar", "macro_f1", "auroc")
    return TaskCard(
        id=id,
        version=1,
        classes=classes,
        main_metric=metrics[0],
        metrics=metrics,
        tests={split: (split,) for split in tests} or {"test": ("test",)},
        url="the owner of the recordings",
        licence="the owner's",
        citation="",
        adventitious=tuple(range(1, len(classes))),
        notes=f"Own recordings, as {path.name} lists them.",
    )


def root(card: TaskCard, given: Path | None) -> Path:
    """The folder that the manifest's paths are relative to.

    The given one where the table lies below it, else the table's own.
    """
    path = _path(card)
    return given if given is not None and path.is_relative_to(given.resolve()) else path.parent


def manifest(card: TaskCard, root: Path, findings: list[Finding]) -> pd.DataFrame:
    """One row per line of the table. Raises ``BadInput`` where the table does not lie below ``root``."""
    import pandas as pd

    path = _path(card)
    if not path.is_relative_to(root.resolve()):
        remedy = f"move it and its recordings there, or name a folder above both corpora: --root {path.parent}"
        raise BadInput(path, f"is not below the data folder {root}", remedy)
    where = path.relative_to(root.resolve())
    table = _read(path)
    findings += [
        Finding("error", "line", f"{where.as_posix()}:{n}", problem, remedy) for n, problem, remedy in table.faults
    ]
    listed = ListedPaths(path.parent)
    rows = [_row(card, clip, listed, where.parent) for clip in table.clips]
    findings += [*_absent(rows, listed, where), *_given_twice(rows, listed, where), *_respelt(table, where)]
    columns = ["clip_id", "path", "start_s", "end_s", "label", "split", "group", "domain", "available", *table.meta]
    frame = pd.DataFrame(rows, columns=columns)
    if table.made_split:
        test = _drawn(frame["group"])
        frame["split"] = ["test" if group in test else "train" for group in frame["group"]]
        drawn, all_groups = (len({spellings.key(name) for name in names}) for names in (test, frame["group"]))
        problem = f"no column split: {drawn} of {all_groups} groups were drawn as the test (seed {SEED})"
        findings.append(
            Finding("note", "made-split", where.as_posix(), problem, "give a column split to fix it yourself")
        )
    findings += _lacking(card, where.as_posix(), frame)
    return frame


def describe(path: Path, root: Path | None = None) -> dict:
    """What the table is as a task: its ``id``, and ``report`` (``bench.data.check``).

    Raises ``BadInput`` for a file that is not there or no such table.
    """
    from bench.data.check import check_task
    from bench.data.manifest import load_task

    path = path.expanduser().resolve()
    below = [path.relative_to(place).as_posix() for place in _places() if path.is_relative_to(place)]
    name = next((relative for relative in below if find_table(relative) == path), path.as_posix())
    id = PREFIX + quote(name, safe="/ ,")
    return {"id": id, "report": check_task(load_task(id, root))}


def _places() -> list[Path]:
    """Where names of tables start: the data folder, then the current one."""
    data = paths.data_root()
    return [place.resolve() for place in ((data,) if data else ()) + (Path(),)]


def find_table(name: str) -> Path | None:
    """The table's absolute path; None where there is no such file."""
    anywhere = name.startswith(("/", "./", "../", "~"))
    tried = [Path(name).expanduser()] if anywhere else [place / name for place in _places()]
    return next((path.resolve() for path in tried if paths.is_file(path)), None)


def _path(card: TaskCard) -> Path:
    """Raises ``BadInput``."""
    return _file(unquote(card.id.removeprefix(PREFIX)))


def _file(name: str) -> Path:
    """The table's absolute path. Raises ``BadInput``."""
    if (path := find_table(name)) is None:
        places = " and ".join(map(str, dict.fromkeys(_places())))
        remedy = f"names are looked for below {places}; or name it from / or ./ on: csv./path/to/table.csv"
        raise BadInput(name, "there is no such table", remedy)
    return path


def _read(path: Path) -> _Table:
    """Raises ``BadInput`` for a file without the mandatory columns."""
    table = read_table(path, KNOWN, lambda name: name in SECONDS)
    _check_header(path, table.names)
    clips, faults = [], []
    meta = {name: _meta(name) for name in table.names if name not in KNOWN}
    listed = ListedPaths(path.parent)
    for number, line in table.rows:
        try:
            clips.append(_clip(table, [cell.strip() for cell in line], meta, listed))
        except _Fault as fault:
            faults.append((number, *fault.args))
    clip_names.tell_apart(clips)
    return _Table(tuple(clips), tuple(faults), tuple(meta.values()), "split" not in table.names)


def _check_header(path: Path, header: Sequence[str]) -> None:
    remedy = f"its first line must name the columns: {', '.join(MANDATORY)}; optional: start, end, split, domain"
    if missing := [name for name in MANDATORY if name not in header]:
        raise BadInput(path, f"has no column {', '.join(missing)} (it has {', '.join(header) or 'none'})", remedy)
    columns = [name if name in KNOWN else _meta(name) for name in header]
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise BadInput(path, f"has the column {', '.join(twice)} twice", "rename or remove one of the two")
    if "" in header:
        raise BadInput(path, f"column {header.index('') + 1} has no name", "name or remove it")


def _meta(name: str) -> str:
    return "meta_" + re.sub(r"\W+", "_", name.removeprefix("meta_"))


class _Fault(Exception):
    """A line that is no clip: problem and remedy."""


def _clip(table: TextTable, line: Sequence[str], meta: dict[str, str], listed: ListedPaths) -> dict:
    """A line by column. Raises ``_Fault``."""
    if len(line) != len(table.names):
        remedy = 'put fields with separators, decimal commas too, into "…"'
        raise _Fault(f"has {len(line)} fields, the first line {len(table.names)}", remedy)
    given = dict(zip(table.names, line))
    for name in MANDATORY:
        if not given[name]:
            raise _Fault(f"{name} is empty", f"every clip needs its {name}")
    if broken := next((name for name in KNOWN if not is_one_line(given.get(name, ""))), None):
        problem = f"{broken} {given[broken]!r} holds a line break, a tab or another sign that is not printed"
        raise _Fault(problem, "write it in one line, with blanks")
    path = listed.below(given["path"])
    if path is None:
        remedy = "give it relative to the table's folder"
        remedy += f", as {tail}" if (tail := listed.tail(given["path"])) else ""
        raise _Fault(f"the path {given['path']!r} leads out of the table's folder", remedy)
    if not layout.is_audio(path):
        remedy = "convert it to .wav or .flac" if Path(path).suffix else f"give the file's whole name, as {path}.wav"
        raise _Fault(f"{path!r} is not a sound file that can be read", remedy)
    if "split" in given and not _SPLIT.fullmatch(given["split"]):
        raise _Fault(f"unknown split {given['split']!r}", "use train, val, test or test_<name>")
    start, end = _second(table, given, "start", 0.0), _second(table, given, "end", math.nan)
    if end <= start:
        raise _Fault(f"ends at {end:g} s, not after its start at {start:g} s", "mend start and end")
    fixed = {
        "clip_id": clip_names.of(path, start, end),
        "path": path,
        "start_s": start,
        "end_s": end,
        "label": given["label"],
    }
    optional = {"group": given["group"], "split": given.get("split", ""), "domain": given.get("domain", "")}
    return fixed | optional | {kept: given[name] for name, kept in meta.items()}


def _second(table: TextTable, given: dict[str, str], name: str, default: float) -> float:
    text = given.get(name, "")
    if not text:
        return default
    value = table.number(text)
    if value is None or text.startswith("-"):
        remedy = "write seconds as 1.5" + ("" if name == "start" else "; empty: to the recording's end")
        raise _Fault(f"{name} {text!r} is not a number of seconds{table.doubt(text)}", remedy)
    return value


def _classes(path: Path, table: _Table) -> tuple[str, ...]:
    """Raises ``BadInput`` for fewer than two, with the remedy of the first faulty line if there is one."""
    names = sorted({clip["label"] for clip in table.clips}, key=lambda name: (name.lower() not in NORMAL, name))
    if len(names) < 2:
        problem, remedy = f"has {len(table.clips)} sound lines with {len(names)} different labels", ""
        if table.faults:
            (line, fault, remedy), others = table.faults[0], len(table.faults) - 1
            problem += f"; line {line}: {fault}" + (f", and {others} more lines are faulty" if others else "")
        raise BadInput(path, problem, remedy or "a task needs two classes")
    if counted := [name for name in names if name in COUNTED]:
        problem = f"has a class named {counted[0]}, as reports name what they count beside the classes"
        raise BadInput(path, problem, "give the label another name")
    return tuple(names)


def _row(card: TaskCard, clip: dict, listed: ListedPaths, below: Path) -> dict:
    """A clip as the manifest has it; its id stays the same wherever the table lies."""
    file = listed.file(clip["path"])
    return clip | {
        "path": (below / (file or clip["path"])).as_posix(),
        "label": card.classes.index(clip["label"]),
        "available": file is not None,
    }


def _absent(rows: Sequence[dict], listed: ListedPaths, where: Path) -> list[Finding]:
    """A warning for recordings that are not there; it names what the first may be instead."""
    there = {row["path"]: row["available"] for row in rows}
    absent = [name for name, available in there.items() if not available]
    if not absent:
        return []
    first = absent[0] + listed.instead(Path(absent[0]).relative_to(where.parent).as_posix())
    problem = f"{len(absent)} of {len(there)} recordings are not there (the first is {first})"
    near = listed.near(Path(absent[0]).relative_to(where.parent).as_posix())
    remedy = f"write it as {near}, as the file is named" if near else "paths are relative to the table's folder"
    return [Finding("warning", "missing-audio", where.as_posix(), problem, f"{remedy}; results are marked subset")]


def _given_twice(rows: Sequence[dict], listed: ListedPaths, where: Path) -> list[Finding]:
    """An error for clips that two paths name: ``a//b.wav`` is ``a/b.wav``."""
    ids: dict[tuple, str] = {}
    paths = [Path(row["path"]).relative_to(where.parent).as_posix() for row in rows]
    same = listed.one_file(paths)
    findings = []
    for row, path in zip(rows, paths):
        first = ids.setdefault((same.get(path, path), row["start_s"], str(row["end_s"])), row["clip_id"])
        if first != row["clip_id"]:
            problem, remedy = f"{first} and {row['clip_id']} are one clip", "remove one of the two lines"
            findings.append(Finding("error", "duplicate-clip", where.as_posix(), problem, remedy, (row["clip_id"],)))
    return findings


def _respelt(table: _Table, where: Path) -> list[Finding]:
    """Warnings for labels, domains and splits that may be one in several spellings."""
    kinds = {"label": ("classes", True), "domain": ("domains", True), "split": ("splits", False)}
    findings = []
    for column, (kind, with_slips) in kinds.items():
        names = {clip[column] for clip in table.clips}
        if alike := spellings.alike(names, spellings.label_key):
            problem = f"{kind} that differ only in {spellings.LABEL_WAYS}: {spellings.shown(alike)}"
            remedy = f"they are used as different {kind}; write what is one in one way"
            findings.append(Finding("warning", f"{column}-spellings", where.as_posix(), problem, remedy))
        told = {name for group in alike for name in group[1:]}
        if slips := spellings.slips(names - told) if with_slips else []:
            problem = f"{kind} that differ by one letter: {spellings.shown(slips)}"
            remedy = f"they are used as different {kind}; mend what is a slip"
            findings.append(Finding("warning", f"{column}-spellings", where.as_posix(), problem, remedy))
    return findings


def _drawn(groups: Iterable[str]) -> set[str]:
    """The groups of the test: those whose hashes are the lowest, so that no order of lines matters; at least one.

    The spellings of a group stay together.
    """
    stands_for = spellings.unified(groups)
    order = sorted(set(stands_for.values()), key=lambda group: hashlib.sha256(f"{SEED}:{group}".encode()).hexdigest())
    drawn = set(order[: max(1, round(TEST_SHARE * len(order)))])
    return {name for name, first in stands_for.items() if first in drawn}


def _lacking(card: TaskCard, where: str, frame: pd.DataFrame) -> list[Finding]:
    """Warnings for classes that training or a test has no clip of."""
    parts = {"train": ("train", "val"), **card.tests}
    findings = []
    for part, splits in parts.items():
        have = set(frame.loc[frame["split"].isin(splits), "label"])
        if none := [name for k, name in enumerate(card.classes) if k not in have]:
            remedy = "its scores are blank or mean little; assign the groups otherwise"
            findings.append(Finding("warning", "lacking-class", where, f"{part} has no {', '.join(none)}", remedy))
    return findings
