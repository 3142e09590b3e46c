"""The records that a figure of decisions shows: of one task and test, one of each row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from bench.base.errors import BadInput
from bench.publish.figures import captions, rows
from bench.scores import label_kinds, per_test
from bench.scores.records import require_one_data
from bench.scores.schema import Record


@dataclass(frozen=True)
class Shown:
    """A record under the name of its row, with its predictions on the test."""

    name: str
    record: Record
    predictions: pd.DataFrame


def one_task(what: str, records: Record | Sequence[Record], test: str = "") -> tuple[list[Shown], str]:
    """(a record of each row in the order of tables, the test), of the lowest seed.

    Parameters
    ----------
    what
        The figure, for errors.
    records
        One record or several of one task.
    test
        Of the task; by default its headline test.

    Raises
    ------
    BadInput
        For records of several tasks, of a task without one class a clip, and for a test that the task does not have.
    """
    records = [records] if isinstance(records, Record) else list(records)
    tasks = sorted({record.spec["task"] for record in records})
    if len(tasks) != 1:
        raise BadInput(f"figure {what}", f"shows one task, not {len(tasks)}", "give the records of one task")
    require_one_data(records)
    task = records[0].data["task"]
    if label_kinds.of(task) is not label_kinds.KINDS["multiclass"]:
        raise BadInput(
            f"figure {what} of {tasks[0]}", "a clip of this task has not one class", "take a multiclass task"
        )
    test = test or per_test.headline(task)
    if test not in task["tests"]:
        raise BadInput(f"test {test} of {tasks[0]}", "there is none", f"take one of: {', '.join(task['tests'])}")
    lowest: dict[str, Record] = {}
    for name, record in sorted(rows.named(records), key=lambda each: each[1].spec["seed"]):
        lowest.setdefault(name, record)
    out = [Shown(name, record, per_test.tested(record, test)) for name, record in sorted(lowest.items())]
    out = [each for each in out if len(each.predictions)]
    if not out:
        raise BadInput(f"test {test} of {tasks[0]}", "no record has predictions for it", "take another test")
    return out, test


def about(shown: Sequence[Shown], test: str) -> list[str]:
    """Sentences of a caption: protocol, clips, seed, state of the data."""
    used = [each.record for each in shown]
    task, seeds = used[0].data["task"], sorted({record.spec["seed"] for record in used})
    cells = [
        {
            "task": each.record.spec["task"],
            "test": test,
            "n": len(each.predictions),
            "groups": each.predictions["group"].nunique(),
            "unit": task["group"],
        }
        for each in shown
    ]
    return [
        captions.protocols(used),
        f"Seed {', '.join(map(str, seeds))}",
        captions.tests(cells),
        captions.data_state(used),
    ]
