"""The drawings of a sweep: scores over layers and tasks, out-of-fold scores over C, differences between poolings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bench.drawing.canvas import PaperFigure, blank, drawn, inches
from bench.drawing.labels import broken, legend_size, text_width
from bench.drawing.looks import BLUE, INK, Look, looks
from bench.reports.sweep.sweep_table import chosen_point, curves, strength_name
from bench.scores import metrics
from bench.scores.schema import Record

_CELL = 0.62  # inches of a task in a heat map, at least
_ROW = 0.17  # inches of a row
_NAMES = 1.7  # inches for the names of rows, at most
_PANEL = 1.55  # inches of a panel's height
_STYLES = ("-", "--", ":", "-.")
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def _power(value: float, _: int) -> str:
    """A power of ten without a formula, which the style reads none of."""
    return "10" + f"{math.log10(value):.0f}".translate(_RAISED)


@drawn
def heat_map(encoder: str, part: pd.DataFrame) -> PaperFigure:
    """Draws the headline scores of an encoder: a row per pooling and layer, a column per task.

    Colours run from the worst to the best of each column, whose scores alone are comparable. Tasks that find no room
    beside each other go into another block below.
    """
    tasks = sorted(part["task"].unique())
    keys = sorted({(p, layer) for p, layer in zip(part["pooling"], part["layer"])})
    names = [f"{pooling}, layer {layer}" for pooling, layer in keys]
    left = max(map(text_width, names)) + 0.12
    room = inches(2) - left - 0.04
    blocks = math.ceil(len(tasks) / int(room / _CELL))
    each = math.ceil(len(tasks) / blocks)
    metric = {row.task: metrics.get(row.metric) for row in part.itertuples()}
    heads = {t: f"{broken(t, room / each - 0.05)}\n{broken(metric[t].title, room / each - 0.05)}" for t in tasks}
    head = 0.1 * max(text.count("\n") + 1 for text in heads.values()) + 0.08
    body, title = _ROW * len(keys), 0.2
    figure = blank(2, title + blocks * (body + head) + 0.04, layout="none")
    total = figure.get_figheight()
    figure.text(0.01, 1 - 0.04 / total, f"{encoder}, {part['protocol'].iloc[0]}", va="top", weight="bold", fontsize=7)
    for i in range(blocks):
        own = tasks[i * each : (i + 1) * each]
        top = total - title - i * (body + head) - head
        size = (len(own) * room / each, body)
        axis = figure.add_axes((left / inches(2), (top - body) / total, size[0] / inches(2), size[1] / total))
        axis.set_xticks(range(len(own)), [heads[task] for task in own], linespacing=1.05)
        axis.set_yticks(range(len(keys)), names)
        axis.tick_params(length=0, pad=3, labeltop=True, labelbottom=False)
        axis.spines[:].set_visible(False)
        for j, task in enumerate(own):
            _column(axis, j, part[part["task"] == task], keys, metric[task])
        axis.set(xlim=(-0.5, len(own) - 0.5), ylim=(len(keys) - 0.5, -0.5))
    return figure


def _column(axis: Axes, j: int, part: pd.DataFrame, keys: Sequence[tuple], metric: metrics.Metric) -> None:
    """Draws the scores of a task, the best brightest; a cell without a record stays white."""
    by_key = {(row.pooling, row.layer): row.value for row in part.itertuples()}
    values = np.array([by_key.get(key, np.nan) for key in keys], dtype=float)
    good = values if metric.direction == "higher" else -values
    low, high = (np.nanmin(good), np.nanmax(good)) if np.isfinite(good).any() else (0.0, 0.0)
    shades = (good - low) / (high - low) if high > low else np.ones(len(good))
    scale, digits = (100, 1) if metric.unit == "%" else (1, 2)
    for i in np.flatnonzero(~np.isnan(values)):
        axis.fill_between([j - 0.5, j + 0.5], i - 0.5, i + 0.5, color=colormaps["cividis"](shades[i]), lw=0)
        colour = "white" if shades[i] < 0.5 else INK
        axis.text(j, i, f"{scale * values[i]:.{digits}f}", ha="center", va="center", fontsize=6.5, color=colour)


@drawn
def paths(task: str, own: Sequence[Record], labels: Mapping[str, str]) -> PaperFigure:
    """Draws the out-of-fold score over C, a panel per encoder and label.

    A colour and shape stand for a pooling, a style of line for a class weight; the chosen value is a large mark.
    """
    panels: dict[str, list[tuple[Record, str | None]]] = {}
    for record in sorted(own, key=lambda r: labels[r.key]):
        for label in sorted({of for of, _ in curves(record.selection)}, key=str):
            panels.setdefault(", ".join(filter(None, (labels[record.key], label))), []).append((record, label))
    weights = sorted({weight for record in own for _, weight in curves(record.selection)}, key=str)
    look = looks(sorted({record.spec["pooling"] for record in own}))
    style = {weight: _STYLES[i % len(_STYLES)] for i, weight in enumerate(weights)}
    handles = _key(look, style)
    legend_columns, legend_height = legend_size([str(each.get_label()) for each in handles], 2)
    columns = 2 if len(panels) in (2, 4) else min(3, len(panels))
    lines = math.ceil(len(panels) / columns)
    figure = blank(2, lines * _PANEL + legend_height + 0.45)
    axes = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for axis, (name, shown) in zip(axes.flat, panels.items()):
        axis.set_title(broken(name, inches(2) / columns - 0.5, 7.5))
        for record, label in shown:
            _path(axis, record, label, look[record.spec["pooling"]], style)
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(_power)
        axis.grid(axis="y")
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    for i in range(columns):  # the lowest panel of each column has the numbers
        lowest = axes.flat[max(range(i, len(panels), columns))]
        lowest.tick_params(labelbottom=True)
        lowest.set_xlabel(strength_name(own[0].selection))
    figure.supylabel(f"out of fold: {metrics.get(own[0].data['task']['main_metric']).title}", fontsize=6.5)
    figure.suptitle(f"{task}, training clips only", x=0.01, ha="left", weight="bold")
    figure.legend(handles=handles, loc="outside lower center", ncols=legend_columns)
    return figure


def _path(axis: Axes, record: Record, label: str | None, look: Look, style: Mapping[str | None, str]) -> None:
    """Draws the curves of a record for one label, one for each class weight."""
    for (of, weight), curve in curves(record.selection).items():
        if of == label:
            axis.plot(*zip(*curve), style[weight], markevery=4, **_on_curves(look))
    curve, at = chosen_point(record.selection, label)
    axis.plot(*curve[at], ls="", zorder=3, **(look.on_lines(4.5) | {"mec": INK, "mew": 0.8}))


def _on_curves(look: Look) -> dict[str, Any]:
    return look.on_lines(2.4) | {"mec": look.colour}


def _key(look: Mapping[str, Look], style: Mapping[str | None, str]) -> list[Line2D]:
    """What colours, shapes and styles of lines stand for."""
    handles = [Line2D([], [], label=pooling, **_on_curves(each)) for pooling, each in look.items()]
    if len(style) > 1:
        names = {weight: f"class weight {weight or 'none'}" for weight in style}
        handles += [Line2D([], [], ls=each, color=INK, label=names[weight]) for weight, each in style.items()]
    return [*handles, Line2D([], [], ls="", marker="o", mfc="white", mec=INK, ms=4.5, label="large: chosen")]


@drawn
def poolings(differences: pd.DataFrame) -> PaperFigure:
    """Draws paired differences to the reference pooling with their intervals, task by task."""
    several = [name for name in ("protocol", "seed") if differences[name].nunique() > 1]
    lines: list[tuple[str, pd.Series | None]] = []
    for task, part in differences.groupby("task", sort=True):
        lines.append((task, None))
        for _, row in part.iterrows():
            facts = "".join(f", {'seed ' if name == 'seed' else ''}{row[name]}" for name in several)
            lines.append((f"{row['encoder']}: {row['pooling']} − {row['minus']}{facts}", row))
    names = [broken(text, _NAMES, 6.6 if row is None else 6.0) for text, row in lines]
    sizes = np.array([max(0.15, 0.1 * (name.count("\n") + 1) + 0.04) for name in names])
    at = np.cumsum(sizes) - sizes / 2  # inches from above
    figure = blank(2, sizes.sum() + 0.4)
    axis = figure.subplots()
    axis.axvline(0, color=INK, lw=0.6)
    for y, (_, row) in zip(at, lines):
        if row is not None:
            face = BLUE if row["low"] > 0 or row["high"] < 0 else "white"
            axis.plot([100 * row["low"], 100 * row["high"]], [y, y], color=BLUE, lw=1)
            axis.plot(100 * row["value"], y, "o", mfc=face, mec=BLUE, ms=3.6)
    axis.set_yticks(at, names)
    for text, (_, row) in zip(axis.get_yticklabels(), lines):
        text.set_weight("bold" if row is None else "normal")
    axis.set_ylim(sizes.sum(), 0)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x")
    axis.set_xlabel("difference of the main metric (points), last layer; filled: the interval excludes 0")
    return figure
