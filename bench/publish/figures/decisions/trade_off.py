"""Specificity against sensitivity of a task, with lines of equal score and what others published."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bench.base.errors import BadInput
from bench.drawing.canvas import PaperFigure, blank, drawn, inches
from bench.drawing.labels import legend_size
from bench.drawing.looks import GREY, PALE, Look
from bench.publish.figures import captions, rows
from bench.reports.leaderboard.published.rows import PublishedRow, comparable, published_rows
from bench.reports.leaderboard.table import cells
from bench.scores import metrics
from bench.scores.metrics import Roles
from bench.scores.schema import Record

# {score: (specificity, sensitivity)}, of scores that are a function of these two alone
PARTS = {"icbhi.Score": ("icbhi.Sp", "icbhi.Se"), "sprsound.Score": ("sprsound.SP", "sprsound.SE")}
FLOOR = "control.majority"
COMPARABLE, OTHER = "published, same protocol", "published, not comparable"
_STEP = 10  # percent between lines of equal score


@dataclass(frozen=True)
class PublishedPoint:
    """A published system: specificity and sensitivity in percent; ``why`` it is not comparable, empty where it is."""

    system: str
    specificity: float
    sensitivity: float
    why: str


@drawn
def trade_off(
    records: Sequence[Record], width: int = 1, test: str = "", of: str = "", published: bool = True
) -> PaperFigure:
    """Specificity (x) and sensitivity (y) of every row with intervals, on lines of equal score.

    Parameters
    ----------
    records
        Records of one task whose main metric is the ICBHI or the SPRSound Score; several seeds are one point.
    width
        1 or 2 columns.
    test
        Of the task; by default its headline test.
    of
        The class of rows; by default the first that is there.
    published
        Adds primary published results of the task: grey and filled where corpus, split, test, score and protocol are
        the same as of a row shown, hollow where anything differs. Never beside simulated recordings.

    Raises
    ------
    BadInput
        For records of several tasks, another main metric, and a test that the task does not have.
    """
    tasks = sorted({record.spec["task"] for record in records})
    if len(tasks) != 1:
        raise BadInput("figure trade_off", f"shows one task, not {len(tasks)}", "give the records of one task")
    own = rows.chosen(records, of)
    main = own[0].data["task"]["main_metric"]
    if main not in PARTS:
        problem = f"{metrics.get(main).title} is not made of specificity and sensitivity"
        raise BadInput(f"figure trade_off of {tasks[0]}", problem, f"take a task with {' or '.join(PARTS)}")
    table = _points(own, main, test)
    test = table["test"].iloc[0]
    points = _published(tasks[0], test, main, own) if published else []
    ordered = rows.order(table.assign(value=table["score"], metric=main))
    row_looks = rows.row_looks(table, ordered)
    shown = [*ordered, *dict.fromkeys(OTHER if point.why else COMPARABLE for point in points)]
    columns, legend = legend_size(shown, width)
    side = min(inches(width), 3.6)
    figure = blank(width, side - 0.35 + legend)
    axis = figure.subplots()
    low = _frame(axis, table[table["encoder"] != FLOOR], points)
    _lines(axis, main, low)
    for point in points:
        face = "none" if point.why else GREY
        axis.plot(point.specificity, point.sensitivity, "o", ms=3.2, mfc=face, mec=GREY, mew=0.6, zorder=1.5)
    _rows(axis, table, row_looks)
    handles = [axis.plot([], [], ls="", **row_looks[name].on_lines(4.2, label=name))[0] for name in ordered]
    for name in shown[len(ordered) :]:
        face = GREY if name == COMPARABLE else "none"
        handles.append(axis.plot([], [], "o", ms=3.2, mfc=face, mec=GREY, mew=0.6, ls="", label=name)[0])
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    specificity, sensitivity = (metrics.get(name).title for name in PARTS[main])
    axis.set(xlabel=f"{specificity} (%)", ylabel=f"{sensitivity} (%)")
    figure.caption = _caption(own, table, main, points, low)
    return figure


def _points(records: Sequence[Record], main: str, test: str) -> pd.DataFrame:
    """A row per encoder row: ``x``, ``y`` and their intervals in percent, and ``score``."""
    parts = [cells(records, lambda task, name=name: name) for name in (*PARTS[main], main)]
    if any(part.empty for part in parts):
        raise BadInput(records[0].spec["task"], f"no record has {', '.join(PARTS[main])} and {main}", "run it again")
    tests = parts[0]["test"].unique()
    chosen = test or parts[0].loc[parts[0]["headline"], "test"].iloc[0]
    if chosen not in tests:
        where = f"test {chosen} of {records[0].spec['task']}"
        raise BadInput(where, "no record has scores of it", f"take one of: {', '.join(sorted(tests))}")
    x, y, score = (part[part["test"] == chosen].reset_index(drop=True) for part in parts)
    unit = records[0].data["task"]["group"]
    out = x.assign(name=rows.names(x), control=x["class"] == rows.CONTROL, unit=unit, score=score["value"])
    for axis, part in (("x", x), ("y", y)):
        for end in ("value", "low", "high"):
            out[f"{axis}_{end}"] = 100 * part[end]
    return out.dropna(subset=["x_value", "y_value"])


def _published(task: str, test: str, main: str, records: Iterable[Record]) -> list[PublishedPoint]:
    """The primary published rows of the task that give both numbers."""
    records = list(records)
    state = records[0].data["state"]
    if "simulated" in state:
        return []
    protocols = {record.spec["protocol"] for record in rows.without_controls(records)}
    systems: dict[tuple, dict[str, PublishedRow]] = {}
    for row in published_rows(task):
        same = (row.system, row.venue, row.year, row.protocol, row.source, row.our_task, row.our_test)
        systems.setdefault(same, {})[row.our_metric] = row
    out = []
    for by_metric in systems.values():
        pair = [by_metric.get(name) for name in PARTS[main]]
        if all(pair):
            reasons = [comparable(pair[0], task, test, protocol, state) for protocol in sorted(protocols)]
            why = "" if any(fits for fits, _ in reasons) else reasons[0][1]
            values = np.array([float(row.value) for row in pair])
            values *= 100 if values.max() <= 1 else 1  # sources print fractions or percent
            out.append(PublishedPoint(pair[0].system, *values.tolist(), why))
    return out


def _frame(axis: Axes, table: pd.DataFrame, points: Sequence[PublishedPoint]) -> tuple[float, float]:
    """Sets limits around all but the floor, which would take most of the space; returns the lowest of both axes."""
    lows = []
    for letter, published in (("x", [p.specificity for p in points]), ("y", [p.sensitivity for p in points])):
        ends = table[[f"{letter}_{end}" for end in ("value", "low", "high")]].to_numpy(float)
        values = [*ends[~np.isnan(ends)], *published]
        lows.append(max(0.0, math.floor((min(values, default=2) - 2) / 10) * 10))
        high = min(100.0, math.ceil((max(values, default=98) + 2) / 10) * 10)
        getattr(axis, f"set_{letter}lim")(lows[-1] - 1, high + 1)
    return lows[0], lows[1]


def _lines(axis: Axes, main: str, low: tuple[float, float]) -> None:
    """Draws lines of equal score; each is labelled where it leaves the panel, at the right or the top."""
    (left, right), (bottom, top) = axis.get_xlim(), axis.get_ylim()
    ends = np.clip([[left, right], [bottom, top]], 0, 100)
    x, y = np.meshgrid(*(np.linspace(*pair, 200) for pair in ends))
    score = _score(main, x, y)
    levels = np.arange(_STEP, 100, _STEP)
    axis.contour(x, y, score, levels=levels, colors=PALE, linewidths=0.6, zorder=0.5)
    for level in levels:
        at_right = np.interp(level, score[:, -1], y[:, 0], left=np.nan, right=np.nan)
        at_top = np.interp(level, score[-1], x[0], left=np.nan, right=np.nan)
        if not np.isnan(at_right):
            axis.text(right, at_right, f" {level:.0f}", ha="left", va="center", fontsize=6, color=GREY)
        elif not np.isnan(at_top):
            axis.text(at_top, top, f"{level:.0f}", ha="center", va="bottom", fontsize=6, color=GREY)


def _score(main: str, specificity: np.ndarray, sensitivity: np.ndarray) -> np.ndarray:
    """The score in percent that a specificity and a sensitivity in percent make, by the metric itself."""
    sp, se = np.clip(specificity, 0, 100), np.clip(sensitivity, 0, 100)
    two = np.stack([np.stack([sp, 100 - sp], -1), np.stack([100 - se, se], -1)], -2)  # (..., 2, 2) rows true
    return 100 * metrics.get(main).fn(two, Roles(0, (1,)))


def _rows(axis: Axes, table: pd.DataFrame, row_looks: dict[str, Look]) -> None:
    for row in table.itertuples():
        look = row_looks[row.name]
        bars = {"color": look.colour, "lw": 0.6, "alpha": 0.7, "zorder": 2}
        axis.plot([row.x_low, row.x_high], [row.y_value] * 2, **bars)
        axis.plot([row.x_value] * 2, [row.y_low, row.y_high], **bars)
        axis.plot(row.x_value, row.y_value, ls="", **look.on_lines(4.4), zorder=3)


def _caption(
    records: Sequence[Record],
    table: pd.DataFrame,
    main: str,
    points: Sequence[PublishedPoint],
    low: tuple[float, float],
) -> str:
    fits = sum(not point.why for point in points)
    floor = table[table["encoder"] == FLOOR]
    outside = len(floor) and (floor["y_value"].iloc[0] < low[1] or floor["x_value"].iloc[0] < low[0])
    said = ""
    if points:
        said = f"Grey circles: {len(points)} published systems from primary sources, which report no intervals; "
        said += f"{len(points) - fits} hollow ones differ in split, test, protocol or data and cannot be compared"
    return captions.caption(
        f"Specificity and sensitivity on {table['task'].iloc[0]}, with their intervals",
        f"Grey lines: equal {metrics.get(main).title} in percent, which is their function",
        "Calling every clip normal (specificity 100 %, sensitivity 0 %) lies outside" if outside else "",
        said,
        "Values are means over seeds" if table["seeds"].max() > 1 else "",
        captions.protocols(records),
        captions.intervals(captions.headline_methods(records)),
        captions.tests(table.to_dict("records")),
        captions.data_state(records),
    )
