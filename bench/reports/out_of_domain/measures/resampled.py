"""Scores in bootstrap draws of the patients, and what follows of several: differences and the relative drop.

Every number of a report that compares two scores is computed from the same draws, so each score is resampled once. The
draws of the in-domain test and those of the out-of-domain test are independent: no patient is in both.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats

from bench.base.errors import BadInput
from bench.scores import intervals, metrics, per_test
from bench.scores.intervals import Difference, ScoredClips
from bench.scores.schema import Record

RESAMPLES = 2000
OWN, TARGET = 0, 1  # seeds of the draws: of the training corpus's test, of the other's
RESOLVED = 10  # draws beyond 0 below which p rests on the spread of the draws, not on their number


@dataclass(frozen=True)
class Resampled:
    """A score with its bootstrap draws.

    Attributes
    ----------
    value : float
        The score of all clips.
    drawn : numpy.ndarray of shape (RESAMPLES,)
        The score in every draw, NaN where it is undefined.
    n, groups : int
        Number of clips, and of resampled units.
    effective : float
        Effective number of groups (``bench.scores.intervals.effective_groups``).
    unit : str
        What a group is called.
    clips : str
        Digest of the clips, labels and groups that were drawn from, with the seed; paired scores have the same.
    """

    value: float
    drawn: np.ndarray
    n: int
    groups: int
    effective: float
    unit: str
    clips: str

    @cached_property
    def interval(self) -> tuple[float, float, str]:
        """The 95 % interval, and how it was made."""
        return intervals.expanded_interval(self.drawn, self.groups, self.unit, self.effective)


class Draws:
    """The scores of records in bootstrap draws, each computed once."""

    def __init__(self) -> None:
        self._tables: dict[tuple[str, str], ScoredClips] = {}
        self._scores: dict[tuple[str, str, str, int], Resampled] = {}

    def clips(self, record: Record, test: str) -> ScoredClips:
        """The clips of a test, sorted by id."""
        key = (record.key, test)
        if key not in self._tables:
            task = record.data["task"]
            table = per_test.tested(record, test).sort_values("clip_id")
            kind = task.get("kind", "multiclass")
            self._tables[key] = ScoredClips.of(table, task["classes"], task["group"], kind)
        return self._tables[key]

    def of(self, record: Record, test: str, metric: str, seed: int) -> Resampled:
        """A metric of one test of a record; ``seed`` is ``OWN`` or ``TARGET``."""
        key = (record.key, test, metric, seed)
        if key not in self._scores:
            table, chosen = self.clips(record, test), metrics.get(metric)
            roles = per_test.label_arguments(record.data["task"])["roles"]
            counts = table.draws(RESAMPLES, seed)
            self._scores[key] = resampled(
                table,
                table.value(chosen, roles),
                table.sample(chosen, roles, counts),
                record.data["task"]["group"],
                seed,
            )
        return self._scores[key]


def resampled(table: ScoredClips, value: float, drawn: np.ndarray, unit: str, seed: int) -> Resampled:
    """A number of a table's clips with its draws."""
    effective = intervals.effective_groups(np.bincount(table.code))
    facts = (table.clip.tolist(), table.y.tolist(), table.code.tolist(), seed)
    digest = hashlib.sha256(repr(facts).encode()).hexdigest()
    return Resampled(value, drawn, len(table.y), table.groups, effective, unit, digest)


def paired(a: Resampled, b: Resampled) -> Difference:
    """The difference a − b of two scores of the same clips. Raises ``BadInput`` where these or their groups differ."""
    if a.clips != b.clips:
        raise BadInput("paired comparison", "the clips, labels or groups differ", "score both on one test")
    return _difference(a.value - b.value, a.drawn - b.drawn, a.groups, a.effective, a.unit, a.n, a.groups)


def unpaired(a: Resampled, b: Resampled) -> Difference:
    """The difference a − b of scores of different groups, each resampled by itself.

    The tails are those of the side with the smaller effective number of groups.
    """
    groups, effective = min(a.groups, b.groups), min(a.effective, b.effective)
    made = _difference(a.value - b.value, a.drawn - b.drawn, groups, effective, a.unit, a.n + b.n, a.groups + b.groups)
    return made if np.isnan(made.low) else _said(made, f"unpaired {made.method}")


