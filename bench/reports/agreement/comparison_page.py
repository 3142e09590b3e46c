"""A comparison of two results folders as text and as JSON."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.base.errors import BadInput
from bench.base.paths import write_text
from bench.reports.agreement.compare import ALIKE, Comparison, LookAlikes
from bench.reports.agreement.differences import (
    DIFFERS,
    IDENTICAL,
    MARKED,
    WITHIN,
    MetricDifference,
    RecordDifference,
)
from bench.reports.names import recipe_name, row_name
from bench.reports.tables import markdown
from bench.scores.metrics import METRICS
from bench.scores.per_test import headline
from bench.scores.printed import BLANK, amount
from bench.scores.schema import Record

OUTCOMES = (IDENTICAL, WITHIN, MARKED, DIFFERS)
ROW_HEAD = ("task", "encoder", "pooling", "protocol", "seed")
PAIR_HEAD = (
    *("outcome", *ROW_HEAD, "metric furthest off", "before", "after", "moved", "of the interval"),
    *("decisions", "largest score difference", "choice"),
)
FEW = 20  # rows of a table on the terminal


def comparison_text(comparison: Comparison, most: int | None = None) -> str:
    """The comparison as Markdown.

    Parameters
    ----------
    comparison
        As ``compare`` gives it.
    most
        Rows of each table at most, the worst first; None: all.
    """
    a, b = comparison.names
    counts = Counter(pair.outcome for pair in comparison.pairs)
    head = [
        f"# {a} and {b}",
        f"{len(comparison.pairs)} records of the same key: "
        + (", ".join(f"{counts[name]} {name}" for name in OUTCOMES if counts[name]) or "none")
        + f". Tolerance of a metric: {comparison.tolerance}.",
        _verdict(comparison),
    ]
    sections = [
        ("Records of the same key that are not identical", _pairs(comparison.pairs, most)),
        (
            "Alike, but of another key: side by side, not compared",
            listed_table(
                (*ROW_HEAD, f"in {a}", f"in {b}", "what differs"), map(_look_alike, comparison.look_alikes), most
            ),
        ),
        (f"In {a} alone", _only(comparison.only_first, most)),
        (f"In {b} alone", _only(comparison.only_second, most)),
        ("Machines and versions", _machines(comparison)),
    ]
    return "\n\n".join([*head, *(f"## {title}\n\n{text}" for title, text in sections if text)]) + "\n"


def _verdict(comparison: Comparison) -> str:
    if not comparison.pairs:
        return "No key is in both folders: nothing was compared."
    if comparison.controls_alone:
        return "No encoder's record has its key in both folders: only control rows were compared."
    differing = sum(pair.outcome == DIFFERS for pair in comparison.pairs)
    if differing:
        return f"They differ beyond the tolerance in {differing} of {len(comparison.pairs)} records."
    if any(pair.outcome == MARKED for pair in comparison.pairs):
        return (
            "All records of the same key agree within the tolerance, but for those that the board marks as sensitive."
        )
    return "All records of the same key agree within the tolerance."


def _pairs(pairs: Sequence[RecordDifference], most: int | None) -> str:
    moved = sorted((pair for pair in pairs if pair.outcome != IDENTICAL), key=_severity, reverse=True)
    return listed_table(PAIR_HEAD, map(_pair, moved), most)


def _severity(pair: RecordDifference) -> tuple[int, float]:
    worst = pair.worst
    moved = 0.0 if worst is None else math.inf if worst.moved is None else worst.moved
    return OUTCOMES.index(pair.outcome), moved


def _pair(pair: RecordDifference) -> list[object]:
    worst = pair.worst
    cells: list[object] = [BLANK] * 5
    if worst is not None:
        cells = [f"{worst.test} {worst.metric}", *map(_value(worst), (worst.before, worst.after)), *_moved(worst)]
    decisions = f"{pair.decisions} of {pair.clips}" if not pair.other else "; ".join(pair.other)
    choice = "same" if pair.same_choice else f"{_chosen(pair.first)} → {_chosen(pair.second)}"
    return [pair.outcome, *_row(pair.first), *cells, decisions, f"{pair.largest_score:.2g}", choice]


def _value(metric: MetricDifference) -> Callable[[float | None], str]:
    """How a metric's values are shown: percent with two decimals, since a tolerance is less than one."""
    if metric.unit == "%":
        return lambda value: BLANK if value is None else f"{100 * value:.2f}"
    return lambda value: BLANK if value is None else f"{value:.4g}"


def _moved(metric: MetricDifference) -> tuple[str, str]:
    if metric.moved is None:
        return "defined on one side only", BLANK
    unit = "points" if metric.unit == "%" else metric.unit
    return f"{metric.moved:.3g} {unit}", BLANK if metric.share is None else f"{100 * metric.share:.1f} %"


