"""The leaderboard as files: overview, one page per task, and every number as CSV.

``render`` is a pure function of the records, of ``board.json`` (title, commands, encoders without weights, notes) and
of what audits of the same data found, so ``respbench verify`` can hold the files on disk against all of them.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from bench.base.paths import file_name, write_text
from bench.reports.audit import findings
from bench.reports.audit.findings import Audited
from bench.reports.leaderboard.overview import overview, overview_tables, remarks
from bench.reports.leaderboard.table import cells, leaderboard, twin_differences
from bench.reports.leaderboard.task_page import task_page
from bench.reports.names import rank_class, row_names
from bench.reports.tables import DISCLAIMER
from bench.runs.context import NOTHING, BoardNotes
from bench.scores import metrics, per_test
from bench.scores.records import require_one_data
from bench.scores.schema import Record


def render(records: Sequence[Record], notes: BoardNotes, audits: Mapping[str, Audited] = NOTHING) -> dict[str, str]:
    """{file name: text} of the whole board; ``audits`` by task."""
    by_task = _by_task(records)
    require_one_data(records)
    names, differences = row_names(records), twin_differences(records)
    pages = {
        f"tasks/{file_name(task)}.md": task_page(task, part, names, differences, audits.get(task))
        for task, part in sorted(by_task.items())
    }
    return {"leaderboard.md": overview(records, by_task, notes, audits), **pages, "leaderboard.csv": _csv(records)}


def rendered(records: Sequence[Record], folder: Path) -> dict[str, str]:
    """``render`` with the notes and the audits of a results folder. Raises ``BadInput`` for an unreadable audit."""
    return render(records, BoardNotes.read(folder), findings.read(folder, _by_task(records)))


def write(records: Sequence[Record], folder: Path) -> list[Path]:
    """Writes the board beside its records and returns the files, the overview first."""
    out = []
    for name, text in rendered(records, folder).items():
        path = folder / name
        write_text(path, text)
        out.append(path)
    return out


def files(folder: Path) -> list[Path]:
    """The board's files in a results folder, as far as they are there."""
    named = [folder / name for name in ("leaderboard.md", "leaderboard.csv")]
    return [path for path in named if path.exists()] + sorted((folder / "tasks").glob("*.md"))


def as_json(records: Sequence[Record], notes: BoardNotes) -> dict:
    """The board JSON-ready: ``rows`` as ``bench.leaderboard`` gives them, ``cells`` with interval, counts and state,
    and what the tables say around them."""
    wide, long = leaderboard(records), cells(records)
    return {
        **asdict(notes),
        "disclaimer": DISCLAIMER,
        "mean_of": wide.attrs["mean_of"],
        "rows": json.loads(wide.to_json(orient="records")),
        "cells": json.loads(long.to_json(orient="records")),
        "remarks": remarks(_by_task(records)),
    }


def _by_task(records: Sequence[Record]) -> dict[str, list[Record]]:
    """{task: its records, best first}, tasks in order of their ids."""
    out: dict[str, list[Record]] = {}
    for record in sorted(records, key=_order):
        out.setdefault(record.spec["task"], []).append(record)
    return out


def console(records: Sequence[Record]) -> str:
    """The overview as the terminal shows it: the state of the data, the table, what the marks mean."""
    told = "\n".join(remarks(_by_task(records))).replace("**", "")
    return "\n\n".join([DISCLAIMER, told, *overview_tables(records)])


def _order(record: Record) -> tuple:
    task = record.data["task"]
    table = record.scores.get(per_test.headline(task), {})
    value = table.get(task["main_metric"], {}).get("value")
    control = rank_class(record.spec) == "control"
    sign = 1 if metrics.get(task["main_metric"]).direction == "lower" else -1
    return record.spec["task"], control, math.inf if value is None else sign * value, record.key


# ------------------------------------------------------------------ every number


def _csv(records: Sequence[Record]) -> str:
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    names = ("task", "encoder", "pooling", "layer", "clip", "protocol", "protocol_version", "seed")
    names += ("weights", "manifest", "dtype")
    score = ("value", "low", "high", "n", "groups", "method")
    out.writerow([*names, "state", "test", "metric", *score, "record"])
    for record in sorted(records, key=_order):
        for test, table in record.scores.items():
            for metric, values in table.items():
                head = [record.spec[name] for name in names]
                out.writerow([*head, record.data["state"], test, metric, *(values[s] for s in score), record.key])
    return text.getvalue()
