"""Tables as text: aligned Markdown for the terminal and for files, from plain rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

BLANK = "–"
DISCLAIMER = "For research only. Not a medical device: no score here says that a system is fit for diagnosis or care."


def markdown(header: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[int] = ()) -> str:
    """An aligned Markdown table; ``right`` lists the columns set flush right."""
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in (header, *rows)]
    widths = [max(3, *(len(row[i]) for row in cells)) for i in range(len(header))]
    pad = [str.rjust if i in right else str.ljust for i in range(len(header))]
    lines = ["| " + " | ".join(pad[i](row[i], widths[i]) for i in range(len(header))) + " |" for row in cells]
    rule = "|" + "|".join("-" * (w + 1) + ":" if i in right else "-" * (w + 2) for i, w in enumerate(widths)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def percent(score: Mapping | None, interval: bool = True) -> str:
    """``64.3 [60.1, 68.2]`` from a score as stored in a record; blank where it is missing."""
    if score is None or missing(score["value"]):
        return BLANK
    if not interval:
        return f"{100 * score['value']:.1f}"
    if missing(score["low"]):
        return f"{100 * score['value']:.1f} [no interval]"
    return f"{100 * score['value']:.1f} [{100 * score['low']:.1f}, {100 * score['high']:.1f}]"


def signed(value: float, low: float, high: float) -> str:
    """``+4.1 [+1.2, +7.0]``, in points."""
    if missing(value):
        return BLANK
    return f"{100 * value:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def missing(value: float | None) -> bool:
    return value is None or math.isnan(value)
