"""The report of a sweep as Markdown, CSV and figures, made from records, notes and oracle scores alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench.base.errors import BadInput
from bench.reports.leaderboard.overview import remarks
from bench.reports.pages import seal_pages, stale_pages, write_pages
from bench.reports.sweep import figures, sweep_table
from bench.reports.sweep.sections import (
    at_a_glance,
    encoder_section,
    encoder_table,
    layer_table,
    oracle_tables,
    pooling_table,
    seed_table,
    selection_table,
    task_table,
)
from bench.reports.tables import DISCLAIMER
from bench.runs.context import SweepNotes
from bench.runs.sweep import oracle
from bench.scores import records
from bench.scores.records import require_one_data
from bench.scores.schema import Record

TEXTS = ("sweep.md", "sweep.csv", "poolings.csv")

_READING = """\
Scores are those of each task's headline test, in its main metric, in percent where it is a fraction; intervals are
95 % by patient bootstrap of the lowest seed. Over several seeds the value is their mean, and ± is their standard
deviation: what chance in drawing the folds does, which is no patient interval. Hyperparameters of every cell were
chosen on its training clips. **A layer or pooling that is best in these tables is best on the test**: to pick one and
report its score here is to choose on test. What the training clips alone would choose stands under *Layers*."""


def write_sweep_report(folder: Path) -> list[Path]:
    """Writes the report of a results folder below ``sweep/`` and returns its files, the Markdown first.

    Oracle scores, which no record can give again, are sealed. Raises ``BadInput`` where no sweep was made there and
    for a damaged record of the sweep.
    """
    report = read_report(folder)
    files = write_pages(folder, report.texts)
    if (folder / SweepNotes.FOLDER / oracle.NAME).exists():
        command = next(reversed(report.notes.commands), "respbench sweep")
        seal_pages(folder / SweepNotes.FOLDER, [oracle.NAME], command)
    return files + figures.draw(folder / SweepNotes.FOLDER, report.merged, report.records, report.differences)


def stale_sweep_report(all_records: Sequence[Record], folder: Path) -> list[str]:
    """Lists what in the report of a results folder is not what its records give; nothing where no sweep was made."""
    below = folder / SweepNotes.FOLDER
    present = [below / name for name in TEXTS if (below / name).exists()]
    if not present and not (folder / SweepNotes.FILE).exists():
        return []
    report = report_of(all_records, folder)
    lines = stale_pages(folder, report.texts, present, "run the sweep again")
    drawn = figures.names(report.merged, report.records, report.differences)
    differing = [name for name, digest in drawn.items() if figures.shown(below / name) != digest]
    differing += [path.name for path in sorted(below.glob("*.png")) if path.name not in drawn]
    lines += [f"{below / name}: not what the records give; run the sweep again" for name in differing]
    return lines + ([] if report.oracle is None else oracle.oracle_mismatches(report.oracle, report.records))


@dataclass(frozen=True)
class SweepReport:
    """A sweep's report.

    It has the records and notes; the numbers: ``merged`` over seeds, ``differences`` between poolings, ``oracle``
    scores where they were asked for; and ``texts`` {path relative to the results folder: text}.
    """

    records: Sequence[Record]
    notes: SweepNotes
    merged: pd.DataFrame
    differences: pd.DataFrame
    oracle: pd.DataFrame | None
    texts: Mapping[str, str]


def read_report(folder: Path) -> SweepReport:
    """The report of a results folder.

    Raises ``BadInput`` where no sweep was made there and for a damaged record of the sweep. Other records in the
    folder, damaged ones included, are not its matter.
    """
    keys = set(SweepNotes.read(folder).keys)
    return report_of([records.read(path) for path in records.paths(folder) if path.stem in keys], folder)


def report_of(all_records: Sequence[Record], folder: Path) -> SweepReport:
    """The report of those records of a results folder that its notes name."""
    notes, scores = SweepNotes.read(folder), oracle.read(folder)
    keys = set(notes.keys)
    own = [record for record in all_records if record.key in keys]
    if not own:
        raise BadInput(folder, "no sweep was made here", "make one with `respbench sweep`")
    require_one_data(own)
    table = sweep_table.table(own)
    merged = sweep_table.over_seeds(table)
    differences = sweep_table.pooling_differences(own)
    drawn = list(figures.names(merged, own, differences))
    tables = [table, differences] if len(differences) else [table]
    texts = [_markdown(own, notes, table, merged, differences, drawn, scores)]
    texts += [each.to_csv(index=False, lineterminator="\n") for each in tables]
    pages = {f"{SweepNotes.FOLDER}/{name}": text for name, text in zip(TEXTS, texts)}
    return SweepReport(own, notes, merged, differences, scores, pages)


def _markdown(
    all_records: Sequence[Record],
    notes: SweepNotes,
    table: pd.DataFrame,
    merged: pd.DataFrame,
    differences: pd.DataFrame,
    drawn: Sequence[str],
    scores: pd.DataFrame | None,
) -> str:
    by_task: dict[str, list[Record]] = {}
    for record in sorted(all_records, key=lambda r: (r.spec["task"], r.key)):
        by_task.setdefault(record.spec["task"], []).append(record)
    parts = [f"# {notes.title}", f"**{DISCLAIMER}**", "\n\n".join(remarks(by_task))]
    if notes.commands:
        parts.append("Made by:\n\n" + "\n".join(f"    {command}" for command in notes.commands))
    parts += [_scope(all_records, notes), "## How to read it", _READING]
    if notes.notes:
        parts += ["## Findings", "\n".join(f"- {note}" for note in notes.notes)]
    parts += [
        "## Data and encoders",
        task_table(by_task),
        encoder_table(all_records),
        "## At a glance",
        at_a_glance(merged),
    ]
    for encoder, part in merged.groupby("encoder", sort=True):
        parts += encoder_section(encoder, part, [name for name in drawn if name.startswith("heat-")])
    parts += _when("Layers", layer_table(sweep_table.chosen_layers(merged)))
    parts += _when("Poolings", pooling_table(differences, [name for name in drawn if name == "poolings.png"]))
    parts += _when("Seeds", seed_table(merged))
    parts += _when("Sensitivity to C", selection_table(table, [name for name in drawn if name.startswith("path-")]))
    if scores is not None:
        parts += [f"## {oracle.LABEL[0].upper()}{oracle.LABEL[1:]}", *oracle_tables(scores)]
    absent = [f"- {name}: {why}" for name, why in sorted({**notes.absent, **notes.absent_tasks}.items())]
    parts += _when("Left out", "\n".join(absent))
    return "\n\n".join(filter(None, parts)) + "\n"


def _scope(all_records: Sequence[Record], notes: SweepNotes) -> str:
    """Which records these are."""
    versions = sorted({f"`{r.spec['protocol']}` version {r.spec['protocol_version']}" for r in all_records})
    clips = sorted({f"`{r.spec['clip']}`" for r in all_records})
    seeds = sorted({r.spec["seed"] for r in all_records})
    missing = len(notes.keys) - len(all_records)
    line = f"{len(all_records)} records; protocols {', '.join(versions)}; clip policy {', '.join(clips)}; seeds "
    line += f"{', '.join(map(str, seeds))}."
    return line + (f" **{missing} records of the grid are missing.**" if missing else "")


def _when(title: str, text: str) -> list[str]:
    return [f"## {title}", text] if text else []
