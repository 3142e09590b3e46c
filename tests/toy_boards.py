"""Boards of invented records (``toy_records``): encoders with two poolings each, and what calls every clip normal."""

from __future__ import annotations

import dataclasses
import functools
import hashlib

import toy_records
from bench.scores import per_test, records

FACTS = toy_records.task_facts(("normal", "crackle", "wheeze"), {"test": ["test"]}, metrics=["icbhi.Score", "uar"])
TWO = toy_records.task_facts(("normal", "abnormal"), {"test": ["test"]}, metrics=["icbhi.Score", "uar"])


@functools.cache
def _clips(task, n, classes, splits):
    facts = toy_records.task_facts(classes, {"of": splits})
    return toy_records.clips(facts, n, groups=max(2, n // 8), seed=list(task.encode()))


def record(
    task="toy.cycles3",
    encoder="toy.bands",
    pooling="mean",
    skill=1.0,
    clips=120,
    facts=FACTS,
    params=1000,
    predictions=None,
    state="complete",
    **spec,
):
    """A record on the task's clips, the same for every record of it; ``predictions`` are in place of made ones."""
    splits = tuple(sorted({split for own in facts["tests"].values() for split in own}))
    table = _clips(task, clips, tuple(facts["classes"]), splits)
    data = {"params": params, "incomplete": state != "complete"}
    named = {"pooling": pooling, "state": state} | spec
    made = toy_records.record(task, encoder, facts, table, skill=skill, data=data, **named)
    if predictions is None:
        return made
    scores, domains = per_test.score_predictions(facts, predictions)
    digest = hashlib.sha256(records.predictions_csv(predictions)).hexdigest()
    data = made.data | {"predictions_sha256": digest}
    return dataclasses.replace(made, predictions=predictions, scores=scores, domains=domains, data=data)


def control(task="toy.cycles3", clips=120, facts=FACTS, **spec):
    """The record of calling every clip normal."""
    frame = record(task, clips=clips, facts=facts).predictions
    sure = {f"s_{k}": 0.0 if k == 0 else -1e4 for k in range(len(facts["classes"]))}
    named = {"encoder": "control.majority", "pooling": "none", "protocol": "control", "kind": "control"}
    return record(task, clips=clips, facts=facts, predictions=frame.assign(y_pred=0, **sure), **(named | spec))


def board(tasks=("toy.cycles3", "toy.events3"), encoders=("toy.bands", "toy.waves"), **more):
    """Two poolings of every encoder and a control on every task."""
    made = []
    for task in tasks:
        for i, encoder in enumerate(encoders):
            for j, pooling in enumerate(("mean", "freq")):
                made.append(record(task, encoder, pooling, skill=1 + 0.3 * i + 0.4 * j, params=1000 * 10**i, **more))
        made.append(control(task, **more))
    return made
