"""A table as LaTeX, by booktabs, siunitx and tabularx: for one column of a two-column paper, or across both."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from bench.base.errors import UnknownId
from bench.publish.blocks import Score
from bench.publish.papers.escape import breakable, latex
from bench.publish.papers.tables.best import BOLD
from bench.publish.papers.tables.choices import INTERVALS, LAYOUTS, LINES, Layout
from bench.publish.papers.tables.columns import ScoreColumn
from bench.publish.papers.tables.content import PaperTable, Part, Row
from bench.scores.printed import number

PACKAGES = r"\usepackage{booktabs,siunitx,tabularx}"
# outlines where Latin Modern is installed; else TeX makes bitmaps of its fonts, which takes minutes and looks coarse
FONTS = r"\usepackage[T1]{fontenc}\IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}"
_MISSING = "{--}"


def latex_table(
    table: PaperTable,
    layout: str = "",
    intervals: str = "",
    decimals: int | None = None,
    label: str = "tab:respbench",
    standalone: bool = False,
) -> str:
    r"""The table as LaTeX source.

    Parameters
    ----------
    table
        What it shows.
    layout
        ``column`` (85 mm) or ``page`` (178 mm); by default ``column`` for up to three tests.
    intervals
        ``below``, ``beside`` or ``none``; by default beside the scores where all fit so, else below.
    decimals
        As ``bench.scores.printed.number`` takes them.
    label
        For ``\ref``; where more tests are asked for than fit side by side, several tables follow each other, and the
        second one's label ends in ``-2``.
    standalone
        A whole document, that compiles alone, in place of a part of one.

    Returns
    -------
    str
        What goes into a document that loads ``PACKAGES``.

    Raises
    ------
    UnknownId
        For a layout or a place of intervals that there is not.
    """
    layout = layout or ("column" if len(table.scores) < LAYOUTS["column"].most else "page")
    if layout not in LAYOUTS:
        raise UnknownId("layout", layout, LAYOUTS)
    if intervals not in ("", *INTERVALS):
        raise UnknownId("place of intervals", intervals, INTERVALS)
    shape = LAYOUTS[layout]
    intervals = intervals or ("beside" if len(table.scores) <= shape.beside else "below")
    most = shape.beside if intervals == "beside" else shape.most
    count = -(-len(table.scores) // most)
    size = -(-len(table.scores) // count)  # tables of about as many columns each
    blocks = [table.scores[i * size : (i + 1) * size] for i in range(count)]
    tables = [
        replace(table, scores=columns, parts=parts)
        for columns in blocks
        for parts in _pages(table.parts, 2 if intervals == "below" else 1)
    ]
    out = []
    for i, part in enumerate(tables, 1):
        which = f" Part {i} of {len(tables)}." if len(tables) > 1 else ""
        own = label if i == 1 else f"{label}-{i}"
        out.append(_Setting(part, shape, intervals, decimals).float(own, which))
    text = f"% needs {PACKAGES} (siunitx 3 or later)\n" + "\n".join(out)
    return _document(text) if standalone else text


def _pages(parts: Sequence[Part], height: int) -> list[tuple[Part, ...]]:
    """The parts in as many runs as pages are needed, of rows that are ``height`` lines high."""
    pages: list[list[Part]] = [[]]
    free = LINES
    for part in parts:
        rows = list(part.rows)
        while rows:
            fitting = max(0, (free - 1) // height)
            if fitting < min(len(rows), 2) and pages[-1]:
                pages.append([])
                free = LINES
                continue
            pages[-1].append(replace(part, rows=tuple(rows[:fitting])))
            rows = rows[fitting:]
            free -= 1 + height * len(pages[-1][-1].rows)
    return [tuple(page) for page in pages]


def _document(body: str) -> str:
    lines = (
        r"\documentclass[10pt,twocolumn]{article}",
        FONTS,
        r"\usepackage[a4paper,textwidth=178mm,textheight=240mm,columnsep=8mm]{geometry}",
        PACKAGES,
        r"\begin{document}",
        body.rstrip("\n"),
        r"\end{document}",
    )
    return "\n".join(lines) + "\n"


class _Setting:
    """One float: its lines from the table and how it is laid out."""

    def __init__(self, table: PaperTable, layout: Layout, intervals: str, decimals: int | None):
        self.table, self.layout, self.intervals, self.decimals = table, layout, intervals, decimals
        self.letters = {note: _letter(i) for i, note in enumerate(table.notes())}
        self.facts = [column for column in table.facts if column.name != "encoder"]
        self.beside = intervals == "beside"
        self.own = [] if intervals == "below" else self.facts  # facts with a column of their own, else below the name
        self.width = 1 + len(self.own) + len(table.scores) * (2 if self.beside else 1)

    def float(self, label: str, which: str) -> str:
        name = self.layout.environment
        best = any(score.best for _, _, score in self.table.cells())
        bold = f" {BOLD}" if best else ""
        caption = latex(" ".join(self.table.caption) + bold + which)
        lines = [
            rf"\begin{{{name}}}[t]",
            r"\centering\footnotesize",
            r"\sisetup{detect-weight=true,mode=text}",
            rf"\setlength{{\tabcolsep}}{{{self.layout.separation}pt}}\setlength{{\belowcaptionskip}}{{4pt}}",
            rf"\caption{{{caption}}}",
            rf"\label{{{label}}}",
            rf"\begin{{tabularx}}{{\linewidth}}{{{self._columns()}}}",
            r"\toprule",
            *self._heading(),
        ]
        for part in self.table.parts:
            lines += [r"\midrule", *self._part(part)]
        lines += [r"\midrule", *self._sizes(), r"\bottomrule", r"\end{tabularx}", *self._notes(), rf"\end{{{name}}}"]
        return "\n".join(lines) + "\n"

    def _columns(self) -> str:
        facts = "l" * len(self.own)
        return (
            rf"@{{}}>{{\raggedright\arraybackslash}}X{facts}{''.join(map(self._score_column, self.table.scores))}@{{}}"
        )

    def _score_column(self, column: ScoreColumn) -> str:
        printed = [self._number(row, column) for part in self.table.parts for row in part.rows]
        whole = max((len(text.lstrip("-").partition(".")[0]) for text in printed if text), default=1)
        digits = max((len(text.partition(".")[2]) for text in printed if text), default=0)
        sign = "-" if any(text.startswith("-") for text in printed) else ""
        number_column = f"S[table-format={sign}{whole}.{digits}]"
        return number_column + (r"@{\;}l" if self.beside else "")

    def _number(self, row: Row, column: ScoreColumn) -> str:
        score = row.scores.get(column.name)
        return "" if score is None else number(score.value, column.unit, self.decimals)

    def _heading(self) -> list[str]:
        """Corpora above their tests, and rules between, then task, test and metric."""
        span = 2 if self.beside else 1
        names = [_family(column) for column in self.table.scores]
        groups, rules, at = [], [], 2 + len(self.own)
        for name, width in _runs(names):
            end = at + span * width - 1
            groups.append(rf"\multicolumn{{{span * width}}}{{c}}{{{latex(name)}}}")
            rules.append(rf"\cmidrule(l{'r' if end < self.width else ''}){{{at}-{end}}}")
            at = end + 1
        one_metric = len({column.title for column in self.table.scores}) == 1
        heads = [self._head(column, one_metric) for column in self.table.scores]
        first = ["encoder", *(latex(column.title) for column in self.own)]
        return [
            " & ".join(["", *[""] * len(self.own), *groups]) + r" \\",
            *rules,
            " & ".join([*first, *heads]) + r" \\",
        ]

    def _head(self, column: ScoreColumn, one_metric: bool) -> str:
        width = self.layout.heading * (2 if self.beside else 1)
        task = column.task.partition(".")[2] or column.task
        lines = [*_broken(task, width), *_broken(column.test, width)]
        lines += [] if one_metric else _broken(column.title, width)
        if column.unit != "%":
            lines += _broken(f"({column.unit})", width)
        marks = "".join(self.letters[note] for note in column.notes)
        stacked = r"\\".join(map(latex, lines)) + (rf"\rlap{{\textsuperscript{{{marks}}}}}" if marks else "")
        return rf"\multicolumn{{{2 if self.beside else 1}}}{{c}}{{\scriptsize\shortstack{{{stacked}}}}}"

    def _part(self, part: Part) -> list[str]:
        title = rf"\multicolumn{{{self.width}}}{{@{{}}l@{{}}}}{{\itshape {breakable(part.title)}}} \\[1pt]"
        return [title, *(line for row in part.rows for line in self._row(row))]

    def _row(self, row: Row) -> list[str]:
        """The lines of a row: name and scores, and below them the rest of a long name, what else is said, intervals."""
        facts = [breakable(row.facts.get(column.name, "")) for column in self.facts]
        scores = [cell for column in self.table.scores for cell in self._cell(row.scores.get(column.name), column)]
        if self.intervals != "below":
            return [" & ".join([breakable(row.facts["encoder"]), *facts, *scores]) + r" \\"]
        names = _broken(row.facts["encoder"], self.layout.name_length(len(self.table.scores)))
        left = [breakable(name) for name in names] + ([rf"{{\scriptsize {', '.join(facts)}}}"] if facts else [])
        right = [scores, [self._interval(row.scores.get(column.name), column) for column in self.table.scores]]
        right += [[""] * len(self.table.scores)] * (len(left) - 2)
        left += [""] * (len(right) - len(left))
        lines = [" & ".join([name, *cells]) for name, cells in zip(left, right)]
        return [line + r" \\[-1pt]" for line in lines[:-1]] + [lines[-1] + r" \\[1.5pt]"]

    def _cell(self, score: Score | None, column: ScoreColumn) -> list[str]:
        if score is None or score.value is None:
            return [_MISSING, ""] if self.beside else [_MISSING]
        marks = "".join(self.letters[mark] for mark in score.marks)
        text = (r"\bfseries " if score.best else "") + number(score.value, column.unit, self.decimals)
        raised = rf"\textsuperscript{{{marks}}}" if marks else ""
        if self.beside:
            return [text, self._interval(score, column).removesuffix("}") + (raised + "}" if raised else "}")]
        return [text + (rf" {{\rlap{{{raised}}}}}" if raised else "")]

    def _interval(self, score: Score | None, column: ScoreColumn) -> str:
        if score is None or score.value is None:
            return ""
        if score.low is None or score.high is None:
            return r"{\scriptsize no interval}"
        low, high = (number(bound, column.unit, self.decimals) for bound in (score.low, score.high))
        return rf"{{\scriptsize [{low}, {high}]}}"

    def _sizes(self) -> list[str]:
        """How many patients and clips every test has."""
        groups = {column.group for column in self.table.scores}
        noun = f"{groups.pop()}s" if len(groups) == 1 else "groups"
        span = 2 if self.beside else 1
        lines = []
        for title, ranges in (
            (noun, [column.groups for column in self.table.scores]),
            ("clips", [column.clips for column in self.table.scores]),
        ):
            counts = [rf"\multicolumn{{{span}}}{{c}}{{\scriptsize {_range(each)}}}" for each in ranges]
            lines.append(" & ".join([rf"{{\scriptsize {latex(title)}}}", *[""] * len(self.own), *counts]) + r" \\")
        return lines

    def _notes(self) -> list[str]:
        if not self.letters:
            return []
        notes = (rf"\textsuperscript{{{letter}}}\,{latex(_sentence(note))}" for note, letter in self.letters.items())
        return [r"\par\smallskip{\scriptsize\raggedright " + " ".join(notes) + r"\par}"]


def _letter(i: int) -> str:
    """The i-th of a, b, …, z, aa, ab, … as a mark."""
    return ("" if i < 26 else _letter(i // 26 - 1)) + "abcdefghijklmnopqrstuvwxyz"[i % 26]


def _sentence(note: str) -> str:
    return note[0].upper() + note[1:] + ("" if note.endswith(".") else ".")


def _range(ends: tuple[int, int]) -> str:
    return f"{ends[0]}" if ends[0] == ends[1] else f"{ends[0]}--{ends[1]}"


def _family(column: ScoreColumn) -> str:
    return column.task.partition(".")[0] if "." in column.task else ""


def _runs(names: Sequence[str]) -> list[tuple[str, int]]:
    """(name, how many follow each other) of neighbours that are equal."""
    out: list[tuple[str, int]] = []
    for name in names:
        if out and out[-1][0] == name:
            out[-1] = (name, out[-1][1] + 1)
        else:
            out.append((name, 1))
    return out


def _broken(text: str, width: int) -> list[str]:
    """The text in lines of at most ``width`` characters, broken where names are joined or, failing that, cut."""
    lines = [""]
    for piece in re.findall(r"[^\s._/@-]*[\s._/@-]*", text):
        for part in (piece[start : start + width] for start in range(0, len(piece), width)):
            if lines[-1] and len(lines[-1] + part.rstrip()) > width:
                lines.append("")
            lines[-1] += part
    return [line.strip() for line in lines if line.strip()]
