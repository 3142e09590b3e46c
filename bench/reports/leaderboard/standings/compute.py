"""Records to standings: of every test and over all of them, class by class."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bench.reports.audit.summary import AuditSummary
from bench.reports.leaderboard.standings.contest import ALPHA, Contest
from bench.reports.leaderboard.standings.cost import cost
from bench.reports.leaderboard.standings.critical_difference import critical_difference
from bench.reports.leaderboard.standings.letters import letters
from bench.reports.leaderboard.standings.marks import data_marks, row_marks
from bench.reports.leaderboard.standings.samples import ScoredTest, contest_of_means
from bench.reports.leaderboard.standings.values import (
    OverallStanding,
    Resolution,
    Row,
    Standing,
    Standings,
    TestStandings,
)
from bench.reports.leaderboard.table import CLASSES, CONTROL, UNRANKED, cells, leaderboard
from bench.reports.names import rank_class, row_names
from bench.runs.audit.resolution import power_factor
from bench.runs.context import NOTHING
from bench.scores import metrics
from bench.scores.printed import missing
from bench.scores.schema import Record


def standings(
    records: Sequence[Record],
    audits: Mapping[str, AuditSummary] = NOTHING,
    sensitivities: Mapping[str, Mapping] = NOTHING,
    ms_per_clip: Mapping[str, float] = NOTHING,
) -> Standings:
    """Who leads on every test and over all of them, and how sure that is.

    Parameters
    ----------
    records
        Records of any number of tasks, encoders, protocols and seeds.
    audits
        {task: ``AuditSummary``}, for marks.
    sensitivities
        {record key: what rounding does to it} (``bench.reports.audit.sensitivity``), for marks.
    ms_per_clip
        {encoder: milliseconds a clip} (``bench.reports.leaderboard.standings.cost.read_speeds``), for costs.

    Returns
    -------
    Standings
        Frozen, rows in order. It is a function of the records alone: draws have fixed seeds, and those of one test do
        not depend on which other tests and classes there are.

    Raises
    ------
    BadInput
        For no records, for records of one task on different data, and for rows of one test on different clips.
    """
    board, by_row = leaderboard(records), _by_row(records)
    cell_of = {(cell["task"], cell["test"], _row(cell)): cell for cell in cells(records).to_dict("records")}
    tests, scored = [], {}
    for (task, test), own in by_rows_and_tests(records).items():
        of_test = {row: cell_of[task, test, row] for row in own}
        of_class = {name: _scored(own, of_test, name, test) for name in CLASSES if name not in UNRANKED}
        scored[f"{task}/{test}"] = of_class
        contests = {name: each.contest() for name, each in of_class.items() if each}
        found = {row: told for name, each in contests.items() for row, told in _told(of_class[name].rows, each).items()}
        marks = data_marks(next(iter(own.values()))[0], test, audits.get(task))
        marked = {row: _marks(records, test, marks, sensitivities) for row, records in own.items()}
        tests.append(replace(_of_test(own, of_test, found, marked, contests), marks=marks))
    mean_of = tuple(board.attrs["mean_of"])
    overall: list[OverallStanding] = []
    critical = {}
    for name in (*CLASSES, CONTROL):
        part = board[board["class"] == name].to_dict("records")
        complete = [_row(line) for line in part if name not in UNRANKED and not missing(line["mean"])]
        contest = contest_of_means([scored[column][name].only(complete) for column in mean_of]) if complete else None
        overall += _of_means(part, mean_of, complete, contest)
        if len(complete) > 1:
            values = [[cell_of[(*_named(column), row)]["value"] for column in mean_of] for row in complete]
            critical[name] = critical_difference(complete, np.array(values), mean_of)
    costs = {row: cost(own, ms_per_clip) for row, own in by_row.items()}
    ordered = sorted(tests, key=lambda of: (of.task, not of.headline, of.test))
    return Standings(tuple(ordered), tuple(overall), mean_of, critical, costs)


def _named(column: str) -> tuple[str, str]:
    task, _, test = column.rpartition("/")
    return task, test


def _row(line: Mapping[str, Any]) -> Row:
    return Row(line["encoder"], line["pooling"], line["layer"], line["protocol"], line["class"])


def _by_row(records: Sequence[Record]) -> dict[Row, list[Record]]:
    """{row: its records, by task and seed}."""
    names, out = row_names(records), {}
    for record in sorted(records, key=lambda r: (r.spec["task"], r.spec["seed"], r.key)):
        spec = record.spec
        row = Row(names[record.key], spec["pooling"], spec["layer"], spec["protocol"], rank_class(spec))
        out.setdefault(row, []).append(record)
    return out


def by_rows_and_tests(records: Sequence[Record]) -> dict[tuple[str, str], dict[Row, list[Record]]]:
    """{(task, test): {row: its records, by seed}}, of the records that have a score of the main metric."""
    out: dict[tuple[str, str], dict[Row, list[Record]]] = {}
    for row, own in _by_row(records).items():
        for record in own:
            for test, table in record.scores.items():
                if record.data["task"]["main_metric"] in table:
                    out.setdefault((record.spec["task"], test), {}).setdefault(row, []).append(record)
    return out


def _scored(
    by_row: Mapping[Row, Sequence[Record]], of_test: Mapping[Row, Mapping], name: str, test: str
) -> ScoredTest | None:
    """The rows of a class that have a score on a test, best first."""
    rows = [row for row in by_row if row.rank_class == name and not missing(of_test[row]["value"])]
    return ScoredTest.of(test, {row: by_row[row] for row in sorted(rows, key=_best_first(of_test))}) if rows else None


def _best_first(of_test: Mapping[Row, Mapping]) -> Callable[[Row], tuple]:
    """Order of the rows of a test: by class, by value, undefined ones last."""

    def key(row: Row) -> tuple:
        value = of_test[row]["value"]
        lost = missing(value)
        sign = 1 if metrics.get(of_test[row]["metric"]).direction == "lower" else -1
        return (*CLASSES, CONTROL).index(row.rank_class), lost, 0 if lost else sign * value, row

    return key


def _told(rows: Sequence[Row], contest: Contest | None) -> dict[Row, dict[str, Any]]:
    """{row: its ``p``, ``best`` and ``letters``}; empty where there is nothing to compare."""
    if contest is None or len(rows) < 2:
        return {}
    each = zip(rows, contest.best_p(), letters(contest.told_apart()))
    return {row: {"p": float(p), "best": bool(p > ALPHA), "letters": own} for row, p, own in each}


def _marks(
    records: Sequence[Record], test: str, of_data: tuple[str, ...], sensitivities: Mapping[str, Mapping]
) -> tuple[str, ...]:
    """The marks of a row's records of all seeds, then those of the data, each once."""
    own = (mark for record in records for mark in row_marks(record, test, sensitivities.get(record.key)))
    return tuple(dict.fromkeys([*own, *of_data]))


