"""AUROC among clips of about the same duration: what a system hears beyond how long a sound is.

Where events of one class are shorter, a system that measures nothing but length scores well. Compared within
duration deciles of the test's clips, length tells next to nothing: the statistic is the share of (positive, negative)
pairs *of the same decile* in which the positive scores higher, ties counting half, all such pairs weighing alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from bench import stats
from bench.errors import BadInput
from bench.kinds import KINDS
from bench.metrics import Metric, Roles, weighted_auroc
from bench.types import Score

STRATA = 10
NAME = "auroc.duration_matched"


def duration_matched(
    predictions: pd.DataFrame,
    duration_s: Mapping[str, float],
    classes: Sequence[str],
    resamples: int = 2000,
    seed: int = 0,
    unit: str = "patient",
    kind: str = "multiclass",
) -> Score:
    """AUROC within duration deciles of one test's predictions, with its interval by patient bootstrap.

    ``predictions``: clip_id, group, y_true, y_pred, s_0 … s_{K−1}; ``duration_s`` gives every clip's length in
    seconds. Class 1 against class 0 of two classes, else the mean over the classes of one against the rest, as
    ``auroc``; the mean over the labels of a multilabel task, as ``auroc.bits``. The deciles are those of the clips at
    hand, in every draw. NaN where no decile holds both. Raises ``BadInput`` for clips without a duration, and as
    ``bench.stats.score_table``.
    """
    lengths = predictions["clip_id"].map(duration_s).to_numpy(float)
    if np.isnan(lengths).any():
        lost = predictions.loc[np.isnan(lengths), "clip_id"].iloc[0]
        raise BadInput(
            "predictions", f"the duration of clip {lost} is not known", "give every clip's length in seconds"
        )
    strata = duration_strata(lengths)
    table = stats._Table.of(predictions, classes, unit, kind)
    within = partial(_matched, strata=strata, kind=kind)
    metric = Metric(NAME, "AUROC within duration deciles", "higher", "scores", within, "pairs of one decile")
    return table.score(metric, Roles(), table.draws(resamples, seed))


def duration_strata(duration_s: np.ndarray, strata: int = STRATA) -> np.ndarray:
    """(N,) stratum of each clip; fewer than ``strata`` where many clips are equally long."""
    edges = np.unique(np.quantile(duration_s, np.arange(1, strata) / strata))
    return np.searchsorted(edges, duration_s, side="right")


def stratified_auroc(positive: np.ndarray, score: np.ndarray, weights: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """(...) share of won pairs within strata: ``positive`` (N,) bool, ``score`` (N,), ``weights`` (..., N), ``strata``
    (N,). NaN where no stratum holds both. With one stratum it is ``weighted_auroc``."""
    weights = np.asarray(weights, float)
    won = pairs = np.zeros(weights.shape[:-1])
    for stratum in np.unique(strata):
        own = strata == stratum
        of_pair = weights[..., own & positive].sum(axis=-1) * weights[..., own & ~positive].sum(axis=-1)
        share = weighted_auroc(positive[own], score[own], weights[..., own])
        won = won + np.where(of_pair > 0, of_pair * np.nan_to_num(share), 0.0)
        pairs = pairs + of_pair
    return np.divide(won, pairs, out=np.full(pairs.shape, np.nan), where=pairs > 0)


def _matched(
    y: np.ndarray, s: np.ndarray, weights: np.ndarray, roles: Roles, strata: np.ndarray, kind: str
) -> np.ndarray:
    """The metric's function: (...) for y (N,), scores (N, K), weights (..., N)."""
    classes = [1] if kind == "multiclass" and s.shape[1] == 2 else range(s.shape[1])
    each = [stratified_auroc(KINDS[kind].of_class(y, k), s[:, k], weights, strata) for k in classes]
    values = np.stack(each, axis=-1)
    defined = ~np.isnan(values)
    total, count = np.where(defined, values, 0.0).sum(axis=-1), defined.sum(axis=-1)
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
