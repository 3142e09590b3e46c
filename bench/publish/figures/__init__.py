"""Figures for papers, each a function from records to a matplotlib figure with its caption: ``bench.plots``.

The names below are imported when first used, so that importing the package does not import matplotlib.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "heat_map": "bench.publish.figures.across.heat_map",
    "poolings": "bench.publish.figures.across.poolings",
    "in_and_out": "bench.publish.figures.across.in_and_out",
    "ranks": "bench.publish.figures.across.ranks",
    "cost": "bench.publish.figures.across.cost",
    "trade_off": "bench.publish.figures.decisions.trade_off",
    "embedding_map": "bench.publish.figures.maps",
    "map_of": "bench.publish.figures.maps",
    "confusion": "bench.publish.figures.decisions.confusion",
    "reliability": "bench.publish.figures.decisions.reliability",
    "write": "bench.drawing.canvas",
}
__all__ = [
    "confusion",
    "cost",
    "embedding_map",
    "heat_map",
    "in_and_out",
    "map_of",
    "poolings",
    "ranks",
    "reliability",
    "trade_off",
    "write",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'bench.plots' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
