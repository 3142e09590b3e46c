"""Prediction files matched with each other, or with a row of a results folder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bench.base import registry
from bench.base.errors import BadInput
from bench.base.tables.reader import read_table
from bench.reports.agreement.paired.matched import Matched, require_same_clips, tests_of
from bench.scores import per_test
from bench.scores.schema import Record
from bench.scores.submitted import AS_GIVEN, LABELS, NEEDED, Submitted, read_submitted
from bench.types import TaskCard

MOST_CLASSES = 100  # of files without a task; more are numbers, not classes


def card_of(files: Sequence[Path], metric: str = "") -> TaskCard:
    """A card for prediction files of no known task: the classes are the labels that occur in any of them.

    Its metric is the unweighted average recall unless another is named. Raises ``BadInput`` for files that cannot be
    read, and for labels that are no classes.
    """
    labels: set[str] = set()
    for file in files:
        table = read_table(file, NEEDED, lambda name: name in LABELS)
        for column in LABELS:
            if column not in table.names:
                raise BadInput(file, f"no column {column}", "give clip_id,y_true,y_pred[,s_0,…]")
            k = table.names.index(column)
            labels |= {cells[k].strip() for _, cells in table.rows if k < len(cells)}
    if not labels or len(labels) > MOST_CLASSES:
        problem = f"has {len(labels)} different labels, which are no classes"
        raise BadInput(files[0], problem, "name the task that they are of with --task")
    chosen = metric or "uar"
    tests = {AS_GIVEN: (AS_GIVEN,)}
    classes = tuple(sorted(labels, key=_in_order))
    return TaskCard("", 0, classes, chosen, (chosen,), tests, "", "", "", group="group")


def _in_order(label: str) -> tuple[float, str]:
    """Numbers by their size, before names, of which ``nan`` is one."""
    try:
        size = float(label)
    except ValueError:
        return math.inf, label
    return (size if math.isfinite(size) else math.inf), label


def matched(
    files: tuple[Path, Path],
    card: TaskCard,
    manifest: pd.DataFrame | None = None,
    absent: str = "",
    labels: str | None = None,
    only: Sequence[str] = (),
) -> Matched:
    """Two prediction files of one task, clip by clip.

    Clips that the manifest knows are compared test by test, in patients. Other files are compared as given: in the
    groups of their own column ``group`` where both have it, else clip by clip.

    Parameters
    ----------
    files
        The two files.
    card, manifest, absent, labels
        As ``bench.scores.submitted.read_submitted`` takes them.
    only
        Tests of the task to compare; empty: all.

    Raises
    ------
    BadInput
        For a malformed file, and where the two differ in clips, true labels or groups.
    """
    read = [read_submitted(card, file, manifest, absent, labels) for file in files]
    names = (str(files[0]), str(files[1]))
    notes = []
    if any(AS_GIVEN in each.tests for each in read):
        if only:
            raise BadInput("--test", "which test the clips belong to is not known", "leave it out")
        tables, unit = _as_given(read, card)
        tests = {AS_GIVEN: tables}
        why = f"the manifest is not at hand: {absent}" if manifest is None else "not all clips are in the manifest"
        told = f" ({why})" if card.id else ""
        notes.append(
            f"clips are compared as given{told}, resampled by {unit}"
            + (", too narrow where a patient has several clips" if unit == "clip" else "")
        )
    else:
        unit = card.group
        empty = read[0].table.iloc[:0]
        wanted = tests_of(per_test.task_facts(card), card.id, only)
        by_test = {test: [each.part(test) if test in each.tests else empty for each in read] for test in wanted}
        tests = {test: (a, b) for test, (a, b) in by_test.items() if len(a) or len(b)}
        notes += list(dict.fromkeys(warning for each in read for warning in each.warnings))
    for test, (a, b) in tests.items():
        require_same_clips(names, a, b, test)
    laid = {test: ({0: a}, {0: b}) for test, (a, b) in tests.items()}
    return Matched(card.id, per_test.task_facts(card), "", unit, laid, notes=notes)


def _as_given(read: Sequence[Submitted], card: TaskCard) -> tuple[tuple[pd.DataFrame, pd.DataFrame], str]:
    """The two tables with the groups and domains that the files have, and what a group is."""
    grouped = all(all(cell.strip() for cell in each.own.get("group", [""])) for each in read)
    tables = []
    for each in read:
        table = each.table.assign(domain=each.own.get("domain", ""))
        tables.append(table.assign(group=each.own["group"] if grouped else table["clip_id"], split=AS_GIVEN))
    return (tables[0], tables[1]), card.group if grouped else "clip"


def matched_with_row(
    found: Sequence[Record],
    row: str,
    file: Path,
    labels: str | None = None,
    row_is_first: bool = True,
    only: Sequence[str] = (),
) -> Matched:
    """A prediction file against a row of a results folder, whose records say which clips there are.

    Parameters
    ----------
    found
        The row's records on one task under one protocol, several seeds at most.
    row
        What it is called.
    file
        The prediction file.
    labels
        As ``bench.scores.submitted.read_submitted`` takes it.
    row_is_first
        Which of the two comes first.
    only
        Tests of the task to compare; empty: all.

    Raises
    ------
    BadInput
        Where the row is of several tasks or protocols, and as ``matched``.
    """
    slots = sorted({(record.spec["task"], record.spec["protocol"]) for record in found})
    if len(slots) > 1:
        problem = "has records of " + ", ".join(f"{task} under {protocol}" for task, protocol in slots)
        raise BadInput(row, problem, "choose one with --task and --protocol")
    record = found[0]
    manifest = record.predictions.rename(columns={"y_true": "label"})
    read = read_submitted(registry.task_card(record.spec["task"]), file, manifest, labels=labels)
    names = (row, str(file))
    if AS_GIVEN in read.tests:
        require_same_clips(names, record.predictions, read.table)
    runs = {}
    for test in tests_of(record.data["task"], record.spec["task"], only):
        own = {each.spec["seed"]: per_test.tested(each, test) for each in found}
        for table in own.values():
            require_same_clips(names, table, read.part(test) if test in read.tests else read.table.iloc[:0], test)
        if test in read.tests:
            sides = own, {0: read.part(test)}
            runs[test] = sides if row_is_first else sides[::-1]
    keys = tuple(each.key for each in found), ()
    facts, (_, protocol) = record.data["task"], slots[0]
    ordered = keys if row_is_first else keys[::-1]
    return Matched(record.spec["task"], facts, protocol, facts["group"], runs, ordered, read.warnings)
