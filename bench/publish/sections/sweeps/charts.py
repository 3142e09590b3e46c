"""Charts of a sweep, as Vega-Lite specifications with their data inline."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.publish.sections.vega import INTERVAL, ON_HEAT, OPAQUE, Points, Spec, order, tooltip


def heat_map(points: Points, tasks: Sequence[str]) -> Spec:
    """Scores of layers and poolings (down) on tasks (across), coloured within each task by itself.

    ``points``: ``row, task, metric, value, low, high, label, shade`` (0 for the lowest of a task, 1 for the highest),
    ``n, groups``.
    """
    shown = tooltip(("row", "pooling and layer"), ("task", "task"), ("metric", "metric"), *INTERVAL)
    shown += tooltip(("n", "clips"), ("groups", "patients or other groups"))
    heat = {"field": "shade", "type": "quantitative", "title": "within its task", "scale": _SHADES, "legend": _ENDS}
    return {
        "data": {"values": list(points)},
        "height": {"step": 30},
        "encoding": {
            "x": {"field": "task", "type": "nominal", "sort": list(tasks), "title": None, "axis": {"labelAngle": -30}},
            "y": {"field": "row", "type": "nominal", "sort": order(points), "title": None},
            "tooltip": shown,
        },
        "layer": [
            {"mark": {"type": "rect", "stroke": "white"}, "encoding": {"color": heat}},
            {"mark": {"type": "text"}, "encoding": {"text": {"field": "label"}, "color": ON_HEAT}},
        ],
    }


def paths(points: Points, metric: str) -> Spec:
    """Out-of-fold score over the strength of the penalty, a panel per encoder.

    ``points``: ``row, series, weight, strength, score, chosen`` (whether it is the candidate that was best).
    """
    ends = [math.log10(point["strength"]) for point in points]
    decades = range(2 * math.floor(min(ends) / 2), math.ceil(max(ends)) + 1, 2)
    axis = {"format": "~e", "values": [10.0**power for power in decades]}
    x = {"field": "strength", "type": "quantitative", "title": "C", "scale": {"type": "log"}, "axis": axis}
    y = {"field": "score", "type": "quantitative", "title": f"out of fold: {metric}", "scale": {"zero": False}}
    colour = {"field": "series", "type": "nominal", "title": None, "legend": OPAQUE}
    dash = {"field": "weight", "type": "nominal", "title": "class weight"}
    shown = tooltip(("row", "encoder"), ("series", "pooling"), ("weight", "class weight"), ("strength", "C"))
    shown += tooltip(("score", "out of fold"))
    return {
        "data": {"values": list(points)},
        "facet": {"field": "row", "type": "nominal", "title": None, "sort": order(points)},
        "columns": 2,
        "spec": {
            "height": 200,
            "encoding": {"x": x, "y": y, "color": colour},
            "layer": [
                {"mark": {"type": "line"}, "encoding": {"strokeDash": dash}},
                {"mark": {"type": "point", "opacity": 0, "size": 60}, "encoding": {"tooltip": shown}},
                {
                    "transform": [{"filter": "datum.chosen"}],
                    "mark": {"type": "point", "filled": True, "size": 110, "opacity": 1},
                    "encoding": {"tooltip": shown},
                },
            ],
        },
    }


_SHADES = {"domain": [0, 1], "scheme": "yellowgreenblue"}
_ENDS = {"values": [0, 1], "labelExpr": "datum.value == 0 ? 'lowest' : 'highest'"}
