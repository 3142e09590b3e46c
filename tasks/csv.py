"""Anybody's own recordings as a task, without code: ``csv.<file>``, a table with a line per clip.

====================  =============================================================================================
``path``              the recording, relative to the table's folder
``label``             the name of its class
``group``             whom it is from (patient); never on both sides of a split
``start``, ``end``    seconds within the recording; optional, or empty: from its beginning, to its end
``split``             ``train``, ``val``, ``test`` or ``test_<name>``; without the column 30 % of the groups, drawn by
                      a hash of their names, are the test
``domain``            device or site; optional
any other             kept as ``meta_<name>``
====================  =============================================================================================

UTF-8, comma, semicolon or tab, one line of names first. Classes stand in alphabetical order, the one named normal (or
healthy, none, negative) first; without such a name the first counts as normal. Two classes are compared by AUROC, more
by UAR.

``csv.<file>`` is a path below the data folder where there is such a file, else below the current folder; one that
starts with ``/``, ``./``, ``../`` or ``~`` is any file. It needs no ``--root``: recordings are looked for from the
table's own folder on, wherever it lies. The name as given is part of every result, and a relative one keeps the
machine's paths out. ``@`` introduces a variant in every id, so in a path it is written ``%40`` (and ``%`` as ``%25``).
"""

from __future__ import annotations

import csv
import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from bench.base import paths
from bench.base.errors import BadInput
from bench.types import Finding, TaskCard
from tasks._shared import layout

if TYPE_CHECKING:
    import pandas as pd

PREFIX = "csv."
OPEN = "csv.<file>: your own recordings, listed in a table (path, label, group, split, …)"
MANDATORY = ("path", "label", "group")
KNOWN = (*MANDATORY, "start", "end", "split", "domain")
NORMAL = ("normal", "healthy", "none", "negative")
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
    if table.made_split and len({clip["group"] for clip in table.clips}) < 2:
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
    rows = [_row(card, clip, path.parent, where.parent) for clip in table.clips]
    names = list(dict.fromkeys(row["path"] for row in rows))
    if absent := [name for name in names if not any(row["available"] for row in rows if row["path"] == name)]:
        problem = f"{len(absent)} of {len(names)} recordings are not there (the first is {absent[0]})"
        remedy = "paths are relative to the table's folder; results are marked subset"
        findings.append(Finding("warning", "missing-audio", where.as_posix(), problem, remedy))
    columns = ["clip_id", "path", "start_s", "end_s", "label", "split", "group", "domain", "available", *table.meta]
    frame = pd.DataFrame(rows, columns=columns)
    if table.made_split:
        test = _drawn(frame["group"])
        frame["split"] = ["test" if group in test else "train" for group in frame["group"]]
        problem = (
            f"no column split: {len(test)} of {frame['group'].nunique()} groups were drawn as the test (seed {SEED})"
        )
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
    return next((path.resolve() for path in tried if path.is_file()), None)


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
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            separator = max(",;\t", key=first.count)
            file.seek(0)
            lines = csv.reader(file, delimiter=separator, strict=True)
            numbered = [(lines.line_num, [field.strip() for field in line]) for line in lines]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput(path, f"is no table in UTF-8 ({error})", "save it as CSV in UTF-8") from error
    header = [name.lower() for name in numbered[0][1]] if numbered else []
    _check_header(path, header)
    clips, faults = [], []
    meta = {name: _meta(name) for name in header if name not in KNOWN}
    for number, line in numbered[1:]:
        if not any(line):
            continue
        try:
            clips.append(_clip(header, line, meta))
        except _Fault as fault:
            faults.append((number, *fault.args))
    return _Table(tuple(clips), tuple(faults), tuple(meta.values()), "split" not in header)


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


def _clip(header: Sequence[str], line: Sequence[str], meta: dict[str, str]) -> dict:
    """A line by column. Raises ``_Fault``."""
    if len(line) != len(header):
        raise _Fault(f"has {len(line)} fields, the first line {len(header)}", 'put fields with separators into "…"')
    given = dict(zip(header, line))
    for name in MANDATORY:
        if not given[name]:
            raise _Fault(f"{name} is empty", f"every clip needs its {name}")
    path = given["path"].replace("\\", "/").removeprefix("./")
    if path.startswith("/") or re.match(r"[A-Za-z]:", path) or ".." in path.split("/"):
        raise _Fault(f"the path {path!r} leads out of the table's folder", "give it relative to the table's folder")
    if not layout.is_audio(path):
        raise _Fault(f"{path!r} is not a sound file that can be read", "convert it to .wav or .flac")
    if "split" in given and not _SPLIT.fullmatch(given["split"]):
        raise _Fault(f"unknown split {given['split']!r}", "use train, val, test or test_<name>")
    start, end = _second(given, "start", 0.0), _second(given, "end", math.nan)
    if end <= start:
        raise _Fault(f"ends at {end:g} s, not after its start at {start:g} s", "mend start and end")
    span = f"#{start:.3f}-{'' if math.isnan(end) else f'{end:.3f}'}" if start or not math.isnan(end) else ""
    fixed = {"clip_id": path + span, "path": path, "start_s": start, "end_s": end, "label": given["label"]}
    optional = {"group": given["group"], "split": given.get("split", ""), "domain": given.get("domain", "")}
    return fixed | optional | {kept: given[name] for name, kept in meta.items()}


def _second(given: dict[str, str], name: str, default: float) -> float:
    text = given.get(name, "")
    if not text:
        return default
    if not re.fullmatch(r"\d+(\.\d*)?|\.\d+", text, re.ASCII):
        raise _Fault(f"{name} {text!r} is not a number of seconds", "write it as 1.5")
    return float(text)


def _classes(path: Path, table: _Table) -> tuple[str, ...]:
    """Raises ``BadInput`` for fewer than two."""
    names = sorted({clip["label"] for clip in table.clips}, key=lambda name: (name.lower() not in NORMAL, name))
    if len(names) < 2:
        problem = f"has {len(table.clips)} sound lines with {len(names)} different labels"
        faulty = f"; line {table.faults[0][0]}: {table.faults[0][1]}" if table.faults else ""
        raise BadInput(path, problem + faulty, "a task needs two classes")
    return tuple(names)


def _row(card: TaskCard, clip: dict, folder: Path, below: Path) -> dict:
    """A clip as the manifest has it; its id stays the same wherever the table lies."""
    there = (folder / clip["path"]).is_file()
    return clip | {
        "path": (below / clip["path"]).as_posix(),
        "label": card.classes.index(clip["label"]),
        "available": there,
    }


def _drawn(groups: Sequence[str]) -> set[str]:
    """The groups of the test: those whose hashes are the lowest, so that no order of lines matters; at least one."""
    order = sorted(set(groups), key=lambda group: hashlib.sha256(f"{SEED}:{group}".encode()).hexdigest())
    return set(order[: max(1, round(TEST_SHARE * len(order)))])


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
