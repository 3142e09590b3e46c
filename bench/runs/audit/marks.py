"""The marks of an audit that are shown beside a task's scores, in a few words per test."""

from __future__ import annotations

from collections.abc import Mapping

from bench.base.registry import CONTROL_PREFIX
from bench.runs.audit.checks.shortcuts import STRONG, scored_by
from bench.types import TaskCard


def marks(facts: Mapping, card: TaskCard) -> dict[str, list[str]]:
    """{test: marks} of an audit's ``facts`` (``bench.runs.audit.audit.Audit``).

    The marks are groups shared with training, sound shared with training, and the control that predicts the test best
    where it does so well.
    """
    return {
        test: [*_groups(facts, card, splits), *_sound(facts, splits), *_control(facts, card, test)]
        for test, splits in card.tests.items()
    }


def _groups(facts: Mapping, card: TaskCard, splits: tuple[str, ...]) -> list[str]:
    n = sum(of["groups"] for split, of in facts["shared"].items() if split in splits)
    return [f"{n} {card.group}s in train"] if n else []


def _sound(facts: Mapping, splits: tuple[str, ...]) -> list[str]:
    """Recordings of the test of which training holds all or a stretch."""
    twice = facts["duplicates"]
    paths = {
        path
        for one in (*twice["identical"], *twice["similar"])
        if one["across"]
        for path, of in zip(one["paths"], one["splits"])
        if set(of) & set(splits)
    }
    return [f"sound of {len(paths)} recording{'s' * (len(paths) > 1)} in train"] if paths else []


def _control(facts: Mapping, card: TaskCard, test: str) -> list[str]:
    """The strongest control, of the clips whose audio is here where there are any."""
    metric = scored_by(card)[0]
    rows = list(facts["shortcuts"].values())[-1] if facts["shortcuts"] else []
    scored = [
        (row["tests"][test][metric], row["name"]) for row in rows if row["source"] != "encoder" and test in row["tests"]
    ]
    strong = [(of["value"], name) for of, name in scored if (of["value"] or 0) >= STRONG and (of["low"] or 0) > 0.5]
    if not strong or not metric.startswith("auroc"):
        return []
    value, name = max(strong)
    return [f"{CONTROL_PREFIX}{name} AUROC {100 * value:.1f}"]
