"""The difference of one score between two sets of patients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench import metrics, stats
from bench.errors import BadInput
from bench.metrics import Roles


def unpaired_difference(
    a: pd.DataFrame,
    b: pd.DataFrame,
    metric: str,
    classes: Sequence[str],
    roles: Roles,
    resamples: int = 2000,
    seed: int = 0,
    unit: str = "patient",
    kind: str = "multiclass",
) -> stats.Difference:
    """metric(a) − metric(b) of prediction tables of different groups, with its 95 % interval.

    Each table's groups are drawn by themselves, so nothing that both share (patients, clips) is there to cancel: the
    interval is that of two independent samples, given the probe. Its tails are those of the table with the smaller
    effective number of groups. Raises ``BadInput`` where a group is in both tables.
    """
    if common := sorted(set(a["group"].astype(str)) & set(b["group"].astype(str))):
        problem = f"{len(common)} groups are in both tables (the first is {common[0]})"
        raise BadInput("unpaired comparison", problem, "compare such tables in pairs, clip by clip")
    chosen = metrics.get(metric)
    tables = [stats._Table.of(frame, classes, unit, kind) for frame in (a, b)]
    values = [table.value(chosen, roles) for table in tables]
    samples = [table.sample(chosen, roles, table.draws(resamples, seed + i)) for i, table in enumerate(tables)]
    drawn, groups = samples[0] - samples[1], [table.groups for table in tables]
    n = len(tables[0].y) + len(tables[1].y)
    if np.isnan(values).any():
        problem = "undefined: a class that it needs has no clips"
        return stats.Difference(np.nan, np.nan, np.nan, np.nan, n, sum(groups), problem)
    effective = min(stats.effective_groups(np.bincount(table.code)) for table in tables)
    low, high, method = stats._interval(drawn, min(groups), unit, effective)
    p = stats._p_value(drawn, effective)
    return stats.Difference(values[0] - values[1], low, high, p, n, sum(groups), f"unpaired {method}")
