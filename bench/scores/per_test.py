"""A record's scores, test by test, from its predictions and its own copy of the task's facts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import pandas as pd

from bench.scores import intervals, label_kinds, records
from bench.scores.curves import duration_strata
from bench.scores.metrics import DURATION_MATCHED, Roles
from bench.scores.schema import DomainScores, Record, Scores, TaskFacts
from bench.types import Score, TaskCard


class LabelArguments(TypedDict):
    """Arguments of every function of ``bench.scores.intervals``: what the labels of a task mean."""

    classes: list[str]
    roles: Roles
    kind: str


class MetricArguments(LabelArguments):
    """The same with the task's metrics, for its tables of scores."""

    metrics: list[str]


class ComparisonArguments(LabelArguments):
    """The same with the name of a resampled unit, for means and differences."""

    unit: str


def task_facts(card: TaskCard) -> TaskFacts:
    """The part of a task's card that its scores depend on, JSON-ready: every record carries its own copy."""
    facts: TaskFacts = {
        "classes": list(card.classes),
        "metrics": list(card.metrics),
        "main_metric": card.main_metric,
        "normal": card.normal,
        "adventitious": list(card.adventitious),
        "tests": {name: list(splits) for name, splits in card.tests.items()},
        "group": card.group,
        "domain": card.domain,
    }
    if card.kind != "multiclass":
        facts["kind"] = card.kind
    if (first := next(iter(card.tests))) != min(card.tests):  # a record's tests are in alphabetical order
        facts["headline"] = first
    if card.demonstration:
        facts["demonstration"] = True
    return facts


def headline(task: TaskFacts) -> str:
    """The test whose score stands for the task, of a record's own copy of its card."""
    return task.get("headline", min(task["tests"]))


def score_predictions(task: TaskFacts, predictions: pd.DataFrame) -> tuple[Scores, DomainScores]:
    """Every score of a prediction table, JSON-ready.

    A test without clips is left out: its cell stays blank. Where a task's kind has an AUROC and a test's clips differ
    in length, the test has its AUROC within duration deciles too.

    Parameters
    ----------
    task
        The record's own copy of the task's facts.
    predictions
        One row per predicted clip, as ``bench.scores.schema.Record`` has them.

    Returns
    -------
    scores
        Per test, every metric with its interval.
    domains
        Per test and domain, the task's metrics.
    """
    scores: Scores = {}
    domains: DomainScores = {}
    for test, splits in task["tests"].items():
        part = predictions[predictions["split"].isin(splits)]
        if part.empty:
            continue
        arguments = metric_arguments(task)
        by_domain = intervals.domain_table(part, **arguments)
        arguments["metrics"] = metric_names(task, part)
        table = intervals.score_table(part, **arguments)
        scores[test] = {name: records.score_json(score) for name, score in table.items()}
        domains[test] = {
            domain: {name: records.score_json(score) for name, score in own.items()}
            for domain, own in by_domain.items()
        }
    return scores, domains


def metric_names(task: TaskFacts, part: pd.DataFrame) -> list[str]:
    """The metrics of a test's predictions: the task's, and AUROC within duration deciles where it has a meaning.

    It has where the task's kind has an AUROC and the clips differ in length.
    """
    varied = label_kinds.of(task).auroc and len(np.unique(duration_strata(part["duration_s"].to_numpy()))) > 1
    return [*dict.fromkeys([*task["metrics"], *([DURATION_MATCHED] if varied else [])])]


def label_arguments(task: TaskFacts) -> LabelArguments:
    """What the labels of a task mean, for ``bench.scores.intervals``."""
    return {
        "classes": task["classes"],
        "roles": Roles(task["normal"], tuple(task["adventitious"])),
        "kind": task.get("kind", "multiclass"),
    }


def metric_arguments(task: TaskFacts) -> MetricArguments:
    """The arguments of tables of scores, from a record's own copy of its task card."""
    return {**label_arguments(task), "metrics": task["metrics"]}


def comparison_arguments(record: Record) -> ComparisonArguments:
    """The arguments of functions that compare runs or average them over seeds."""
    task = record.data["task"]
    return {**label_arguments(task), "unit": task["group"]}


def tested(record: Record, test: str) -> pd.DataFrame:
    """The predictions of one test."""
    return record.predictions[record.predictions["split"].isin(record.data["task"]["tests"][test])]


def mean_over_seeds(records: Sequence[Record], test: str, metric: str) -> Score:
    """A metric's mean over the records of several seeds, with the interval of that mean by bootstrap of groups."""
    tables = [tested(record, test) for record in records]
    return intervals.mean_score(tables, metric, **comparison_arguments(records[0]))
