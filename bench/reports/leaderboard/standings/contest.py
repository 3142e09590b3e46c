"""Rows compared on the same draws of patients: who may be best, who is told apart, and between which ranks each lies.

All three come from one family of statistics, the paired differences in units of their bootstrap standard deviation, and
from the largest of them in each draw (centred), so that their level holds however many rows there are and however
alike they are. Comparing every row with the row that happens to lead, and correcting for the number of comparisons,
does not hold its level: the leader was chosen on the same patients (``results/standings.md`` has both).

*May be best*: a row is worse than the best where some row beats it by more than chance lets any row beat any other
that may still be best (multiple comparisons with the best, Hsu 1981, 10.1214/aos/1176345581, by the step-down of
Romano & Wolf 2005, 10.1198/016214504000000539). *Told apart*: the same for all pairs, but never two rows that may
both be best, since of two rows that differ only one can be. *Ranks*: one more than the rows
that are told to be better, up to the number of rows that are not told to be worse, from the pairs of each row with all
others (Mogstad, Romano, Shaikh & Wilhelm 2024, 10.1093/restud/rdad006).

Few patients make the bootstrap's tails too short, so each statistic is moved to where a t distribution with the
effective number of patients would have it, as the intervals of single scores are (``bench.scores.intervals``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats as distributions

LEVEL = 0.05  # what all three promise at most, and that of intervals
ALPHA = 0.04  # at which they are tested, since few patients make the bootstrap's error up to a fifth larger
_PAIRS = 512  # held at once
_ROUNDING = 1e-9  # differences and deviations below are rounding, of values that are at most about 1


@dataclass(frozen=True)
class Contest:
    """Scores of K rows on the same patients, higher better.

    Attributes
    ----------
    values : array (K,)
        Scores on all patients.
    drawn : array (K, R)
        Scores in R draws of patients, the same draws for all rows.
    groups : float
        Effective number of patients.
    """

    values: np.ndarray
    drawn: np.ndarray
    groups: float

    @cached_property
    def centred(self) -> np.ndarray:
        """(K, R) by how much each draw is above the score on all patients."""
        return self.drawn - self.values[:, None]

    @cached_property
    def spread(self) -> np.ndarray:
        """(K, K) bootstrap standard deviation of each paired difference; 0 where two rows never differ."""
        about_mean = self.drawn - self.drawn.mean(axis=1, keepdims=True)
        products = about_mean @ about_mean.T / self.drawn.shape[1]
        own = np.diagonal(products)
        spread = np.sqrt(np.maximum(own[:, None] + own - 2 * products, 0.0))
        return np.where(spread < _ROUNDING, 0.0, spread)

    @cached_property
    def lead(self) -> np.ndarray:
        """(K, K) by how many standard deviations row i leads row j, on the scale of the draws (a normal's)."""
        difference = self.values[:, None] - self.values
        difference = np.where(np.abs(difference) < _ROUNDING, 0.0, difference)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where(difference == 0, 0.0, difference / self.spread)
        return np.sign(t) * as_normal(np.abs(t), self.groups)

    def _deviations(self, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        """(P, R) of pairs of rows in each draw, centred, in standard deviations; 0 where two never differ."""
        spread = self.spread[rows, others]
        scale = np.divide(1.0, spread, out=np.zeros(len(rows)), where=spread > 0)
        return (self.centred[rows] - self.centred[others]) * scale[:, None]

    def _against(self, k: int) -> np.ndarray:
        """(K, R) of every row to row k."""
        every = np.arange(len(self.values))
        return self._deviations(every, np.full(len(every), k))

    def best_p(self) -> np.ndarray:
        """(K,) adjusted p of "no row is better than this one".

        Rows with p above ``ALPHA`` may be best: with probability 1 − ``ALPHA`` all truly best rows are among them.
        """
        largest = np.stack([self._against(k).max(axis=0) for k in range(len(self.values))])
        return step_down(self.lead.max(axis=0), largest)

    def told_apart(self) -> np.ndarray:
        """(K, K) whether two rows differ, with one level for all pairs.

        Step-downs over rows and over pairs stop at different places, so that a pair may be rejected of whose rows
        neither is told to be worse than the best. Such pairs are given up: that can only lower the error rate, and
        keeps what is said of two rows free of contradiction (coherence, Gabriel 1969, 10.1214/aoms/1177697819).
        """
        rows, others = np.triu_indices(len(self.values), 1)
        lead = np.abs(self.lead[rows, others])
        order = np.argsort(lead, kind="stable")
        p, largest = np.empty(len(lead)), np.zeros(self.drawn.shape[1])
        for start in range(0, len(lead), _PAIRS):  # as ``step_down``, which would hold all pairs at once
            some = order[start : start + _PAIRS]
            deviations = np.abs(self._deviations(rows[some], others[some]))
            np.maximum(deviations[0], largest, out=deviations[0])
            np.maximum.accumulate(deviations, axis=0, out=deviations)
            p[some] = (1 + (deviations >= lead[some, None]).sum(axis=1)) / (1 + len(largest))
            largest = deviations[-1]
        adjusted = np.empty(len(lead))
        adjusted[order] = np.maximum.accumulate(p[order][::-1])[::-1]
        out = np.zeros((len(self.values), len(self.values)), dtype=bool)
        out[rows, others] = out[others, rows] = adjusted <= ALPHA
        may_be_best = self.best_p() > ALPHA
        return out & ~np.outer(may_be_best, may_be_best)

    def ranks(self) -> np.ndarray:
        """(K, 2) lowest and highest rank of each row, 1 being best.

        With probability 1 − ``ALPHA`` or more the interval of a row holds every rank that it shares with rows of
        exactly its score.
        """
        out = []
        for k in range(len(self.values)):
            lead = np.delete(self.lead[:, k], k)
            p = step_down(np.abs(lead), np.delete(np.abs(self._against(k)), k, axis=0))
            out.append((1 + ((p <= ALPHA) & (lead > 0)).sum(), 1 + len(lead) - ((p <= ALPHA) & (lead < 0)).sum()))
        return np.array(out).reshape(-1, 2)

    def half_widths(self) -> np.ndarray:
        """(K (K−1)/2,) half the 95 % interval of every pair's difference, for that pair alone."""
        n = self.groups
        factor = np.sqrt(n / (n - 1)) * distributions.t.isf(LEVEL / 2, n - 1)
        return factor * self.spread[np.triu_indices(len(self.values), 1)]


def as_normal(t: np.ndarray, groups: float) -> np.ndarray:
    """Statistics (≥ 0) on the scale of a normal that has the tail a t with ``groups`` − 1 degrees of freedom has.

    Inverts the expansion of Hesterberg 2015 (10.1080/00031305.2015.1089789) that intervals of scores have.
    """
    return distributions.norm.isf(distributions.t.sf(np.asarray(t) / np.sqrt(groups / (groups - 1)), groups - 1))


def step_down(statistics: np.ndarray, deviations: np.ndarray) -> np.ndarray:
    """(H,) p of H hypotheses, adjusted for each other: the largest first, against all; the next against the rest.

    Parameters
    ----------
    statistics : array (H,)
        Large where the hypothesis is wrong.
    deviations : array (H, R)
        The statistics in draws of a world where all hypotheses are right.

    References
    ----------
    Romano, J. P. & Wolf, M. Exact and approximate stepdown methods for multiple hypothesis testing. Journal of the
    American Statistical Association 100, 2005; the p as in their Statistics & Probability Letters 113, 2016.
    """
    order = np.argsort(statistics, kind="stable")
    largest = np.maximum.accumulate(deviations[order], axis=0)
    p = (1 + (largest >= statistics[order, None]).sum(axis=1)) / (1 + deviations.shape[1])
    adjusted = np.empty(len(statistics))
    adjusted[order] = np.maximum.accumulate(p[::-1])[::-1]
    return adjusted
