"""A comparison of two systems as text, as JSON and as a table of clips."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.base.errors import one_line
from bench.base.paths import write_text
from bench.reports.agreement.comparison_page import check_output, listed_table
from bench.reports.agreement.paired.difference import LEVEL, LISTED, WHO, A, B, Cut, TestComparison
from bench.reports.tables import DISCLAIMER
from bench.scores import metrics
from bench.scores.intervals import Difference
from bench.scores.metrics import METRICS
from bench.scores.printed import BLANK, amount, p_text, signed

WHERE = ("task", "protocol", "test")
WORDS = {*WHERE, "metric", "class", "domain", "better", "seeds", "remarks"}  # columns that hold no numbers
HEAD = (*WHERE, "metric", "A", "B", "A − B", "p", "p (Holm)", "better")
RESOLUTION = ("smallest difference told from none", "found in 4 of 5")
RIGHT = ("only A right", "only B right")


@dataclass(frozen=True)
class PairedReport:
    """What is shown of a comparison.

    Attributes
    ----------
    names
        The two systems, A and B.
    tests
        What was compared.
    unit
        What was resampled.
    draws
        Of the bootstrap.
    notes
        What a reader must know, one sentence each.
    """

    names: tuple[str, str]
    tests: tuple[TestComparison, ...]
    unit: str
    draws: int
    notes: tuple[str, ...] = ()


def paired_text(report: PairedReport, most: int | None = None) -> str:
    """The comparison as Markdown; ``most`` are the rows by class and by domain at most, None for all."""
    a, b = report.names
    parts = [f"# A = {a}, B = {b}", _verdict(report)]
    parts += [f"Note: {one_line(note)}." for note in (*_too_many(report), *report.notes)]
    parts += [_main_table(report.tests), _resolution_table(report.tests)]
    for title, chosen in (("class", "classes"), ("domain", "domains")):
        rows = [(each, cut) for each in report.tests for cut in getattr(each, chosen)]
        if rows:
            parts.append(f"## By {title}\n\n" + _cut_table(title, rows, most))
    corrected = f"p (Holm) is adjusted for the {len(report.tests)} tests of the first table. "
    parts += [
        (corrected if len(report.tests) > 1 else "")
        + "Rows by class and by domain are not corrected: take them for orientation.",
        f"Intervals: paired {report.unit} bootstrap, {report.draws} draws, expanded percentile.",
        DISCLAIMER,
    ]
    return "\n\n".join(parts) + "\n"


def _verdict(report: PairedReport) -> str:
    counts = {who: sum(each.better == who for each in report.tests) for who in (A, B)}
    told = [f"{who} is better on {n} of {len(report.tests)} tests" for who, n in counts.items() if n]
    rest = len(report.tests) - sum(counts.values())
    if rest:
        told.append(f"{rest} of {len(report.tests)} {'is' if rest == 1 else 'are'} not resolved")
    return "; ".join(told) + "."


def _too_many(report: PairedReport) -> list[str]:
    """A sentence where no p can pass the correction, since the bootstrap has too few draws for so many tests."""
    least = min((each.least_p for each in report.tests if not math.isnan(each.least_p)), default=math.nan)
    corrected = least * len(report.tests)
    if not corrected >= LEVEL:
        return []
    return [
        f"{report.draws} draws give no p below {least:.2g}, which is {p_text(min(corrected, 1))} after correction for "
        f"{len(report.tests)} tests: no difference can pass. Name fewer tests (--task, --test headline) or take more "
        f"draws (--draws {10 * report.draws})"
    ]


def _main_table(tests: Sequence[TestComparison]) -> str:
    rows = []
    for each in tests:
        metric = metrics.get(each.metric)
        scores = [amount(asdict(score), metric.unit) for score in (each.a, each.b)]
        change = _change(each.difference, metric.unit)
        p = p_text(each.difference.p), p_text(each.p_holm)
        rows.append((*_where(each), metric.title, *scores, change, *p, each.better))
    return _table(HEAD, rows)


def _resolution_table(tests: Sequence[TestComparison]) -> str:
    """What the tests can resolve, and who has how many clips right."""
    rows = []
    for each in tests:
        unit = metrics.get(each.metric).unit
        right = each.right or {}
        counts = [right.get(who, BLANK) for who in WHO]
        seeds = [", ".join(map(str, side)) for side in each.seeds]
        shown = seeds[0] if seeds[0] == seeds[1] else " / ".join(seeds)
        smallest = (_size(each.resolved, unit), _size(each.found, unit))
        n, groups = each.difference.n, each.difference.groups
        _, _, remarks = each.difference.method.partition("; ")
        rows.append((*_where(each), *smallest, n, groups, shown, *counts, remarks))
    head = (*WHERE, *RESOLUTION, "clips", "groups", "seeds", "both right", *RIGHT, "neither", "remarks")
    return _table(head, rows)


def _cut_table(title: str, rows: Sequence[tuple[TestComparison, Cut]], most: int | None) -> str:
    cells = []
    for each, cut in rows:
        unit = metrics.get(each.metric).unit if cut.metric == each.metric else "%"
        counts = [BLANK if count is None else count for count in (cut.only_a, cut.only_b)]
        metric = METRICS[cut.metric].title if cut.metric in METRICS else cut.metric.removesuffix(f".{cut.name}")
        cells.append((*_where(each), cut.name, metric, cut.clips, _change(cut.difference, unit), *counts))
    return _table((*WHERE, title, "metric", "clips", "A − B", *RIGHT), cells, most)


def _where(each: TestComparison) -> tuple[str, str, str]:
    return each.task, each.protocol, each.test


def _table(header: Sequence[str], rows: Sequence[Sequence[object]], most: int | None = None) -> str:
    """A table without columns that are empty throughout, such as the protocol of files."""
    kept = [k for k in range(len(header)) if any(str(row[k]) for row in rows)]
    right = [i for i, k in enumerate(kept) if header[k] not in WORDS]
    return listed_table([header[k] for k in kept], [[row[k] for k in kept] for row in rows], most, right)


def _change(difference: Difference, unit: str) -> str:
    if math.isnan(difference.low):
        return BLANK if math.isnan(difference.value) else signed(difference.value, 0, 0, unit).partition(" ")[0]
    return signed(difference.value, difference.low, difference.high, unit)


def _size(value: float, unit: str) -> str:
    return amount({"value": value}, unit, interval=False)


# ------------------------------------------------------------------ JSON and files


def paired_json(report: PairedReport) -> dict[str, Any]:
    """The whole comparison without its clips, JSON-ready; undefined numbers are null."""
    return {
        "a": report.names[0],
        "b": report.names[1],
        "unit": report.unit,
        "draws": report.draws,
        "notes": [*_too_many(report), *report.notes],
        "tests": [_test_json(each) for each in report.tests],
    }


def _test_json(each: TestComparison) -> dict[str, Any]:
    body = {name: value for name, value in vars(each).items() if name != "flips"}
    body |= {name: asdict(body[name]) for name in ("a", "b", "difference")}
    body |= {name: [asdict(cut) for cut in body[name]] for name in ("classes", "domains")}
    body |= {"seeds": [list(side) for side in each.seeds], "better": each.better}
    return _plain(body)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def clips_csv(report: PairedReport) -> str:
    """The clips that one side alone has right, one row each, as CSV."""
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(["task", "protocol", "test", *LISTED])
    for each in report.tests:
        out.writerows([*_where(each), *row] for row in each.flips.itertuples(index=False, name=None))
    return text.getvalue()


def write_paired(report: PairedReport, path: Path) -> Path:
    """Writes the comparison as Markdown or JSON, whichever the file's name asks for. Raises ``BadInput``."""
    check_output(path)
    body = paired_text(report) if path.suffix == ".md" else json.dumps(paired_json(report), indent=1) + "\n"
    write_text(path, body)
    return path
