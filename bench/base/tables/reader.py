"""Any table that a user gives, read as text: encoding, separator, quotes and decimal mark are found once per file.

No cell means anything by itself: ``None``, ``NA``, ``null`` and ``nan`` are words, and only an empty cell is missing.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import re
import zlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from bench.base.errors import BadInput

SEPARATORS, QUOTES = ",;\t|", "\"'"
CODINGS = ((b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
NO_TEXT = ((b"PK\x03\x04", "a workbook or a zip archive"), (b"\xd0\xcf\x11\xe0", "a workbook"), (b"PAR1", "Parquet"))
REMEDY = "save it as CSV in UTF-8"

_STATED = re.compile(r'"?sep=(\\t|.)"?[,;\t|]*"?', re.IGNORECASE)  # programs fill it up to the number of columns
_HEAD = 1 << 16  # signs in which the line of names ends
_UNPRINTED = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # Unicode's control signs and line breaks
_COMMA = re.compile(r"[+-]?\d*,\d+(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_POINT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}", re.ASCII)  # one thousand, or one and three decimals


@dataclass(frozen=True)
class TextTable:
    """A table as it is written.

    Attributes
    ----------
    names
        Of the columns, in lower case and without blanks around them; one that has neither name nor content is left out.
    rows
        (line, cells) of every line after the names that is not blank; a line may have another number of cells.
    decimal
        The decimal mark of its numbers, ``.`` or ``,``.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    decimal: str = "."

    def doubt(self, text: str) -> str:
        """Why a cell such as ``1,000`` states no number in this table, after its name; empty for another cell."""
        if self.decimal == "." and _THOUSANDS.fullmatch(text.strip()):
            return ", which may be a thousand or a number with three decimals: write a decimal point, and no other mark"
        return ""

    def number(self, text: str) -> float | None:
        """The finite number that a cell states; None where it states none."""
        text = text.strip()
        if "," in text and self.decimal == ",":
            text = text.replace(",", ".") if "." not in text else ""
        value = float(text) if _POINT.fullmatch(text) else math.nan
        return value if math.isfinite(value) else None


def read_table(path: Path, wanted: Collection[str], numeric: Callable[[str], bool]) -> TextTable:
    """Reads a table in UTF-8, UTF-16 or UTF-32, gzip allowed, whatever separates its cells and ends its lines.

    A line ``sep=;``, blank lines and lines that start with ``#`` may stand before the names.

    Parameters
    ----------
    path
        The file.
    wanted
        Names of columns, in lower case: the separator is the one that gives the most of them, of several the stated.
    numeric
        Whether a column of that name holds numbers, which tell the decimal mark: a comma where none has a point, and
        some number has a comma that is not a thousand's or cells are separated by semicolons, as spreadsheets do where
        the comma is the decimal mark.

    Raises
    ------
    BadInput
        For a file that is not there, is no text, or whose quotes do not close.
    """
    text = _text(path)
    start, skipped, stated = _start(text)
    separator, quote = _dialect(text[start : start + _HEAD], wanted, stated)
    lines = csv.reader(io.StringIO(text[start:], newline=""), delimiter=separator, quotechar=quote, strict=True)
    read: list[tuple[int, tuple[str, ...]]] = []
    began = 1
    try:
        for line in lines:
            read.append((skipped + began, tuple(line)))
            began = lines.line_num + 1
    except csv.Error as error:
        where = f"the line that begins in line {skipped + began} cannot be read ({error})"
        raise BadInput(path, f"is no table: {where}", "close every quote, and double those within a field") from error
    if not read:
        return TextTable((), ())
    header = [name.strip().lower() for name in read[0][1]]
    rows = [(number, line) for number, line in read[1:] if any(cell.strip() for cell in line)]
    kept = [k for k, name in enumerate(header) if name or any(cell.strip() for cell in _column(rows, k))]
    names = tuple(header[k] for k in kept)
    cells = tuple((number, (*(line[k] for k in kept if k < len(line)), *line[len(header) :])) for number, line in rows)
    numbers = [cell.strip() for k, name in enumerate(names) if numeric(name) for cell in _column(cells, k)]
    return TextTable(names, cells, _decimal(numbers, separator))


def is_one_line(text: str) -> bool:
    """Whether a text holds no line break, tab or other control sign, so that it can be shown in a line of a table."""
    return not _UNPRINTED.search(text)


def _text(path: Path) -> str:
    """The file's text. Raises ``BadInput``."""
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(path, f"cannot be read ({error})", "name a text table, plain or compressed by gzip") from error
    if kind := next((kind for mark, kind in NO_TEXT if data.startswith(mark)), ""):
        raise BadInput(path, f"is {kind}, no text table", REMEDY)
    coding = next((coding for mark, coding in CODINGS if data.startswith(mark)), "") or _unmarked(data[:2])
    try:
        text = data.decode(coding)
    except UnicodeDecodeError as error:
        line = len(f"{data[: error.start].decode(coding, 'ignore')}.".splitlines())
        problem = (
            f"line {line} is not in {coding.removesuffix('-sig').upper()} ({error.reason} at byte {error.start + 1})"
        )
        raise BadInput(path, problem, REMEDY) from error
    if "\0" in text:
        line = len(f"{text[: text.index(chr(0))]}.".splitlines())
        raise BadInput(path, f"line {line} holds a zero byte, so it is no text", REMEDY)
    return text


def _unmarked(first: bytes) -> str:
    """The encoding of a text without a mark, which begins with a letter of ASCII unless it is UTF-8."""
    zeros = [byte == 0 for byte in first]
    if zeros == [False, True]:
        return "utf-16-le"
    return "utf-16-be" if zeros == [True, False] else "utf-8-sig"


def _start(text: str) -> tuple[int, int, str]:
    """Where the line of names begins, how many lines stand before it, and the separator that one of them states."""
    stream, skipped, stated = io.StringIO(text, newline=""), 0, ""
    while True:
        start = stream.tell()
        line = stream.readline()
        content = line.strip().strip("\"'")
        if match := _STATED.fullmatch(line.strip("\r\n").strip("'")):
            stated = "\t" if match[1].lower() == r"\t" else match[1]
        elif not line or (content and not content.startswith("#")):
            return start, skipped, stated
        skipped += 1


def _dialect(head: str, wanted: Collection[str], stated: str) -> tuple[str, str]:
    """Separator and quote: those by which the line of names holds the most wanted ones, the stated first.

    A program that saved the table anew may have left a line behind that states the separator it had before.
    """

    def found(dialect: tuple[str, str]) -> tuple[int, bool, int]:
        try:
            reader = csv.reader(io.StringIO(head, newline=""), delimiter=dialect[0], quotechar=dialect[1])
            cells = [cell.strip().lower() for cell in next(reader, [])]
        except csv.Error:
            return (-1, False, 0)
        return (len(set(cells) & set(wanted)), dialect[0] == stated, len(cells))

    return max(product(dict.fromkeys((*SEPARATORS, *stated)), QUOTES), key=found)


def _column(rows: Sequence[tuple[int, tuple[str, ...]]], k: int) -> list[str]:
    return [line[k] for _, line in rows if k < len(line)]


def _decimal(numbers: Sequence[str], separator: str) -> str:
    commas = [cell for cell in numbers if _COMMA.fullmatch(cell)]
    certain = any(separator == ";" or not _THOUSANDS.fullmatch(cell) for cell in commas)
    return "," if certain and not any("." in cell for cell in numbers) else "."
