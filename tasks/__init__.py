"""Tasks: one public file a corpus; ``SUITES`` are named sets of tasks."""

from __future__ import annotations

from typing import Any

__all__ = ["SUITES"]


def __getattr__(name: str) -> Any:
    if name != "SUITES":
        raise AttributeError(f"module 'tasks' has no attribute {name!r}")
    from tasks._shared.suites import SUITES

    return SUITES
