"""Pieces of Vega-Lite specifications that several sections share.

Specifications hold their data, and neither the size of the page nor the colours of its theme. Values are in the unit
that is shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

Spec = dict[str, Any]
Points = Sequence[Mapping[str, Any]]

INTERVAL = (("value", "value"), ("low", "from"), ("high", "to"))
LEVEL = {"labelAngle": 0}
OPAQUE = {"symbolOpacity": 1, "symbolType": "circle", "columns": 3}
ON_HEAT = {"condition": {"test": "datum.shade > 0.55", "value": "white"}, "value": "black"}
NUMBERS = {name for axis in ("x", "y") for name in (axis, f"{axis}_low", f"{axis}_high")}
NUMBERS |= {"value", "low", "high", "probability", "outcome", "score"}  # fields that are printed with one decimal


def order(points: Points, field: str = "row") -> list[str]:
    """Values of a field in the order in which they come."""
    return list(dict.fromkeys(str(point[field]) for point in points))


def plain_id(text: str) -> str:
    """The text as part of a section's id, which has letters, digits, ``-`` and ``.``."""
    return re.sub(r"[^A-Za-z0-9.-]", "-", text)


def tooltip(*fields: tuple[str, str]) -> list[Spec]:
    """What is shown of a point under the pointer: (field, its title)."""
    texts = [{"field": field, "title": title} for field, title in fields]
    return [{**text, "format": ".1f"} if text["field"] in NUMBERS else text for text in texts]


def dumbbells(
    points: Points, axis: str, kinds: Sequence[str], reference: float | None = None, noun: str = "encoder"
) -> Spec:
    """Several values of each row on one line, each with its interval on hover.

    ``points``: ``row, kind, value, low, high`` and, where there are several panels, ``panel``; ``reference``: a value
    that all are held against; ``noun``: what a row is.
    """
    y = {"field": "row", "type": "nominal", "sort": order(points), "title": None}
    x = {"field": "value", "type": "quantitative", "title": axis, "scale": {"zero": False}}
    # a domain, since Vega-Lite makes one legend of colour and shape only where neither is sorted
    colour = {"field": "kind", "type": "nominal", "title": None, "scale": {"domain": list(kinds)}}
    shown = tooltip(("row", noun), ("kind", "what"), *INTERVAL)
    mark = {"type": "rule", "strokeDash": [4, 4], "opacity": 0.6}
    layers: list[Spec] = [] if reference is None else [{"mark": mark, "encoding": {"x": {"datum": reference}}}]
    layers += [
        {
            "mark": {"type": "line", "strokeWidth": 2, "opacity": 0.35},
            "encoding": {"x": x, "y": y, "detail": {"field": "row"}},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1},
            "encoding": {"x": x, "y": y, "color": colour, "shape": colour, "tooltip": shown},
        },
    ]
    inner: Spec = {"height": {"step": 24}, "layer": layers}
    if not any("panel" in point for point in points):
        return {"data": {"values": list(points)}, **inner}
    panels = {"field": "panel", "type": "nominal", "title": None, "sort": order(points, "panel")}
    return {"data": {"values": list(points)}, "facet": panels, "columns": 2, "spec": inner}
