"""Scores anyone's prediction file by a task's own metrics, without audio or model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
import pandas as pd

from bench.base.errors import BadInput, UnknownId
from bench.base.tables import spellings
from bench.base.tables.reader import TextTable, read_table
from bench.scores import intervals, label_kinds, per_test, records
from bench.scores.metrics import METRICS
from bench.scores.schema import MetricScores, Scores
from bench.types import TaskCard

LABELS = ("y_true", "y_pred")
NEEDED = ("clip_id", *LABELS)
OWN = ("clip_id", "group", "domain", "split", "duration_s", *LABELS)  # and s_0 …: how records are written
READINGS = ("names", "indices")  # of numbers in y_true and y_pred
AS_GIVEN = "as given"  # the one test of clips that no manifest knows
FORM = "give clip_id,y_true,y_pred[,s_0,…]"


class FileScores(TypedDict):
    """What the predictions of a file score.

    Attributes
    ----------
    task
        The task's id.
    scores
        {test: {metric: score}}.
    expected
        {test: number of its clips}; None for clips that are scored as given.
    warnings
        What a reader of the scores must know, one sentence each.
    """

    task: str
    scores: Scores
    expected: dict[str, int | None]
    warnings: list[str]


@dataclass(frozen=True)
class Submitted:
    """A prediction file, read and laid out by test.

    Attributes
    ----------
    table
        One row per clip: ``clip_id, group, domain, split``, labels, and scores and lengths where the file has them.
    tests
        {test: the splits that it pools}, of the tests that have clips in the file; ``as given`` where they are unknown.
    unit
        What a group is: the task's, or ``clip``.
    expected
        {test: number of its clips}; None for clips that are taken as given.
    own
        The columns ``group`` and ``domain`` of the file itself (text, empty where it says nothing), as far as it has
        them.
    warnings
        What a reader of the scores must know, one sentence each.
    """

    table: pd.DataFrame
    tests: Mapping[str, tuple[str, ...]]
    unit: str
    expected: dict[str, int | None]
    own: Mapping[str, list[str]]
    warnings: list[str]

    def part(self, test: str) -> pd.DataFrame:
        """The rows of one test."""
        return self.table[self.table["split"].isin(self.tests[test])]


def score_file(
    card: TaskCard,
    file: Path,
    manifest: pd.DataFrame | None = None,
    absent: str = "",
    labels: str | None = None,
) -> FileScores:
    """Scores of a prediction file by the metrics of its task.

    Clips that the manifest knows are scored per test, with an interval by patient bootstrap. A file that holds an
    unknown clip is scored as given, as one test ``as given``, with a clip-level interval and a warning.

    Parameters
    ----------
    card, file, manifest, absent, labels
        As ``read_submitted`` takes them.

    Raises
    ------
    UnknownId, BadInput
        As ``read_submitted``.
    """
    read = read_submitted(card, file, manifest, absent, labels)
    scores: Scores = {test: _scores(read.part(test), card, read.unit) for test in read.tests}
    return {"task": card.id, "scores": scores, "expected": read.expected, "warnings": read.warnings}


def read_submitted(
    card: TaskCard,
    file: Path,
    manifest: pd.DataFrame | None = None,
    absent: str = "",
    labels: str | None = None,
) -> Submitted:
    """Reads a prediction file of a task.

    Parameters
    ----------
    card
        The task.
    file
        A table (gzip allowed) with ``clip_id,y_true,y_pred`` and optionally ``s_0 … s_{K-1}`` and ``duration_s``, the
        clips' lengths in seconds, for the AUROC within duration deciles. Labels are indices or class names, in the
        task's spelling or in one that its card knows.
    manifest
        The task's own (``bench.load_task``).
    absent
        Why there is no manifest, where it is None.
    labels
        Whether numbers in ``y_true`` and ``y_pred`` are ``names`` of classes or ``indices``. By default what fits the
        file, the manifest and the scores.

    Raises
    ------
    UnknownId
        For another value of ``labels``.
    BadInput
        For a malformed file, for a label that contradicts the manifest, and where classes are named by numbers and
        nothing tells names from indices.
    """
    if labels not in (None, *READINGS):
        raise UnknownId("reading of labels", str(labels), READINGS)
    labelled = {} if manifest is None else dict(zip(manifest["clip_id"], manifest["label"]))
    table, own, told = _read(file, card, labelled, labels)
    warnings = [told] if told else []
    known = table.iloc[:0]
    if manifest is None:
        warnings.append(f"the task's manifest is not at hand ({absent})")
    else:
        manifest = manifest.set_index("clip_id")
        known = table[table["clip_id"].isin(manifest.index)]
        truth = manifest["label"].reindex(known["clip_id"]).to_numpy()
        wrong = known[known["y_true"].to_numpy() != truth]
        if len(wrong):
            raise BadInput(
                file,
                f"y_true of {wrong['clip_id'].iloc[0]} contradicts the manifest, as do {len(wrong) - 1} others",
                "check the label order: " + ", ".join(f"{k} {name}" for k, name in enumerate(card.classes)),
            )
    if manifest is None or len(known) < len(table):
        respelt = spellings.between(labelled, table["clip_id"])
        warnings.append(
            f"{len(table) - len(known)} of {len(table)} clip ids are not in the manifest of {card.id}: all are scored "
            "as given, with a clip-level interval, which is too narrow where a patient has several clips"
            + (f"; clips of the manifest in another spelling: {spellings.shown(respelt)}" if respelt else "")
        )
        table = table.assign(group=table["clip_id"], domain="", split=AS_GIVEN)
        return Submitted(table, {AS_GIVEN: (AS_GIVEN,)}, "clip", {AS_GIVEN: None}, own, warnings)
    for column in ("group", "domain", "split"):
        table[column] = manifest[column].reindex(table["clip_id"]).to_numpy()
    tests: dict[str, tuple[str, ...]] = {}
    expected: dict[str, int | None] = {}
    for name, splits in card.tests.items():
        found = int(table["split"].isin(splits).sum())
        if not found:
            continue
        clips = int(manifest["split"].isin(splits).sum())
        if found < clips:
            warnings.append(f"test {name}: {found} of its {clips} clips are in the file; scored on those")
        tests[name], expected[name] = tuple(splits), clips
    ignored = int((~table["split"].isin({s for splits in card.tests.values() for s in splits})).sum())
    if ignored:
        warnings.append(f"{ignored} clips belong to no test of {card.id} (training clips) and are not scored")
    if not tests:
        raise BadInput(file, f"none of its clips belongs to a test of {card.id}", "give predictions for test clips")
    return Submitted(table, tests, card.group, expected, own, warnings)


def _scores(table: pd.DataFrame, card: TaskCard, unit: str) -> MetricScores:
    has_class_scores = "s_0" in table.columns
    task = per_test.task_facts(card)
    names = per_test.metric_names(task, table) if "duration_s" in table else card.metrics
    metrics = [name for name in names if has_class_scores or METRICS[name].kind not in ("scores", "strata")]
    recalls = has_class_scores or label_kinds.of(card).per_class == "recall"
    scores = intervals.score_table(table, metrics, unit=unit, recalls=recalls, **per_test.label_arguments(task))
    return {name: records.score_json(score) for name, score in scores.items()}


def _read(
    file: Path, card: TaskCard, truth: Mapping[str, float], labels: str | None
) -> tuple[pd.DataFrame, dict[str, list[str]], str]:
    """The file with labels as the task's kind has them, its own groups and domains, and how the labels were read.

    Raises ``BadInput`` naming the file, the column and the first bad line.
    """
    numbers = ("duration_s", *(() if label_kinds.of(card).integer else LABELS))
    table = read_table(file, (*NEEDED, "s_0"), lambda name: name in numbers or name.startswith("s_"))
    if not table.names:
        raise BadInput(file, "not a readable CSV file (it is empty)", FORM)
    if lacking := [name for name in NEEDED if name not in table.names]:
        raise BadInput(file, f"no column {', '.join(lacking)} (it has {', '.join(table.names)})", FORM)
    if not table.rows:
        raise BadInput(file, "no predictions in it", "give one line per test clip")
    cells = _columns(file, table)
    ids = cells["clip_id"]
    if len(set(ids)) < len(ids):
        twice = pd.Series(ids)[pd.Series(ids).duplicated()].iloc[0]
        raise BadInput(file, f"clip {twice} appears more than once", "give one line per clip")
    out = pd.DataFrame({"clip_id": ids})
    columns = [f"s_{k}" for k in range(len(card.classes))]
    given = [name for name in table.names if name.startswith("s_")]
    if given and sorted(given) != sorted(columns):
        raise BadInput(file, f"score columns {', '.join(given)}", f"{card.id} needs {', '.join(columns)}, or none")
    for name in columns if given else []:
        out[name] = _numbers(file, table, cells[name], name, "a finite number", "give a score for every class")
    if "duration_s" in table.names:
        what = "a length in seconds"
        out["duration_s"] = _numbers(file, table, cells["duration_s"], "duration_s", what, "give all of them, or none")
        if not (out["duration_s"] > 0).all():
            line = table.rows[int(np.flatnonzero(out["duration_s"] <= 0)[0])][0]
            raise BadInput(file, f"duration_s in line {line} is not {what}", "give all of them, or none")
    scores = out[columns].to_numpy() if given else None
    read, told = _labels(file, card, table, {name: cells[name] for name in LABELS}, truth, scores, labels)
    own = {name: cells[name] for name in ("group", "domain") if table.names.count(name) == 1}
    return out.assign(**read), own, told


def _columns(file: Path, table: TextTable) -> dict[str, list[str]]:
    """{column: its cells}. Raises ``BadInput`` for lines of another length, columns given twice and missing values."""
    used = [name for name in table.names if name in (*NEEDED, "duration_s") or name.startswith("s_")]
    if twice := sorted({name for name in used if used.count(name) > 1}):
        raise BadInput(file, f"has the column {', '.join(twice)} twice", "rename or remove one of the two")
    for line, cells in table.rows:
        if len(cells) != len(table.names):
            problem = f"line {line} has {len(cells)} fields, the first line {len(table.names)}"
            raise BadInput(file, problem, 'put fields with separators into "…"')
        if empty := next((name for name in NEEDED if not cells[table.names.index(name)].strip()), None):
            raise BadInput(file, f"{empty} in line {line} is empty", "give it for every clip")
    return {name: [cells[k] for _, cells in table.rows] for k, name in enumerate(table.names)}


def _numbers(file: Path, table: TextTable, cells: list[str], name: str, what: str, remedy: str) -> list[float]:
    """Raises ``BadInput`` for a cell that is no number."""
    values = []
    for cell, (line, _) in zip(cells, table.rows):
        value = table.number(cell)
        if value is None:
            raise BadInput(file, f"{name} in line {line} is not {what}{table.doubt(cell)}", remedy)
        values.append(value)
    return values


def _labels(
    file: Path,
    card: TaskCard,
    table: TextTable,
    cells: Mapping[str, list[str]],
    truth: Mapping[str, float],
    scores: np.ndarray | None,
    stated: str | None,
) -> tuple[dict[str, list], str]:
    """{column: labels}, and a sentence where the file alone leaves open whether its numbers are names or indices.

    That is decided once for the whole file: as it is stated; indices in files of this project's own form; what fits
    all cells; what the manifest says of the true labels; what the scores say of the predicted ones.

    Raises ``BadInput`` for a cell that is no label, and where both fit and differ.
    """
    own = table.names == (*OWN, *(f"s_{k}" for k in range(len(table.names) - len(OWN))))
    reader, unread = LabelReader(card), {}  # unread: {reading: (row, column) of the first cell that is no label}
    fitting: dict[str, dict[str, list]] = {}
    for reading in READINGS:
        read = {name: [reader.label(cell, reading, table) for cell in cells[name]] for name in LABELS}
        bad = next(((row, k) for row in range(len(table.rows)) for k in (0, 1) if read[LABELS[k]][row] is None), None)
        if bad is None:
            fitting[reading] = read
        else:
            unread[reading] = bad
    if not fitting or (stated and stated not in fitting):
        row, k = unread[stated] if stated else max(unread.values())  # of the reading that got furthest
        name = LABELS[k]
        problem = f"{name} in line {table.rows[row][0]} is {cells[name][row].strip()!r}{table.doubt(cells[name][row])}"
        instead = f", or say --labels={next(iter(fitting))}, which all of the file fits" if fitting else ""
        raise BadInput(file, problem, f"use {_accepted(card, stated)}{instead}")
    if stated:
        return fitting[stated], ""
    first = next(iter(fitting.values()))
    if own and "indices" in fitting:
        return fitting["indices"], ""
    if all(read == first for read in fitting.values()):
        return first, ""
    decided = label_kinds.of(card).decided(scores).tolist() if scores is not None else []
    ids = [cells_[table.names.index("clip_id")] for _, cells_ in table.rows]
    expected = [truth.get(id) for id in ids]
    evidence = {
        "the manifest has": lambda read: all(want in (None, got) for want, got in zip(expected, read["y_true"])),
        "the scores have": lambda read: read["y_pred"] == decided,
    }
    for source, agrees in evidence.items():
        agreeing = {reading: read for reading, read in fitting.items() if agrees(read)}
        if len(agreeing) == 1:
            ((reading, read),) = agreeing.items()
            return read, f"the numbers in y_true and y_pred are read as {reading} of classes, as {source} them"
    problem = "y_true and y_pred fit the classes' names as well as their indices, which differ: " + ", ".join(
        f"{k} {name}" for k, name in enumerate(card.classes)
    )
    raise BadInput(file, problem, "say which they are: --labels=names or --labels=indices")


def _accepted(card: TaskCard, stated: str | None) -> str:
    """What may stand for a label, under the reading that was asked for."""
    listed = ", ".join(card.classes)
    several = card.kind == "multilabel"
    accepted = {
        "names": f"names of {listed} joined by +" if several else listed,
        "indices": f"sums of 2^k over the classes {listed}" if several else f"0…{len(card.classes) - 1}",
    }
    if card.kind == "regression":
        return "a number"
    return accepted[stated] if stated else f"{accepted['indices']} or {accepted['names']}"


class LabelReader:
    """What the cells of a prediction file stand for: class names, spellings on the card, or indices."""

    def __init__(self, card: TaskCard):
        self.kind, self.n_classes = label_kinds.of(card), len(card.classes)
        self._exact = {name: self.kind.of_class_index(k) for k, name in enumerate(card.classes)}
        self._spelt = {spellings.label_key(name): label for name, label in card.spellings.items()}
        keys = [spellings.label_key(name) for name in card.classes]
        self._names = {key: k for k, key in enumerate(keys) if keys.count(key) == 1}
        self._named: dict[str, float | None] = {}

    def named(self, text: str) -> float | None:
        """The label of a name, as it stands or in another spelling; None for no name, and for one of two classes."""
        if text not in self._named:
            exact = self._exact.get(text, self._exact.get(text.strip()))
            key = spellings.label_key(text)
            self._named[text] = next(
                (label for label in (exact, self._spelt.get(key)) if label is not None),
                self.kind.of_parts(key.split("+"), self._names),
            )
        return self._named[text]

    def label(self, text: str, reading: str, table: TextTable) -> float | None:
        """The label that a cell states, its numbers being ``names`` or ``indices``; None where it states none."""
        number = table.number(text)
        if number is None or (reading == "names" and self.kind.integer):
            return self.named(text) if self.kind.integer else None
        written = not self.kind.integer or re.fullmatch(r"\s*(0|[1-9]\d*)([.,]0*)?\s*", text, re.ASCII)
        return self.kind.of_number(number, self.n_classes) if written else None
