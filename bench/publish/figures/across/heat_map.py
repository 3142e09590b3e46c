"""Every encoder on every task, with values and intervals in the cells."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from bench.drawing.canvas import PaperFigure, blank, drawn, inches
from bench.drawing.labels import broken, text_width
from bench.drawing.looks import INK, PALE
from bench.publish.figures import captions, rows
from bench.reports.leaderboard.table import PEEKED
from bench.scores import metrics
from bench.scores.schema import Record

CELL = 0.52  # inches that a value with its interval takes, at least
ROW = 0.235  # inches of a row
NAMES = {1: 0.98, 2: 1.45}  # inches for the names of rows, at most
_GAP = 0.35  # rows between encoders and controls


@drawn
def heat_map(records: Sequence[Record], width: int = 2, of: str = "") -> PaperFigure:
    """Encoders against tasks: the main metric of the headline test, coloured from worst to best of each task.

    Tasks that find no room beside each other go into another block below.

    Parameters
    ----------
    records
        Records of any number of tasks.
    width
        1 or 2 columns.
    of
        The class of rows (``frozen``, ``finetune``, …); by default the first that is there. Controls stand below.

    Returns
    -------
    PaperFigure
        With its caption.

    Raises
    ------
    BadInput
        Where there is no record of the class, and for records of one task on different data.
    """
    table = rows.headline_cells(records, of)
    ordered, tasks = rows.order(table), sorted(table["task"].unique())
    shown = [broken(name, NAMES[width]) for name in ordered]
    names_width = max(map(text_width, shown)) + 0.12
    room = inches(width) - names_width - 0.04
    most = max(1, int(room / CELL))
    blocks = math.ceil(len(tasks) / most)
    per_block = math.ceil(len(tasks) / blocks)
    controls = sum(table.groupby("name")["control"].first())
    lines = len(ordered) + (_GAP if controls else 0)
    heads = ["\n".join(broken(text, room / per_block - 0.05) for text in (t, _metric(table, t))) for t in tasks]
    head = 0.1 * max(text.count("\n") + 1 for text in heads) + 0.08
    body = ROW * lines * max(1.0, max(text.count("\n") + 1 for text in shown) / 2)
    figure = blank(width, blocks * (body + head) + 0.04, layout="none")
    total = figure.get_figheight()
    for i in range(blocks):
        own = tasks[i * per_block : (i + 1) * per_block]
        left, top = names_width / inches(width), 1 - (i * (body + head) + head) / total
        size = (len(own) * room / per_block / inches(width), body / total)
        axis = figure.add_axes((left, top - size[1], *size))
        _block(axis, table, ordered, shown, own, heads[i * per_block : (i + 1) * per_block])
    figure.caption = _caption(records, table)
    return figure


def _metric(table: pd.DataFrame, task: str) -> str:
    return metrics.get(table.loc[table["task"] == task, "metric"].iloc[0]).title


def _block(axis: Axes, table: pd.DataFrame, ordered: list, shown: list, tasks: list, heads: list) -> None:
    """Draws some of the tasks."""
    control = table.groupby("name")["control"].first()
    at = {name: i + (_GAP if control[name] and not control[ordered[0]] else 0) for i, name in enumerate(ordered)}
    bottom = max(at.values()) + 0.5
    axis.set(xlim=(-0.5, len(tasks) - 0.5), ylim=(bottom, -0.5))
    axis.set_xticks(range(len(tasks)), heads, linespacing=1.05)
    axis.set_yticks([at[name] for name in ordered], shown, linespacing=0.95)
    axis.tick_params(length=0, pad=3, labeltop=True, labelbottom=False)
    axis.spines[:].set_visible(False)
    colours = colormaps["cividis"]
    for j, task in enumerate(tasks):
        part = table[table["task"] == task].set_index("name")
        shade, best = _shades(part)
        for name, y in at.items():
            known = name in part.index and not np.isnan(part.at[name, "value"])
            face = colours(shade[name]) if known else "white"
            box = Rectangle((j - 0.5, y - 0.5), 1, 1, facecolor=face, edgecolor="white", lw=0.8)
            if not known:
                box.set(hatch="////", edgecolor=PALE)
            axis.add_patch(box)
            if known:
                _print(axis, j, y, part.loc[name], "white" if shade[name] < 0.5 else INK, name in best)


def _shades(part: pd.DataFrame) -> tuple[dict[str, float], set[str]]:
    """({row: shade from 0, the worst, to 1}, the best rows); the controls do not stretch the scale."""
    metric = metrics.get(part["metric"].iloc[0])
    good = part["value"] * (1 if metric.direction == "higher" else -1)
    own = good[~part["control"]].dropna()
    own = own if len(own) else good.dropna()
    span = (own.max() - own.min()) or 1.0
    shade = ((good - own.min()) / span).clip(0, 1).fillna(0.0)
    best = own[part.loc[own.index, "class"] != PEEKED]
    return shade.to_dict(), set(best.index[best == best.max()])


def _print(axis: Axes, x: float, y: float, cell: pd.Series, colour: str, best: bool) -> None:
    factor, places = rows.scale(cell["metric"]), rows.digits(cell["metric"])
    value = f"{factor * cell['value']:.{places}f}"
    weight = "bold" if best else "normal"
    if np.isnan(cell["low"]):
        axis.text(x, y, value, ha="center", va="center", color=colour, weight=weight, fontsize=6.5)
        return
    span = f"{factor * cell['low']:.{places}f}–{factor * cell['high']:.{places}f}"
    axis.text(x, y - 0.02, value, ha="center", va="bottom", color=colour, weight=weight, fontsize=6.5)
    axis.text(x, y + 0.03, span, ha="center", va="top", color=colour, fontsize=6)


def _caption(records: Sequence[Record], table: pd.DataFrame) -> str:
    used = [record for record in records if record.key in set(table["key"])]
    several = table["seeds"].max() > 1
    return captions.caption(
        "Main metric of each task on its headline test, with its interval below",
        "Colours run from the lowest to the highest value of the encoders on each task, so they compare within a "
        "column only; the best value is bold; controls stand below and do not stretch the colours",
        "Hatched: no record" if len(table) < table["name"].nunique() * table["task"].nunique() else "",
        "Values are means over seeds" if several else "",
        captions.protocols(used),
        captions.intervals(captions.headline_methods(used)),
        captions.tests(table.to_dict("records")),
        captions.data_state(used),
    )
