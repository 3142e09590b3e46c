"""The leaderboard as files: overview, one page per task, and every number as CSV.

``render_leaderboard`` is a pure function of the records, of ``board.json`` (title, commands, encoders without weights,
notes) and of what audits of the same data found, so ``respbench verify`` can hold the files against all of them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from bench.base.errors import one_line
from bench.base.paths import file_name
from bench.reports.audit.sensitivity import read_sensitivities
from bench.reports.audit.summary import AuditSummary, read_audit_summaries
from bench.reports.leaderboard.console import console_tables
from bench.reports.leaderboard.every_number import every_number
from bench.reports.leaderboard.overview import overview, remarks
from bench.reports.leaderboard.standings.compute import standings
from bench.reports.leaderboard.table import cells, leaderboard, twin_differences
from bench.reports.leaderboard.task_page import task_page
from bench.reports.names import rank_class, row_names
from bench.reports.pages import stale_pages, write_pages
from bench.reports.tables import DISCLAIMER
from bench.runs.context import NOTHING, BoardNotes
from bench.scores import metrics, per_test
from bench.scores.records import require_one_data
from bench.scores.schema import Record

OVERVIEW, EVERY_NUMBER, PAGES = "leaderboard.md", "leaderboard.csv", "tasks"


def render_leaderboard(
    records: Sequence[Record],
    notes: BoardNotes,
    audits: Mapping[str, AuditSummary] = NOTHING,
    sensitivities: Mapping[str, Mapping] = NOTHING,
) -> dict[str, str]:
    """Renders the overview, one page per task and the CSV.

    Parameters
    ----------
    records
        All records of the leaderboard.
    notes
        Its title, commands, remarks and what could not run.
    audits
        {task: the audit of its data}.
    sensitivities
        {record key: what rounding does to it} (``bench.reports.audit.sensitivity``).

    Returns
    -------
    dict[str, str]
        {path relative to the results folder: text}, the overview first.

    Raises
    ------
    BadInput
        Where there are no records, or records of one task on different data.
    """
    by_task = _by_task(records)
    require_one_data(records)
    names, differences = row_names(records), twin_differences(records)
    who_leads = standings(records, audits, sensitivities)
    pages = {
        f"{PAGES}/{file_name(task)}.md": task_page(
            task, part, names, differences, who_leads, audits.get(task), sensitivities
        )
        for task, part in sorted(by_task.items())
    }
    first = overview(records, by_task, notes, audits, sensitivities, who_leads)
    return {OVERVIEW: first, **pages, EVERY_NUMBER: every_number(sorted(records, key=_order), who_leads)}


def _render_folder(records: Sequence[Record], folder: Path) -> dict[str, str]:
    """Renders with the notes and the audits of a results folder. Raises ``BadInput`` for an unreadable audit."""
    beside = read_audit_summaries(folder, _by_task(records)), read_sensitivities(folder, records)
    return render_leaderboard(records, BoardNotes.read(folder), *beside)


def write_leaderboard(records: Sequence[Record], folder: Path) -> list[Path]:
    """Writes the leaderboard beside its records and returns the files, the overview first."""
    return write_pages(folder, _render_folder(records, folder))


def stale_leaderboard(records: Sequence[Record], folder: Path) -> list[str]:
    """Lists what in the leaderboard's files is not what the records and audits give; nothing where it has no files."""
    overview_files = [folder / name for name in (OVERVIEW, EVERY_NUMBER) if (folder / name).exists()]
    present = [*overview_files, *sorted((folder / PAGES).glob("*.md"))]
    if not present:
        return []
    remedy = f"write the board again with `respbench leaderboard {folder}`"
    return stale_pages(folder, _render_folder(records, folder), present, remedy)


def leaderboard_json(records: Sequence[Record], notes: BoardNotes) -> dict:
    """The leaderboard as JSON-ready values.

    ``rows`` are as ``bench.leaderboard`` gives them; ``cells`` have interval, counts and state; ``standings`` are
    ``bench.standings`` without costs; the rest is what the pages say around the tables.
    """
    wide, long = leaderboard(records), cells(records)
    return {
        **asdict(notes),
        "disclaimer": DISCLAIMER,
        "mean_of": wide.attrs["mean_of"],
        "rows": json.loads(wide.to_json(orient="records")),
        "cells": json.loads(long.to_json(orient="records")),
        "standings": standings(records).as_json(),
        "remarks": remarks(_by_task(records)),
    }


def _by_task(records: Sequence[Record]) -> dict[str, list[Record]]:
    """{task: its records, best first}, tasks in order of their ids."""
    out: dict[str, list[Record]] = {}
    for record in sorted(records, key=_order):
        out.setdefault(record.spec["task"], []).append(record)
    return out


def console_leaderboard(records: Sequence[Record], width: int = 100, styled: bool = False) -> str:
    """The leaderboard as a terminal of so many columns shows it: the state of the data, scores, what the signs mean."""
    text = "\n".join(map(one_line, remarks(_by_task(records)))).replace("**", "")
    return "\n\n".join(filter(None, [DISCLAIMER, text, console_tables(standings(records), width, styled)]))


def _order(record: Record) -> tuple:
    task = record.data["task"]
    table = record.scores.get(per_test.headline(task), {})
    value = table.get(task["main_metric"], {}).get("value")
    control = rank_class(record.spec) == "control"
    sign = 1 if metrics.get(task["main_metric"]).direction == "lower" else -1
    return record.spec["task"], control, math.inf if value is None else sign * value, record.key
