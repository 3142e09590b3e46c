"""The leaderboard as a page holds it: rows, tests and their scores, and what must be read before the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.base import registry
from bench.publish.page.compact import parts
from bench.reports.audit.summary import AuditSummary
from bench.reports.leaderboard.overview import PARITY, remarks
from bench.reports.leaderboard.published.rows import comparable, published_rows
from bench.reports.leaderboard.standings.compute import standings
from bench.reports.leaderboard.standings.values import Cost, OverallStanding, Standing, TestStandings
from bench.reports.leaderboard.table import cells
from bench.reports.names import ROW, row_name
from bench.runs.context import NOTHING, BoardNotes
from bench.scores import label_kinds, metrics
from bench.scores.metrics import DURATION_MATCHED
from bench.scores.schema import Record

Identity = tuple[Any, ...]  # of a row: as names.ROW


def board_model(
    records: Sequence[Record],
    notes: BoardNotes,
    audits: Mapping[str, AuditSummary] = NOTHING,
    sensitivities: Mapping[str, Mapping] = NOTHING,
    ms_per_clip: Mapping[str, float] = NOTHING,
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
    sensitivities
        {record key: what rounding does to it}.
    ms_per_clip
        {encoder: milliseconds a clip}.

    Returns
    -------
    dict
        ``rows`` class by class, best first; ``tests`` in order of task, the headline first, each with ``cells`` (place
        of the row, value, low, high, keys of the records by seed, and what stands beside); ``also``: the same of other
        metrics; and texts.

    Raises
    ------
    BadInput
        For no records, and for records of one task on different data.
    """
    found, by_task = standings(records, audits, sensitivities, ms_per_clip), _by_task(records)
    by_key = {record.key: record for record in records}
    keys = {each.row: each.keys[0] for of in found.tests for each in of.rows}
    rows = [(each, by_key[keys[each.row]]) for each in found.overall]
    places = {_identity(each.row): place for place, (each, _) in enumerate(rows)}
    return {
        "title": notes.title,
        "commands": notes.commands,
        "notes": notes.notes,
        "absent": notes.absent,
        "absent_tasks": notes.absent_tasks,
        "remarks": [line.replace("**", "") for line in remarks(by_task)],
        "parity": PARITY.replace("`", ""),
        "mean_of": list(found.mean_of),
        "rows": [_row(each, record, found.cost.get(each.row, Cost())) for each, record in rows],
        "tests": [_test(of, by_key, places) for of in found.tests],
        "also": {
            "AUROC": _also(records, lambda task: label_kinds.of(task).auroc, places),
            "AUROC within duration deciles": _also(records, lambda task: DURATION_MATCHED, places),
        },
        "published": {task: rows for task, own in by_task.items() if (rows := _published(own[0]))},
        "audited": {task: audits[task].stale(by_task[task][0]) for task in by_task if task in audits},
    }


def _by_task(records: Sequence[Record]) -> dict[str, list[Record]]:
    """{task: its records}, in order of task and key."""
    out: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda r: (r.spec["task"], r.key)):
        out.setdefault(record.spec["task"], []).append(record)
    return out


def _published(record: Record) -> list[list[str]]:
    """What others published of a task's main metric: system, year, value, test, and why it is not ranked with ours."""
    task, metric, state = record.spec["task"], record.data["task"]["main_metric"], record.data["state"]
    rows = [] if "simulated" in state else [row for row in published_rows(task) if row.our_metric == metric]
    out = []
    for row in rows:
        fits, why = comparable(row, task, row.our_test, row.our_protocol, state)
        value = f"{row.value} ± {row.std}" if row.std else row.value
        out.append([row.system, row.year, value, row.our_test, row.our_protocol if fits else "", why, row.source])
    return out


def _identity(row: Any) -> Identity:
    return row.encoder, row.pooling, row.layer, row.protocol


def _row(each: OverallStanding, record: Record, cost: Cost) -> dict[str, Any]:
    encoder = record.spec["encoder"]
    return {
        "encoder": encoder,
        "name": row_name(each.row.encoder, each.row.layer),
        "pooling": each.row.pooling,
        "layer": each.row.layer,
        "protocol": each.row.protocol,
        "class": each.row.rank_class,
        "parity": record.data.get("parity", "none"),
        "mean": parts(each.mean),
        "rank": each.rank,
        "ranks": [each.rank_low, each.rank_high],
        "best": bool(each.best),
        "letters": each.letters,
        "cost": [cost.parameters, cost.ms_per_clip, cost.gb],
        "twin_of": registry.original_id(encoder) if registry.is_twin(encoder) else "",
    }


def _test(of: TestStandings, by_key: Mapping[str, Record], places: Mapping[Identity, int]) -> dict[str, Any]:
    """One test. What all its rows have among their marks stands at the test, the rest at the numbers."""
    first = by_key[of.rows[0].keys[0]].data
    shared = [mark for mark in of.rows[0].marks if all(mark in each.marks for each in of.rows)]
    resolution = None if of.resolution is None else [parts(of.resolution.resolved), parts(of.resolution.found)]
    return {
        "task": of.task,
        "test": of.test,
        "headline": of.headline,
        "state": first["state"],
        "metric": of.metric,
        "unit": of.unit,
        "direction": of.direction,
        "n": of.clips,
        "groups": of.groups,
        "group": first["task"]["group"],
        "marks": shared,
        "resolution": resolution,
        "cells": [_cell(each, places, shared) for each in of.rows],
    }


def _cell(each: Standing, places: Mapping[Identity, int], shared: Sequence[str]) -> list[Any]:
    marks = [mark for mark in each.marks if mark not in shared]
    beside = {"best": each.best, "letters": each.letters, "marks": marks}
    scores = [parts(each.value), parts(each.low), parts(each.high)]
    return [places[_identity(each.row)], *scores, list(each.keys), {k: v for k, v in beside.items() if v}]


def _also(records: Sequence[Record], chosen: Any, places: Mapping[Identity, int]) -> dict[str, list[list[Any]]]:
    """{``task/test``: cells (place of the row, value, low, high)} of another metric; empty where none has it."""
    table = cells(records, chosen)
    out: dict[str, list[list[Any]]] = {}
    for line in table.to_dict("records"):
        cell = [places[tuple(line[n] for n in ROW)], *(parts(line[name]) for name in ("value", "low", "high"))]
        out.setdefault(f"{line['task']}/{line['test']}", []).append(cell)
    return out


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
