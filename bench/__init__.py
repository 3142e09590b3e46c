"""RespBench: which pretrained audio representation serves lung, breath and cough sounds, and how far to trust it.

The names below are the public Python API; they are imported when first used, so ``import bench`` is instant.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "load_encoder": "bench.encoders.load",
    "embed": "bench.encoders.batches",
    "load_task": "bench.data.manifest",
    "evaluate": "bench.runs.evaluate",
    "leaderboard": "bench.reports.leaderboard.table",
    "styled": "bench.publish.styled",
    "standings": "bench.reports.leaderboard.standings.compute",
    "check_encoder": "bench.encoders.contract",
    "check_task": "bench.data.check",
}
__all__ = [
    "check_encoder",
    "check_task",
    "embed",
    "evaluate",
    "leaderboard",
    "load_encoder",
    "load_task",
    "plots",
    "simulate",
    "standings",
    "stats",
    "styled",
]


def __getattr__(name: str) -> Any:
    if name == "simulate":
        return importlib.import_module("bench.data.simulate")
    if name == "stats":
        return importlib.import_module("bench.stats")
    if name == "plots":
        return importlib.import_module("bench.publish.figures")
    if name not in _HOME:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
