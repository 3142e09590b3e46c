"""The smallest difference that a test set can resolve.

Two systems scored on the same clips differ by a value whose interval comes from resampling patients. Half of that
interval is the smallest difference that would be told from none; to be found in four of five test sets of this kind
it must be larger by (t₀.₉₇₅ + t₀.₈) / t₀.₉₇₅. Systems that err alike are told apart more finely than others; the far
end of the scale is two that err independently, √2 times half the interval of a single score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats as distributions

from bench.runs.audit.checks.fitted import FittedProbes
from bench.runs.audit.checks.shortcuts import scored_by
from bench.runs.audit.control_tables import FeatureTable
from bench.scores import intervals, metrics
from bench.scores.metrics import Roles
from bench.types import TaskCard

POWER = 0.8
INDEPENDENT = "one that errs independently"


def resolution(
    probed: Sequence[Mapping],
    rows: pd.DataFrame,
    card: TaskCard,
    encoders: Sequence[FeatureTable],
    resamples: int = 1000,
) -> list[dict]:
    """Measures the smallest difference that each test resolves.

    The systems are the linear probe on the first encoder, its nearest neighbours, and the linear probe on the second;
    without encoders the control that does best.

    Parameters
    ----------
    probed
        The probed tables of the same ``rows`` (``bench.runs.audit.checks.shortcuts.probed``).
    rows
        The manifest of the clips.
    card
        The task's card.
    encoders
        The tables of encoders among them.
    resamples
        Draws of groups behind each interval.

    Returns
    -------
    list[dict]
        JSON-ready rows per test, metric (main and AUROC) and pair of systems: the ``difference`` with its interval,
        ``resolved`` (half of it) and ``found`` (with power 0.8).
    """
    fitted = {row["name"]: row["predictions"] for row in probed if row["predictions"] is not None}
    if not fitted:
        return []
    tables = [table for table in encoders if table.name in fitted]
    compared = [table.name for table in tables] or [_best(probed, card)]
    systems = {f"{name} linear": fitted[name] for name in compared}
    if tables and card.kind == "multiclass":
        systems[f"{tables[0].name} knn"] = FittedProbes(tables[0].features, rows, card, "knn").predicted
    out = []
    for test, splits in card.tests.items():
        parts = {name: frame[frame["split"].isin(splits)] for name, frame in systems.items()}
        first, *others = parts
        if parts[first].empty:
            continue
        for metric in scored_by(card):
            facts = {"test": test, "metric": metric, "system": first}
            out.append(facts | {"other": INDEPENDENT} | _independent(parts[first], metric, card, resamples))
            out += [facts | {"other": b} | _paired(parts[first], parts[b], metric, card, resamples) for b in others]
    return out


def _best(probed: Sequence[Mapping], card: TaskCard) -> str:
    """The row that does best by the first metric on the first test that has clips."""
    metric = scored_by(card)[0]
    sign = 1 if metrics.get(metric).direction == "higher" else -1
    values = {row["name"]: next(iter(row["tests"].values()))[metric].value for row in probed if row["tests"]}
    return max(values, key=lambda name: sign * values[name])


def _independent(part: pd.DataFrame, metric: str, card: TaskCard, resamples: int) -> dict:
    arguments = (card.classes, Roles.of(card), resamples)
    score = intervals.score_table(part, [metric], *arguments, recalls=False, kind=card.kind)[metric]
    return _row((score.high - score.low) / np.sqrt(2), score.groups, (np.nan, np.nan, np.nan))


def _paired(a: pd.DataFrame, b: pd.DataFrame, metric: str, card: TaskCard, resamples: int) -> dict:
    change = intervals.paired_difference(a, b, metric, card.classes, Roles.of(card), resamples, kind=card.kind)
    return _row((change.high - change.low) / 2, change.groups, (change.value, change.low, change.high))


def _row(half: float, groups: int, difference: tuple[float, float, float]) -> dict:
    value, low, high = map(_rounded, difference)
    facts = {"difference": value, "low": low, "high": high, "groups": groups}
    return facts | {"resolved": _rounded(half), "found": _rounded(half * power_factor(groups))}


def power_factor(groups: int) -> float:
    """How much larger than half an interval a difference must be to be found with power 0.8; NaN for one group."""
    if groups < 2:
        return np.nan
    edge = distributions.t.isf(0.025, groups - 1)
    return float((edge + distributions.t.isf(1 - POWER, groups - 1)) / edge)


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