def _chosen(record: Record) -> str:
    return ", ".join(f"{name} {value}" for name, value in record.selection["chosen"].items()) or "none"


def _look_alike(group: LookAlikes) -> list[object]:
    told = [f"{name}: {_short(a)} → {_short(b)}" for name, (a, b) in group.differing.items()]
    main = [", ".join(map(_main_score, side)) for side in (group.first, group.second)]
    return [*_row(group.first[0]), *main, "; ".join(told)]


def _main_score(record: Record) -> str:
    task = record.data["task"]
    metric = task["main_metric"]
    unit = METRICS[metric].unit if metric in METRICS else "%"
    return f"{metric} " + amount(record.scores.get(headline(task), {}).get(metric), unit)


def _only(found: Sequence[Record], most: int | None) -> str:
    return listed_table((*ROW_HEAD, "key"), ([*_row(record), record.key] for record in found), most)


def _row(record: Record) -> list[object]:
    spec = record.spec
    encoder = row_name(spec["encoder"], spec["layer"])
    recipe = recipe_name(record)
    named = f"{encoder} · {recipe}" if recipe else encoder
    return [spec["task"], named, spec["pooling"], spec["protocol"], spec["seed"]]


def _short(value: str) -> str:
    """A digest by its first digits."""
    return value[:12] if len(value) == 64 and " " not in value else value


def _machines(comparison: Comparison) -> str:
    rows = [[name, a, b, "" if a == b else "differs"] for name, (a, b) in comparison.machines.items()]
    return listed_table(("", *comparison.names, ""), rows, None)


def listed_table(
    header: Sequence[str], rows: Iterable[Sequence[object]], most: int | None, right: Sequence[int] = ()
) -> str:
    """A table, or nothing where it has no rows; says how many rows it leaves out.

    Parameters
    ----------
    header, rows, right
        As ``bench.reports.tables.markdown`` takes them.
    most
        Rows at most; None: all.
    """
    listed = list(rows)
    if not listed:
        return ""
    shown = listed if most is None else listed[:most]
    left_out = len(listed) - len(shown)
    text = markdown(header, shown, right)
    return text + (f"\n\n… and {left_out} more (`--out FILE.md` lists all)" if left_out else "")


# ------------------------------------------------------------------ JSON and files


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """The whole comparison, JSON-ready."""
    return {
        "folders": list(comparison.names),
        "tolerance": {"points": comparison.tolerance.points, "share": comparison.tolerance.share},
        "agrees": comparison.agrees,
        "outcomes": {name: sum(pair.outcome == name for pair in comparison.pairs) for name in OUTCOMES},
        "records": list(map(_pair_json, comparison.pairs)),
        "look_alikes": [
            {
                "first": [record.key for record in group.first],
                "second": [record.key for record in group.second],
                "differing": {name: list(values) for name, values in group.differing.items()},
                **_identity(group.first[0]),
            }
            for group in comparison.look_alikes
        ],
        "only_first": [{"key": record.key, **_identity(record)} for record in comparison.only_first],
        "only_second": [{"key": record.key, **_identity(record)} for record in comparison.only_second],
        "machines": {name: list(values) for name, values in comparison.machines.items()},
    }


def _pair_json(pair: RecordDifference) -> dict[str, Any]:
    return {
        "key": pair.first.key,
        **_identity(pair.first),
        "outcome": pair.outcome,
        "same_bytes": pair.same_bytes,
        "clips": pair.clips,
        "decisions_differing": pair.decisions,
        "largest_score_difference": pair.largest_score if math.isfinite(pair.largest_score) else None,
        "same_choice": pair.same_choice,
        "chosen": [pair.first.selection["chosen"], pair.second.selection["chosen"]],
        "contradictions": list(pair.other),
        "metrics": [vars(metric) for metric in pair.metrics],
    }


def _identity(record: Record) -> dict[str, object]:
    recipe = recipe_name(record)
    named: dict[str, object] = {"recipe": recipe} if recipe else {}
    return {name: record.spec[name] for name in ALIKE} | named  # type: ignore[literal-required]


def check_output(path: Path) -> None:
    """Raises ``BadInput`` for a file that a comparison cannot be written to."""
    if path.suffix not in (".md", ".json"):
        raise BadInput(path, "is neither Markdown nor JSON", "give a file that ends in .md or .json")


def write_comparison(comparison: Comparison, path: Path) -> Path:
    """Writes the comparison as Markdown or JSON, whichever the file's name asks for. Raises ``BadInput``."""
    check_output(path)
    if path.suffix == ".md":
        write_text(path, comparison_text(comparison))
    else:
        write_text(path, json.dumps(comparison_json(comparison), indent=1, ensure_ascii=False) + "\n")
    return path
