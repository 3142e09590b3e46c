"""The leaderboard on a terminal: nothing is wider than it, nothing is cut off, every test and row is there."""

import pytest

from bench.reports.leaderboard.console import BEST, console_tables
from bench.reports.leaderboard.standings.values import OverallStanding, Row, Standing, Standings, TestStandings

ROWS = (
    Row("some.encoder_of_a_long_name@policy", "mean_valid", -1, "linear", "frozen"),
    Row("a.[b]", "mean", -1, "attentive", "frozen"),
    Row("control.majority", "none", -1, "control", "control"),
)


LONG = "csv.a b%27c%22d %2520 100%25 %C3%BCn%C3%AF %F0%9F%AB%81 %5Bred%5D{k}/[/bold]clips.csv"


def _standings(n_tests, task="corpus.task{k}"):
    values = (0.9123, 0.51, 0.5)
    tests = tuple(
        TestStandings(
            task=task.format(k=k),
            test="official",
            metric="uar",
            unit="%",
            direction="higher",
            headline=True,
            clips=100,
            groups=10,
            rows=tuple(
                Standing(row, value, value - 0.1, value + 0.1 if value < 0.9 else 1.0, ("key",), best=row is ROWS[0])
                for row, value in zip(ROWS, values, strict=True)
            ),
        )
        for k in range(n_tests)
    )
    overall = tuple(
        OverallStanding(row, value, rank=None if row.rank_class == "control" else k + 1)
        for k, (row, value) in enumerate(zip(ROWS, values, strict=True))
    )
    return Standings(tests, overall, tuple(f"{of.task}/{of.test}" for of in tests))


@pytest.mark.parametrize("width", [60, 72, 80, 90, 100, 120, 200])
def test_tables_fit_the_terminal_and_cut_nothing_off(width):
    text = console_tables(_standings(7), width)
    assert max(map(len, text.splitlines())) <= width and "…" not in text
    assert all(f"corpus.task{k}" in text for k in range(7)) and "a.[b] mean attentive" in text
    assert f"91.2 [81.2, 100.0]{BEST}" in text if width >= 100 else f"91.2{BEST}" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_names_of_tasks_are_folded_and_no_number_is_cut_off(width):
    text = console_tables(_standings(3, LONG), width)
    assert max(map(len, text.splitlines())) <= width and "…" not in text
    assert text.count("91.2") == 4  # the mean and each test


def test_nothing_acts_on_the_terminal():
    assert "\x1b" not in console_tables(_standings(2, "csv.\x1b[31m{k}"), 80)


def test_a_test_without_a_row_is_blank_and_a_styled_terminal_gets_bold():
    standings = _standings(2)
    first = standings.tests[0]
    partly = Standings((TestStandings(**{**vars(first), "rows": first.rows[:1]}),), standings.overall, ())
    assert "–" in console_tables(partly, 80)
    assert "\x1b[1m" in console_tables(standings, 100, styled=True)
