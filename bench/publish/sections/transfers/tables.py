"""The tables of a transfer, for a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from bench.publish.blocks import Column, Score, Table
from bench.publish.sections.transfers.points import Rows
from bench.reports.audit.nuisance import Revealed
from bench.reports.out_of_domain.bandwidth import CHANGE, policies, under
from bench.reports.out_of_domain.findings import Finding
from bench.reports.out_of_domain.transfer_table import (
    AT_BEST,
    AT_SOURCE,
    DROP,
    ERROR,
    FITTED,
    GAP,
    IN,
    LOST,
    OUT,
    OVER_DURATION,
    OVER_FLOOR,
    PROBE,
    RELATIVE,
    WORST,
    Shown,
)
from bench.scores.printed import missing, p_number

_HELP = {
    DROP: "In-domain minus out-of-domain, so that a positive one is worse out of domain; unpaired.",
    RELATIVE: "Drop as a share of in-domain minus floor: 100 is a fall to it. Blank where there is nothing to lose.",
    OVER_FLOOR: "Above control.majority, which calls every clip normal; paired.",
    OVER_DURATION: "Above meta.duration, which knows the clip's length alone; paired.",
    PROBE: "The same encoder with a probe of the target's own training patients, on the same clips.",
    GAP: "What new labels of the target would buy; paired.",
    FITTED: "(Sp + Se) / 2 where the probe decides as it was fitted.",
    AT_SOURCE: "(Sp + Se) / 2 at the threshold that is best on the in-domain test.",
    AT_BEST: "(Sp + Se) / 2 at the best threshold on the target itself: an oracle, which has seen the answers.",
    LOST: "What the in-domain threshold loses against the oracle.",
}


def transfer_rows(rows: Rows, each: Shown) -> Table:
    """Every number of one metric of a transfer."""
    unit, points = each.unit, "points" if each.unit == "%" else each.unit
    listed = [(IN, unit), (OUT, unit), (DROP, unit), (RELATIVE, "%"), (OVER_FLOOR, unit), (OVER_DURATION, unit)]
    listed += [(PROBE, unit), (GAP, unit)]
    for clip in policies(rows.whats, OUT):
        listed += [(under(what, clip), unit) for what in (IN, OUT, DROP)] + [(under(DROP, clip) + CHANGE, unit)]
    listed += [(what + WORST, unit) for what in (IN, OUT)]
    shown = [(what, each_unit) for what, each_unit in listed if what in rows.whats]
    columns = [Column("row", "encoder"), *(_column(what, each_unit) for what, each_unit in shown)]
    worst = [what for what, _ in shown if what.endswith(WORST)]
    columns += [Column(f"which {what}", f"{what}: which") for what in worst]
    lines = []
    for key, name in rows.names.items():
        line: dict[str, Any] = {"row": name} | {what: _score(rows.cells.get((key, what))) for what, _ in shown}
        line |= {f"which {what}": _which(rows.cell(key, what)) for what in worst}
        lines.append(line)
    caption = f"{each.title} of every encoder; differences are in {points}."
    return Table(tuple(columns), tuple(lines), caption)


def decision_table(rows: Rows) -> Table:
    """Thresholds and calibration."""
    listed = [FITTED, AT_SOURCE, AT_BEST, LOST, IN + ERROR, OUT + ERROR]
    shown = [what for what in listed if what in rows.whats]
    columns = (Column("row", "encoder"), *(_column(what, "%") for what in shown))
    lines = [
        {"row": name} | {what: _score(rows.cells.get((key, what))) for what in shown}
        for key, name in rows.names.items()
        if any((key, what) in rows.cells for what in shown)
    ]
    return Table(columns, tuple(lines), f"{rows.each.title}: decisions by threshold, and the calibration error.")


def finding_table(found: Sequence[Finding]) -> Table:
    """The test of every sentence."""
    unit = "%" if all(test.unit == "%" for finding in found for test in finding.tests) else ""
    columns = (
        Column("metric", "metric"),
        Column("what", "number"),
        Column("row", "encoder"),
        Column("difference", "difference", "difference", unit),
        Column("p", "p", "p"),
        Column("adjusted", "p after Holm", "p", help="For all tests of the page."),
        Column("groups", "patients or other groups", "number"),
        Column("said", "supported"),
    )
    lines = [
        {
            **{"metric": finding.metric, "what": finding.what, "row": test.row},
            "difference": Score(test.value, test.low, test.high),
            **{"p": p_number(test.p), "adjusted": p_number(test.adjusted), "groups": test.groups},
            "said": "yes" if test.supported else "not told apart",
        }
        for finding in found
        for test in finding.tests
    ]
    return Table(columns, tuple(lines), "The test beside every sentence.")


def nuisance_table(revealed: Revealed) -> Table:
    """What the embeddings tell besides the label."""
    columns = (
        Column("encoder", "encoder"),
        Column("what", "what"),
        Column("measure", "measure"),
        Column("value", "value", "number", "%"),
        Column("chance", "chance", "number", "%"),
        Column("n", "clips or recordings", "number"),
        Column("note", "note"),
    )
    lines = tuple({"encoder": encoder, **row} for encoder, own in revealed.rows.items() for row in own)
    return Table(columns, lines, "How well corpus, device, patient and length are read off the embeddings.")


def _column(what: str, unit: str) -> Column:
    is_difference = what.startswith(DROP) or what.endswith(CHANGE) or " minus " in what
    kind: Literal["score", "difference"] = "difference" if is_difference else "score"
    return Column(what, what, kind, unit, _HELP.get(what, ""))


def _score(row: Mapping[str, Any] | None) -> Score | None:
    if row is None:
        return None
    if missing(row["value"]):
        blank = row["method"] if isinstance(row["method"], str) and row["method"].startswith("blank: ") else ""
        return Score(None, muted=blank.removeprefix("blank: "))
    known = {name: None if missing(row[name]) else row[name] for name in ("value", "low", "high")}
    return Score(**known, record=row["record"])


def _which(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return ""
    return f"{row['domain']} ({row['n']:.0f} clips, {row['groups']:.0f} groups; {row['method'].partition(' with ')[0]})"
