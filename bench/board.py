"""The leaderboard as files: overview, one page per task, and every number as CSV; made from records alone.

``render`` is a pure function of the records and of ``board.json`` (title, commands, encoders without weights,
notes), so ``respbench verify`` can hold the files on disk against the predictions behind them.
"""

from __future__ import annotations

import csv
import io
import json
import math
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from bench import metrics, run
from bench.ranking import cells, leaderboard, rank_class, require_one_data, row_names, twin_differences
from bench.records import load_all
from bench.stats import FEW_GROUPS
from bench.tables import BLANK, DISCLAIMER, amount, markdown
from bench.task_page import row_name, task_page
from bench.types import Record

if TYPE_CHECKING:
    import pandas as pd

CONTEXT = "board.json"
PARITY = (
    "Parity: `golden` rows come from an encoder that equals arrays made with the original implementation; "
    "`self-consistent` and `unverified` ones are not claimed to be faithful to theirs."
)
EMPTY: Mapping[str, str] = MappingProxyType({})


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


def render(records: Sequence[Record], context: Context) -> dict[str, str]:
    """{file name: text} of the whole board."""
    by_task = _by_task(records)
    require_one_data(records)
    names, differences = row_names(records), twin_differences(records)
    pages = {
        f"tasks/{page_name(task)}": task_page(task, part, names, differences) for task, part in sorted(by_task.items())
    }
    return {"leaderboard.md": _overview(records, by_task, context), **pages, "leaderboard.csv": _csv(records)}


def write(records: Sequence[Record], folder: Path) -> list[Path]:
    """Writes the board beside its records and returns the files, the overview first."""
    out = []
    for name, text in render(records, Context.read(folder)).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        out.append(path)
    return out


def files(folder: Path) -> list[Path]:
    """The board's files in a results folder, as far as they are there."""
    named = [folder / name for name in ("leaderboard.md", "leaderboard.csv")]
    return [path for path in named if path.exists()] + sorted((folder / "tasks").glob("*.md"))


def page_name(task: str) -> str:
    """The file name of a task's page; a slash in the id does not nest."""
    return urllib.parse.quote(task, safe="@") + ".md"


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
        "remarks": _remarks(_by_task(records)),
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
    remarks = "\n".join(_remarks(_by_task(records))).replace("**", "")
    return "\n\n".join([DISCLAIMER, remarks, *overview_tables(records)])


def _order(record: Record) -> tuple:
    task = record.data["task"]
    table = record.scores.get(run.headline(task), {})
    value = table.get(task["main_metric"], {}).get("value")
    control = rank_class(record.spec) == "control"
    sign = 1 if metrics.get(task["main_metric"]).direction == "lower" else -1
    return record.spec["task"], control, math.inf if value is None else sign * value, record.key


# ------------------------------------------------------------------ overview


def overview_tables(records: Sequence[Record]) -> list[str]:
    """Two tables with intervals: the headline tests with mean and rank, and all other tests."""
    wide, long = leaderboard(records), cells(records)
    headline = sorted((long["task"] + "/" + long["test"])[long["headline"]].unique())
    others = [c for c in wide.columns if "/" in c and c not in headline]
    headlines = _overview_table(wide, long, headline, ranked=True)
    return [headlines] + (["Other tests:", _overview_table(wide, long, others, ranked=False)] if others else [])


def _overview_table(wide: pd.DataFrame, long: pd.DataFrame, columns: Sequence[str], ranked: bool) -> str:
    intervals = {row[:5]: row for row in _keyed(long)}
    header = ["encoder", "parity", "pooling", "protocol", *columns]
    rows = []
    for _, row in wide.iterrows():
        identity = (row["encoder"], row["pooling"], row["layer"], row["protocol"])
        values = [_cell(intervals.get((*identity, column))) for column in columns]
        mean = BLANK if math.isnan(row["mean"]) else f"{100 * row['mean']:.1f}"
        rank = BLANK if row["class"] == "control" or math.isnan(row["rank"]) else f"{row['rank']:.0f}"
        named = [row_name(row["encoder"], row["layer"]), row["parity"], row["pooling"], row["protocol"]]
        rows.append([rank, *named, *values, mean] if ranked else [*named, *values])
    if ranked:
        return markdown(["rank", *header, "mean"], rows, right=range(5, len(header) + 2))
    return markdown(header, rows, right=range(4, len(header)))


def _keyed(long: pd.DataFrame) -> list[tuple]:
    return [
        (
            r.encoder,
            r.pooling,
            r.layer,
            r.protocol,
            f"{r.task}/{r.test}",
            r.value,
            r.low,
            r.high,
            metrics.get(r.metric).unit,
        )
        for r in long.itertuples()
    ]


def _cell(found: tuple | None) -> str:
    return amount(dict(zip(("value", "low", "high"), found[5:8])), found[8]) if found else BLANK


