"""What an encoder costs against what it scores, a panel per task, with the front that no other encoder beats."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bench.base.errors import BadInput, UnknownId
from bench.drawing.canvas import PaperFigure, blank, drawn, inches
from bench.drawing.labels import broken, legend_size
from bench.drawing.looks import GREY, INK, Look
from bench.publish.figures import captions, rows
from bench.reports.leaderboard.standings.cost import cost as cost_of
from bench.scores import metrics
from bench.scores.schema import Record

COSTS = {"parameters": "parameters", "ms_per_clip": "ms a clip", "gb": "peak memory (GB)"}
PER_ROW = {1: 2, 2: 4}  # panels beside each other
_HEIGHT, _TITLE = 1.22, 6.5  # inches of a panel; points
_NONE = "none"
_ASIDE = 0.13  # decades between markers of one cost


@drawn
def cost(
    records: Sequence[Record],
    width: int = 2,
    of: str = "",
    by: str = "parameters",
    costs: Mapping[str, float] | None = None,
) -> PaperFigure:
    """Main metric of the headline test against cost, a panel per task.

    The front steps from the cheapest encoder to each dearer one that scores more than all cheaper ones; controls are
    grey and not part of it.

    Parameters
    ----------
    records
        Records of any number of tasks.
    width
        1 or 2 columns.
    of
        The class of rows; by default the first that is there.
    by
        ``parameters``, ``ms_per_clip`` or ``gb``, from the records (``bench.reports.leaderboard.standings``).
    costs
        {encoder: its cost} in the unit of ``by``, measured elsewhere; in place of what the records say.

    Raises
    ------
    UnknownId
        For another cost.
    BadInput
        Where no row has a cost.
    """
    if by not in COSTS:
        raise UnknownId("cost", by, COSTS)
    own = rows.chosen(records, of)
    table = rows.headline_cells(records, of)
    table = table.assign(cost=_costs(table, own, by, costs))
    floor = table[table["encoder"].str.startswith("control.")]
    lost = sorted(set(table.loc[table["cost"].isna(), "name"]) - set(floor["name"]))
    table = table[table["cost"].notna()]
    if not len(table[~table["control"]]):
        raise BadInput("figure cost", f"no row's cost in {COSTS[by]} is known", "give it in costs")
    ordered = rows.order(table)
    looks = rows.row_looks(table, ordered)
    tasks = sorted(table["task"].unique())
    columns = min(PER_ROW[width], len(tasks))
    lines = math.ceil(len(tasks) / columns)
    titles = [broken(task, inches(width) / columns - 0.3, 1.12 * _TITLE) for task in tasks]
    rise = 0.11 * max(title.count("\n") + 1 for title in titles) + 0.1
    legend_columns, legend = legend_size(ordered, width)
    figure = blank(width, lines * (_HEIGHT + rise) + 0.3 + legend)
    axes = figure.subplots(lines, columns, squeeze=False, sharex=True)
    for axis in axes.flat[len(tasks) :]:
        axis.set_axis_off()
    place = _Places(table["cost"].to_numpy(float))
    for i, (axis, task, title) in enumerate(zip(axes.flat, tasks, titles)):
        _panel(axis, table[table["task"] == task], floor[floor["task"] == task], looks, place)
        axis.set_title(title, fontsize=_TITLE)
        axis.tick_params(labelbottom=(lowest := i + columns >= len(tasks)))
        axis.set_xlabel(COSTS[by] if lowest else "")
    handles = [axes.flat[0].plot([], [], ls="", **looks[name].on_lines(4, label=name))[0] for name in ordered]
    figure.legend(handles=handles, loc="outside lower center", ncols=legend_columns)
    figure.caption = _caption(own, table, floor, by, lost, costs is not None)
    return figure


def front(costs: Sequence[float], good: Sequence[float]) -> list[int]:
    """Indices of what nothing else beats: cheapest first, each better than all that cost less or the same.

    Parameters
    ----------
    costs, good
        Of each; the lower the cost the better, and the higher ``good``.
    """
    kept: list[int] = []
    for i in sorted(range(len(costs)), key=lambda i: (costs[i], -good[i])):
        if not kept or good[i] > good[kept[-1]]:
            kept.append(i)
    return kept


class _Places:
    """Where costs lie on an axis of powers of ten; a cost of nothing has a place of its own at the left."""

    def __init__(self, costs: np.ndarray):
        known = np.log10(costs[costs > 0]) if (costs > 0).any() else np.array([0.0])
        self.low, self.high = math.floor(known.min()), math.ceil(known.max() + 1e-9)
        self.free = bool((costs == 0).any())
        self.zero = self.low - 1.0

    def __call__(self, costs: np.ndarray) -> np.ndarray:
        costs = np.asarray(costs, float)
        return np.where(costs > 0, np.log10(np.maximum(costs, 1e-300)), self.zero)

    def label(self, axis: Axes) -> None:
        step = max(1, math.ceil((self.high - self.low) / 4))
        powers = list(range(self.low, self.high + 1, step))
        ticks = [*([self.zero] if self.free else []), *powers]
        axis.set_xticks(ticks, [*([_NONE] if self.free else []), *map(_power, powers)])
        axis.set_xlim(min(ticks) - 0.25, max(self.high, max(ticks)) + 0.25)


def _power(power: int) -> str:
    """``10 M``, ``100 k``, ``0.1``."""
    for unit, exponent in (("G", 9), ("M", 6), ("k", 3)):
        if power >= exponent:
            return f"{10 ** (power - exponent)} {unit}"
    return f"{10.0**power:g}"


def _costs(table: pd.DataFrame, records: Sequence[Record], by: str, given: Mapping[str, float] | None) -> list[float]:
    """The cost of each row; NaN where it is not known."""
    of_name: dict[str, list[Record]] = {}
    for name, record in rows.named(records):
        of_name.setdefault(name, []).append(record)
    out = []
    for name, encoder in zip(table["name"], table["encoder"]):
        value = given.get(encoder) if given is not None else getattr(cost_of(of_name[name]), by)
        out.append(np.nan if value is None else float(value))
    return out


def _panel(axis: Axes, part: pd.DataFrame, floor: pd.DataFrame, looks: Mapping[str, Look], place: _Places) -> None:
    """Draws one task."""
    metric = metrics.get(part["metric"].iloc[0])
    part = part.assign(place=part["name"].map(list(looks).index)).sort_values("place")
    factor, better = rows.scale(metric.name), 1 if metric.direction == "higher" else -1
    for value in factor * floor["value"]:
        axis.axhline(value, color=GREY, lw=0.7, ls=(0, (4, 2)), zorder=0)
    own = part[~part["control"] & part["value"].notna()]
    kept = own.iloc[front(own["cost"].tolist(), (better * own["value"]).tolist())]
    x, y = place(kept["cost"].to_numpy(float)), factor * kept["value"].to_numpy(float)
    if len(kept):
        axis.step([*x, place.high + 0.25], [*y, y[-1]], where="post", color=INK, lw=0.8, zorder=1)
    for row, at in zip(part.itertuples(), _aside(place(part["cost"].to_numpy(float)))):
        look = looks[row.name]
        if not np.isnan(row.low):
            axis.plot([at, at], [factor * row.low, factor * row.high], color=look.colour, lw=0.6, alpha=0.75, zorder=2)
        axis.plot(at, factor * row.value, ls="", **look.on_lines(4), zorder=3)
    place.label(axis)
    axis.set_ylabel(rows.metric_title(metric.name), labelpad=1)
    if better < 0:
        axis.invert_yaxis()


def _aside(places: np.ndarray) -> np.ndarray:
    """Places, those at the same one beside each other, so that no marker hides another."""
    out = places.copy()
    for place in np.unique(places):
        same = np.flatnonzero(places == place)
        out[same] += _ASIDE * (np.arange(len(same)) - (len(same) - 1) / 2)
    return out


def _caption(
    records: Sequence[Record], table: pd.DataFrame, floor: pd.DataFrame, by: str, lost: Sequence[str], given: bool
) -> str:
    used = [record for record in records if record.spec["task"] in set(table["task"])]
    return captions.caption(
        f"Main metric of each task's headline test against {COSTS[by]}" + (", measured apart" if given else ""),
        "Line: the encoders that score more than all that cost as much or less; it is of the values, and intervals "
        "overlap",
        "Markers of one cost stand beside each other",
        "Grey: controls, not part of the line" if table["control"].any() else "",
        "Dashed: every clip called normal (control.majority)" if len(floor) else "",
        f"Cost not known, so left out: {', '.join(lost)}" if lost else "",
        captions.protocols(used),
        captions.intervals(captions.headline_methods(used)),
        captions.tests(table.to_dict("records")),
        captions.data_state(used),
    )
