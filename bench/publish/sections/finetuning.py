"""Fine-tuned encoders beside the frozen ones: every recipe on every test, and what its method changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.probe.protocols import BEST_TEST, FINETUNE, PEEK
from bench.publish.blocks import Chart, Column, Score, Section, Table, Text
from bench.reports.finetune import recipe_rows
from bench.reports.finetune.recipe_rows import Comparison, Row
from bench.reports.finetune.report import FILES
from bench.reports.names import encoder_name, recipe_labels
from bench.runs.context import BoardNotes
from bench.scores import metrics, records
from bench.scores.printed import missing, p_number
from bench.scores.schema import Record

_ABOUT = (
    f"Every run stands under two protocols. {FINETUNE}: the epoch was chosen on validation patients out of train, and "
    f"the test was scored once. {PEEK}: the same run at the epoch that does best on the test that the literature "
    "reports (records of version 1 of literature/best-test-epoch, which stand there too: on the first test); it is no "
    f"result, and gap is what looking was worth. {BEST_TEST}: a run of its own on all training rows, whose epoch that "
    "test chose, as released code does it; no result either. Values are means over seeds, intervals by bootstrap of "
    "patients for these seeds. Against ce is paired: the same encoder, seeds and clips; its p is two-sided and not "
    "corrected for the number of comparisons."
)
_THEN = " · "  # between an encoder and its recipe
_PEEKED = "its epoch was chosen on the test: no result"


def finetune_section(folder: Path) -> Section | None:
    """The report of a results folder's fine-tuned records; None where it has no such report."""
    if not (folder / FILES[0]).exists():
        return None
    every = records.load_all(folder)
    rows, labels = recipe_rows.rows(every), recipe_labels(every)
    blocks: list[Any] = [Text((_ABOUT,), "note")]
    if commands := BoardNotes.read(folder).commands:
        blocks.append(Text(("Made by:", *commands)))
    for task in dict.fromkeys(row.task for row in rows):
        parts: list[Any] = []
        for test in dict.fromkeys(row.test for row in rows if row.task == task):
            own = [row for row in rows if (row.task, row.test) == (task, test)]
            parts += [_table(own, every, labels, test), _chart(own, every, task, test)]
        parts += _differences([row for row in rows if row.task == task])
        blocks.append(Section(f"finetuning.{task}", task, tuple(parts)))
    return Section("finetuning", "Fine-tuning", tuple(blocks))


def _differences(rows: Sequence[Row]) -> list[Text]:
    """A paragraph for each recipe that follows a source: what was published of it, and what differs from there."""
    told = {}
    for row in rows:
        if differs := recipe_rows.differences(row.told):
            published = f" Published: {row.told['published'].rstrip('.')}." if row.told.get("published") else ""
            told[row.recipe] = f"{row.recipe}, after {row.told['source']}.{published} {' '.join(differs)}"
    return [Text(("What differs from the sources:", *told.values()))] if told else []


def _table(rows: Sequence[Row], every: Sequence[Record], labels: dict[str, str], test: str) -> Table:
    unit, first = recipe_rows.unit_of(rows[0]), rows[0]
    metric = metrics.get(first.metric)
    columns = (
        Column("encoder", "encoder"),
        Column("pooling", "pooling"),
        Column("recipe", "recipe"),
        Column("method", "method"),
        Column("seeds", "seeds", "number"),
        Column("honest", FINETUNE, "score", unit, metric.formula, metric.title),
        Column("sd", "SD of seeds", "number", unit, "Standard deviation over seeds, n − 1.", metric.title),
        Column("peeking", PEEK, "score", unit, _PEEKED, metric.title),
        Column("gap", "gap", "difference", unit, "What choosing on the test was worth, in points.", "differences"),
        Column("literature", BEST_TEST, "score", unit, _PEEKED, metric.title),
        Column("against", "against ce", "difference", unit, "Paired difference, in points.", "differences"),
        Column("p", "p", "p", "", "Two-sided, not corrected.", "differences"),
        Column("epochs", "epochs chosen"),
        Column("minutes", "minutes", "number"),
    )
    score = first.honest.score
    caption = f"Test {test}: {score.n} clips, {score.groups} patients. Interval: {score.method}."
    lines = [_line(row, _key(row, every, labels)) for row in rows]
    return Table(columns, (*_frozen(rows, every), *lines), caption)


