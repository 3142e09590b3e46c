"""The leaderboard as a page holds it: rows, tests and their scores, tasks, and what must be read before the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bench.base import registry
from bench.publish.page.compact import parts
from bench.reports.audit.summary import AuditSummary
from bench.reports.leaderboard.overview import PARITY, remarks
from bench.reports.leaderboard.table import cells, leaderboard
from bench.reports.names import ROW, rank_class, row_name, row_names
from bench.runs.context import NOTHING, BoardNotes
from bench.scores import label_kinds, metrics, per_test
from bench.scores.metrics import DURATION_MATCHED
from bench.scores.printed import missing
from bench.scores.schema import Record

Identity = tuple[Any, ...]  # of a row: as names.ROW


def identity(record: Record, names: Mapping[str, str]) -> Identity:
    """The row that a record belongs to. ``names``: {record key: the encoder as tables name it}."""
    return (names[record.key], *(record.spec[name] for name in ROW[1:]))  # type: ignore[literal-required]


def board_model(
    records: Sequence[Record],
    notes: BoardNotes,
    audits: Mapping[str, AuditSummary] = NOTHING,
) -> dict[str, Any]:
    """Everything of a board that a page shows, as JSON-ready values; scores in millionths.

    Parameters
    ----------
    records
        All records of the board.
    notes
        Its title, commands, remarks and what could not run.
    audits
        {task: the audit of its data}.

    Returns
    -------
    dict
        ``rows``; ``tests`` in order of task, the headline first, each with ``cells`` (place of the row, value, low,
        high, keys of the records); ``also``: the same of other metrics; and texts.

    Raises
    ------
    BadInput
        For no records, and for records of one task on different data.
    """
    wide, long = leaderboard(records), cells(records)
    names, by_task = row_names(records), _by_task(records)
    keys: dict[tuple[Identity, str], list[str]] = {}
    first: dict[Identity, Record] = {}
    for record in sorted(records, key=lambda r: (r.spec["seed"], r.key)):
        keys.setdefault((identity(record, names), record.spec["task"]), []).append(record.key)
        first.setdefault(identity(record, names), record)
    identities = [tuple(line[name] for name in ROW) for line in wide.to_dict("records")]
    places = {row: place for place, row in enumerate(identities)}
    lines = wide.to_dict("records")
    tests = [
        _test(by_task[task][0], test, part, places, keys, audits.get(task))
        for (task, test), part in sorted(long.groupby(["task", "test"]), key=lambda item: item[0])
    ]
    tests.sort(key=lambda each: (each["task"], not each["headline"], each["test"]))
    return {
        "title": notes.title,
        "commands": notes.commands,
        "notes": notes.notes,
        "absent": notes.absent,
        "absent_tasks": notes.absent_tasks,
        "remarks": [line.replace("**", "") for line in remarks(by_task)],
        "parity": PARITY.replace("`", ""),
        "mean_of": wide.attrs["mean_of"],
        "rows": [_row(row, line, first[row]) for row, line in zip(identities, lines)],
        "tests": tests,
        "also": {
            "AUROC": _also(records, lambda task: label_kinds.of(task).auroc, places),
            "AUROC within duration deciles": _also(records, lambda task: DURATION_MATCHED, places),
        },
        "audited": {task: _audited(by_task[task][0], audits[task]) for task in by_task if task in audits},
    }


def _by_task(records: Sequence[Record]) -> dict[str, list[Record]]:
    """{task: its records}, in order of task and key."""
    out: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda r: (r.spec["task"], r.key)):
        out.setdefault(record.spec["task"], []).append(record)
    return out


def _row(row: Identity, line: Mapping[Any, Any], record: Record) -> dict[str, Any]:
    encoder, pooling, layer, protocol = row
    return {
        "encoder": record.spec["encoder"],
        "name": row_name(encoder, layer),
        "pooling": pooling,
        "layer": layer,
        "protocol": protocol,
        "class": rank_class(record.spec),
        "parity": line["parity"],
        "mean": parts(line["mean"]),
        "rank": None if missing(line["rank"]) else int(line["rank"]),
        "twin_of": registry.original_id(record.spec["encoder"]) if registry.is_twin(record.spec["encoder"]) else "",
    }


def _test(
    record: Record,
    test: str,
    part: pd.DataFrame,
    places: Mapping[Identity, int],
    keys: Mapping[tuple[Identity, str], Sequence[str]],
    audit: AuditSummary | None,
) -> dict[str, Any]:
    """One test. ``record`` is any of its task, ``part`` its cells."""
    task, name = record.data["task"], record.spec["task"]
    first = part.iloc[0]
    shared = record.data["groups_in_train"].get(test, 0)
    marks = [f"{shared} {task['group']}s in train"] if shared else []
    marks += audit.of_test(record, test) if audit else []
    metric = metrics.get(task["main_metric"])
    rows = [tuple(line[n] for n in ROW) for line in part.to_dict("records")]
    return {
        "task": name,
        "test": test,
        "headline": test == per_test.headline(task),
        "state": record.data["state"],
        "metric": metric.name,
        "unit": metric.unit,
        "direction": metric.direction,
        "n": int(first["n"]),
        "groups": int(first["groups"]),
        "group": task["group"],
        "marks": list(dict.fromkeys(marks)),
        "cells": [
            [places[row], parts(line["value"]), parts(line["low"]), parts(line["high"]), keys[row, name]]
            for row, line in zip(rows, part.to_dict("records"))
        ],
    }


def _also(records: Sequence[Record], chosen: Any, places: Mapping[Identity, int]) -> dict[str, list[list[Any]]]:
    """{``task/test``: cells (place of the row, value, low, high)} of another metric; empty where none has it."""
    table = cells(records, chosen)
    out: dict[str, list[list[Any]]] = {}
    for line in table.to_dict("records"):
        cell = [places[tuple(line[n] for n in ROW)], *(parts(line[name]) for name in ("value", "low", "high"))]
        out.setdefault(f"{line['task']}/{line['test']}", []).append(cell)
    return out


def _audited(record: Record, audit: AuditSummary) -> str:
    """What a task's audit says of itself: empty where it is of the same data."""
    return audit.stale(record)


def metric_facts(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """{metric: title, unit, direction and formula} of the metrics that tables show; those of single classes too."""
    out = {}
    for name in names:
        head, _, of_class = name.partition(".")
        single = head == "recall" or name.startswith("auroc.bit.")
        metric = metrics.get(f"{head}.0" if head == "recall" else "auroc.bit.0" if single else name)
        title = f"recall of {of_class}" if head == "recall" else f"AUROC of {name[len('auroc.bit.') :]}"
        out[name] = {
            "title": title if single else metric.title,
            "unit": metric.unit,
            "direction": metric.direction,
            "formula": metric.formula,
        }
    return out
