"""Numbers as every table prints them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

BLANK = "–"


def amount(score: Mapping[str, Any] | None, unit: str = "%", interval: bool = True, decimals: int | None = None) -> str:
    """``64.3 [60.1, 68.2]`` from a score as stored in a record; blank where it is missing.

    Fractions are shown in percent, values in a unit of their own with two decimals; ``decimals`` as ``number`` has it.
    """
    if score is None or missing(score["value"]):
        return BLANK
    known = [name for name in ("value", "low", "high") if not missing(score.get(name))]
    shown = {name: number(score[name], unit, decimals) for name in known}
    if not interval:
        return shown["value"]
    return shown["value"] + (f" [{shown['low']}, {shown['high']}]" if "low" in shown else " [no interval]")


def number(value: float | None, unit: str = "%", decimals: int | None = None) -> str:
    """``64.3`` from a value; blank where it is missing.

    Parameters
    ----------
    value
        In the metric's own unit: a fraction for ``%``.
    unit
        ``%`` prints percent.
    decimals
        How many; None for one of a percentage and two of any other value.
    """
    if value is None or missing(value):
        return BLANK
    scale, digits = _scale(unit)
    return f"{scale * value:.{digits if decimals is None else decimals}f}"


def signed(value: float, low: float, high: float, unit: str = "%") -> str:
    """``+4.1 [+1.2, +7.0]``, in points or in the unit."""
    if missing(value):
        return BLANK
    scale, digits = _scale(unit)
    return f"{scale * value:+.{digits}f} [{scale * low:+.{digits}f}, {scale * high:+.{digits}f}]"


def p_text(p: float | None) -> str:
    """``0.012``, and ``< 0.001`` for less: a p value is never 0."""
    if p is None or missing(p):
        return BLANK
    known = p_number(p)
    return "< 0.001" if not known else f"{known:.3f}" if known < 0.1 else f"{known:.2f}"


def p_phrase(p: float) -> str:
    """``p = 0.012``, ``p < 0.001``."""
    text = p_text(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def p_number(p: float | None) -> float | None:
    """A p value to the digits that ``p_text`` prints, 0 for what it prints as ``< 0.001``; None where it is missing."""
    if p is None or missing(p):
        return None
    return 0.0 if p < 0.001 else round(float(p), 3 if p < 0.0995 else 2)


def size(count: int) -> str:
    """``1.2 GB`` from a number of bytes, in powers of 1000."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" or value >= 99.95 else f"{value:.1f} {unit}"


def record_facts(spec: Mapping[str, Any], scores: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, str]:
    """What a record is and its main score on every test, each a few words."""
    from bench.scores import metrics  # numpy, which printing itself has no need of

    metric = task["main_metric"]
    unit = metrics.get(metric).unit
    facts = {name: str(spec[name]) for name in ("task", "encoder", "pooling", "protocol")}
    facts |= {f"{metric} {test}": amount(table.get(metric), unit) for test, table in scores.items()}
    return facts | {name: str(spec[name]) for name in ("layer", "seed", "state")}


def _scale(unit: str) -> tuple[int, int]:
    """What a value is multiplied with, and how many decimals are shown."""
    return (100, 1) if unit == "%" else (1, 2)


def missing(value: float | None) -> bool:
    """Whether a value is None or NaN."""
    return value is None or math.isnan(value)
