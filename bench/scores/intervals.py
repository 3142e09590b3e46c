"""Intervals and comparisons: every score carries the uncertainty of the patients it was measured on.

Clips of one patient are alike, so patients are resampled, not clips. The percentile interval is too short at few
patients; the *expanded* percentile (Hesterberg 2015, 10.1080/00031305.2015.1089789) widens its tails to those that a
t interval with n−1 degrees of freedom would have: alpha'/2 = Phi(−sqrt(n/(n−1)) · t_{1−alpha/2, n−1}). Patients differ
in how many clips they have, so n is their effective number, which equals theirs only where all have as many.
``results/coverage`` holds how often the interval covers the truth, and how often others would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri, stdtr, stdtrit  # what scipy.stats would call, without its checks of each call

from bench.base.errors import BadInput
from bench.scores import metrics as metric_library
from bench.scores.curves import GroupWeights, duration_strata
from bench.scores.label_kinds import KINDS
from bench.scores.metrics import Metric, Roles
from bench.types import Score

FEW_GROUPS = 30
_LEVEL = 0.95
_CHUNK_WEIGHTS = 300_000  # clip weights held at once by metrics of clips: 2.4 MB, about what a cache holds
_FEW = 512  # groups up to which metrics of pairs of clips count pairs of groups: two million numbers


@dataclass(frozen=True)
class Difference:
    """a − b with its 95 % interval and two-sided p; ``n`` clips, ``groups`` resampled units."""

    value: float
    low: float
    high: float
    p: float
    n: int
    groups: int
    method: str


def bootstrap_weights(
    groups: Sequence | np.ndarray, resamples: int = 2000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """(counts (R, G), codes (N,)): how often each draw takes each group, and each clip's group.

    ``counts[:, codes]`` are the clips' weights (R, N). G groups are drawn with replacement; groups are taken in
    sorted order, so the draws do not depend on the order of the clips.
    """
    names, codes = np.unique(np.asarray(groups), return_inverse=True)
    draws = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    return draws.astype(float), codes


def effective_groups(sizes: np.ndarray) -> float:
    """(Σ n_g)² / Σ n_g² for groups of n_g clips: how many groups of equal size tell as much (Kish 1965)."""
    sizes = np.asarray(sizes, float)
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def score_table(
    predictions: pd.DataFrame,
    metrics: Sequence[str],
    classes: Sequence[str],
    roles: Roles,
    resamples: int = 2000,
    seed: int = 0,
    unit: str = "patient",
    recalls: bool = True,
    kind: str = "multiclass",
) -> dict[str, Score]:
    """Scores of a prediction table, each with its 95 % interval.

    Parameters
    ----------
    predictions
        clip_id, group, y_true, y_pred and, for AUROC, s_0 … s_{K-1}; for AUROC within duration deciles also
        duration_s (seconds), and the deciles are those of the clips given, in every draw.
    metrics
        Names of metrics.
    classes, roles, kind
        What the task's labels mean.
    resamples, seed
        Number of bootstrap draws, and their seed.
    unit
        What a group is; ``"clip"`` ignores ``group`` and resamples clips, for prediction files without patients.
    recalls
        Adds each class's own score: ``recall.<class name>``, or ``auroc.bit.<class name>`` of a multilabel task. Its
        n are the class's clips, its groups those that have the class.

    Returns
    -------
    dict
        {metric: score}. Draws in which a metric is undefined are left out and counted in ``method``. With one group
        there is no interval (NaN).

    Raises
    ------
    BadInput
        For labels outside the classes, missing groups, duplicate clips, non-finite scores or unknown lengths.

    References
    ----------
    Hesterberg, T. C. What teachers should know about the bootstrap. The American Statistician 69(4), 2015.
    """
    table = ScoredClips.of(predictions, classes, unit, kind)
    counts = table.draws(resamples, seed)
    scores = {name: table.score(metric_library.get(name), roles, counts) for name in metrics}
    per_class = KINDS[kind].per_class
    if recalls and per_class:
        for k, name in enumerate(classes):
            metric = metric_library.get(f"{per_class}.{k}")
            scores[f"{per_class}.{name}"] = table.score(metric, roles, counts, KINDS[kind].of_class(table.y, k))
    return scores


def domain_table(
    predictions: pd.DataFrame,
    metrics: Sequence[str],
    classes: Sequence[str],
    roles: Roles,
    resamples: int = 2000,
    seed: int = 0,
    unit: str = "patient",
    kind: str = "multiclass",
) -> dict[str, dict[str, Score]]:
    """{domain: {metric: Score}} in sorted order; a clip without a domain counts under ``unknown``."""
    domain = predictions["domain"].astype(object).where(predictions["domain"].notna(), "unknown").astype(str)
    return {
        name: score_table(
            predictions[domain == name], metrics, classes, roles, resamples, seed, unit, recalls=False, kind=kind
        )
        for name in sorted(domain.unique())
    }


def paired_difference(
    a: pd.DataFrame,
    b: pd.DataFrame,
    metric: str,
    classes: Sequence[str],
    roles: Roles,
    resamples: int = 2000,
    seed: int = 0,
    unit: str = "patient",
    kind: str = "multiclass",
) -> Difference:
    """metric(a) − metric(b) on the same clips, the same draws for both.

    p is the level at which the expanded interval would just touch 0. Raises ``BadInput`` where the two tables differ
    in clips, labels or groups.
    """
    return mean_difference([a], [b], metric, classes, roles, resamples, seed, unit, kind)


def mean_difference(
    a: Sequence[pd.DataFrame],
    b: Sequence[pd.DataFrame],
    metric: str,
    classes: Sequence[str],
    roles: Roles,
    resamples: int = 2000,
    seed: int = 0,
    unit: str = "patient",
    kind: str = "multiclass",
) -> Difference:
    """The mean over tables ``a`` minus that over ``b``, runs of several seeds on the same clips.

    One draw of groups serves all, so the interval is that of the groups. Raises as ``paired_difference``.
    """
    sides = [[ScoredClips.of(frame.sort_values("clip_id"), classes, unit, kind) for frame in side] for side in (a, b)]
    first = sides[0][0]
    for table in (*sides[0], *sides[1]):
        for what in ("clip", "y", "code"):
            if not np.array_equal(getattr(first, what), getattr(table, what)):
                noun = {"clip": "clip ids", "y": "y_true", "code": "groups"}[what]
                problem = f"the prediction tables differ in their {noun}"
                raise BadInput("paired comparison", problem, "score all on one test")
    chosen, counts = metric_library.get(metric), first.draws(resamples, seed)
    value, other = (float(np.mean([table.value(chosen, roles) for table in side])) for side in sides)
    ours, theirs = (np.mean([table.sample(chosen, roles, counts) for table in side], axis=0) for side in sides)
    groups, effective = first.groups, effective_groups(np.bincount(first.code))
    low, high, method = expanded_interval(ours - theirs, groups, unit, effective)
    return Difference(value - other, low, high, p_value(ours - theirs, effective), len(first.y), groups, method)


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
) -> Difference:
    """metric(a) − metric(b) of prediction tables of different groups, with its 95 % interval.

    Each table's groups are drawn by themselves, so nothing that both share (patients, clips) is there to cancel: the
    interval is that of two independent samples, given the probe. Its tails are those of the table with the smaller
    effective number of groups. Raises ``BadInput`` where a group is in both tables.
    """
    if common := sorted(set(a["group"].astype(str)) & set(b["group"].astype(str))):
        problem = f"{len(common)} groups are in both tables (the first is {common[0]})"
        raise BadInput("unpaired comparison", problem, "compare such tables in pairs, clip by clip")
    chosen = metric_library.get(metric)
    tables = [ScoredClips.of(frame, classes, unit, kind) for frame in (a, b)]
    values = [table.value(chosen, roles) for table in tables]
    samples = [table.sample(chosen, roles, table.draws(resamples, seed + i)) for i, table in enumerate(tables)]
    drawn, groups = samples[0] - samples[1], [table.groups for table in tables]
    n = len(tables[0].y) + len(tables[1].y)
    if np.isnan(values).any():
        problem = "undefined: a class that it needs has no clips"
        return Difference(np.nan, np.nan, np.nan, np.nan, n, sum(groups), problem)
    effective = min(effective_groups(np.bincount(table.code)) for table in tables)
    low, high, method = expanded_interval(drawn, min(groups), unit, effective)
    p = p_value(drawn, effective)
    return Difference(values[0] - values[1], low, high, p, n, sum(groups), f"unpaired {method}")


def mean_score(
    tables: Sequence[pd.DataFrame],
    metric: str,
    classes: Sequence[str],
    roles: Roles,
    resamples: int = 2000,
    seed: int = 0,
    unit: str = "patient",
    kind: str = "multiclass",
) -> Score:
    """The metric's mean over runs of several seeds on the same clips; the interval is that of the groups."""
    read = [ScoredClips.of(frame.sort_values("clip_id"), classes, unit, kind) for frame in tables]
    chosen, counts = metric_library.get(metric), read[0].draws(resamples, seed)
    drawn = np.mean([table.sample(chosen, roles, counts) for table in read], axis=0)
    value = float(np.mean([table.value(chosen, roles) for table in read]))
    low, high, method = expanded_interval(drawn, read[0].groups, unit, effective_groups(np.bincount(read[0].code)))
    return Score(value, low, high, len(read[0].y), read[0].groups, method)


