"""The report of a sweep in a results folder as a section of a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from bench.publish.blocks import Chart, Column, Score, Section, Table, Text
from bench.publish.sections.sweeps import charts, points
from bench.publish.sections.vega import dumbbells
from bench.reports.sweep import sweep_table
from bench.reports.sweep.report import SweepReport, read_report
from bench.runs.context import SweepNotes
from bench.scores import metrics
from bench.scores.printed import missing, p_number

_INTRODUCTION = (
    "Scores are those of each task's headline test, in its main metric, with 95 % intervals by bootstrap of patients. "
    "Hyperparameters of every cell were chosen on its training clips."
)
_ON_TEST = (
    "A layer or pooling that is best here is best on the test: to pick one from these pictures and report its score is "
    "to choose on test. What the training clips alone would choose stands below."
)
_ORACLE = "What is best on test has seen the answers: an oracle, and never a result."


def sweep_section(folder: Path) -> Section | None:
    """The sweep of a results folder; None where none was made there.

    Raises ``BadInput`` for records and notes that cannot be read.
    """
    if not SweepNotes.read(folder).keys:
        return None
    return section_of(read_report(folder))


def section_of(report: SweepReport) -> Section:
    """The section of a sweep's report."""
    notes, merged = report.notes, report.merged
    blocks: list[Any] = [Text((_INTRODUCTION,)), Text((_ON_TEST,), "warning")]
    states = sorted({f"{r.spec['task']}: {r.data['state']}" for r in report.records if r.data["state"] != "complete"})
    if states:
        told = f"Not complete corpora ({'; '.join(states)}): never compare with published scores."
        blocks.append(Text((told,), "warning"))
    if notes.notes:
        blocks.append(Text(tuple(notes.notes), "note"))
    blocks += _heat(merged)
    blocks += _poolings(report)
    blocks += _choices(report)
    blocks += _paths(report)
    blocks += _seeds(merged)
    absent = [f"{name}: {why}" for name, why in sorted({**notes.absent, **notes.absent_tasks}.items())]
    if absent:
        blocks.append(Section("sweep.absent", "Left out", (Text(tuple(absent)),)))
    return Section("sweep", notes.title, tuple(blocks))


def _heat(merged: pd.DataFrame) -> list[Section]:
    """All encoders at their last layer, then every layer of each encoder that has several."""
    tasks = sorted(merged["task"].unique())
    several = merged["protocol"].nunique() > 1
    last = merged[merged["layer"] == -1]
    made = []
    if len(last):
        named = ("encoder", "pooling", "protocol") if several else ("encoder", "pooling")
        made.append(_heat_chart(last, named, tasks, "Every encoder at its last layer"))
    for encoder, part in merged.groupby("encoder", sort=True):
        if part["layer"].nunique() > 1:
            named = ("pooling", "layer", "protocol") if several else ("pooling", "layer")
            made.append(_heat_chart(part, named, sorted(part["task"].unique()), f"Layers of {encoder}"))
    return [Section("sweep.heat", "Layers, poolings and tasks", tuple(made))]


def _heat_chart(part: pd.DataFrame, named: tuple[str, ...], tasks: list[str], title: str) -> Chart:
    description = (
        f"{title}: headline scores, a row per {' and '.join(named)}, a column per task ({', '.join(tasks)}). Colours "
        "span each column by itself, from its worst score to its best; intervals are in the tooltips."
    )
    return Chart(charts.heat_map(points.heat(part, named), tasks), title, description)


