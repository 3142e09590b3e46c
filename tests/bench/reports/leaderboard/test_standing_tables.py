import csv
import io
from dataclasses import replace

import pytest

from bench.reports.leaderboard import standing_tables
from bench.reports.leaderboard.every_number import every_number
from bench.reports.leaderboard.standings.values import (
    OverallStanding,
    Resolution,
    Row,
    Standing,
    Standings,
    TestStandings,
)
from bench.scores.schema import Record

GOOD, BAD, LAST = (
    Row(name, "mean", -1, "linear", rank_class)
    for name, rank_class in (("good", "frozen"), ("bad", "frozen"), ("random.good", "control"))
)


def _test(task, test="inter", headline=True, unit="%", **marks):
    rows = (
        Standing(GOOD, 0.9, 0.8, 0.95, ("k1",), True, 1.0, "a", (*marks.get("good", ()), "subset")),
        Standing(BAD, 0.6, 0.5, 0.7, ("k2",), False, 0.01, "b", ("subset",)),
        Standing(LAST, 0.5, None, None, ("k3",), marks=("subset",)),
    )
    facts = (task, test, "icbhi.Score", unit, "higher", headline, 100, 40)
    return TestStandings(*facts, rows, Resolution(0.043, 0.061, 1), ("subset",))


@pytest.fixture
def standings():
    tests = [_test(f"one.t{i}", good=("seen",) if i == 0 else ()) for i in range(5)]
    tests += [_test("two.t", "other", headline=False)]
    overall = (
        OverallStanding(GOOD, 0.9, 1, 1, 1, True, 1.0, "a"),
        OverallStanding(BAD, None, missing=("one.t9/inter",)),
        OverallStanding(LAST, 0.5),
    )
    return Standings(tuple(tests), overall, tuple(f"one.t{i}/inter" for i in range(5)))


def _cells(table):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_means_have_rank_interval_and_what_is_missing(standings):
    header, _, good, bad, last = _cells(standing_tables.mean_table(standings))
    assert header[:2] == ["rank", "95 %"] and header[-1] == "missing"
    assert good == ["1", "1 to 1", "good", "mean", "linear", "**90.0**", "a", "–"]
    assert bad[:2] == ["–", "–"] and bad[-3:] == ["–", "–", "without one.t9/inter"]
    assert last[5] == "50.0"


def test_scores_are_in_tables_of_few_tests_of_one_corpus(standings):
    tables = standing_tables.score_tables(standings, headline=True)
    assert [len(_cells(table)[0]) for table in tables] == [3 + 4, 3 + 1]
    (others,) = standing_tables.score_tables(standings, headline=False)
    assert _cells(others)[0][-1] == "two.t/other"
    assert _cells(tables[0])[2][3:5] == ["**90.0 [80.0, 95.0]** a †", "**90.0 [80.0, 95.0]** a"]
    assert _cells(tables[0])[3][3] == "60.0 [50.0, 70.0] b" and _cells(tables[0])[4][3] == "50.0 [no interval]"


def test_more_letters_than_one_reads_are_left_out(standings):
    of = standings.tests[0]
    many = replace(of.rows[0], letters="abcdefg")
    crowded = replace(of, rows=(many, *of.rows[1:]))
    assert standing_tables.score_cell(crowded, many) == "**90.0 [80.0, 95.0]**"
    assert standing_tables.score_cell(crowded, of.rows[1]) == "60.0 [50.0, 70.0]"
    assert standing_tables.score_cell(of, of.rows[1]) == "60.0 [50.0, 70.0] b"


def test_marks_of_one_row_are_explained_and_those_of_all_are_not(standings):
    assert standing_tables.mark_lines(standings) == ["- † good mean linear: seen (one.t0/inter)"]


def test_what_a_test_resolves_is_in_its_own_unit(standings):
    assert _cells(standing_tables.resolution_table(standings))[2][1:] == ["100", "40", "4.3", "6.1", "1 of 2"]
    assert standing_tables.resolution_words(standings.tests[0]) == "smallest difference 4.3"
    assert standing_tables.resolution_words(_test("one.t", unit="target")) == "smallest difference 0.04"


def test_the_csv_has_standings_at_the_end_of_lines_of_the_main_metric(standings):
    score = {"value": 0.9, "low": 0.8, "high": 0.95, "n": 100, "groups": 40, "method": "m"}
    names = ("task", "encoder", "pooling", "layer", "clip", "protocol", "protocol_version", "seed")
    spec = dict.fromkeys((*names, "weights", "manifest", "dtype"), "x")
    record = Record("k1", spec, {"inter": {"icbhi.Score": score, "uar": score}}, {}, {}, {"state": "complete"}, None)
    main, other = csv.DictReader(io.StringIO(every_number([record], standings)))
    last = list(main)[-8:]
    assert last[0] == "best" and last[-1] == "rank_high"
    assert [main[name] for name in last] == ["True", "1.0", "a", "0.043", "0.9", "1", "1", "1"]
    assert [other[name] for name in last] == [""] * len(last)