def less(a: Resampled, b: Resampled) -> Resampled:
    """The difference a − b of two scores of the same clips as a score of its own. Raises as ``paired``."""
    made = paired(a, b)
    return Resampled(made.value, a.drawn - b.drawn, a.n, a.groups, a.effective, a.unit, a.clips)


def relative_drop(own: Resampled, floor: Resampled, target: Resampled, lower: bool) -> Difference:
    """(in-domain − out-of-domain) / (in-domain − floor): the share of what was learnt that is lost.

    1 is a fall to the in-domain floor, more than 1 a fall below it. It has no meaning where there was nothing to lose:
    where the in-domain score is not above its floor, or is not told apart from it, the value is NaN and ``method`` says
    so. The floor is drawn with the in-domain clips, the target by itself. ``lower``: lower scores are better.
    """
    sign = -1.0 if lower else 1.0
    above = paired(own, floor)
    n, groups = own.n + target.n, own.groups + target.groups
    nothing = "blank: in-domain is not told apart from its floor, so there is no share of it to lose"
    if any(np.isnan(x) for x in (above.value, above.low, above.high, target.value)):
        return Difference(np.nan, np.nan, np.nan, np.nan, n, groups, "blank: a score is undefined")
    least = above.low if sign > 0 else -above.high
    if least <= 0:
        return Difference(np.nan, np.nan, np.nan, np.nan, n, groups, nothing)
    lost, held = sign * (own.drawn - target.drawn), sign * (own.drawn - floor.drawn)
    # the few draws in which nothing is above the floor have no share: they are beyond every other at their own end
    share = np.where(held > 0, lost / np.where(held > 0, held, 1.0), np.where(lost >= 0, np.inf, -np.inf))
    share[np.isnan(lost)] = np.nan
    finite = np.where(np.isinf(share), np.sign(share) * 1e9, share)
    made = _difference(
        sign * (own.value - target.value) / (sign * (own.value - floor.value)),
        finite,
        min(own.groups, target.groups),
        min(own.effective, target.effective),
        own.unit,
        n,
        groups,
    )
    if max(abs(made.low), abs(made.high)) >= 1e8:
        return Difference(np.nan, np.nan, np.nan, np.nan, n, groups, nothing)
    return _said(made, f"share of in-domain minus floor, unpaired {made.method}")


def _difference(
    value: float, drawn: np.ndarray, drawn_groups: int, effective: float, unit: str, n: int, groups: int
) -> Difference:
    if np.isnan(value):
        problem = "undefined: a class that it needs has no clips"
        return Difference(np.nan, np.nan, np.nan, np.nan, n, groups, problem)
    low, high, method = intervals.expanded_interval(drawn, drawn_groups, unit, effective)
    return Difference(value, low, high, p_value(drawn, effective), n, groups, method)


def p_value(drawn: np.ndarray, effective: float) -> float:
    """Two-sided p for "no difference" of resampled differences; NaN without an interval.

    It is the level at which the expanded interval would just touch 0. Where fewer than ``RESOLVED`` draws lie beyond 0
    their number says little more than that it is small, and p is then that of a t distribution at mean over standard
    deviation of the draws, if that is less: a correction for many tests needs p below what draws can count.
    """
    counted = intervals.p_value(drawn, effective)
    defined = drawn[~np.isnan(drawn)]
    if np.isnan(counted) or min((defined <= 0).sum(), (defined >= 0).sum()) >= RESOLVED:
        return counted
    spread = defined.std()
    if spread == 0:
        return counted
    t = abs(defined.mean()) / spread / np.sqrt(effective / (effective - 1))
    return float(min(counted, 2 * stats.t.sf(t, effective - 1)))


def _said(made: Difference, method: str) -> Difference:
    return Difference(made.value, made.low, made.high, made.p, made.n, made.groups, method)
