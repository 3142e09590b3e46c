"""The tables of an out-of-domain report: one row per encoder, one column per number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from bench.reports.names import CONTROL_FAMILIES, row_name
from bench.reports.out_of_domain.bandwidth import CHANGE, policies, under
from bench.reports.out_of_domain.transfer_table import (
    AT_BEST,
    AT_SOURCE,
    DROP,
    ERROR,
    FEW,
    FITTED,
    GAP,
    IN,
    LOST,
    OUT,
    OVER_DURATION,
    OVER_FLOOR,
    PROBE,
    RELATIVE,
    TEST,
    WITHIN_DECILES,
    WORST,
    Shown,
)
from bench.reports.tables import markdown
from bench.scores.printed import BLANK, amount, missing, signed

Row = tuple[str, str, int]  # encoder, pooling, layer
Cell = Callable[[Row], str]


class Cells:
    """The numbers of one task and metric, by encoder and by what they are. ``noun``: what a group is called."""

    def __init__(self, part: pd.DataFrame, each: Shown, noun: str = "patient"):
        self.each, self.noun = each, noun
        keys = list(zip(part["encoder"], part["pooling"], part["layer"]))
        self.cells = {(key, row["what"]): row for key, row in zip(keys, part.to_dict("records"))}
        self.rows = sorted(dict.fromkeys(keys), key=self._order)

    def _order(self, row: Row) -> tuple:
        """Best out of domain first, controls last."""
        family, value = row[0].partition(".")[0], self._value(row, OUT)
        worst = float("inf") if value is None else value if self.each.lower else -value
        return CONTROL_FAMILIES.index(family) if family in CONTROL_FAMILIES else -1, worst, row

    # ---------------------------------------------------------------- tables

    def domains(self) -> str:
        """In and out of domain, and what labels of the target buy."""
        columns: dict[str, Cell] = {IN: self._of(IN), OUT: self._of(OUT), DROP: self._change(DROP)}
        if self._has(RELATIVE):
            columns[f"{RELATIVE}, %"] = lambda row: amount(self.cells.get((row, RELATIVE)))
        few = {what for _, what in self.cells if what.startswith(FEW)}
        columns |= {what: self._spread(what) for what in sorted(few, key=lambda what: int(what.split()[-1]))}
        columns |= {PROBE: self._of(PROBE), GAP: self._change(GAP)}
        if any(self.cells[row, OUT]["marks"] for row in self.rows if (row, OUT) in self.cells):
            columns["marks"] = lambda row: self.cells.get((row, OUT), {}).get("marks") or BLANK
        return _table(self.rows, columns)

    def shares_left_out(self) -> str:
        """Which rows have no relative drop, and why; empty where all have one."""
        without: dict[str, list[str]] = {}
        for row in self.rows:
            if (number := self.cells.get((row, RELATIVE))) and missing(number["value"]):
                without.setdefault(number["method"].removeprefix("blank: "), []).append(_label(row))
        told = (f"No relative drop of {', '.join(rows)}: {why}." for why, rows in without.items())
        return " ".join(told)

    def controls(self) -> str:
        """What is left out of domain above the floor and above the clip's length; empty where neither was run."""
        columns: dict[str, Cell] = {OUT: self._of(OUT)}
        columns |= {what: self._change(what) for what in (OVER_FLOOR, OVER_DURATION) if self._has(what)}
        rows = [row for row in self.rows if any((row, what) in self.cells for what in (OVER_FLOOR, OVER_DURATION))]
        return _table(rows, columns) if len(columns) > 1 else ""

    def decisions(self) -> str:
        """(Sp + Se) / 2 out of domain at three thresholds; empty where nothing is decided by one."""
        if not self._has(FITTED):
            return ""
        columns: dict[str, Cell] = {what: self._percent(what) for what in (FITTED, AT_SOURCE, AT_BEST)}
        columns["oracle minus in-domain's"] = self._percent(LOST)
        return _table([row for row in self.rows if (row, FITTED) in self.cells], columns)

    def calibration(self) -> str:
        """The calibration error of both tests; empty where scores are no probabilities."""
        columns: dict[str, Cell] = {what: self._percent(what + ERROR) for what in (IN, OUT) if self._has(what + ERROR)}
        rows = [row for row in self.rows if not row[0].startswith("control.")]
        return _table(rows, columns) if columns else ""

    def durations(self) -> str:
        """Each AUROC beside that within duration deciles; empty where there is none."""
        columns: dict[str, Cell] = {}
        for what in (IN, OUT, PROBE):
            if self._has(what + WITHIN_DECILES):
                columns |= {what: self._of(what), what + WITHIN_DECILES: self._of(what + WITHIN_DECILES)}
        return _table(self.rows, columns) if columns else ""

    def bandwidth(self) -> list[str]:
        """Of each policy that controls bandwidth, its numbers beside the plain ones and a paragraph of what it changes.

        Empty where there is none.
        """
        out = []
        for clip in policies((what for _, what in self.cells), OUT):
            columns: dict[str, Cell] = {}
            for what in (IN, OUT):
                columns |= {what: self._of(what), under(what, clip): self._of(under(what, clip))}
            columns |= {DROP: self._change(DROP), under(DROP, clip): self._change(under(DROP, clip))}
            rows = [row for row in self.rows if (row, under(OUT, clip)) in self.cells]
            told = filter(None, (self._changed(rows, what, clip) for what in (OUT, IN)))
            out += [_table(rows, columns), f"What `{clip}` changes, on the same clips. " + " ".join(told)]
        return out

    def worst(self) -> str:
        """The worst domain of the tests that have several; empty where none has."""
        columns: dict[str, Cell] = {}
        for what in (IN, OUT):
            if self._has(what + WORST):
                columns |= {f"{what}, worst": self._of(what + WORST), f"{what}, which": self._which(what + WORST)}
        rows = [row for row in self.rows if not row[0].startswith("control.")]
        return _table(rows, columns) if columns else ""

    def others(self) -> str:
        """The tests that are no headline; empty where there is none."""
        listed = dict.fromkeys(what for _, what in self.cells if what.startswith(TEST))
        return _table(self.rows, {what.removeprefix(TEST): self._of(what) for what in listed}) if listed else ""

    def support(self) -> str:
        """How many clips of how many groups a label's AUROC rests on; empty for metrics of all clips."""
        if self.each.bit is None or not self.rows:
            return ""
        counts = ((what, self.cells[self.rows[0], what]) for what in (IN, OUT))
        texts = [f"{what} {cell['n']:.0f} clips of {cell['groups']:.0f} {self.noun}s" for what, cell in counts]
        return f"Clips that have it: {', '.join(texts)}."

    def in_out(self, row: Row) -> str:
        """``in-domain → out-of-domain`` as bare values."""
        values = [self._value(row, what) for what in (IN, OUT)]
        return BLANK if None in values else " → ".join(map(self._plain, values))

    def _changed(self, rows: Sequence[Row], what: str, clip: str) -> str:
        """A sentence of which rows a policy makes better, worse or neither on one test, each with its interval."""
        told: dict[str, list[str]] = {"better": [], "worse": [], "not told apart": []}
        for row in rows:
            number = self.cells[row, under(what, clip) + CHANGE]
            if missing(number["value"]) or missing(number["low"]):
                continue
            change = self._change(under(what, clip) + CHANGE)(row)
            verdict = "better" if (number["value"] < 0) == self.each.lower else "worse"
            verdict = "not told apart" if number["low"] <= 0 <= number["high"] else verdict
            told[verdict].append(f"{_label(row)} {change}")
        parts = [f"{verdict}: {', '.join(changes)}" for verdict, changes in told.items() if changes]
        return f"{what.capitalize()}: {'; '.join(parts)}." if parts else ""

    # ---------------------------------------------------------------- cells

    def text(self, row: Row, what: str) -> str:
        """A value with its interval."""
        return amount(self.cells.get((row, what)), self.each.unit)

    def _of(self, what: str) -> Cell:
        return lambda row: self.text(row, what)

    def _percent(self, what: str) -> Cell:
        """A fraction, whatever the unit of the metric."""
        return lambda row: amount(self.cells.get((row, what)))

    def _has(self, what: str) -> bool:
        return any(key[1] == what for key in self.cells)

    def _value(self, row: Row, what: str) -> float | None:
        number = self.cells.get((row, what))
        return None if number is None or missing(number["value"]) else number["value"]

    def _plain(self, value: float) -> str:
        return f"{100 * value:.1f}" if self.each.unit == "%" else f"{value:.2f}"

    def _change(self, what: str) -> Cell:
        def cell(row: Row) -> str:
            number = self.cells.get((row, what))
            if number is None or missing(number["value"]) or missing(number["low"]):
                return BLANK
            return signed(number["value"], number["low"], number["high"], self.each.unit)

        return cell

    def _spread(self, what: str) -> Cell:
        def cell(row: Row) -> str:
            number = self.cells.get((row, what))
            if number is None:
                return BLANK
            sd = "" if missing(number["sd"]) else f" ± {self._plain(number['sd'])}"
            return self._plain(number["value"]) + sd

        return cell

    def _which(self, what: str) -> Cell:
        def cell(row: Row) -> str:
            number = self.cells.get((row, what))
            if number is None:
                return BLANK
            among = number["method"].partition(" with ")[0]
            return f"{number['domain']} ({number['n']:.0f} clips, {number['groups']:.0f} {self.noun}s; {among})"

        return cell