@dataclass(frozen=True)
class ScoredClips:
    """Predictions as arrays.

    ``code`` (N,) is the group index, ``cells`` (G, K·K) each group's confusion matrix, of a multiclass task.
    """

    clip: np.ndarray
    y: np.ndarray
    predicted: np.ndarray
    scores: np.ndarray | None  # (N, K)
    code: np.ndarray
    cells: np.ndarray | None
    strata: np.ndarray | None  # (N,) duration stratum
    unit: str
    kind: str

    @classmethod
    def of(cls, frame: pd.DataFrame, classes: Sequence[str], unit: str, kind: str) -> ScoredClips:
        """The clips of a prediction table. Raises ``BadInput`` where a row cannot be scored."""
        where = "predictions"
        if not len(frame):
            raise BadInput(where, "there are no clips to score", "check the test's splits")
        if frame["clip_id"].duplicated().any():
            twice = frame["clip_id"][frame["clip_id"].duplicated()].iloc[0]
            raise BadInput(where, f"clip {twice} occurs more than once", "give one row per clip")
        n_classes = len(classes)
        for column in ("y_true", "y_pred"):
            valid = KINDS[kind].valid(frame[column].to_numpy(), classes)
            if not valid.all():
                problem = f"{column} holds {frame[column].to_numpy()[~valid][0]}, outside the labels of a {kind} task"
                raise BadInput(where, f"{problem} with {n_classes} classes", "use the task's labels")
        if unit != "clip" and frame["group"].isna().any():
            raise BadInput(where, "clips without a group", 'fill the column or resample clips with unit="clip"')
        columns = [f"s_{k}" for k in range(n_classes)]
        scores = frame[columns].to_numpy(float) if set(columns) <= set(frame.columns) else None
        if scores is not None and not np.isfinite(scores).all():
            raise BadInput(where, "class scores that are not finite", "mend the model that made them")
        number = int if KINDS[kind].integer else float
        y, predicted = frame["y_true"].to_numpy(number), frame["y_pred"].to_numpy(number)
        _, code = np.unique(frame["clip_id" if unit == "clip" else "group"].to_numpy(str), return_inverse=True)
        cells = None
        if kind == "multiclass":
            cell = (code * n_classes + y) * n_classes + predicted
            cells = np.bincount(cell, minlength=(code.max() + 1) * n_classes**2).astype(float)
            cells = cells.reshape(-1, n_classes**2)
        strata = duration_strata(_lengths(frame)) if "duration_s" in frame else None
        return cls(frame["clip_id"].to_numpy(str), y, predicted, scores, code, cells, strata, unit, kind)

    @property
    def groups(self) -> int:
        """Number of groups G."""
        return int(self.code.max()) + 1

    def draws(self, resamples: int, seed: int) -> np.ndarray:
        """(resamples, G) how often each draw holds each group."""
        return bootstrap_weights(np.arange(self.groups), resamples, seed)[0]

    def value(self, metric: Metric, roles: Roles) -> float:
        """The metric of all clips, each counted once."""
        return float(self.sample(metric, roles, np.ones((1, self.groups)))[0])

    def sample(self, metric: Metric, roles: Roles, counts: np.ndarray) -> np.ndarray:
        """(R,) the metric in each draw."""
        if metric.kind == "confusion":
            if self.cells is None:
                raise BadInput(metric.name, "needs one class per clip", "take a metric of the task's own kind")
            k = round(self.cells.shape[1] ** 0.5)
            return metric.fn((counts @ self.cells).reshape(-1, k, k), roles)
        given, more = self.predicted if metric.kind == "predicted" else self.scores, {}
        if given is None:
            raise BadInput(metric.name, "the predictions have no class scores", "give columns s_0, s_1, …")
        if metric.kind == "strata":
            if self.strata is None:
                raise BadInput(metric.name, "the predictions have no clip lengths", "give a column duration_s")
            more = {"strata": self.strata, "kind": self.kind}
        if metric.pairs and self.groups <= _FEW:
            return metric.fn(self.y, given, GroupWeights(counts, self.code), roles, **more)
        rows = max(1, _CHUNK_WEIGHTS // len(self.y))
        by_group = np.ascontiguousarray(counts.T)  # (G, R), so that a clip's weights in all draws lie together
        chunks = (by_group[:, start : start + rows][self.code].T for start in range(0, len(counts), rows))
        return np.concatenate([metric.fn(self.y, given, weights, roles, **more) for weights in chunks])

    def score(self, metric: Metric, roles: Roles, counts: np.ndarray, about: np.ndarray | None = None) -> Score:
        """The metric with its interval; ``about`` (N,) bool are the clips that n and groups count, else all."""
        sizes = np.bincount(self.code if about is None else self.code[about])
        n, groups = int(sizes.sum()), int((sizes > 0).sum())
        value = self.value(metric, roles)
        if np.isnan(value):
            return Score(value, np.nan, np.nan, n, groups, "undefined: a class that it needs has no clips")
        low, high, method = expanded_interval(
            self.sample(metric, roles, counts), groups, self.unit, effective_groups(sizes)
        )
        return Score(value, low, high, n, groups, method)


def _lengths(frame: pd.DataFrame) -> np.ndarray:
    """(N,) clip lengths in seconds."""
    lengths = frame["duration_s"].to_numpy(float)
    if not np.isfinite(lengths).all():
        lost = frame["clip_id"][~np.isfinite(lengths)].iloc[0]
        raise BadInput("predictions", f"the duration of clip {lost} is not known", "give every length in seconds")
    return lengths


def expanded_interval(
    drawn: np.ndarray, groups: int, unit: str, effective: float | None = None, level: float = _LEVEL
) -> tuple[float, float, str]:
    """The expanded percentile interval of resampled values, at 95 % unless another level is given.

    Parameters
    ----------
    drawn
        (resamples,) values; NaN where one is undefined.
    groups
        How many groups were resampled.
    unit
        What a group is called.
    effective
        The effective number of groups; by default all count alike.
    level
        How often the interval holds the truth; said in the text where it is not 0.95.

    Returns
    -------
    tuple[float, float, str]
        Low, high and how they were computed; both NaN where there is no interval.
    """
    defined = drawn[~np.isnan(drawn)]
    if groups < 2 or not len(defined):
        return np.nan, np.nan, f"no interval: {groups} {unit}" if groups < 2 else "no interval: undefined in every draw"
    n = groups if effective is None else effective
    tail = ndtr(np.sqrt(n / (n - 1)) * stdtrit(n - 1, (1 - level) / 2))  # of the lower end
    low, high = np.quantile(defined, [tail, 1 - tail])
    method = f"{unit} bootstrap, {len(drawn)} draws, expanded percentile"
    method += f" at {100 * level:.1f} %" if level != _LEVEL else ""
    if groups - n >= 0.05:
        method += f" for {n:.1f} effective {unit}s"
    if len(defined) < len(drawn):
        method += f"; undefined in {len(drawn) - len(defined)} draws"
    if groups < FEW_GROUPS:
        method += f"; interval optimistic: {groups} {unit}s"
    return float(low), float(high), method


def p_value(drawn: np.ndarray, groups: float) -> float:
    """Two-sided p for "no difference"; NaN without an interval.

    It inverts the expanded percentile interval for that effective number of groups.
    """
    defined = drawn[~np.isnan(drawn)]
    if groups <= 1 or not len(defined):
        return np.nan
    tail = (min((defined <= 0).sum(), (defined >= 0).sum()) + 1) / (len(defined) + 1)  # never 0 from finite draws
    t = ndtri(min(tail, 0.5)) / np.sqrt(groups / (groups - 1))
    return float(2 * stdtr(groups - 1, t))
