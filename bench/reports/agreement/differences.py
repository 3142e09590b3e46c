"""How far two records of the same key are apart: bytes, decisions, choices, class scores and metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.base.errors import BadInput
from bench.scores import metrics, records
from bench.scores.printed import missing
from bench.scores.schema import Record, ScoreJson

IDENTICAL, WITHIN, MARKED, DIFFERS = "identical", "within tolerance", "marked", "differs"


@dataclass(frozen=True)
class Tolerance:
    """How far a metric may move: ``points``, or this ``share`` of its interval's width, whichever is larger.

    Of two intervals the narrower counts. A metric in a unit of its own has no points: for it, the share alone counts.
    """

    points: float = 0.3
    share: float = 0.1

    def __post_init__(self) -> None:
        for name, value in (("points", self.points), ("share", self.share)):
            if not (math.isfinite(value) and value >= 0):
                raise BadInput("tolerance", f"{name} {value}", "give numbers from 0 on, such as 0.3 0.1")

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Tolerance:
        """Points, or points and share; without a share, points alone count. Raises ``BadInput``."""
        if not 1 <= len(numbers) <= 2:
            raise BadInput("tolerance", f"{len(numbers)} numbers", "give points, and a share if you like")
        return cls(numbers[0], numbers[1] if len(numbers) > 1 else 0.0)

    def __str__(self) -> str:
        return f"{self.points:g} points or {100 * self.share:g} % of the interval's width, whichever is larger"

    def allows(self, difference: MetricDifference) -> bool:
        """Whether a metric agrees."""
        if difference.moved is None:
            return False
        by_points = difference.unit == "%" and difference.moved <= self.points
        by_share = difference.share is not None and difference.share <= self.share
        return by_points or by_share or difference.moved == 0


USUAL = Tolerance()


@dataclass(frozen=True)
class MetricDifference:
    """One metric of one test in both records.

    Attributes
    ----------
    before, after
        The value in the first folder and in the second; None where it is undefined.
    moved
        Size of their difference, in points or in the metric's unit; None where one of the two alone is undefined.
    share
        The same as share of the width of the narrower interval; None where there is no interval.
    unit
        ``%``, or the metric's own.
    """

    test: str
    metric: str
    before: float | None
    after: float | None
    moved: float | None
    share: float | None
    unit: str


@dataclass(frozen=True)
class RecordDifference:
    """Two records of the same key.

    Attributes
    ----------
    first, second
        The records.
    same_bytes
        Whether JSON and predictions are byte for byte the same.
    clips, decisions
        Number of clips, and of those whose prediction differs.
    largest_score
        Largest difference of a class score (log probability, log odds or prediction) of a clip.
    same_choice
        Whether the same hyperparameters were chosen.
    metrics
        Every metric of every test.
    worst
        Of those beyond the tolerance, else of all, the one that moved most.
    other
        What must agree and does not: clips, labels, tests.
    outcome
        ``IDENTICAL``, ``WITHIN`` the tolerance, ``DIFFERS``, or ``MARKED``: differs, of a row that says so itself.
    """

    first: Record
    second: Record
    same_bytes: bool
    clips: int
    decisions: int
    largest_score: float
    same_choice: bool
    metrics: tuple[MetricDifference, ...]
    worst: MetricDifference | None
    other: tuple[str, ...]
    outcome: str


def difference(first: Record, second: Record, tolerance: Tolerance, marked: bool = False) -> RecordDifference:
    """Compares two records of the same key.

    Parameters
    ----------
    first, second
        The records.
    tolerance
        How far a metric may move.
    marked
        Whether the row is known to move beyond it, and says so on the board.
    """
    same_bytes = records.to_json(first) == records.to_json(second)  # the JSON holds the digest of the predictions
    other = _contradictions(first, second)
    decisions, largest = (0, 0.0) if other else _of_clips(first, second)
    moved = metric_differences(first, second)
    if same_bytes:
        outcome = IDENTICAL
    elif not other and all(map(tolerance.allows, moved)):
        outcome = WITHIN
    else:
        outcome = MARKED if marked and not other else DIFFERS
    same_choice = first.selection["chosen"] == second.selection["chosen"]
    clips = len(first.predictions)
    worst = max(moved, key=lambda m: (not tolerance.allows(m), math.inf if m.moved is None else m.moved), default=None)
    return RecordDifference(
        first, second, same_bytes, clips, decisions, largest, same_choice, tuple(moved), worst, tuple(other), outcome
    )


def metric_differences(first: Record, second: Record) -> list[MetricDifference]:
    """Every metric of every test that either record has."""
    none: ScoreJson = {"value": None, "low": None, "high": None, "n": 0, "groups": 0, "method": ""}
    out = []
    for test in sorted(first.scores.keys() | second.scores.keys()):
        left, right = first.scores.get(test, {}), second.scores.get(test, {})
        out += [
            _metric(test, name, left.get(name, none), right.get(name, none))
            for name in sorted(left.keys() | right.keys())
        ]
    return out


def _metric(test: str, name: str, left: ScoreJson, right: ScoreJson) -> MetricDifference:
    unit = metrics.METRICS[name].unit if name in metrics.METRICS else "%"  # of one class: recall.wheeze
    before, after = left["value"], right["value"]
    moved: float | None = None
    share: float | None = None
    if before is None or after is None:
        moved = share = 0.0 if before is after else None
    else:
        step = abs(after - before)
        moved = round(step * (100 if unit == "%" else 1), records.DECIMALS)
        widths = [score["high"] - score["low"] for score in (left, right) if not missing(score["low"])]  # type: ignore[operator]
        share = step / min(widths) if widths and min(widths) > 0 else None
    return MetricDifference(test, name, before, after, moved, share, unit)


def _contradictions(first: Record, second: Record) -> list[str]:
    """What two records of one key can never differ in unless one was made by other code or from other data."""
    out = []
    for column in ("clip_id", "split", "group", "domain", "duration_s", "y_true"):
        if first.predictions[column].tolist() != second.predictions[column].tolist():
            out.append(f"{column} of the clips differs")
            if column == "clip_id":
                return out
    if list(first.predictions) != list(second.predictions):
        out.append("the columns of the predictions differ")
    return out


def _of_clips(first: Record, second: Record) -> tuple[int, float]:
    """(clips whose prediction differs, largest difference of a class score)."""
    left, right = first.predictions, second.predictions
    columns = [name for name in left if str(name).startswith("s_")]
    a, b = left[columns].to_numpy(float), right[columns].to_numpy(float)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        apart = np.where(same, 0.0, np.abs(a - b))
    decisions = int((left["y_pred"].to_numpy() != right["y_pred"].to_numpy()).sum())
    return decisions, float(np.nan_to_num(apart, nan=np.inf).max(initial=0.0))
