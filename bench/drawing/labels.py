"""Names and legends that fit: how wide a text is when printed, and where it is broken."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

from bench.drawing.canvas import inches

SMALLEST = 6.0  # points, of any text
_BREAKS = (r" ", r",@→+·/:", r".", r"_\-")  # where a name is broken, as regular expressions know them


def legend_size(names: Sequence[str], width: int) -> tuple[int, float]:
    """(columns, inches of height) of a legend across the figure."""
    widest = max(map(text_width, names)) + 0.34
    columns = max(1, min(len(names), int(inches(width) / widest)))
    return columns, math.ceil(len(names) / columns) * 0.115 + 0.1


def text_width(text: str, points: float = SMALLEST) -> float:
    """The printed width, in inches, of the widest line of a text in the style's font."""
    font = FontProperties(family="DejaVu Sans", size=points)
    measure = TextToPath().get_text_width_height_descent
    return max(measure(line, font, ismath=False)[0] for line in text.split("\n")) / 72


def broken(text: str, room: float, points: float = SMALLEST) -> str:
    """A name in lines of at most ``room`` inches: broken after spaces, else after punctuation, else anywhere."""
    lines: list[str] = []
    for piece in _parts(text.replace("\n", " "), room, points, _BREAKS):
        if lines and text_width((lines[-1] + piece).rstrip() or " ", points) <= room:
            lines[-1] += piece
        else:
            lines.append(piece)
    return "\n".join(line.rstrip() for line in lines)


def _parts(text: str, room: float, points: float, breaks: Sequence[str]) -> list[str]:
    """A text cut into pieces that each fit, at the first kind of place that allows it."""
    if text_width(text.rstrip() or " ", points) <= room and breaks is not _BREAKS:
        return [text]
    if not breaks:
        return list(text)
    pieces = re.findall(f"[^{breaks[0]}]*[{breaks[0]}]|[^{breaks[0]}]+$", text)
    return [part for piece in pieces for part in _parts(piece, room, points, breaks[1:])]