def _of_test(
    by_row: Mapping[Row, Sequence[Record]],
    of_test: Mapping[Row, Mapping],
    found: Mapping[Row, Mapping[str, Any]],
    marked: Mapping[Row, tuple[str, ...]],
    contests: Mapping[str, Contest | None],
) -> TestStandings:
    rows = []
    for row in sorted(by_row, key=_best_first(of_test)):
        score = [None if missing(of_test[row][name]) else of_test[row][name] for name in ("value", "low", "high")]
        keys = tuple(record.key for record in by_row[row])
        rows.append(Standing(row, *score, keys=keys, marks=marked[row], **found.get(row, {})))
    first = of_test[rows[0].row]
    metric = metrics.get(first["metric"])
    named = (first["task"], first["test"], metric.name, metric.unit, metric.direction, bool(first["headline"]))
    counted = int(first["n"]), int(first["groups"])
    return TestStandings(*named, *counted, tuple(rows), _resolution(contests.values(), counted[1]))


def _resolution(contests: Iterable[Contest | None], groups: int) -> Resolution | None:
    """Of the pairs of rows of one class, of all classes."""
    half = np.concatenate([contest.half_widths() for contest in contests if contest] or [[]])
    if not len(half):
        return None
    resolved = float(np.median(half))
    return Resolution(resolved, resolved * power_factor(groups), len(half))


def _of_means(
    part: Sequence[Mapping[str, Any]], mean_of: Sequence[str], complete: Sequence[Row], contest: Contest | None
) -> list[OverallStanding]:
    """The rows of one class over all tests; ``part`` are its lines of the leaderboard, best first."""
    found, out = _told(complete, contest), []
    between = dict(zip(complete, contest.ranks().tolist())) if contest else {}
    for line in part:
        row = _row(line)
        if row not in complete:
            absent = tuple(column for column in mean_of if missing(line[column]))
            out.append(OverallStanding(row, None if missing(line["mean"]) else line["mean"], missing=absent))
            continue
        low, high = between.get(row, (None, None))
        out.append(OverallStanding(row, line["mean"], int(line["rank"]), low, high, **found.get(row, {})))
    return out
