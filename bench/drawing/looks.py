"""How series are told from each other: by shapes, and by colours that a colour-blind reader tells apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

# Okabe and Ito, Color Universal Design, 2008, without black and yellow
BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
INK, GREY, PALE = "#111111", "#6E6E6E", "#C8C8C8"
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h", "p")  # as many as are prime to the colours
CONTROL_MARKERS = ("x", "+", "d", ">", "<", "H", "*", "8")


@dataclass(frozen=True)
class Look:
    """How one series is told from the others: always a shape, and a colour too."""

    colour: str
    marker: str

    def on_lines(self, size: float = 4.0, **more: Any) -> dict[str, Any]:
        """Arguments of ``Axes.plot`` and ``Line2D`` for its marker."""
        open_ended = self.marker in "x+"
        edge = self.colour if open_ended else "white"
        width = 1.0 if open_ended else 0.5
        return {"marker": self.marker, "color": self.colour, "mec": edge, "mew": width, "ms": size, **more}


def looks(names: Sequence[str], controls: Iterable[str] = ()) -> dict[str, Look]:
    """{name: its look}: no two alike among the first 66, the controls grey and without a filled shape."""
    controls = list(dict.fromkeys(controls))
    out = {name: Look(GREY, CONTROL_MARKERS[i % len(CONTROL_MARKERS)]) for i, name in enumerate(controls)}
    series = (name for name in dict.fromkeys(names) if name not in out)
    out |= {name: Look(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, name in enumerate(series)}
    return out
