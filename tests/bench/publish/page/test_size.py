"""What a page of 100 encoders on 20 tasks weighs: a small one, made as always, grown to that size."""

import itertools

import pytest

import toy_records
from bench.publish.page import pairs
from bench.publish.page.compact import BUDGET, DECISION_BYTES, packed_size
from bench.publish.page.folder import page_model
from bench.publish.page.html import page_html
from bench.runs.context import BoardNotes

ENCODERS, TASKS, CLIPS = 100, 20, 1000


def grown(model, rows, tasks):
    """The model with its rows, tasks and records repeated under other names."""
    board, n_rows, n_tasks = model["board"], len(model["board"]["rows"]), len(model["tasks"])
    records, tests = {}, []
    for key, record in model["records"].items():
        for i in range(rows * tasks // (n_rows * n_tasks)):
            records[f"{i:04d}{key[4:]}"] = record
    names = itertools.cycle(model["records"])
    per_task = len(board["tests"]) // n_tasks
    for t in range(tasks):
        for test in board["tests"][:per_task]:
            cells = [
                [r, *test["cells"][r % n_rows][1:4], [next(names)], test["cells"][r % n_rows][5]] for r in range(rows)
            ]
            tests.append(test | {"task": f"{t:02d}{test['task']}", "cells": cells})
    also = {
        name: {f"{t['task']}/{t['test']}": [cell[:4] for cell in t["cells"]] for t in tests} for name in board["also"]
    }
    own = board | {"rows": (board["rows"] * rows)[:rows], "tests": tests, "also": also}
    most = pairs.most_rows([rows] * len(tests))
    words = "A" * packed_size(most * (most - 1) // 2, 16 * pairs.WORDS)
    one = next(iter(model["pairs"]["clips"].values()))
    each = packed_size(one["n"], one["bits"])
    kept = min(rows, DECISION_BYTES // tasks // each)
    stated = {
        "tests": {column: {"rows": list(range(most)), "scale": 1000, "words": words} for column in also["AUROC"]},
        "clips": {str(t): one for t in range(tasks)},
        "decided": {str(t): {str(r): "A" * each for r in range(kept)} for t in range(tasks)},
        "left_out": [],
    }
    more = [task | {"id": f"{i}{task['id']}"} for i in range(tasks // n_tasks) for task in model["tasks"]]
    return model | {"board": own, "pairs": stated, "records": records, "tasks": more}


@pytest.mark.long
def test_a_hundred_encoders_on_twenty_tasks_fit():
    made = []
    for t in range(2):
        task = toy_records.task_facts([f"class {k}" for k in range(4)])
        table = toy_records.clips(task, n=CLIPS, groups=60, seed=t, name=f"{t}01_1b1_Al_sc_Meditron#c")
        for e in range(4):
            made.append(toy_records.record(f"corpus{t}.cycles4", f"encoder{e}.base", task, table, skill=e / 2))
    model = page_model(made, BoardNotes())
    page = page_html(grown(model, ENCODERS, TASKS))
    assert len(page.encode()) <= BUDGET


def test_what_does_not_fit_is_left_out_and_said(monkeypatch):
    task = toy_records.task_facts()
    table = toy_records.clips(task, n=80)
    made = [toy_records.record("corpus.task", f"e.{e}", task, table, skill=e) for e in range(5)]
    monkeypatch.setattr(pairs, "most_rows", lambda tests: 3)
    monkeypatch.setattr(pairs, "DECISION_BYTES", 2 * packed_size(80, 1))
    stated = page_model(made, BoardNotes())["pairs"]
    assert all(len(each["rows"]) == 3 for each in stated["tests"].values())
    assert len(stated["decided"]["corpus.task"]) == 2
    assert "best 3 rows" in stated["left_out"][0] and "2 of 5 rows" in stated["left_out"][1]
    monkeypatch.setattr(pairs, "CLIP_BYTES", 10)
    assert "too many clips" in page_model(made, BoardNotes())["pairs"]["left_out"][-1]
