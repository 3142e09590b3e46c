"""How far two systems are apart on the same clips, test by test: difference, p, and the clips that flip."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from bench.base.errors import BadInput
from bench.reports.agreement.paired.matched import Matched, Runs
from bench.runs.audit.resolution import power_factor
from bench.scores import intervals, label_kinds, metrics, per_test
from bench.scores.intervals import Difference
from bench.stats import holm
from bench.types import Score

LEVEL = 0.05
DRAWS = 2000  # as behind every interval of the reports
A, B, UNRESOLVED = "A", "B", "not resolved"


@dataclass(frozen=True)
class Cut:
    """The difference on the clips of one class, or of one domain.

    Attributes
    ----------
    name, metric
        The class or domain, and what is compared on it.
    clips
        Number of clips.
    difference
        A − B with its interval.
    only_a, only_b
        Clips that one of the two alone has right; None as in ``TestComparison.right``.
    """

    name: str
    metric: str
    clips: int
    difference: Difference
    only_a: int | None
    only_b: int | None


@dataclass(frozen=True)
class TestComparison:
    """Two systems on one test.

    Attributes
    ----------
    task, protocol, test, metric
        What is compared.
    seeds
        Of the runs of A and of B, whose mean is compared.
    a, b
        Either side's score with its interval.
    difference
        A − B with its interval and p.
    p_holm
        p adjusted for all tests of the comparison (``bench.stats.holm``); NaN where there is none.
    resolved
        Half of the interval: the smallest difference that would be told from none here.
    found
        The smallest difference that would be found in four of five test sets of this kind.
    least_p
        The smallest p that this number of draws and of groups can give.
    right
        {who has a clip right (``both``, ``A``, ``B``, ``neither``): clips}, of all runs that both have; None where
        they have none, and where right and wrong have no meaning.
    classes, domains
        The same difference by class and by domain, without correction.
    flips
        One row per run and clip that one of the two alone has right, with labels by name.
    """

    task: str
    protocol: str
    test: str
    metric: str
    seeds: tuple[tuple[int, ...], tuple[int, ...]]
    a: Score
    b: Score
    difference: Difference
    p_holm: float
    resolved: float
    found: float
    least_p: float
    right: Mapping[str, int] | None
    classes: tuple[Cut, ...]
    domains: tuple[Cut, ...]
    flips: pd.DataFrame = field(repr=False, compare=False)

    @property
    def better(self) -> str:
        """``A`` or ``B`` where the difference is told from none after correction, else ``not resolved``."""
        if math.isnan(self.p_holm) or self.p_holm >= LEVEL or self.difference.value == 0:
            return UNRESOLVED
        higher = metrics.get(self.metric).direction == "higher"
        return A if (self.difference.value > 0) == higher else B


def compared(matched: Sequence[Matched], metric: str = "", draws: int = DRAWS) -> list[TestComparison]:
    """Every test of two systems that were matched.

    Parameters
    ----------
    matched
        Of every task and protocol.
    metric
        To compare by; empty: each task's main metric.
    draws
        Of the bootstrap.

    Returns
    -------
    list of TestComparison
        With p values adjusted over all of them.

    Raises
    ------
    UnknownId, BadInput
        For a metric that does not exist, or that the predictions cannot be scored by, and for no draws.
    """
    if draws < 1:
        raise BadInput("--draws", f"{draws} draws", f"give a number from 1 on, such as {DRAWS}")
    raw = [
        _difference(each, test, runs, metric or each.facts["main_metric"], draws)
        for each in matched
        for test, runs in each.tests.items()
    ]
    if not raw:
        raise BadInput("paired comparison", "no test has clips", "compare predictions of test clips")
    adjusted = holm([arguments["difference"].p for arguments in raw])
    return [TestComparison(**arguments, p_holm=float(p)) for arguments, p in zip(raw, adjusted, strict=True)]


def _difference(matched: Matched, test: str, runs: tuple[Runs, Runs], metric: str, draws: int) -> dict:
    """What ``TestComparison`` takes, without the adjusted p."""
    facts = matched.facts
    arguments = {**per_test.label_arguments(facts), "resamples": draws, "unit": matched.unit}
    a, b = (list(side.values()) for side in runs)

    def difference(metric: str, chosen: Callable[[pd.DataFrame], Any] | None = None) -> Difference:
        sides = (a, b) if chosen is None else ([table[chosen(table)] for table in side] for side in (a, b))
        return intervals.mean_difference(*sides, metric, **arguments)

    scores = [intervals.mean_score(side, metric, **arguments) for side in (a, b)]
    change, flips = difference(metric), _flips(facts, runs)
    half = (change.high - change.low) / 2
    sizes = a[0].groupby("clip_id" if matched.unit == "clip" else "group").size()
    return {
        "task": matched.task,
        "protocol": matched.protocol,
        "test": test,
        "metric": metric,
        "seeds": (tuple(runs[0]), tuple(runs[1])),
        "a": scores[0],
        "b": scores[1],
        "difference": change,
        "resolved": half,
        "found": half * power_factor(change.groups),
        "least_p": intervals.p_value(np.ones(draws), intervals.effective_groups(sizes.to_numpy())),
        "right": None if flips is None else {who: int((flips["right"] == who).sum()) for who in WHO},
        "classes": tuple(_classes(facts, [*a, *b], difference, flips)),
        "domains": tuple(_domains(a[0], metric, difference, flips)),
        "flips": _listed(facts, flips),
    }


def _classes(
    facts: Mapping, tables: Sequence[pd.DataFrame], difference: Callable[..., Difference], flips: pd.DataFrame | None
) -> Iterator[Cut]:
    """The difference in every class's own score.

    A recall is that of the class's clips alone, so that its interval rests on those who have the class.
    """
    kind = label_kinds.of(facts)
    name = kind.per_class
    if not name or (name != "recall" and not all("s_0" in table for table in tables)):
        return
    for k, own in enumerate(facts["classes"]):

        def has(clips: pd.DataFrame, k: int = k) -> np.ndarray:
            return kind.of_class(clips["y_true"].to_numpy(int), k)

        clips = int(has(tables[0]).sum())
        if not clips:
            change = Difference(np.nan, np.nan, np.nan, np.nan, 0, 0, "undefined: no clips")
        else:
            change = difference(f"{name}.{k}", has if name == "recall" else None)
        yield Cut(own, f"{name}.{own}", clips, change, *_counts(flips, has))


def _domains(
    first: pd.DataFrame, metric: str, difference: Callable[..., Difference], flips: pd.DataFrame | None
) -> Iterator[Cut]:
    """The difference in every domain, where there are several."""
    names = sorted(set(_domain(first)))
    for own in names if len(names) > 1 else ():

        def is_of(clips: pd.DataFrame, own: str = own) -> pd.Series:
            return _domain(clips) == own

        yield Cut(own, metric, int(is_of(first).sum()), difference(metric, is_of), *_counts(flips, is_of))


# ------------------------------------------------------------------ clips


WHO = ("both", A, B, "neither")
LISTED = ("seed", "clip_id", "group", "domain", "y_true", "pred_a", "pred_b", "right")


def _flips(facts: Mapping, runs: tuple[Runs, Runs]) -> pd.DataFrame | None:
    """Every clip of every run that both sides have, with who has it right.

    Runs are of the same seed; two systems with one run each are compared whatever their seeds. None where the two have
    no such run, and for targets that are numbers.
    """
    if not label_kinds.of(facts).integer:
        return None
    seeds = [(seed, seed) for seed in runs[0] if seed in runs[1]]
    if len(runs[0]) == len(runs[1]) == 1:
        seeds = [(next(iter(runs[0])), next(iter(runs[1])))]
    tables = []
    for first, second in seeds:
        a, b = runs[0][first], runs[1][second].set_index("clip_id").loc[runs[0][first]["clip_id"]]
        predicted = {"pred_a": a["y_pred"].to_numpy(), "pred_b": b["y_pred"].to_numpy()}
        right = [predicted[name] == a["y_true"].to_numpy() for name in ("pred_a", "pred_b")]
        who = np.select([right[0] & right[1], right[0], right[1]], WHO[:3], WHO[3])
        table = a[["clip_id", "group", "domain", "y_true"]].assign(seed=first, **predicted, right=who)
        tables.append(table[list(LISTED)])
    return pd.concat(tables, ignore_index=True) if tables else None


def _listed(facts: Mapping, flips: pd.DataFrame | None) -> pd.DataFrame:
    """The clips that one side alone has right."""
    if flips is None:
        return pd.DataFrame(columns=list(LISTED))
    chosen = flips[flips["right"].isin((A, B))].reset_index(drop=True)
    return chosen.assign(**{c: [_label(facts, y) for y in chosen[c]] for c in ("y_true", "pred_a", "pred_b")})


def _label(facts: Mapping, label: int) -> str:
    """A label by the names of its classes."""
    of_class = label_kinds.of(facts).of_class
    names = [name for k, name in enumerate(facts["classes"]) if of_class(np.array([label]), k)[0]]
    return "+".join(names) or "none"


def _counts(
    flips: pd.DataFrame | None, chosen: Callable[[pd.DataFrame], np.ndarray | pd.Series]
) -> tuple[int | None, int | None]:
    """How many of the chosen clips A alone has right, and B alone."""
    if flips is None:
        return None, None
    right = flips["right"][np.asarray(chosen(flips), bool)]
    return int((right == A).sum()), int((right == B).sum())


def _domain(table: pd.DataFrame) -> pd.Series:
    """Each clip's domain, ``unknown`` where none is told."""
    told = table["domain"].astype(object)
    return told.where(told.notna() & (told != ""), "unknown").astype(str)
