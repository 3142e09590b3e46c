"""The statistics behind every interval and comparison, for tables of predictions: ``bench.stats``.

Each works on the predictions of a record (``record.predictions``) or any table of that form; the bootstrap and its
source are described in ``bench.scores.intervals``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.scores.intervals import (
    Difference,
    bootstrap_weights,
    domain_table,
    effective_groups,
    mean_difference,
    mean_score,
    paired_difference,
    score_table,
    unpaired_difference,
)
from bench.scores.metrics import Roles

__all__ = [
    "Difference",
    "Roles",
    "bootstrap_weights",
    "domain_table",
    "effective_groups",
    "holm",
    "mean_difference",
    "mean_score",
    "paired_difference",
    "score_table",
    "unpaired_difference",
]


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Adjusts the p values of several tests, so that all of them together err at the level of one.

    Parameters
    ----------
    p
        (N,) two-sided p values; NaN for a test that could not be made, which counts as none.

    Returns
    -------
    numpy.ndarray
        (N,) adjusted p values, at most 1; NaN stays NaN.

    References
    ----------
    Holm, S. A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics 6(2), 1979:
    the k-th smallest of m is multiplied by m − k + 1, and none may be smaller than the one before it.
    """
    values = np.asarray(p, float)
    out = np.full(values.shape, np.nan)
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    steps = (len(order) - np.arange(len(order))) * values[order]
    out[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return out