def glance(columns: Mapping[str, Cells]) -> str:
    """In-domain → out-of-domain of several transfers."""
    return _table(_rows(columns.values()), {name: cells.in_out for name, cells in columns.items()})


def matrix(metric: str, columns: Mapping[tuple[str, str], Cells]) -> str:
    """Trained on (rows) against tested on (columns) of transfers between the same classes, {(source, target): cells}.

    On the diagonal is the source's own test, of the first transfer from there.
    """
    at_home: dict[str, Cells] = {}
    for (source, _), cells in columns.items():
        at_home.setdefault(source, cells)
    tasks = list(dict.fromkeys(task for pair in columns for task in pair))

    def cell(row: Row, source: str, target: str) -> str:
        if source == target:
            return f"({at_home[source].text(row, IN)})"
        return columns[source, target].text(row, OUT) if (source, target) in columns else BLANK

    lines = [
        [row_name(row[0], row[2]), row[1], source, *(cell(row, source, target) for target in tasks)]
        for row in _rows(columns.values())
        for source in at_home
    ]
    header = ["encoder", "pooling", f"{metric}, trained on", *tasks]
    return markdown(header, lines, right=range(3, len(header)))


def left_out(columns: Mapping[str, Cells]) -> str:
    """The tests of several domains, each left out of training in turn."""
    by_header = {}
    for name, cells in columns.items():
        first = cells.cells[cells.rows[0], OUT]
        header = f"{name} ({first['n']:.0f} clips, {first['groups']:.0f} {cells.noun}s)"
        by_header[header] = cells._of(OUT)
    return _table(_rows(columns.values()), by_header)


def _label(row: Row) -> str:
    return f"{row_name(row[0], row[2])} {row[1]}"


def _rows(columns: Sequence[Cells]) -> list[Row]:
    return list(dict.fromkeys(row for cells in columns for row in cells.rows))


def _table(rows: Sequence[Row], columns: Mapping[str, Cell]) -> str:
    lines = [[row_name(row[0], row[2]), row[1], *(cell(row) for cell in columns.values())] for row in rows]
    return markdown(["encoder", "pooling", *columns], lines, right=range(2, len(columns) + 2))
