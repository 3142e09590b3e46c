"""In-domain against out-of-domain: a panel per transfer, with the floor and the clip's length alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from bench.base.errors import BadInput
from bench.drawing.canvas import PaperFigure, blank, drawn, inches
from bench.drawing.labels import broken, legend_size
from bench.drawing.looks import GREY, PALE, Look, looks
from bench.publish.figures import captions, rows
from bench.reports.names import rank_class
from bench.reports.out_of_domain import bandwidth
from bench.runs.out_of_domain import Transfer, transfer
from bench.scores import metrics
from bench.scores.schema import Record, ScoreJson

PER_ROW = {1: 2, 2: 4}  # panels beside each other
TITLE = 6.5  # points
FLOOR, DURATION = "control.majority", "meta.duration"


@dataclass(frozen=True)
class Point:
    """A row on one transfer: its score in domain and out of domain."""

    name: str
    control: bool
    own: ScoreJson
    out: ScoreJson
    record: Record


@drawn
def in_and_out(records: Sequence[Record], width: int = 2, metric: str = "") -> PaperFigure:
    """In-domain (x) against out-of-domain (y) scores with intervals, a panel per transfer.

    Parameters
    ----------
    records
        Records of transfers, as ``respbench ood`` makes them; of the others, of few shots and of clips of controlled
        bandwidth nothing is drawn.
    width
        1 or 2 columns.
    metric
        A metric's name; by default each task's main metric. Transfers without it are left out.

    Raises
    ------
    BadInput
        Where no record has scores in domain and out of domain.
    """
    panels = _panels(records, metric)
    if not panels:
        problem = "no record has scores in domain and out of domain" + (f" in {metric}" if metric else "")
        raise BadInput("figure in_and_out", problem, "make some with `respbench ood`")
    points = [point for _, of in panels for point in of]
    control = {point.name: point.control for point in points}
    ordered = sorted(control, key=lambda name: (control[name], name))
    row_looks = looks([n for n in ordered if not control[n]], [n for n in ordered if control[n]])
    columns = min(PER_ROW[width], len(panels))
    lines = math.ceil(len(panels) / columns)
    side = min((inches(width) - 0.2) / columns, 2.3)
    titles = [
        broken(plan.id.removeprefix("transfer.").replace("-to-", " → "), side - 0.3, TITLE * 1.1) for plan, _ in panels
    ]
    legend_columns, legend = legend_size(ordered, width)
    rise = max(title.count("\n") + 1 for title in titles) * 0.11 + 0.06
    figure = blank(width, lines * (side - 0.22 + 0.17 + rise) + 0.12 + legend)
    axes = figure.subplots(lines, columns, squeeze=False)
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    for i, (axis, (_, of), title) in enumerate(zip(axes.flat, panels, titles)):
        _panel(axis, of, row_looks, metric)
        axis.set_title(title, fontsize=TITLE)
        axis.set(
            xlabel="in domain (%)" if i + columns >= len(panels) else "",
            ylabel="out of domain (%)" if i % columns == 0 else "",
        )
    handles = [axes.flat[0].plot([], [], ls="", **row_looks[name].on_lines(4, label=name))[0] for name in ordered]
    figure.legend(handles=handles, loc="outside lower center", ncols=legend_columns)
    figure.caption = _caption(panels, metric)
    return figure


def _panels(records: Sequence[Record], metric: str) -> list[tuple[Transfer, list[Point]]]:
    """(transfer, its points), in the order of the transfers' ids."""
    of_task: dict[str, list[Record]] = {}
    for record in records:
        spec = record.spec
        if spec["task"].startswith("transfer.") and spec["protocol"] in ("linear", "control") and spec["seed"] == 0:
            of_task.setdefault(spec["task"], []).append(record)
    panels = []
    for task, own in sorted(of_task.items()):
        plan = transfer(task)
        below = bandwidth.controlled(own, [task])
        points = _points(plan, bandwidth.with_own_rows(own, below), metric) if plan else []
        if any(not point.control for point in points):
            panels.append((plan, points))
    return panels


def _points(plan: Transfer, records: Sequence[Record], metric: str) -> list[Point]:
    points = []
    for label, record in rows.named(records):
        spec, name = record.spec, metric or record.data["task"]["main_metric"]
        own, out = (record.scores.get(test, {}).get(name) for test in (plan.own, plan.test))
        if spec["encoder"] in rows.UNPRINTED or own is None or out is None or metrics.get(name).unit != "%":
            continue
        if own["value"] is not None and out["value"] is not None:
            points.append(Point(label, rank_class(spec) == rows.CONTROL, own, out, record))
    return points


def _panel(axis: Axes, points: Sequence[Point], of_row: dict[str, Look], metric: str) -> None:
    """Draws one transfer."""
    ends = [
        100 * s[name]
        for p in points
        for s in (p.own, p.out)
        for name in ("value", "low", "high")
        if s[name] is not None
    ]
    low, high = max(0.0, math.floor((min(ends) - 2) / 10) * 10), min(100.0, math.ceil((max(ends) + 2) / 10) * 10)
    axis.plot([low, high], [low, high], color=PALE, lw=0.8, zorder=0)
    floor = next((p for p in points if p.record.spec["encoder"] == FLOOR), None)
    if floor is not None:
        axis.axhline(100 * floor.out["value"], color=GREY, lw=0.7, ls=(0, (4, 2)), zorder=0.5)
        axis.axvline(100 * floor.own["value"], color=GREY, lw=0.7, ls=(0, (4, 2)), zorder=0.5)
    for point in points:
        look = of_row[point.name]
        x, y = 100 * point.own["value"], 100 * point.out["value"]
        if point.record.spec["encoder"] != FLOOR:
            for score, across in ((point.own, True), (point.out, False)):
                if score["low"] is not None:
                    span = 100 * np.array([score["low"], score["high"]])
                    line = (span, [y, y]) if across else ([x, x], span)
                    axis.plot(*line, color=look.colour, lw=0.6, alpha=0.75, zorder=1)
        axis.plot(x, y, ls="", **look.on_lines(4.2), zorder=3)
    axis.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    step = 20 if high - low > 40 else 10
    ticks = np.arange(math.ceil(low / step) * step, high + 1, step)
    axis.set_xticks(ticks)
    axis.set_yticks(ticks)
    name = metric or points[0].record.data["task"]["main_metric"]
    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
    axis.text(0.03, 0.97, metrics.get(name).title, transform=axis.transAxes, va="top", fontsize=6, bbox=box)


def _caption(panels: Sequence[tuple[Transfer, list[Point]]], metric: str) -> str:
    points = [(plan, point) for plan, of in panels for point in of]
    cells = [
        {"task": plan.id, "test": test, "unit": p.record.data["task"]["group"], **p.record.scores[test][_of(p, metric)]}
        for plan, p in points
        for test in (plan.own, plan.test)
    ]
    used = [point.record for _, point in points]
    return captions.caption(
        "Scores on other patients of the training corpus (in domain) and on the other corpus (out of domain)",
        "On the diagonal nothing is lost",
        "Dashed: the floor, every clip called normal (control.majority)"
        if any(r.spec["encoder"] == FLOOR for r in used)
        else "",
        "meta.duration knows the clip's length alone" if any(r.spec["encoder"] == DURATION for r in used) else "",
        captions.protocols(used),
        captions.intervals(cell["method"] for cell in cells),
        captions.tests(cells),
        captions.data_state(used),
    )


def _of(point: Point, metric: str) -> str:
    return metric or point.record.data["task"]["main_metric"]
