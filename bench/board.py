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
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType

from bench import audited, metrics, run
from bench.audited import Audited
from bench.overview import overview, overview_tables, page_name, remarks
from bench.ranking import cells, leaderboard, rank_class, require_one_data, row_names, twin_differences
from bench.records import load_all
from bench.tables import DISCLAIMER
from bench.task_page import task_page
from bench.types import Record

CONTEXT = "board.json"
EMPTY: Mapping = MappingProxyType({})


@dataclass
class Context:
    """What the records cannot tell: how the board was made, and which encoders and tasks could not be run, and why."""

    title: str = "Leaderboard"
    commands: list[str] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    absent_tasks: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Context:
        """The context stored in a results folder, or an empty one."""
        path = folder / CONTEXT
        return cls(**json.loads(path.read_text())) if path.exists() else cls()

    def write(self, folder: Path) -> None:
        """Stores the context in a results folder."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONTEXT).write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")


def render(records: Sequence[Record], context: Context, audits: Mapping[str, Audited] = EMPTY) -> dict[str, str]:
    """{file name: text} of the whole board; ``audits`` by task."""
    by_task = _by_task(records)
    require_one_data(records)
    names, differences = row_names(records), twin_differences(records)
    pages = {
        f"tasks/{page_name(task)}": task_page(task, part, names, differences, audits.get(task))
        for task, part in sorted(by_task.items())
    }
    return {"leaderboard.md": overview(records, by_task, context, audits), **pages, "leaderboard.csv": _csv(records)}


def rendered(records: Sequence[Record], folder: Path) -> dict[str, str]:
    """``render`` with the context and the audits of a results folder. Raises ``BadInput`` for an unreadable audit."""
    return render(records, Context.read(folder), audited.read(folder, _by_task(records)))


def write(records: Sequence[Record], folder: Path) -> list[Path]:
    """Writes the board beside its records and returns the files, the overview first."""
    out = []
    for name, text in rendered(records, folder).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        out.append(path)
    return out


def files(folder: Path) -> list[Path]:
    """The board's files in a results folder, as far as they are there."""
    named = [folder / name for name in ("leaderboard.md", "leaderboard.csv")]
    return [path for path in named if path.exists()] + sorted((folder / "tasks").glob("*.md"))


def as_json(records: Sequence[Record], context: Context) -> dict:
    """The board JSON-ready: ``rows`` as ``bench.leaderboard`` gives them, ``cells`` with interval, counts and state,
    and what the tables say around them."""
    wide, long = leaderboard(records), cells(records)
    return {
        **asdict(context),
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


def update_context(
    folder: Path,
    command: str = "",
    absent: Mapping[str, str] = EMPTY,
    title: str | None = None,
    notes: Sequence[str] = (),
    absent_tasks: Mapping[str, str] = EMPTY,
) -> Context:
    """Adds what one run contributes to the folder's context; saying the same thing twice changes nothing."""
    context = Context.read(folder)
    there = load_all(folder)
    ran, answered = ({record.spec[name] for record in there} for name in ("encoder", "task"))
    context.title = title or context.title
    context.commands += [command] if command and command not in context.commands else []
    context.notes += [note for note in notes if note not in context.notes]
    context.absent = {e: why for e, why in {**context.absent, **absent}.items() if e not in ran}
    left_out = {**context.absent_tasks, **absent_tasks}
    context.absent_tasks = {task: why for task, why in left_out.items() if task not in answered}
    context.write(folder)
    return context


def console(records: Sequence[Record]) -> str:
    """The overview as the terminal shows it: the state of the data, the table, what the marks mean."""
    told = "\n".join(remarks(_by_task(records))).replace("**", "")
    return "\n\n".join([DISCLAIMER, told, *overview_tables(records)])


def _order(record: Record) -> tuple:
    task = record.data["task"]
    table = record.scores.get(run.headline(task), {})
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
