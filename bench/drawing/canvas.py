"""What every figure stands on: one style, printed sizes, and files of the same bytes.

A figure function is decorated with ``drawn``: it runs under the style, whatever the user's settings, and what it
returns is laid out. Names from data are never read as formulas. No pyplot is involved, so no figure stays open.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bench.base.errors import BadInput, UnknownId
from bench.base.paths import write_bytes

WIDTHS = {1: 3.35, 2: 7.0}  # inches of one column and of two
FORMATS = ("pdf", "png", "svg")
_STYLE = ["default", str(resources.files("bench.drawing") / "style.mplstyle")]
_UNSAID: dict[str, dict[str, None]] = {
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


def file_bytes(figure: Figure, format: str, facts: Mapping[str, str] | None = None) -> bytes:
    """A figure as a file: the same bytes every time, fonts embedded.

    Parameters
    ----------
    figure
        Anything that matplotlib draws.
    format
        One of ``FORMATS``.
    facts
        What the file says of itself besides its caption, by names that its format has.

    Raises
    ------
    UnknownId
        For an unknown format.
    """
    if format not in FORMATS:
        raise UnknownId("format", format, FORMATS)
    said: dict[str, Any] = {**_UNSAID[format], **(facts or {})}
    if caption := getattr(figure, "caption", ""):
        said["Subject" if format == "pdf" else "Description"] = caption
    buffer = io.BytesIO()
    with style.context(_STYLE):
        figure.savefig(buffer, format=format, metadata=said)
    return buffer.getvalue()


def write(
    figure: Figure, stem: Path, formats: Iterable[str] = ("pdf", "png"), facts: Mapping[str, str] | None = None
) -> list[Path]:
    """Writes ``<stem>.<format>`` for every format, with ``facts`` as ``file_bytes`` has them.

    A file that has the same bytes already stays untouched.
    """
    paths = []
    for format in formats:
        path, content = stem.with_name(f"{stem.name}.{format}"), file_bytes(figure, format, facts)
        if not (path.is_file() and path.read_bytes() == content):
            write_bytes(path, content)
        paths.append(path)
    return paths
