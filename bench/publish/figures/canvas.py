"""What every figure stands on: one style, printed sizes, colours that come with shapes, and files of the same bytes.

A figure function is decorated with ``drawn``: it runs under the style, whatever the user's settings, and what it
returns is laid out. Names from data are never read as formulas. No pyplot is involved, so no figure stays open.
"""

from __future__ import annotations

import functools
import io
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

from bench.base.errors import BadInput, UnknownId
from bench.base.paths import write_bytes

WIDTHS = {1: 3.35, 2: 7.0}  # inches of one column and of two
SMALLEST = 6.0  # points, of any text
FORMATS = ("pdf", "png", "svg")
# Okabe and Ito, Color Universal Design, 2008, without black and yellow
BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
INK, GREY, PALE = "#111111", "#6E6E6E", "#C8C8C8"
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h", "p")  # as many as are prime to the colours
CONTROL_MARKERS = ("x", "+", "d", ">", "<", "H", "*", "8")
_BREAKS = (r" ", r",@→+·/:", r".", r"_\-")  # where a name is broken, as regular expressions know them
_STYLE = ["default", str(resources.files("bench.publish.figures") / "style.mplstyle")]
_NOTHING = {
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
}


class PaperFigure(Figure):
    """A matplotlib figure at its printed size, with what is to stand under it.

    Attributes
    ----------
    caption : str
        What it shows: clips, patients, intervals, protocol, and whether the data are a subset.
    """

    caption: str = ""

    def _repr_png_(self) -> bytes:
        return file_bytes(self, "png")


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


def drawn(function: Callable[..., PaperFigure]) -> Callable[..., PaperFigure]:
    """Runs a figure function under the style, and lays its figure out once and for all."""

    @functools.wraps(function)
    def styled(*arguments: Any, **named: Any) -> PaperFigure:
        with style.context(_STYLE):
            figure = function(*arguments, **named)
            figure.draw_without_rendering()  # makes the labels of all ticks, and the layout
            figure.set_layout_engine("none")
        return figure

    return styled


def blank(width: int, height: float, layout: str = "constrained") -> PaperFigure:
    """An empty figure.

    Parameters
    ----------
    width
        1 or 2 columns.
    height
        In inches.
    layout
        ``constrained``, or ``none`` where the axes have places of their own.
    """
    figure = PaperFigure(figsize=(inches(width), height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def inches(width: int) -> float:
    """The printed width of a figure of 1 or 2 columns. Raises ``BadInput`` for another number."""
    if width not in WIDTHS:
        raise BadInput(f"width {width!r}", "is no number of columns", "take 1 (85 mm) or 2 (178 mm)")
    return WIDTHS[width]


def file_bytes(figure: Figure, format: str) -> bytes:
    """A figure as a file: the same bytes every time, fonts embedded. Raises ``UnknownId`` for an unknown format."""
    if format not in FORMATS:
        raise UnknownId("format", format, FORMATS)
    facts: dict[str, Any] = dict(_NOTHING[format])
    if caption := getattr(figure, "caption", ""):
        facts["Subject" if format == "pdf" else "Description"] = caption
    buffer = io.BytesIO()
    with style.context(_STYLE):
        figure.savefig(buffer, format=format, metadata=facts)
    return buffer.getvalue()


def write(figure: Figure, stem: Path, formats: Iterable[str] = ("pdf", "png")) -> list[Path]:
    """Writes ``<stem>.<format>`` for every format; a file that has the same bytes already stays untouched."""
    paths = []
    for format in formats:
        path, content = stem.with_name(f"{stem.name}.{format}"), file_bytes(figure, format)
        if not (path.is_file() and path.read_bytes() == content):
            write_bytes(path, content)
        paths.append(path)
    return paths


def looks(names: Sequence[str], controls: Iterable[str] = ()) -> dict[str, Look]:
    """{name: its look}: no two alike among the first 66, the controls grey and without a filled shape."""
    controls = list(dict.fromkeys(controls))
    out = {name: Look(GREY, CONTROL_MARKERS[i % len(CONTROL_MARKERS)]) for i, name in enumerate(controls)}
    series = (name for name in dict.fromkeys(names) if name not in out)
    out |= {name: Look(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, name in enumerate(series)}
    return out


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
