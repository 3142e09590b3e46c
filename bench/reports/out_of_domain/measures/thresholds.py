"""Operating points: what a threshold that was chosen on one corpus does on another.

A ranking may carry over where a decision does not: the scores of another corpus are shifted, so clips fall on the wrong
side of a threshold that was right at home. Three thresholds on a clip's log odds of the positive class are compared by
(sensitivity + specificity) / 2 on the target's clips: 0, at which the probe decides as it was fitted; the best on the
in-domain test; and the best on the target's own clips, which nobody can know without labels (*oracle*). Records hold no
scores of held-out training clips, hence the in-domain test, which flatters nobody: its threshold is applied elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.reports.out_of_domain.measures.resampled import OWN, RESAMPLES, TARGET, Draws, Resampled, resampled
from bench.scores.curves import ratio
from bench.scores.intervals import ScoredClips
from bench.scores.label_kinds import KINDS
from bench.scores.schema import Record

_CELLS = 2_000_000  # of draws by thresholds, held at once: 16 MB


@dataclass(frozen=True)
class OperatingPoints:
    """(sensitivity + specificity) / 2 on the target's clips at three thresholds.

    Attributes
    ----------
    fitted, transferred, oracle : Resampled
        At 0, at the in-domain test's best threshold, and at the target's own best, with every threshold chosen anew in
        every draw of its clips.
    at_source, at_target : float
        The two thresholds, in log odds.
    """

    fitted: Resampled
    transferred: Resampled
    oracle: Resampled
    at_source: float
    at_target: float


def operating_points(draws: Draws, record: Record, own: str, target: str, bit: int | None) -> OperatingPoints | None:
    """The operating points of a record between two of its tests; None where a test lacks one of the classes.

    Parameters
    ----------
    draws
        The draws of all records.
    record
        Of a task of two classes, or of several labels.
    own, target
        The in-domain test and the other.
    bit
        The label that is decided; None for a task of two classes.
    """
    source, other = (_Curve.of(draws.clips(record, test), bit, seed) for test, seed in ((own, OWN), (target, TARGET)))
    if np.isnan(source.best(source.whole)[1]) or np.isnan(other.best(other.whole)[1]):
        return None
    unit, table = record.data["task"]["group"], draws.clips(record, target)
    (at_source,), _ = source.best(source.whole)
    (at_target,), (best,) = other.best(other.whole)

    def number(value: np.ndarray, drawn: np.ndarray) -> Resampled:
        return resampled(table, float(value[0]), drawn, unit, TARGET)

    zero = np.zeros(1)
    fitted = number(other.at(other.whole, zero), other.at(other.drawn, np.zeros(len(other.drawn))))
    transferred = number(
        other.at(other.whole, np.array([at_source])), other.at(other.drawn, source.best(source.drawn)[0])
    )
    oracle = number(np.array([best]), other.best(other.drawn)[1])
    return OperatingPoints(fitted, transferred, oracle, float(at_source), float(at_target))


@dataclass(frozen=True)
class _Curve:
    """(Sp + Se) / 2 over every threshold that parts the clips of a test.

    Attributes
    ----------
    thresholds : numpy.ndarray of shape (T,)
        Rising: below all scores, between every two neighbours, above all.
    levels : numpy.ndarray of shape (T − 1,)
        The distinct scores.
    hits, passes : numpy.ndarray of shape (G, T)
        Positives above each threshold and negatives below it, of every group.
    whole, drawn : numpy.ndarray of shape (1, G) and (R, G)
        How often all clips, and each draw, hold each group.
    """

    thresholds: np.ndarray
    levels: np.ndarray
    hits: np.ndarray
    passes: np.ndarray
    whole: np.ndarray
    drawn: np.ndarray

    @classmethod
    def of(cls, table: ScoredClips, bit: int | None, seed: int) -> _Curve:
        assert table.scores is not None  # predictions of records have class scores
        if bit is None:
            positive, odds = table.y == 1, table.scores[:, 1] - table.scores[:, 0]
        else:
            positive, odds = KINDS["multilabel"].of_class(table.y, bit), table.scores[:, bit]
        levels, at = np.unique(odds, return_inverse=True)
        between = (levels[1:] + levels[:-1]) / 2
        thresholds = np.concatenate([[-np.inf], between, [np.inf]])
        counts = np.zeros((2, table.groups, len(levels)))
        np.add.at(counts, (positive.astype(int), table.code, at), 1.0)
        below = np.concatenate([np.zeros((2, table.groups, 1)), np.cumsum(counts, axis=-1)], axis=-1)
        hits, passes = below[1, :, -1:] - below[1], below[0]
        return cls(thresholds, levels, hits, passes, np.ones((1, table.groups)), table.draws(RESAMPLES, seed))

    def values(self, counts: np.ndarray) -> np.ndarray:
        """(R, T) (Sp + Se) / 2 at every threshold; NaN where a draw lacks a class."""
        sensitivity = ratio(counts @ self.hits, counts @ self.hits[:, :1])
        specificity = ratio(counts @ self.passes, counts @ self.passes[:, -1:])
        return (sensitivity + specificity) / 2

    def best(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(R,) the best threshold of every draw, of equals that nearest 0, and its value; both NaN without a class."""
        order = np.argsort(np.abs(self.thresholds), kind="stable")
        chosen, best = [], []
        for some in self._parts(counts):
            values = self.values(some)[:, order]
            at = np.where(np.isnan(values), -1.0, values).argmax(axis=1)
            best.append(values[np.arange(len(values)), at])
            chosen.append(np.where(np.isnan(best[-1]), np.nan, self.thresholds[order][at]))
        return np.concatenate(chosen), np.concatenate(best)

    def at(self, counts: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
        """(R,) the value of every draw at a threshold of its own."""
        known = ~np.isnan(thresholds)
        # scores up to the threshold lie below it
        position = np.where(known, np.searchsorted(self.levels, thresholds, side="right"), 0)
        parts = zip(self._parts(counts), self._parts(position), strict=True)
        values = [self.values(some)[np.arange(len(some)), at] for some, at in parts]
        return np.where(known, np.concatenate(values), np.nan)

    def _parts(self, draws: np.ndarray) -> list[np.ndarray]:
        """The draws in parts whose tables over all thresholds fit into memory."""
        return np.array_split(draws, max(1, -(-len(draws) * len(self.thresholds) // _CELLS)))
