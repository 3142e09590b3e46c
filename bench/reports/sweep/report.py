"""The report of a sweep as Markdown, CSV and figures, made from records, notes and oracle scores alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bench.base.errors import BadInput
from bench.base.paths import write_text
from bench.reports.leaderboard.overview import remarks
from bench.reports.sweep import figures, numbers
from bench.reports.sweep.tables import (
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

NAME = "sweep"

_READING = """\
Scores are those of each task's headline test, in its main metric, in percent where it is a fraction; intervals are
95 % by patient bootstrap of the lowest seed. Over several seeds the value is their mean, and ± is their standard
deviation: what chance in drawing the folds does, which is no patient interval. Hyperparameters of every cell were
chosen on its training clips. **A layer or pooling that is best in these tables is best on the test**: to pick one and
report its score here is to choose on test. What the training clips alone would choose stands under *Layers*."""


def write(out: Path) -> list[Path]:
    """Writes the report of a results folder below ``sweep/`` and returns its files, the Markdown first. Raises
    ``BadInput`` where no sweep was made there."""
    found, notes = _found(out)
    texts, merged, differences = _made(found, notes, oracle.read(out))
    files = []
    for name, text in texts.items():
        write_text(out / SweepNotes.FOLDER / name, text)
        files.append(out / SweepNotes.FOLDER / name)
    return files + figures.draw(out / SweepNotes.FOLDER, merged, found, differences)


def stale(out: Path) -> list[str]:
    """What in the report of a results folder is not what its records give, one line each."""
    found, notes = _found(out)
    scores = oracle.read(out)
    texts, merged, differences = _made(found, notes, scores)
    wrong = [
        name
        for name, text in texts.items()
        if not (path := out / SweepNotes.FOLDER / name).exists() or path.read_text(encoding="utf-8") != text
    ]
    drawn = figures.names(merged, found, differences)
    wrong += [name for name, digest in drawn.items() if figures.shown(out / SweepNotes.FOLDER / name) != digest]
    wrong += [path.name for path in sorted((out / SweepNotes.FOLDER).glob("*.png")) if path.name not in drawn]
    lines = [f"{out / SweepNotes.FOLDER / name}: not what the records give; run the sweep again" for name in wrong]
    return lines + ([] if scores is None else oracle.strangers(scores, found))


def _found(out: Path) -> tuple[list[Record], SweepNotes]:
    """The sweep's records, those of the folder that its notes names."""
    notes = SweepNotes.read(out)
    named = set(notes.keys)
    found = [records.read(path) for path in records.paths(out) if path.stem in named]
    if not found:
        raise BadInput(out, "no sweep was made here", "make one with `respbench sweep`")
    require_one_data(found)
    return found, notes


def _made(
    found: Sequence[Record], notes: SweepNotes, scores: pd.DataFrame | None
) -> tuple[dict[str, str], pd.DataFrame, pd.DataFrame]:
    """({file name: text}, scores over seeds, differences between poolings)."""
    table = numbers.table(found)
    merged = numbers.over_seeds(table)
    differences = numbers.pooling_differences(found)
    drawn = list(figures.names(merged, found, differences))
    texts = {
        f"{NAME}.md": _markdown(found, notes, table, merged, differences, drawn, scores),
        f"{NAME}.csv": table.to_csv(index=False, lineterminator="\n"),
    }
    if len(differences):
        texts["poolings.csv"] = differences.to_csv(index=False, lineterminator="\n")
    return texts, merged, differences


def _markdown(
    found: Sequence[Record],
    notes: SweepNotes,
    table: pd.DataFrame,
    merged: pd.DataFrame,
    differences: pd.DataFrame,
    drawn: Sequence[str],
    scores: pd.DataFrame | None,
) -> str:
    by_task: dict[str, list[Record]] = {}
    for record in sorted(found, key=lambda r: (r.spec["task"], r.key)):
        by_task.setdefault(record.spec["task"], []).append(record)
    parts = [f"# {notes.title}", f"**{DISCLAIMER}**", "\n\n".join(remarks(by_task))]
    if notes.commands:
        parts.append("Made by:\n\n" + "\n".join(f"    {command}" for command in notes.commands))
    parts += [_scope(found, notes), "## How to read it", _READING]
    if notes.notes:
        parts += ["## Findings", "\n".join(f"- {note}" for note in notes.notes)]
    parts += ["## Data and encoders", task_table(by_task), encoder_table(found), "## At a glance", at_a_glance(merged)]
    for encoder, part in merged.groupby("encoder", sort=True):
        parts += encoder_section(encoder, part, [name for name in drawn if name.startswith("heat-")])
    parts += _when("Layers", layer_table(numbers.chosen_layers(merged)))
    parts += _when("Poolings", pooling_table(differences, [name for name in drawn if name == "poolings.png"]))
    parts += _when("Seeds", seed_table(merged))
    parts += _when("Sensitivity to C", selection_table(table, [name for name in drawn if name.startswith("path-")]))
    if scores is not None:
        parts += [f"## {oracle.LABEL[0].upper()}{oracle.LABEL[1:]}", *oracle_tables(scores)]
    absent = [f"- {name}: {why}" for name, why in sorted({**notes.absent, **notes.absent_tasks}.items())]
    parts += _when("Left out", "\n".join(absent))
    return "\n\n".join(filter(None, parts)) + "\n"


def _scope(found: Sequence[Record], notes: SweepNotes) -> str:
    """Which records these are."""
    versions = sorted({f"`{r.spec['protocol']}` version {r.spec['protocol_version']}" for r in found})
    clips = sorted({f"`{r.spec['clip']}`" for r in found})
    seeds = sorted({r.spec["seed"] for r in found})
    missing = len(notes.keys) - len(found)
    line = f"{len(found)} records; protocols {', '.join(versions)}; clip policy {', '.join(clips)}; seeds "
    line += f"{', '.join(map(str, seeds))}."
    return line + (f" **{missing} records of the grid are missing.**" if missing else "")


def _when(title: str, text: str) -> list[str]:
    return [f"## {title}", text] if text else []
