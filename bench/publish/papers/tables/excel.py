"""A table as an Excel workbook, by openpyxl (the extra ``excel``)."""

from __future__ import annotations

from pathlib import Path

from bench.base.optional_imports import require
from bench.publish.papers.escape import FORMULA, plain
from bench.publish.papers.tables.content import PaperTable
from bench.publish.papers.tables.plain import frame

_WIDTH = 14  # characters of a column of numbers


def write_excel(table: PaperTable, path: Path) -> Path:
    """Writes two sheets: ``table``, the numbers of ``frame`` as numbers, and ``about``, caption and notes.

    Parameters
    ----------
    table
        What it shows.
    path
        The file.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    BadInput
        Where openpyxl is not installed.
    """
    openpyxl = require("openpyxl", "excel")
    styles = require("openpyxl.styles", "excel")
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "table"
    data = frame(table)
    _write_line(sheet, 1, list(data.columns))
    for cell in sheet[1]:
        cell.font = styles.Font(bold=True)
        cell.alignment = styles.Alignment(wrap_text=True, vertical="top")
    for i, line in enumerate(data.itertuples(index=False), 2):
        _write_line(sheet, i, [None if value != value else value for value in line])  # NaN alone differs from itself
    for column in sheet.columns:
        texts = [len(cell.value) for cell in column[1:] if isinstance(cell.value, str)]
        sheet.column_dimensions[column[0].column_letter].width = min(60, max([_WIDTH, *texts]))
    sheet.freeze_panes = "C2"
    about = book.create_sheet("about")
    for i, sentence in enumerate((*table.caption, *table.notes()), 1):
        _write_line(about, i, [sentence])
    about.column_dimensions["A"].width = 120
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)
    return path


def _write_line(sheet: object, row: int, values: list) -> None:
    """Writes cells; text is text, whatever it begins with, also after somebody has edited the cell."""
    for i, value in enumerate(values, 1):
        cell = sheet.cell(row, i)  # type: ignore[attr-defined]
        cell.value = plain(value) if isinstance(value, str) else value
        if isinstance(value, str):
            cell.data_type = "s"
            cell.quotePrefix = value.startswith(FORMULA)
