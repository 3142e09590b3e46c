"""Names of clips that are spans of a recording: its path, and the seconds at which they start and end."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import Decimal


def of(path: str, start_s: float, end_s: float) -> str:
    """The name of a clip, to the millisecond; that of a whole recording is its path."""
    return _name(path, start_s, end_s, _milliseconds)


def tell_apart(clips: Sequence[dict]) -> None:
    """Gives clips whose bounds are the same to the millisecond, but not beyond, names of their own.

    ``clips`` are rows of a manifest, whose ``clip_id`` is changed. All other names stay.
    """
    bounds: dict[str, set[tuple[float, str]]] = {}
    for clip in clips:
        bounds.setdefault(clip["clip_id"], set()).add((clip["start_s"], str(clip["end_s"])))
    for clip in clips:
        if len(bounds[clip["clip_id"]]) > 1:
            clip["clip_id"] = _name(clip["path"], clip["start_s"], clip["end_s"], _all_digits)


def _name(path: str, start_s: float, end_s: float, digits: Callable[[float], str]) -> str:
    whole = not start_s and math.isnan(end_s)
    return path if whole else f"{path}#{digits(start_s)}-{'' if math.isnan(end_s) else digits(end_s)}"


def _milliseconds(value: float) -> str:
    return f"{value:.3f}"


def _all_digits(value: float) -> str:
    """As ``_milliseconds``, with as many digits as tell it from every other number."""
    digits = _milliseconds(value)
    return digits if float(digits) == value else format(Decimal(repr(value)), "f")