def _poolings(report: SweepReport) -> list[Section]:
    """Poolings compared in pairs."""
    if report.differences.empty:
        return []
    last = sweep_table.with_holm(report.differences[report.differences["layer"] == -1])
    blocks: list[Any] = []
    if shown := points.poolings(report.merged, report.differences):
        kinds = sorted({point["kind"] for point in shown}, key=lambda name: (name not in sweep_table.POOLINGS, name))
        description = (
            f"Scores of the poolings {', '.join(kinds)} on the same line for every task, a panel per encoder, at the "
            "last layer. The table below has their paired differences with intervals."
        )
        blocks.append(
            Chart(dumbbells(shown, "main metric, %", kinds, noun="task"), "Poolings at the last layer", description)
        )
    columns = (
        Column("task", "task"),
        Column("encoder", "encoder"),
        Column("poolings", "poolings"),
        Column("difference", "difference", "difference", "%", "Paired clip by clip, in points; 95 % interval."),
        Column("p", "p", "p"),
        Column("holm", "p after Holm", "p", help=f"For all {len(last)} comparisons of this table."),
        Column("groups", "patients or other groups", "number"),
    )
    lines = [
        {
            **{name: row[name] for name in ("task", "encoder", "groups")},
            **{name: p_number(row[name]) for name in ("p", "holm")},
            "poolings": f"{row['pooling']} − {row['minus']}",
            "difference": Score(row["value"], row["low"], row["high"], row["record"]),
        }
        for row in last.to_dict("records")
        if metrics.get(row["metric"]).unit == "%"
    ]
    blocks.append(Table(columns, tuple(lines), "Differences between poolings at the last layer."))
    return [Section("sweep.poolings", "Poolings", tuple(blocks))]


def _choices(report: SweepReport) -> list[Section]:
    """What the training clips choose, beside what choosing on test would have given."""
    asked = []
    if len(chosen := sweep_table.chosen_layers(report.merged)):
        description = (
            "Test scores of the layer and pooling that the training clips choose, and of the one that is best on test, "
            "for every task, a panel per encoder. The way between is what choosing on test would add."
        )
        asked.append(("Layer and pooling: chosen or best", points.choices(chosen, report.merged), description))
    if report.oracle is not None:
        description = (
            "Test scores with C and class weight chosen by the training clips, and with those that are best on test, "
            "mean over poolings and seeds at the last layer, for every task, a panel per encoder."
        )
        asked.append(("C and class weight: chosen or best", points.oracles(report.oracle), description))
    made = [
        Chart(dumbbells(shown, "main metric, %", (points.CHOSEN, points.BEST), noun="task"), title, description)
        for title, shown, description in asked
        if shown
    ]
    if not made:
        return []
    return [Section("sweep.choices", "Chosen on training clips, or on test", (Text((_ORACLE,), "warning"), *made))]


def _paths(report: SweepReport) -> list[Section]:
    """Out-of-fold scores over the penalty."""
    made = []
    titles = {r.spec["task"]: metrics.get(r.data["task"]["main_metric"]).title for r in report.records}
    for task, shown in points.paths(report.records).items():
        description = (
            f"Out-of-fold {titles[task]} of {task} on training clips over the penalty C, a panel per encoder, a colour "
            "per pooling, a dash per class weight; the large point is the best candidate. No test clip takes part."
        )
        made.append(Chart(charts.paths(shown, titles[task]), f"{task}: out-of-fold score over C", description))
    return [Section("sweep.penalty", "Scores over the penalty C", tuple(made))] if made else []


def _seeds(merged: pd.DataFrame) -> list[Section]:
    """What the draw of the folds does, where there are several seeds."""
    part = merged[merged["seeds"] > 1]
    if part.empty:
        return []
    columns = (
        *(Column(name, name) for name in ("task", "encoder", "pooling")),
        *(Column(name, name, "number") for name in ("layer", "seeds")),
        Column("sd", "SD of the score", "number", "%", "Over seeds, which change the folds; no patient interval."),
    )
    lines = [
        {name: row[name] for name in ("task", "encoder", "pooling", "layer", "seeds")}
        | {"sd": None if missing(row["seed_sd"]) else row["seed_sd"]}
        for row in part.to_dict("records")
        if metrics.get(row["metric"]).unit == "%"
    ]
    return [Section("sweep.seeds", "Seeds", (Table(columns, tuple(lines), "Spread over seeds."),))]
