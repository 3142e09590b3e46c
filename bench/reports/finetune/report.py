"""The report of a results folder's fine-tuned records as Markdown and CSV, made from records and their costs alone."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench.base.errors import BadInput
from bench.probe.protocols import BEST_TEST, FINETUNE, PEEK, peeked_in_the_same_run
from bench.reports.finetune import recipe_rows
from bench.reports.finetune.recipe_rows import Column, Comparison, Row
from bench.reports.leaderboard.overview import remarks
from bench.reports.names import recipe_labels
from bench.reports.pages import stale_pages, write_pages
from bench.reports.tables import DISCLAIMER, markdown
from bench.runs.context import BoardNotes
from bench.scores import metrics, per_test, records
from bench.scores.printed import BLANK, amount, missing, p_text, signed
from bench.scores.records import require_one_data
from bench.scores.schema import Record
from bench.types import Score

FILES = ("finetune/finetune.md", "finetune/finetune.csv")  # of a results folder, which may be called so itself

_READING = f"""\
Every run stands under two protocols. **{FINETUNE}**: the epoch was chosen on validation patients out of train, and the
test was scored once. **{PEEK}**: the same run at the epoch that does best on the test that the
literature reports (official, where a task has it, else the first); it is no result, and *gap* is what looking was
worth: on that test never less than 0, while on a task's other tests it may lose. **{BEST_TEST}** is a run of
its own on all training rows, whose epoch the same test chose, as released code does it: what published numbers compare
with, and no result either. Values are means over seeds. In brackets: 95 % interval by bootstrap of patients, for these
seeds; after ±: standard deviation over seeds (n − 1), which also draw the
validation patients unless the task has its own. The two speak of different things and are never merged. *Against ce* is
paired: the same encoder, seeds and clips, one draw of patients for both; † marks a comparison in which more than the
method differs. p is two-sided and not corrected for the number of comparisons. Time and device-hours are sums over the
seeds; memory is the largest, of the GPU where there is one, else of the whole process. Behind a recipe that follows a
source stands in how many points it *differs* from there; the last section tells them."""

_BEFORE = f"""\
The column {PEEK} holds records of version 1 of {BEST_TEST}, which was the same run with the
epoch chosen on the task's first test (of icbhi: corrected): on other tests their gap may lie below 0."""


def write_finetune_report(folder: Path) -> list[Path]:
    """Writes the report below ``finetune/`` of a results folder and returns its files, the Markdown first.

    Raises ``BadInput`` where no fine-tuned record lies there.
    """
    return write_pages(folder, _render(records.load_all(folder), folder))


def stale_finetune_report(all_records: Sequence[Record], folder: Path) -> list[str]:
    """Lists what in the report of a results folder is not what its records and costs give; nothing without a report."""
    present = [folder / name for name in FILES if (folder / name).exists()]
    if not present:
        return []
    return stale_pages(folder, _render(all_records, folder), present, "run `respbench finetune` again")


def _render(all_records: Sequence[Record], folder: Path) -> dict[str, str]:
    """{path relative to the results folder: text}. Raises ``BadInput`` where no record is fine-tuned."""
    require_one_data(all_records)
    rows = recipe_rows.rows(all_records)
    if not rows:
        raise BadInput(folder, "holds no fine-tuned record", "make some with `respbench finetune`")
    return dict(zip(FILES, (_markdown(rows, all_records, BoardNotes.read(folder)), _csv(rows)), strict=True))


def run_summary(pair: Sequence[Record]) -> str:
    """Describes the result of one run under its two protocols, in a line."""
    lines = []
    for record in pair:
        task = record.data["task"]
        test, main = per_test.headline(task), task["main_metric"]
        score = amount(record.scores[test][main], metrics.get(main).unit)
        lines.append(f"{record.spec['protocol']} {main} {score} at epoch {record.selection['chosen']['epoch']}")
    return "; ".join(lines)


def _markdown(rows: Sequence[Row], all_records: Sequence[Record], notes: BoardNotes) -> str:
    tasks = {row.task: [record for record in all_records if record.spec["task"] == row.task] for row in rows}
    parts = ["# Fine-tuning", f"**{DISCLAIMER}**", "\n\n".join(remarks(tasks))]
    if notes.commands:
        parts.append("Made by:\n\n" + "\n".join(f"    {command}" for command in notes.commands))
    parts.append(_READING)
    if any(peeked_in_the_same_run(r.spec) and r.spec["protocol"] == BEST_TEST for r in all_records):
        parts.append(_BEFORE)
    for task in dict.fromkeys(row.task for row in rows):
        for test in dict.fromkeys(row.test for row in rows if row.task == task):
            chosen = [row for row in rows if (row.task, row.test) == (task, test)]
            parts += [f"## {task}, test {test}", _table(chosen, all_records)]
    parts += ["## Recipes", _recipes(all_records)]
    return "\n\n".join(parts) + "\n"


def _table(rows: Sequence[Row], all_records: Sequence[Record]) -> str:
    first = rows[0]
    header = [
        *("encoder", "pooling", "recipe", "method", "seeds", FINETUNE, PEEK, "gap", BEST_TEST, "against ce", "p"),
        *("epochs chosen", "time", "device-hours", "peak memory"),
    ]
    lines = []
    for encoder in dict.fromkeys(row.encoder for row in rows):
        own = [row for row in rows if row.encoder == encoder]
        probes = {probe.key: probe for row in own if (probe := recipe_rows.frozen(all_records, row))}
        lines += [_frozen(probe, own[0]) for probe in probes.values()]
        lines += [_line(row) for row in sorted(own, key=lambda row: -_sortable(row))]
    score = first.honest.score
    caption = f"{metrics.get(first.metric).title}: {score.n} clips, {score.groups} patients. Interval: {score.method}."
    return caption + "\n\n" + markdown(header, lines, right=range(4, len(header)))


