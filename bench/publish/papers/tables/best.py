"""Which cells are set in bold: those not significantly worse than the best of their part and column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bench.publish.papers.tables.columns import ScoreColumn
from bench.reports.leaderboard.standings.contest import ALPHA
from bench.reports.leaderboard.standings.samples import ScoredTest
from bench.reports.leaderboard.standings.values import Row
from bench.scores import metrics
from bench.scores.schema import Record

BOLD = f"Bold: not significantly worse than the best of its part (level {ALPHA:g}, adjusted for all of its rows)."


def best_rows(rows: Mapping[Row, Sequence[Record]], column: ScoreColumn) -> set[Row]:
    """The rows that may be best in a column; none where fewer than two can be compared.

    Parameters
    ----------
    rows
        The rows of one part that have a score in the column, each with its records of all seeds.
    column
        The test, and the metric by which it is compared, as leaderboards compare by the main one
        (``bench.reports.leaderboard.standings``).

    Raises
    ------
    BadInput
        For rows that were scored on different clips.
    """
    if len(rows) < 2:
        return set()
    scored = replace(ScoredTest.of(column.test, rows), metric=metrics.get(column.metric))
    contest = scored.contest()
    if contest is None:
        return set()
    return {row for row, p in zip(scored.rows, contest.best_p()) if p > ALPHA}
