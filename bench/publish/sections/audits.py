"""The audits of a results folder's data: what was found, and what predicts the labels without hearing the sound."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.base.errors import BadInput
from bench.base.paths import parse_json
from bench.base.registry import CONTROL_PREFIX
from bench.publish.blocks import Column, Score, Section, Table, Text
from bench.reports.audit.summary import AUDIT_FOLDER
from bench.reports.pages import SEALS
from bench.scores import metrics
from bench.scores.metrics import DURATION_MATCHED

_ABOUT = (
    "An audit looks at a task's data itself: who is on both sides of a split, which recordings hold the same sound, "
    "what is odd about annotations and signals, what predicts the label without hearing the sound, and the smallest "
    "difference that the tests resolve. The whole of each is in the folder audit, made by respbench audit."
)
_ABOUT_SHORTCUTS = (
    "The encoders' own linear probe on features that hold nothing of what the clips are about, with 95 % intervals by "
    "bootstrap of patients. Within deciles: among clips of about the same duration."
)


def audit_section(folder: Path) -> Section | None:
    """The audits below a results folder, one part for each task; None where there is none.

    Raises ``BadInput`` for an audit that cannot be read.
    """
    paths = [path for path in sorted((folder / AUDIT_FOLDER).glob("*.json")) if path.name != SEALS]
    if not paths:
        return None
    read = [_read(path) for path in paths]
    try:
        blocks = [Text((_ABOUT,)), _overview(read), *(_of_task(facts) for facts in read)]
    except (KeyError, TypeError, AttributeError) as error:
        remedy = "make the audits again with `respbench audit`"
        raise BadInput(folder / AUDIT_FOLDER, f"holds an audit that is not readable ({error})", remedy) from error
    return Section("audits", "Audits of the data", tuple(blocks))


def _read(path: Path) -> dict[str, Any]:
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(path, f"not a readable audit ({error})", "make it again with `respbench audit`") from error


def _overview(read: list[dict[str, Any]]) -> Table:
    columns = (
        Column("task", "task"),
        Column("state", "data"),
        Column("warnings", "warnings", "number"),
        Column("remarks", "what a reader of a score must know", help="Marks that stand at the tests on the board."),
        Column("digest", "data digest"),
    )
    rows = [
        {
            "task": facts["task"],
            "state": facts["state"],
            "warnings": sum(f["level"] == "warning" for f in facts["findings"]),
            "remarks": "; ".join(f"{test}: {', '.join(own)}" for test, own in facts["marks"].items() if own),
            "digest": facts["digest"][:12],
        }
        for facts in read
    ]
    return Table(columns, tuple(rows), "Every audit, with what it says about the tests.")


def _of_task(facts: Mapping[str, Any]) -> Section:
    blocks: list[Any] = [_findings(facts)]
    for clips, rows in facts["shortcuts"].items():
        for test in facts["tests"]:
            if scored := [row for row in rows if test in row["tests"]]:
                blocks.append(_shortcuts(scored, test, clips))
    if any(isinstance(block, Table) and block.caption.startswith("Test") for block in blocks):
        blocks.insert(1, Text((_ABOUT_SHORTCUTS,), "note"))
    for encoder, measured in facts["nuisance"].items():
        blocks.append(_nuisance(encoder, measured))
    if facts["resolution"]:
        blocks.append(_resolution(facts["resolution"]))
    return Section(f"audits.{facts['task']}", facts["task"], tuple(blocks))


def _findings(facts: Mapping[str, Any]) -> Table:
    columns = (
        Column("level", "level"),
        Column("code", "what"),
        Column("where", "where"),
        Column("problem", "finding"),
        Column("remedy", "what to do"),
    )
    return Table(columns, tuple(facts["findings"]), "Findings.")


def _shortcuts(rows: list[Mapping[str, Any]], test: str, clips: str) -> Table:
    shown = list(dict.fromkeys(name for row in rows for name in row["tests"][test]))
    lead = shown[0]
    shown.sort(key=lambda name: {lead: 0, DURATION_MATCHED: 1}.get(name, 2))
    columns = [Column("row", "row"), Column("from", "from")]
    for name in shown:
        title = "AUROC within deciles" if name == DURATION_MATCHED else metrics.get(name).title
        columns.append(Column(name, title, "score", metrics.get(name).unit, metrics.get(name).formula))
    lines = []
    for row in rows:
        name = row["name"] if row["source"] == "encoder" else CONTROL_PREFIX + row["name"]
        scores = {m: Score(s["value"], s["low"], s["high"]) for m, s in row["tests"][test].items()}
        lines.append({"row": name, "from": row["source"], **scores})
    first = next(iter(rows[0]["tests"][test].values()))
    caption = f"Test {test}, {clips}: {first['n']} clips, {first['groups']} patients or other groups."
    return Table(tuple(columns), tuple(lines), caption)


def _nuisance(encoder: str, measured: list[Mapping[str, Any]]) -> Table:
    columns = (
        Column("what", "what"),
        Column("measure", "measure"),
        Column("value", "value", "number", "%"),
        Column("chance", "chance", "number", "%"),
        Column("n", "clips or recordings", "number"),
        Column("note", "note"),
    )
    return Table(columns, tuple(measured), f"What the embeddings of {encoder} tell besides.")


def _resolution(rows: list[Mapping[str, Any]]) -> Table:
    columns = (
        Column("test", "test"),
        Column("metric", "metric"),
        Column("systems", "systems"),
        Column("resolved", "resolved", "number", "%", "Half of the 95 % interval of a difference."),
        Column("found", "found", "number", "%", "The difference that four of five such tests would show."),
    )
    lines = [
        {
            "test": row["test"],
            "metric": metrics.get(row["metric"]).title,
            "systems": f"{row['system']} and {row['other']}",
            "resolved": row["resolved"] or None,
            "found": row["found"] or None,
        }
        for row in rows
        if metrics.get(row["metric"]).unit == "%"
    ]
    return Table(columns, tuple(lines), "The smallest difference that the tests resolve.")