def _frozen(probe: Record, row: Row) -> list[str]:
    """The line of a frozen encoder on the row's test."""
    score = asdict(recipe_rows.column([probe], row.test).score)
    clip = "" if probe.spec["clip"] == row.spec["clip"] else f", clip {probe.spec['clip']}"
    cells = [row.encoder, probe.spec["pooling"], "frozen", f"{recipe_rows.FROZEN} probe{clip}", "1"]
    return [*cells, amount(score, recipe_rows.unit_of(row)), *[BLANK] * 9]


def _sortable(row: Row) -> float:
    value = row.honest.score.value
    sign = -1 if metrics.get(row.metric).direction == "lower" else 1
    return -math.inf if missing(value) else sign * value


def _line(row: Row) -> list[str]:
    unit, against = recipe_rows.unit_of(row), row.compared
    return [
        row.encoder,
        row.pooling,
        recipe_rows.named(row),
        row.method,
        str(len(row.honest.seeds)),
        _told(row.honest, unit),
        _told(row.peeking, unit) if row.peeking else BLANK,
        _change(row.gap, row, unit),
        _told(row.literature, unit) if row.literature else BLANK,
        _change(against, row, unit),
        p_text(against.difference.p) if against else BLANK,
        ", ".join(map(str, row.epochs)),
        BLANK if missing(row.cost["wall_s"]) else f"{row.cost['wall_s'] / 60:.1f} min",
        BLANK if missing(row.cost["device_hours"]) else f"{row.cost['device_hours']:.3f}",
        BLANK if missing(row.cost["memory_mb"]) else f"{row.cost['memory_mb']:.0f} MB",
    ]


def _told(column: Column, unit: str) -> str:
    return amount(asdict(column.score), unit) + _spread(column.seed_sd, unit)


def _change(comparison: Comparison | None, row: Row, unit: str) -> str:
    """A change, and its seeds where they are not all of the row's."""
    if comparison is None:
        return BLANK
    change = comparison.difference
    mark = "" if comparison.alike else " †"
    if comparison.seeds != row.honest.seeds:
        mark += f" (seeds {', '.join(map(str, comparison.seeds))})"
    return signed(change.value, change.low, change.high, unit) + _spread(comparison.seed_sd, unit) + mark


def _spread(sd: float, unit: str) -> str:
    return "" if missing(sd) else f" ± {100 * sd:.1f}" if unit == "%" else f" ± {sd:.2f}"


def _recipes(all_records: Sequence[Record]) -> str:
    """A line per label: what the recipe says of itself, its method, and the epochs that were asked for."""
    labels, lines = recipe_labels(all_records), {}
    for record in all_records:
        if record.spec["protocol"] == FINETUNE:
            recipe, numbers_of = record.data["recipe"], record.spec["recipe"]
            method = numbers_of["method"]
            options = ", ".join(f"{name} {value}" for name, value in method["options"].items())
            text = f"{recipe['about']} " if recipe["about"] else ""
            taught = recipe_rows.teaching(numbers_of)
            source = f" Source: {recipe['source']}." if recipe["source"] else ""
            source += f" Published: {recipe['published'].rstrip('.')}." if recipe.get("published") else ""
            if differs := recipe_rows.differences(recipe):
                source += " Differences from the source: " + " ".join(differs)
            lines[labels[record.key]] = (
                f"- **{labels[record.key]}**: {text}{method['name']} ({options or 'no options'}){taught}. "
                f"Run for at most {numbers_of['epochs']} epochs.{source}"
            )
    return "\n".join(lines[label] for label in sorted(lines))


def _csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    head = ("task", "test", "metric", "encoder", "pooling", "recipe", "method", "what", "against", "seeds")
    out.writerow([*head, "value", "low", "high", "seed_sd", "p", "n", "groups", "interval"])
    for row in rows:
        identity = [row.task, row.test, row.metric, row.encoder, row.pooling, row.recipe, row.method]
        for what, column in ((FINETUNE, row.honest), (PEEK, row.peeking), (BEST_TEST, row.literature)):
            if column:
                seeds = " ".join(map(str, column.seeds))
                out.writerow([*identity, what, "", seeds, *_values(column.score, column.seed_sd, "")])
        for what, change in (("gap", row.gap), ("method", row.compared)):
            if change:
                seeds, p = " ".join(map(str, change.seeds)), change.difference.p
                out.writerow([*identity, what, change.base, seeds, *_values(change.difference, change.seed_sd, p)])
        for what, value in row.cost.items():
            out.writerow([*identity, what, "", " ".join(map(str, row.honest.seeds)), value, *[""] * 7])
    return text.getvalue()


def _values(score: Score | object, seed_sd: float, p: float | str) -> list:
    rounded = ["" if missing(x) else round(x, records.DECIMALS) for x in (score.value, score.low, score.high, seed_sd)]
    return [*rounded, "" if p == "" or missing(p) else round(p, records.DECIMALS), score.n, score.groups, score.method]
