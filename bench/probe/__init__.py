"""Probes: what a frozen representation offers, by hyperparameters chosen inside the training rows alone."""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {"LogisticPathCV": "bench.probe.linear.logistic", "RidgePathCV": "bench.probe.linear.ridge"}
__all__ = ["LogisticPathCV", "RidgePathCV"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'bench.probe' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