def _frozen(rows: Sequence[Row], every: Sequence[Record]) -> list[dict[str, Any]]:
    """The linear probe of each frozen encoder, once."""
    probes = {probe.key: probe for row in rows if (probe := recipe_rows.frozen(every, row))}
    out = []
    for probe in probes.values():
        score = recipe_rows.column([probe], rows[0].test).score
        value = Score(score.value, score.low, score.high, probe.key)
        names = {"encoder": encoder_name(probe.spec), "pooling": probe.spec["pooling"], "recipe": "frozen"}
        out.append({**names, "method": f"{recipe_rows.FROZEN} probe", "seeds": 1, "honest": value})
    return out


def _line(row: Row, key: str) -> dict[str, Any]:
    honest, against, minutes = row.honest.score, row.compared, row.cost["wall_s"] / 60
    return {
        "encoder": row.encoder,
        "pooling": row.pooling,
        "recipe": recipe_rows.named(row),
        "method": row.method,
        "seeds": len(row.honest.seeds),
        "honest": Score(honest.value, honest.low, honest.high, key),
        "sd": row.honest.seed_sd,
        "peeking": _muted(row.peeking),
        "literature": _muted(row.literature),
        "gap": _change(row.gap),
        "against": _change(against),
        "p": None if against is None else p_number(against.difference.p),
        "epochs": ", ".join(map(str, row.epochs)),
        "minutes": None if missing(minutes) else round(minutes, 1),
    }


def _muted(column: recipe_rows.Column | None) -> Score | None:
    """The scores of runs whose epoch the test chose."""
    return column and Score(column.score.value, column.score.low, column.score.high, muted=_PEEKED)


def _change(comparison: Comparison | None) -> Score | None:
    if comparison is None:
        return None
    change = comparison.difference
    marks = () if comparison.alike else ("more than the method differs",)
    return Score(change.value, change.low, change.high, marks=marks)


def _key(row: Row, every: Sequence[Record], labels: dict[str, str]) -> str:
    """The record of the row's first seed."""
    same = ("task", "pooling", "layer")
    own = [
        record
        for record in every
        if record.spec["protocol"] == FINETUNE
        and (encoder_name(record.spec), labels.get(record.key)) == (row.encoder, row.recipe)
        and all(record.spec[name] == row.spec[name] for name in same)  # type: ignore[literal-required]
    ]
    return min(own, key=lambda r: r.spec["seed"]).key if own else ""


def _chart(rows: Sequence[Row], every: Sequence[Record], task: str, test: str) -> Chart:
    scale = 100 if recipe_rows.unit_of(rows[0]) == "%" else 1
    title = metrics.get(rows[0].metric).title

    def point(name: str, kind: str, score: Any) -> dict[str, Any]:
        return {"row": name, "chosen": kind} | {n: scale * getattr(score, n) for n in ("value", "low", "high")}

    points = []
    for row in rows:
        name = f"{row.encoder}{_THEN}{row.recipe}"
        points.append(point(name, "on validation patients", row.honest.score))
        if row.peeking:
            points.append(point(name, "on the test (no result)", row.peeking.score))
    for line in _frozen(rows, every):
        points.append(point(f"{line['encoder']}{_THEN}frozen", "on validation patients", line["honest"]))
    # the encoder above, its recipe below, both in the middle of the row
    lines = {"labelExpr": f"split(datum.label, '{_THEN}')", "labelLineHeight": 14, "labelOffset": -7}
    y = {"field": "row", "type": "nominal", "title": None, "sort": None, "axis": lines}
    shade = {
        "field": "chosen",
        "title": "epoch chosen",
        "scale": {"domain": ["on validation patients", "on the test (no result)"]},
    }
    shift = {"field": "chosen", "sort": ["on validation patients", "on the test (no result)"]}
    shared = {"y": y, "yOffset": shift, "color": shade}
    spec = {
        "data": {"values": points},
        "height": {"step": 36, "for": "position"},  # of a row: two lines of its name
        "layer": [
            {
                "mark": {"type": "rule"},
                "encoding": {
                    **shared,
                    "x": {"field": "low", "type": "quantitative", "title": title, "scale": {"zero": False}},
                    "x2": {"field": "high"},
                },
            },
            {
                "mark": {"type": "point", "filled": True},
                "encoding": {
                    **shared,
                    "x": {"field": "value", "type": "quantitative"},
                    "tooltip": [
                        {"field": name, "format": ".1f"} if name != "row" else {"field": name}
                        for name in ("row", "value", "low", "high")
                    ],
                },
            },
        ],
    }
    return Chart(
        spec, f"{task}, test {test}", f"{title} of every recipe with its 95 % interval on {task}, test {test}."
    )
