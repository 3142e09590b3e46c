"""One number, wherever it is shown: what the published records say is what page, board, tables and figures say."""

import csv
import io
import random
from pathlib import Path

import pytest

from bench.publish.figures.rows import headline_cells
from bench.publish.page.board import board_model
from bench.publish.page.compact import Pool, parts
from bench.publish.page.record_facts import record_facts, task_facts
from bench.publish.papers.tables.content import paper_table
from bench.publish.papers.tables.plain import csv_text, heading
from bench.reports.leaderboard.report import EVERY_NUMBER
from bench.runs.context import BoardNotes
from bench.scores import per_test, records

RESULTS = Path(__file__).parents[3] / "results"
TASKS = ("icbhi.cycles4", "sprsound.records3", "transfer.icbhi-sprsound")
CELLS = 30
BOUNDS = ("value", "low", "high")


@pytest.fixture(scope="module")
def published():
    return [records.read(path) for path in records.paths(RESULTS) if path.parent.name in TASKS]


@pytest.fixture(scope="module")
def drawn(published):
    """(record, test, its score by the main metric) of some cells of the board, the same each time."""
    every = [(r, test, r.scores[test][r.data["task"]["main_metric"]]) for r in published for test in sorted(r.scores)]
    every.sort(key=lambda cell: (cell[0].key, cell[1]))
    return random.Random(0).sample([cell for cell in every if cell[2]["value"] is not None], CELLS)


def said(score, scale=1.0):
    """Value and interval; a record has six decimals, so that nothing is lost by ten."""
    return [None if score[name] is None else round(scale * score[name], 10) for name in BOUNDS]


@pytest.mark.long
def test_the_page_says_what_the_records_say(published, drawn):
    board = board_model(published, BoardNotes())
    cells = {(key, t["task"], t["test"]): cell[1:4] for t in board["tests"] for cell in t["cells"] for key in cell[4]}
    pool = Pool()
    facts = {task: task_facts(task, [r for r in published if r.spec["task"] == task], pool) for task in TASKS}
    for record, test, score in drawn:
        expected = [parts(score[name]) for name in BOUNDS]
        assert cells[record.key, record.spec["task"], test] == expected
        own = facts[record.spec["task"]]
        at = 3 * own["metrics"].index(own["main_metric"])
        assert record_facts(record, own, pool)["scores"][test][at : at + 3] == expected


def test_the_csv_of_the_board_says_what_the_records_say(drawn):
    lines = csv.DictReader(io.StringIO((RESULTS / EVERY_NUMBER).read_text(encoding="utf-8")))
    found = {(line["record"], line["test"], line["metric"]): [_number(line[name]) for name in BOUNDS] for line in lines}
    for record, test, score in drawn:
        assert found[record.key, test, record.data["task"]["main_metric"]] == said(score)


@pytest.mark.long
def test_the_csv_of_a_table_for_a_paper_says_what_the_records_say(published, drawn):
    tests = sorted({f"{record.spec['task']}/{test}" for record, test, _ in drawn})
    table = paper_table(published, tests=tests)
    rows = [row for part in table.parts for row in part.rows]
    lines = list(csv.DictReader(io.StringIO(csv_text(table))))
    found = {
        (score.record, column.task, column.test): [
            _number(line[heading(column) + end]) for end in ("", " low", " high")
        ]
        for row, line in zip(rows, lines, strict=True)
        for column in table.scores
        if (score := row.scores.get(column.name))
    }
    for record, test, score in drawn:
        assert found[record.key, record.spec["task"], test] == said(score, 100)


def test_figures_say_what_the_records_say(published, drawn):
    table = headline_cells(published).astype(dict.fromkeys(BOUNDS, object))
    found = {(line["key"], line["test"]): line for line in table.to_dict("records")}
    own = [each for each in drawn if each[1] == per_test.headline(each[0].data["task"])]
    compared = [(found[r.key, test], score) for r, test, score in own if (r.key, test) in found]
    assert len(compared) >= 5
    for line, score in compared:
        assert said({name: None if line[name] != line[name] else line[name] for name in BOUNDS}) == said(score)


def _number(text):
    return None if text == "" else float(text)
