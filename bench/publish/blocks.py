"""What a page is made of, whatever shows it: sections of text, tables and charts, as plain frozen values.

Those who know the numbers give ``Section``s; ``bench.publish.page`` alone knows HTML. Every string is plain text, which
whoever shows it escapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Text:
    """Plain paragraphs.

    Attributes
    ----------
    paragraphs : tuple of str
        One string each.
    tone : {"plain", "note", "warning", "finding"}
        How they are set: a finding is a sentence that a test stands beside, a warning what must be read first.
    """

    paragraphs: tuple[str, ...]
    tone: Literal["plain", "note", "warning", "finding"] = "plain"


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    name : str
        Key of its cells in a row.
    title : str
        Its heading.
    kind : {"text", "score", "difference", "number", "p"}
        ``score``: cells are ``Score``s, printed in ``unit``; ``difference``: the same, printed with their sign; ``p``:
        p values to the digits that are printed (``bench.scores.printed.p_number``).
    unit : str
        ``"%"`` where values are fractions that are printed as percent, else "".
    help : str
        What a reader who does not know the heading is told.
    group : str
        Heading above several columns, "" for none.
    """

    name: str
    title: str
    kind: Literal["text", "score", "difference", "number", "p"] = "text"
    unit: str = ""
    help: str = ""
    group: str = ""


@dataclass(frozen=True)
class Score:
    """A number with its interval.

    Attributes
    ----------
    value, low, high : float or None
        The value and its 95 % interval, in the metric's own unit (fractions for %); None where not known.
    record : str
        Key of the record that it comes from, "" for none.
    best : bool
        Not significantly worse than the best of its column.
    muted : str
        Why it cannot be compared with the others of its column, "" where it can.
    marks : tuple of str
        Short remarks, such as "seen in pretraining".
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    record: str = ""
    best: bool = False
    muted: str = ""
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table that a reader may sort and filter.

    Attributes
    ----------
    columns : tuple of Column
        Its columns, in order.
    rows : tuple of mapping
        {name of a column: str, number, ``Score`` or None}.
    caption : str
        What it shows, in one sentence.
    """

    columns: tuple[Column, ...]
    rows: tuple[Mapping[str, Any], ...]
    caption: str = ""


@dataclass(frozen=True)
class Chart:
    """An interactive figure.

    Attributes
    ----------
    spec : mapping
        A Vega-Lite 5 or 6 specification with its data inline, without size of the page or colours of its theme.
    title : str
        Its heading.
    description : str
        What it shows, for those who cannot see it.
    """

    spec: Mapping[str, Any]
    title: str
    description: str


@dataclass(frozen=True)
class Sound:
    """A short recording with its spectrogram.

    Attributes
    ----------
    title : str
        What it is called.
    wav : bytes
        The sound as a WAV file.
    image : bytes
        Its spectrogram as a PNG file.
    facts : tuple of (str, str)
        What is known of it: names and values.
    """

    title: str
    wav: bytes = field(repr=False)
    image: bytes = field(repr=False)
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Section:
    """A part of a page with a heading of its own.

    Attributes
    ----------
    id : str
        Unique on the page; letters, digits, ``-`` and ``.``.
    title : str
        Its heading.
    blocks : tuple of Text, Table, Chart, Sound or Section
        What it holds.
    """

    id: str
    title: str
    blocks: tuple[Text | Table | Chart | Sound | Section, ...] = field(default=())
