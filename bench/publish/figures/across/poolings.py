"""Two poolings of the same encoder, clip by clip: what each scores, and the paired difference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bench.base.errors import BadInput
from bench.drawing.canvas import PaperFigure, blank, drawn
from bench.drawing.labels import SMALLEST, broken
from bench.drawing.looks import BLUE, GREY, INK, VERMILLION
from bench.publish.figures import captions, rows
from bench.reports.names import rank_class, row_names, variant
from bench.scores import intervals, metrics, per_test
from bench.scores.intervals import Difference
from bench.scores.schema import Record

ROW = 0.15  # inches of a row
NAMES = {1: 0.95, 2: 1.7}  # inches for names, at most


@dataclass(frozen=True)
class Pair:
    """One encoder on one task: both values, in percent of the main metric, and their paired difference."""

    task: str
    test: str
    encoder: str
    first: float
    second: float
    difference: Difference
    unit: str
    records: tuple[Record, ...]


@drawn
def poolings(
    records: Sequence[Record], width: int = 2, first: str = "mean", second: str = "freq", of: str = "frozen"
) -> PaperFigure:
    """Values of two poolings as dumbbells, and beside them their paired difference with its interval.

    Parameters
    ----------
    records
        Records of any number of tasks. A pair has the same encoder, layer, protocol, task, clips and seeds; metrics in
        a unit of their own are left out, for they share no axis with shares.
    width
        1 or 2 columns.
    first, second
        The poolings; the difference is second − first.
    of
        The class of rows; controls are left out.

    Raises
    ------
    BadInput
        Where no encoder has both poolings.
    """
    pairs = sorted(_pairs(rows.chosen(records, of), first, second), key=lambda p: (p.task, p.encoder))
    if not pairs:
        problem = f"no encoder has records of both poolings, {first} and {second}, on one task"
        raise BadInput("figure poolings", problem, f"run --encoder ID:{first},{second}")
    encoders = sorted({pair.encoder for pair in pairs})
    several = len(encoders) > 1
    lines = _lines(pairs, several)
    names = [broken(text, NAMES[width], SMALLEST if pair else 1.1 * SMALLEST) for text, pair in lines]
    sizes = [max(ROW, 0.1 * (name.count("\n") + 1) + 0.04) for name in names]
    at = np.cumsum(sizes) - np.array(sizes) / 2  # inches from above
    figure = blank(width, sum(sizes) + 0.56)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.25, 1))
    for y, (_, pair) in zip(at, lines):
        if pair is not None:
            _dumbbell(left, y, pair)
            _difference(right, y, pair)
    left.set_yticks(at, names)
    for label, (_, pair) in zip(left.get_yticklabels(), lines):
        label.set_weight("bold" if pair is None else "normal")
    left.set_ylim(sum(sizes), 0)
    left.margins(x=0.08)
    right.margins(x=0.08)
    left.set_xlabel("main metric (%)")
    right.set_xlabel(f"{second} − {first} (points)")
    right.axvline(0, color=INK, lw=0.6)
    for axis in (left, right):
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="x")
    handles = [
        Line2D([], [], ls="", marker="o", mfc="white", mec=VERMILLION, ms=4, label=first),
        Line2D([], [], ls="", marker="s", mfc=BLUE, mec=BLUE, ms=4, label=second),
    ]
    left.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    figure.caption = _caption(pairs, first, second, encoders)
    return figure


def _pairs(records: Sequence[Record], first: str, second: str) -> Iterator[Pair]:
    labels = row_names(records)
    sides: dict[tuple, dict[str, dict[int, Record]]] = {}
    for record in records:
        spec = dict(record.spec)
        if spec["pooling"] in (first, second) and rank_class(spec) != rows.CONTROL:
            key = tuple(spec[name] for name in ("task", "encoder", "layer", "protocol"))
            sides.setdefault((*key, variant(spec), labels[record.key]), {}).setdefault(spec["pooling"], {})[
                spec["seed"]
            ] = record
    for (*_, label), by_pooling in sides.items():
        if len(by_pooling) < 2:
            continue
        seeds = sorted(set(by_pooling[first]) & set(by_pooling[second]))
        ours, theirs = ([by_pooling[name][seed] for seed in seeds] for name in (second, first))
        task = ours[0].data["task"] if seeds else None
        if task is None or metrics.get(task["main_metric"]).unit != "%":
            continue
        test, metric = per_test.headline(task), task["main_metric"]
        tables = ([per_test.tested(record, test) for record in side] for side in (ours, theirs))
        found = intervals.mean_difference(*tables, metric, **per_test.comparison_arguments(ours[0]))
        values = [sum(r.scores[test][metric]["value"] for r in side) / len(side) for side in (theirs, ours)]
        spec = ours[0].spec
        name = rows.label(label, layer=spec["layer"])
        yield Pair(spec["task"], test, name, 100 * values[0], 100 * values[1], found, task["group"], (*ours, *theirs))


def _lines(pairs: Sequence[Pair], several: bool) -> list[tuple[str, Pair | None]]:
    """(text, pair) from above: of several encoders every task is a heading."""
    lines: list[tuple[str, Pair | None]] = []
    for i, pair in enumerate(pairs):
        if not several:
            lines.append((pair.task, pair))
            continue
        if not i or pairs[i - 1].task != pair.task:
            lines.append((pair.task, None))
        lines.append((pair.encoder, pair))
    return lines


def _dumbbell(axis: Axes, y: float, pair: Pair) -> None:
    axis.plot([pair.first, pair.second], [y, y], color=GREY, lw=1, zorder=1)
    axis.plot(pair.first, y, "o", mfc="white", mec=VERMILLION, ms=4)
    axis.plot(pair.second, y, "s", mfc=BLUE, mec=BLUE, ms=3.6)


def _difference(axis: Axes, y: float, pair: Pair) -> None:
    found = pair.difference
    clear = found.low > 0 or found.high < 0
    axis.plot([100 * found.low, 100 * found.high], [y, y], color=INK, lw=1)
    axis.plot(100 * found.value, y, "D", mfc=INK if clear else "white", mec=INK, ms=3.4)


def _caption(pairs: Sequence[Pair], first: str, second: str, encoders: Sequence[str]) -> str:
    used = [record for pair in pairs for record in pair.records]
    cells = [
        {"task": p.task, "test": p.test, "n": p.difference.n, "groups": p.difference.groups, "unit": p.unit}
        for p in pairs
    ]
    return captions.caption(
        f"Pooling {first} (open circles) against {second} (squares), main metric of each task's headline test"
        + (f", encoder {encoders[0]}" if len(encoders) == 1 else ""),
        f"Right: {second} − {first} on the same clips, with its interval; filled where that excludes 0, uncorrected "
        f"for the {len(pairs)} comparisons",
        captions.protocols(used),
        captions.intervals([pair.difference.method for pair in pairs]),
        captions.tests(cells),
        captions.data_state(used),
    )
