"""Standings as Markdown: means with their ranks, scores of a few tests side by side, what tests resolve, marks."""

from __future__ import annotations

from collections.abc import Sequence

from bench.reports.leaderboard.standings.values import OverallStanding, Row, Standing, Standings, TestStandings
from bench.reports.names import row_name
from bench.reports.tables import markdown
from bench.scores.printed import BLANK, amount

BESIDE = 4  # tests side by side in a table
MOST_LETTERS = 6  # of a row; more say nothing at a glance
MARKED = "†"  # of a cell with marks of its own
HOW_TO_READ = (
    "**Bold**: not significantly worse than the best row of its kind (frozen, fine-tuned, literature). Rows that share "
    "a letter are not told apart; bold rows of one kind always share one. Both at 5 % over all rows, by bootstrap of "
    "patients, the same draws for all rows. Ranks are those of the mean, with 95 % intervals. An interval of ranks "
    "holds for its row alone, bold and letters for all rows at once: the interval of a bold row may leave out rank 1, "
    "and rows that share a letter may have intervals that lie apart. "
    f"Letters are left out where a row would have more than {MOST_LETTERS}: `leaderboard.csv` has them."
)


def mean_table(standings: Standings) -> str:
    """Renders rank, mean and letters of every row over the headline tests."""
    rows = []
    for each in standings.overall:
        between = BLANK if each.rank_low is None else f"{each.rank_low} to {each.rank_high}"
        rank = BLANK if each.rank is None else str(each.rank)
        mean = amount({"value": each.mean}, interval=False)
        absent = ", ".join(each.missing)
        why = f"without {absent}" if absent else BLANK
        letters = readable_letters(standings.overall, each) or BLANK
        rows.append([rank, between, *_head(each.row), _bold(mean, each.best), letters, why])
    header = ["rank", "95 %", "encoder", "pooling", "protocol", "mean", "letters", "missing"]
    absent = any(each.missing for each in standings.overall)
    columns = slice(None) if absent else slice(-1)
    return markdown(header[columns], [row[columns] for row in rows], right=(0, 5))


def score_tables(standings: Standings, headline: bool) -> list[str]:
    """Renders the main metric of the headline tests, or of the others: a table for each few tests of one corpus."""
    by_corpus: dict[str, list[TestStandings]] = {}
    for of in standings.tests:
        if of.headline == headline:
            by_corpus.setdefault(of.task.partition(".")[0], []).append(of)
    order = [each.row for each in standings.overall]
    parts = (tests[i : i + BESIDE] for tests in by_corpus.values() for i in range(0, len(tests), BESIDE))
    return [_score_table(part, order) for part in parts]


def _score_table(tests: Sequence[TestStandings], order: Sequence[Row]) -> str:
    found = [{each.row: (each, _own_marks(of, each)) for each in of.rows} for of in tests]
    rows = []
    for row in order:
        if any(row in cells for cells in found):
            scores = (_marked_cell(of, cells.get(row)) for of, cells in zip(tests, found))
            rows.append([*_head(row), *scores])
    header = ["encoder", "pooling", "protocol", *(f"{of.task}/{of.test}" for of in tests)]
    return markdown(header, rows, right=range(3, len(header)))


def _marked_cell(of: TestStandings, found: tuple[Standing, list[str]] | None) -> str:
    return BLANK if found is None else score_cell(of, found[0], bool(found[1]))


def score_cell(of: TestStandings, each: Standing, marked: bool = False) -> str:
    """Renders ``**88.0 [84.9, 91.2]** ab †``."""
    text = amount({"value": each.value, "low": each.low, "high": each.high}, of.unit)
    letters = readable_letters(of.rows, each)
    return " ".join([_bold(text, each.best), *([letters] if letters else []), *[MARKED] * marked])


def readable_letters(rows: Sequence[Standing] | Sequence[OverallStanding], each: Standing | OverallStanding) -> str:
    """The letters of a row; none where one of its class has too many to read."""
    own = (other.letters for other in rows if other.row.rank_class == each.row.rank_class)
    return "" if any(len(letters) > MOST_LETTERS for letters in own) else each.letters


def resolution_table(standings: Standings) -> str:
    """Renders what each test is of and the smallest difference that it resolves."""
    rows = []
    for of in standings.tests:
        compared = [each for each in of.rows if each.best is not None]
        best = f"{sum(bool(each.best) for each in compared)} of {len(compared)}" if compared else BLANK
        pair = (of.resolution.resolved, of.resolution.found) if of.resolution else (None, None)
        resolved, found = (amount({"value": value}, of.unit, interval=False) for value in pair)
        rows.append([f"{of.task}/{of.test}", of.clips, of.groups, resolved, found, best])
    header = ["test", "clips", "patients", "smallest difference", "found in 4 of 5", "bold"]
    return markdown(header, rows, right=(1, 2, 3, 4, 5))


def resolution_words(of: TestStandings) -> str:
    """Says what a test resolves, in a few words; empty where nothing is compared."""
    if of.resolution is None:
        return ""
    return f"smallest difference {amount({'value': of.resolution.resolved}, of.unit, interval=False)}"


def mark_lines(standings: Standings) -> list[str]:
    """Lists the marks that are not of all rows of a test, a line for each row and mark."""
    found: dict[tuple[str, str], list[str]] = {}
    for of in standings.tests:
        for each in of.rows:
            for mark in _own_marks(of, each):
                found.setdefault((" ".join(_head(each.row)), mark), []).append(f"{of.task}/{of.test}")
    return [f"- {MARKED} {row}: {mark} ({', '.join(tests)})" for (row, mark), tests in found.items()]


def _own_marks(of: TestStandings, each: Standing) -> list[str]:
    """The marks of a row on a test; those of all rows stand above the tables."""
    return [mark for mark in each.marks if mark not in of.marks]


def _head(row: Row) -> list[str]:
    return [row_name(row.encoder, row.layer), row.pooling, row.protocol]


def _bold(text: str, best: bool | None) -> str:
    return f"**{text}**" if best else text
