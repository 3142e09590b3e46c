"""A table in any of its formats, as text or as a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from bench.base.errors import BadInput, UnknownId
from bench.base.paths import write_text
from bench.publish.papers.tables.choices import EXCEL, FORMATS, SUFFIXES
from bench.publish.papers.tables.content import PaperTable
from bench.publish.papers.tables.excel import write_excel
from bench.publish.papers.tables.latex import latex_table
from bench.publish.papers.tables.plain import csv_text, json_text, markdown_text


def table_text(
    table: PaperTable,
    format: str = "md",
    decimals: int | None = None,
    layout: str = "",
    intervals: str = "",
    label: str = "tab:respbench",
    standalone: bool = False,
) -> str:
    """The table as text.

    Parameters
    ----------
    table
        What it shows.
    format
        ``latex``, ``md``, ``csv`` or ``json``.
    decimals
        Of ``latex`` and ``md``, as ``bench.scores.printed.number`` takes them; the others hold all that is known.
    layout, intervals, label, standalone
        Of ``latex`` (``bench.publish.papers.tables.latex.latex_table``).

    Raises
    ------
    UnknownId
        For a format that there is not.
    BadInput
        For ``xlsx``, which is no text.
    """
    if format == EXCEL:
        raise BadInput("format xlsx", "is no text", "name a file for it (--out FILE.xlsx)")
    setters: Mapping[str, Callable[[], str]] = {
        "latex": lambda: latex_table(table, layout, intervals, decimals, label, standalone),
        "md": lambda: markdown_text(table, decimals),
        "csv": lambda: csv_text(table),
        "json": lambda: json_text(table),
    }
    if format not in setters:
        raise UnknownId("format", format, FORMATS)
    return setters[format]()


def format_of(path: Path) -> str:
    """The format that a file's name asks for. Raises ``BadInput`` where it asks for none."""
    if path.suffix not in SUFFIXES:
        raise BadInput(path, "its name does not say which format", f"end it in {', '.join(SUFFIXES)}, or give --format")
    return SUFFIXES[path.suffix]


def write_table(table: PaperTable, path: Path, format: str = "", **settings: object) -> Path:
    """Writes the table into a file and returns it.

    Parameters
    ----------
    table
        What it shows.
    path
        The file; its name says the format where none is given.
    format
        One of ``FORMATS``.
    **settings
        As ``table_text`` takes them.

    Raises
    ------
    UnknownId
        For a format that there is not.
    BadInput
        For a name that says no format, and for Excel where openpyxl is not installed.
    """
    format = format or format_of(path)
    if format == EXCEL:
        return write_excel(table, path)
    write_text(path, table_text(table, format, **settings))  # type: ignore[arg-type]
    return path
