"""Predictions of two systems laid side by side, held to be of the same clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from bench.base.errors import BadInput, UnknownId
from bench.scores.per_test import headline
from bench.scores.schema import TaskFacts

Runs = Mapping[int, pd.DataFrame]  # {seed: predictions of one test}
HEADLINE = "headline"
SHOWN = 5  # clips that an error names


@dataclass(frozen=True)
class Matched:
    """What two systems predicted of one task's clips.

    Attributes
    ----------
    task
        Its id; empty for files that are compared without a task.
    facts
        What its scores depend on.
    protocol
        Of the records, ``A / B`` where they differ; empty for files.
    unit
        What is resampled: what a group is, or ``clip``.
    tests
        {test: (runs of the first, runs of the second)}.
    keys
        Of the records that take part, of either side; empty for files.
    notes
        What a reader of the numbers must know, one sentence each.
    """

    task: str
    facts: TaskFacts
    protocol: str
    unit: str
    tests: Mapping[str, tuple[Runs, Runs]]
    keys: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    notes: Sequence[str] = ()


def require_same_clips(names: tuple[str, str], a: pd.DataFrame, b: pd.DataFrame, test: str = "") -> None:
    """Raises ``BadInput``, naming them, where two tables differ in clips, labels or groups."""
    where = " and ".join(names) + (f", test {test}" if test else "")
    left, right = (frame.set_index("clip_id") for frame in (a, b))
    lacking = [
        f"{len(missing)} clips of {names[side]} are not in {names[1 - side]} ({_shown(missing)})"
        for side, missing in enumerate((left.index.difference(right.index), right.index.difference(left.index)))
        if len(missing)
    ]
    if lacking:
        raise BadInput(where, "not the same clips: " + "; ".join(lacking), "give predictions of the same clips in both")
    right = right.loc[left.index]
    for column, noun in (("y_true", "true label"), ("group", "group")):
        differing = left.index[left[column].to_numpy() != right[column].to_numpy()]
        if len(differing):
            problem = f"{len(differing)} clips have another {noun} ({_shown(differing)})"
            raise BadInput(where, problem, "compare predictions that were scored against the same labels")


def _shown(clips: Sequence[str]) -> str:
    """The first few of the clips."""
    return ", ".join(map(str, clips[:SHOWN])) + (", …" if len(clips) > SHOWN else "")


def tests_of(facts: TaskFacts, task: str, only: Sequence[str]) -> list[str]:
    """The task's tests, or those of them that are asked for, ``headline`` among them. Raises ``UnknownId``."""
    for test in only:
        if test not in (*facts["tests"], HEADLINE):
            raise UnknownId(f"test of {task or 'the files'}", test, [*facts["tests"], HEADLINE])
    return [
        test for test in facts["tests"] if not only or test in only or (HEADLINE in only and test == headline(facts))
    ]
