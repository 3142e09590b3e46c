"""The device or site on which a score is lowest, with the caution that the lowest of several needs.

The lowest of several noisy scores is low by chance too, the more so the fewer clips there are. So only domains of
enough clips and groups take part, and the interval is at 1 − 0.05/k for k domains: it holds at 95 % whichever of them
turns out lowest (Bonferroni).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.scores import intervals, metrics, per_test
from bench.scores.intervals import ScoredClips
from bench.scores.schema import Record
from bench.types import Score

LEAST_CLIPS, LEAST_GROUPS = 30, 5  # of a domain that takes part


@dataclass(frozen=True)
class Worst:
    """The ``domain`` with the worst ``score`` of ``of`` domains that take part."""

    domain: str
    score: Score
    of: int


def worst_domain(record: Record, test: str, metric: str, lower: bool) -> Worst | None:
    """The worst domain of a record's test; None where fewer than two domains take part.

    Parameters
    ----------
    record, test, metric
        What is looked at.
    lower
        Whether lower scores are better.
    """
    task, part = record.data["task"], per_test.tested(record, test)
    chosen, roles = metrics.get(metric), per_test.label_arguments(task)["roles"]
    known: dict[str, tuple[float, ScoredClips]] = {}
    for name, own in part.groupby("domain", sort=True):
        if name and len(own) >= LEAST_CLIPS and own["group"].nunique() >= LEAST_GROUPS:
            table = ScoredClips.of(own, task["classes"], task["group"], task.get("kind", "multiclass"))
            value = table.value(chosen, roles)
            if not np.isnan(value):
                known[str(name)] = value, table
    if len(known) < 2:
        return None
    domain = (max if lower else min)(known, key=lambda name: known[name][0])
    value, table = known[domain]
    effective = intervals.effective_groups(np.bincount(table.code))
    low, high, method = intervals.expanded_interval(
        table.sample(chosen, roles, table.draws(2000, 0)), table.groups, task["group"], effective, 1 - 0.05 / len(known)
    )
    told = f"worst of {len(known)} with {LEAST_CLIPS} clips and {LEAST_GROUPS} {task['group']}s; {method}"
    return Worst(domain, Score(value, low, high, len(table.y), table.groups, told), len(known))
