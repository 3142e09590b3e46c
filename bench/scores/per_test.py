"""A record's scores, test by test, from its predictions and its own copy of the task's facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bench.scores import intervals, label_kinds, records
from bench.scores.curves import duration_strata
from bench.scores.metrics import MATCHED, Roles
from bench.scores.schema import Record
from bench.types import Score, TaskCard


def task_facts(card: TaskCard) -> dict:
    """The part of a task's card that its scores depend on, JSON-ready: every record carries its own copy."""
    other = {} if card.kind == "multiclass" else {"kind": card.kind}
    if (first := next(iter(card.tests))) != min(card.tests):  # a record's tests are in alphabetical order
        other |= {"headline": first}
    if card.demonstration:
        other |= {"demonstration": True}
    return other | {
        "classes": list(card.classes),
        "metrics": list(card.metrics),
        "main_metric": card.main_metric,
        "normal": card.normal,
        "adventitious": list(card.adventitious),
        "tests": {name: list(splits) for name, splits in card.tests.items()},
        "group": card.group,
        "domain": card.domain,
    }


def headline(task: Mapping) -> str:
    """The test whose score stands for the task, of a record's own copy of its card."""
    return task.get("headline", min(task["tests"]))


def scores_of(task: Mapping, predictions: pd.DataFrame) -> tuple[dict, dict]:
    """(scores, domains) of a prediction table, JSON-ready: per test, every metric with its interval; per test and
    domain, the task's metrics. A test without clips is left out: its cell stays blank. Where a task's kind has an AUROC
    and a test's clips differ in length, the test has its AUROC within duration deciles too."""
    tables, domains = {}, {}
    for test, splits in task["tests"].items():
        part = predictions[predictions["split"].isin(splits)]
        if part.empty:
            continue
        table = intervals.score_table(part, **metric_arguments(task) | {"metrics": metric_names(task, part)})
        tables[test] = {name: records.score_json(score) for name, score in table.items()}
        by_domain = intervals.domain_table(part, **metric_arguments(task))
        domains[test] = {
            domain: {name: records.score_json(score) for name, score in table.items()}
            for domain, table in by_domain.items()
        }
    return tables, domains


def metric_names(task: Mapping, part: pd.DataFrame) -> list[str]:
    """The metrics of a test's predictions: the task's, and AUROC within duration deciles where its kind has an AUROC
    and the clips differ in length."""
    varied = label_kinds.of(task).auroc and len(np.unique(duration_strata(part["duration_s"]))) > 1
    return [*dict.fromkeys([*task["metrics"], *([MATCHED] if varied else [])])]


def metric_arguments(task: Mapping) -> dict:
    """The arguments of ``bench.scores.intervals`` functions from a record's own copy of its task card."""
    return {
        "metrics": task["metrics"],
        "classes": task["classes"],
        "roles": Roles(task["normal"], tuple(task["adventitious"])),
        "kind": task.get("kind", "multiclass"),
    }


def seeds_arguments(record: Record) -> dict:
    """The arguments of the functions of ``bench.scores.intervals`` that compare runs or average them over seeds."""
    told = metric_arguments(record.data["task"])
    return {name: told[name] for name in ("classes", "roles", "kind")} | {"unit": record.data["task"]["group"]}


def tested(record: Record, test: str) -> pd.DataFrame:
    """The predictions of one test."""
    return record.predictions[record.predictions["split"].isin(record.data["task"]["tests"][test])]


def mean_over_seeds(found: Sequence[Record], test: str, metric: str) -> Score:
    """A metric's mean over the records of several seeds, with the interval of that mean by bootstrap of groups."""
    return intervals.mean_score([tested(record, test) for record in found], metric, **seeds_arguments(found[0]))
