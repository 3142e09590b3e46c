"""Charts of transfers between corpora, as Vega-Lite specifications with their data inline.

Every number is in the unit that is shown (percent for fractions). Rows are named alike in all charts; controls come
last, as in the tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.publish.sections.vega import INTERVAL, LEVEL, ON_HEAT, OPAQUE, Points, Spec, order, tooltip


def matrix(points: Points, metric: str, tasks: Sequence[str]) -> Spec:
    """Trained on (down) against tested on (across), a panel per encoder.

    ``points``: ``row, source, target, value, low, high, label``.
    """
    y = {"field": "source", "type": "nominal", "sort": list(tasks), "title": "trained on"}
    return {
        "data": {"values": _shaded(points)},
        "facet": {"field": "row", "type": "nominal", "title": None, "sort": order(points)},
        "columns": 3,
        "spec": {"width": {"step": 112}, "height": {"step": 40}, **_heat(metric, tasks, y)},
    }


def heat_map(points: Points, metric: str, tasks: Sequence[str]) -> Spec:
    """Every row (down) on every test (across); ``points`` as of ``matrix``."""
    y = {"field": "row", "type": "nominal", "sort": order(points), "title": None}
    return {"data": {"values": _shaded(points)}, "height": {"step": 28}, **_heat(metric, tasks, y)}


def _heat(metric: str, tasks: Sequence[str], y: Spec) -> Spec:
    x = {"field": "target", "type": "nominal", "sort": list(tasks), "title": "tested on", "axis": LEVEL}
    shown = tooltip(("row", "encoder"), ("source", "trained on"), ("target", "tested on"), *INTERVAL)
    heat = {"field": "value", "type": "quantitative", "title": metric}
    heat["scale"] = {"zero": False, "scheme": "yellowgreenblue"}  # from light to dark, as the text on it expects
    return {
        "encoding": {"x": x, "y": y, "tooltip": shown},
        "layer": [
            {"mark": {"type": "rect", "stroke": "white"}, "encoding": {"color": heat}},
            {"mark": {"type": "text"}, "encoding": {"text": {"field": "label"}, "color": ON_HEAT}},
        ],
    }


def _shaded(points: Points) -> list[dict[str, Any]]:
    """The points with their place between the lowest and the highest value."""
    values = [point["value"] for point in points]
    least, span = min(values), max(values) - min(values) or 1.0
    return [{**point, "shade": (point["value"] - least) / span} for point in points]


def scatter(points: Points, metric: str, floor: Mapping[str, float] | None) -> Spec:
    """In-domain (across) against out-of-domain (up) with both intervals, the diagonal of no drop, and the floor.

    ``points``: ``row, base, kind, x, x_low, x_high, y, y_low, y_high``, where an untrained twin has the ``base`` of its
    encoder; ``floor``: its ``x`` and ``y``.
    """
    ends = [p[name] for p in points for name in ("x", "x_low", "x_high", "y", "y_low", "y_high") if p[name] is not None]
    span = {"domain": [min(ends), max(ends)], "nice": True}
    x = {"field": "x", "type": "quantitative", "title": f"in-domain {metric}", "scale": span}
    y = {"field": "y", "type": "quantitative", "title": f"out-of-domain {metric}", "scale": span}
    colour = {"field": "base", "type": "nominal", "title": None, "sort": order(points, "base"), "legend": OPAQUE}
    shape = {"field": "kind", "type": "nominal", "title": None, "sort": order(points, "kind")}
    names = (("x", "in-domain"), ("x_low", "from"), ("x_high", "to"))
    names += (("y", "out-of-domain"), ("y_low", "from "), ("y_high", "to "))
    layers: list[Spec] = [_diagonal(min(ends), max(ends))]
    for axis in ("x", "y") if floor else ():
        layers.append(
            {
                "data": {"values": [{axis: floor[axis], "line": "floor: control.majority"}]} if floor else {},
                "mark": {"type": "rule", "strokeDash": [1, 3]},
                "encoding": {axis: {"field": axis, "type": "quantitative"}, "tooltip": [{"field": "line"}]},
            }
        )
    bars = {"type": "rule", "opacity": 0.4}
    layers += [
        {"mark": bars, "encoding": {"x": {**x, "field": "x_low"}, "x2": {"field": "x_high"}, "y": y, "color": colour}},
        {"mark": bars, "encoding": {"y": {**y, "field": "y_low"}, "y2": {"field": "y_high"}, "x": x, "color": colour}},
        {
            "mark": {"type": "point", "filled": True, "size": 110, "opacity": 1},
            "encoding": {
                "x": x,
                "y": y,
                "color": colour,
                "shape": shape,
                "tooltip": tooltip(("row", "encoder"), *names),
            },
        },
    ]
    return {"data": {"values": list(points)}, "height": 380, "layer": layers}


def reliability(points: Points) -> Spec:
    """Observed share over predicted probability, a panel per encoder, with the diagonal of perfect calibration.

    ``points``: ``row, what, probability, outcome, low, high, n, groups`` (in percent).
    """
    x = {"field": "probability", "type": "quantitative", "title": "predicted, %", "scale": {"domain": [0, 100]}}
    y = {"field": "outcome", "type": "quantitative", "title": "observed, %", "scale": {"domain": [0, 100]}}
    colour = {"field": "what", "type": "nominal", "title": None, "sort": order(points, "what")}
    names = (
        ("probability", "predicted"),
        ("outcome", "observed"),
        ("low", "from"),
        ("high", "to"),
        ("n", "clips"),
        ("groups", "groups"),
    )
    shown = tooltip(("row", "encoder"), ("what", "test"), *names)
    return {
        "data": {"values": list(points)},
        "facet": {"field": "row", "type": "nominal", "title": None, "sort": order(points)},
        "columns": 3,
        "spec": {
            "width": 170,
            "height": 170,
            "layer": [
                _diagonal(0, 100),
                {
                    "mark": {"type": "area", "opacity": 0.15},
                    "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": colour},
                },
                {"mark": {"type": "line"}, "encoding": {"x": x, "y": y, "color": colour}},
                {
                    "mark": {"type": "point", "filled": True, "size": 35},
                    "encoding": {"x": x, "y": y, "color": colour, "tooltip": shown},
                },
            ],
        },
    }


def few_shot(points: Points, metric: str, steps: Sequence[str]) -> Spec:
    """The score over the number of target patients, with the standard deviation over draws as a band.

    ``points``: ``row, step, value, low, high, draws``; ``steps``: from none of the target's patients to all.
    """
    x = {"field": "step", "type": "ordinal", "sort": list(steps), "title": "patients of the target", "axis": LEVEL}
    y = {"field": "value", "type": "quantitative", "title": metric, "scale": {"zero": False}}
    colour = {"field": "row", "type": "nominal", "title": None, "sort": order(points), "legend": OPAQUE}
    shown = tooltip(("row", "encoder"), ("step", "patients"), *INTERVAL, ("draws", "draws"))
    return {
        "data": {"values": list(points)},
        "height": 320,
        "layer": [
            {
                "transform": [{"filter": "datum.draws > 1"}],
                "mark": {"type": "area", "opacity": 0.18},
                "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": colour},
            },
            {"mark": {"type": "line"}, "encoding": {"x": x, "y": y, "color": colour}},
            {
                "mark": {"type": "point", "filled": True, "size": 60},
                "encoding": {"x": x, "y": y, "color": colour, "tooltip": shown},
            },
        ],
    }


def _diagonal(low: float, high: float) -> Spec:
    """A dashed line on which both axes are the same."""
    return {
        "data": {"values": [{"x": low, "y": low, "x2": high, "y2": high}]},
        "mark": {"type": "rule", "strokeDash": [4, 4], "opacity": 0.5},
        "encoding": {
            **{axis: {"field": axis, "type": "quantitative"} for axis in ("x", "y")},
            **{axis: {"field": axis} for axis in ("x2", "y2")},
        },
    }