def _overview(records: Sequence[Record], by_task: Mapping[str, list[Record]], context: Context) -> str:
    wide = leaderboard(records)
    parts = [f"# {context.title}", f"**{DISCLAIMER}**", "\n\n".join(_remarks(by_task))]
    if context.commands:
        parts.append("Made by:\n\n" + "\n".join(f"    {command}" for command in context.commands))
    parts += [
        "Each cell is the task's main metric in percent with its 95 % interval by patient bootstrap. "
        "The mean is over "
        + (", ".join(wide.attrs["mean_of"]) or "nothing")
        + ", and blank where one of them is missing; "
        "different metrics have different floors, so read it as an order, not as a quantity. Control rows (chance, "
        "majority class, clip duration, untrained twins) are never ranked. " + PARITY,
        *overview_tables(records),
        "## Tasks and data",
        _task_list(by_task),
        *([_without_data(context)] if context.absent_tasks else []),
        "## Encoders",
        _encoder_list(records, context),
    ]
    if context.notes:
        parts += ["## Notes", "\n".join(f"- {note}" for note in context.notes)]
    return "\n\n".join(parts) + "\n"


def _remarks(by_task: Mapping[str, list[Record]]) -> list[str]:
    """What a reader must know of the data before the numbers, one sentence each."""
    data = {task: part[0].data for task, part in by_task.items()}
    lines = []
    if simulated := [task for task, d in data.items() if "simulated" in d["state"]]:
        lines.append(f"**Simulated data** ({', '.join(simulated)}): these numbers say nothing about real recordings.")
    if subset := [f"{task}: {_share(d)}" for task, d in data.items() if "subset" in d["state"]]:
        lines.append(f"**Subset of the corpus** ({'; '.join(subset)}): never compare with published scores.")
    if broken := [task for task, d in data.items() if d["excluded"]]:
        lines.append(f"**Incomplete**: clips were excluded from {', '.join(broken)}; the task pages list them.")
    shared = [f"{t}/{test} ({n})" for t, d in data.items() for test, n in d["groups_in_train"].items() if n]
    if shared:
        lines.append(f"Tests with patients who are also in train, and how many: {', '.join(shared)}.")
    few = [
        f"{task}/{test} ({score['groups']})"
        for task, part in by_task.items()
        for test, table in part[0].scores.items()
        if (score := table[part[0].data["task"]["main_metric"]])["groups"] < FEW_GROUPS
    ]
    if few:
        lines.append(f"Optimistic intervals, of fewer than {FEW_GROUPS} patients: {', '.join(few)}.")
    return lines or ["All corpora complete."]


def _share(data: Mapping) -> str:
    """How much of the corpus is at hand."""
    recordings, clips = (sum(s[what] for s in data["splits"].values()) for what in ("recordings", "clips"))
    whole = f" of {data['recordings_in_full']}" if data["recordings_in_full"] else ""
    return f"{recordings}{whole} recordings, {clips} clips"


def _task_list(by_task: Mapping[str, list[Record]]) -> str:
    rows = []
    for task, part in by_task.items():
        data = part[0].data
        rows.append(
            [
                f"[{task}](tasks/{page_name(task)})",
                metrics.get(data["task"]["main_metric"]).title,
                data["state"],
                *(f"{sum(s[what] for s in data['splits'].values())}" for what in ("recordings", "clips")),
                data["licence"],
                part[0].spec["manifest"][:12],
            ]
        )
    header = ["task", "main metric", "data", "recordings", "clips", "licence", "data digest"]
    return markdown(header, rows, right=(3, 4))


def _without_data(context: Context) -> str:
    """The tasks asked for whose data are not at hand, and why."""
    lines = (f"- {task}: **no data at hand**: {why}" for task, why in sorted(context.absent_tasks.items()))
    return "Not in any table, and missing from every mean:\n\n" + "\n".join(lines)


def _encoder_list(records: Sequence[Record], context: Context) -> str:
    rows = {}
    for record in sorted(records, key=lambda r: (rank_class(r.spec) == "control", r.spec["encoder"])):
        spec, data = record.spec, record.data
        weights = BLANK if spec["weights"] == "none" else spec["weights"][:12]
        untrained = spec["encoder"].startswith("random.")
        what = "untrained" if untrained else "none needed" if weights == BLANK else "at hand"
        rows[spec["encoder"]] = [
            spec["encoder"],
            what,
            weights,
            data.get("policy", BLANK),
            ", ".join(data["trained_on"]) or BLANK,
            data["weights_licence"] or BLANK,
            data.get("parity", BLANK),
        ]
    for encoder, reason in sorted(context.absent.items()):
        rows[encoder] = [encoder, f"**not at hand**: {reason}", *[BLANK] * 5]
    return markdown(
        ["encoder", "weights", "weight digest", "input policy", "trained on", "licence of weights", "parity"],
        list(rows.values()),
    )


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
