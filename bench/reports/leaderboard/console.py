"""The leaderboard as the terminal shows it: tables that fit its width, tests beside each other while there is room."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.base.errors import one_line
from bench.reports.leaderboard.standings.values import Row, Standings, TestStandings
from bench.reports.names import row_name
from bench.scores.printed import BLANK, amount

BEST = "*"
LEGEND = f"{BEST} not significantly worse than the best row of its kind; [95 % interval]; unranked rows are controls"

_WIDE = 100  # columns from where on intervals stand beside scores
_LEAST = 60  # columns that a table takes, however narrow the terminal
_PADDING = 3  # columns between cells
_MEAN = "100.0*"
_NAME = 34  # columns of an encoder's name, and of a task's, which are folded where they are longer


def console_tables(standings: Standings, width: int, styled: bool = False) -> str:
    """The headline tests of every row, in tables no wider than a terminal.

    Parameters
    ----------
    standings
        Of the records.
    width
        Of the terminal, in columns.
    styled
        Whether bold type and colour may be used.

    Returns
    -------
    str
        The tables, and what their signs mean.
    """
    out = io.StringIO()
    console = Console(file=out, width=max(width, _LEAST), force_terminal=styled, no_color=not styled, highlight=False)
    for k, tests in enumerate(_beside(standings, console.width)):
        console.print(_table(standings, tests, console.width, with_mean=k == 0))
    console.print(Text(LEGEND))
    return out.getvalue().rstrip("\n")


def _beside(standings: Standings, width: int) -> Iterator[list[TestStandings]]:
    """The headline tests, as many at a time as there is room for."""
    tests = [of for of in standings.tests if of.headline]
    room = width - _name_width(standings, width) - len("rank") - 2 * _PADDING
    taken: list[TestStandings] = []
    left = room - len(_MEAN) - _PADDING  # the first table has the mean
    for of in tests:
        needed = _test_width(of, width) + _PADDING
        if taken and needed > left:
            yield taken
            taken, left = [], room
        taken.append(of)
        left -= needed
    if taken:
        yield taken


def _table(standings: Standings, tests: Sequence[TestStandings], width: int, with_mean: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("rank", justify="right", no_wrap=True, min_width=len("rank"))
    table.add_column("encoder", overflow="fold", width=_name_width(standings, width))
    if with_mean:
        table.add_column("mean", justify="right", no_wrap=True, min_width=len(_MEAN))
    for of in tests:
        title, room = Text(f"{one_line(of.task)}\n{one_line(of.test)}"), _test_width(of, width)
        table.add_column(title, justify="right", overflow="fold", width=room)
    found = [{each.row: each for each in of.rows} for of in tests]
    for each in standings.overall:
        cells = [Text(BLANK)] * len(tests)
        for k, (of, rows) in enumerate(zip(tests, found, strict=True)):
            if each.row in rows:
                here = rows[each.row]
                score = {"value": here.value, "low": here.low, "high": here.high}
                cells[k] = _cell(amount(score, of.unit, interval=width >= _WIDE), here.best)
        control = each.row.rank_class == "control"
        rank = BLANK if each.rank is None else str(each.rank)
        mean = [_cell(amount({"value": each.mean}, interval=False), each.best)] if with_mean else []
        table.add_row(rank, Text(_name(each.row)), *mean, *cells, style="dim" if control else "")
    return table


def _cell(text: str, best: bool | None) -> Text:
    return Text(text + BEST, style="bold") if best else Text(text + " " * len(BEST))


def _name(row: Row) -> str:
    parts = [row_name(row.encoder, row.layer), row.pooling if row.pooling not in ("published", "none") else ""]
    parts += [row.protocol if row.protocol not in ("linear", "control") else ""]
    return one_line(" ".join(filter(None, parts)))


def _name_width(standings: Standings, width: int) -> int:
    return min(_NAME, width // 3, max((len(_name(each.row)) for each in standings.overall), default=0))


def _test_width(of: TestStandings, width: int) -> int:
    scores = ({"value": each.value, "low": each.low, "high": each.high} for each in of.rows)
    cells = (len(amount(score, of.unit, interval=width >= _WIDE)) + len(BEST) for score in scores)
    names = (min(_NAME, width // 3, len(one_line(name))) for name in (of.task, of.test))
    return max(*names, *cells)
