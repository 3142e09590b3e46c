"""Measures of runs with their intervals: over seeds by the t distribution, over patients by the bootstrap, apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from finetune_claims_corpora import CONTROLS, LONG_TAIL
from finetune_claims_quality import CLEAN, EQUAL
from finetune_claims_rules import (
    AGAINST,
    BASE,
    CLAIMS,
    GAP,
    IN_DOMAIN,
    MEASURES,
    OUT_OF_DOMAIN,
    PROBE,
    Claim,
    direction,
)
from scipy.stats import t

from bench.scores import intervals
from bench.scores.per_test import comparison_arguments, tested
from bench.scores.printed import BLANK
from bench.scores.schema import Record

LEVEL = 0.95
COLUMNS = ("corpus", "measure", "method", "against", "over", "n", "value", "sd", "low", "high", "verdict")


@dataclass(frozen=True)
class Run:
    """One fine-tuning: its record, the record of the probe on its encoder where there is one, and what stopped it
    where something did."""

    corpus: str
    method: str
    seed: int
    record: Record | None
    probe: Record | None
    stopped: str


def verdict(low: float, high: float, direction: int) -> str:
    """``seen`` where the interval excludes 0 in the direction claimed, ``reversed`` in the other, else ``absent``."""
    if not direction or math.isnan(low):
        return BLANK
    if low > 0 or high < 0:
        return "seen" if (low > 0) == (direction > 0) else "reversed"
    return "absent"


def over_seeds(values: Sequence[float]) -> tuple[float, float, float, float]:
    """(mean, SD with n - 1, low, high of the 95 % t interval)."""
    mean, n = float(np.mean(values)), len(values)
    if n < 2:
        return mean, math.nan, math.nan, math.nan
    sd = float(np.std(values, ddof=1))
    reach = t.isf((1 - LEVEL) / 2, n - 1) * sd / math.sqrt(n)
    return mean, sd, mean - reach, mean + reach


def value(run: Run, measure: str) -> float:
    """A measure of one run, a fraction."""
    if measure == GAP:
        return value(run, IN_DOMAIN) - value(run, OUT_OF_DOMAIN)
    test, metric = MEASURES[run.corpus][measure]
    return intervals.mean_score(
        [_predictions(run, test)], metric, resamples=1, **comparison_arguments(_record(run, test))
    ).value


def _record(run: Run, test: str) -> Record:
    return run.probe if test == PROBE else run.record


def _predictions(run: Run, test: str) -> pd.DataFrame:
    return tested(_record(run, test), "test" if test == PROBE else test)


def _patients(ours: Sequence[Run], theirs: Sequence[Run], test: str, metric: str) -> intervals.Difference:
    """The difference of means over seeds, with its interval of patients."""
    sides = ([_predictions(run, test) for run in side] for side in (ours, theirs))
    return intervals.mean_difference(*sides, metric, **comparison_arguments(_record(ours[0], test)))


def comparisons(runs: Sequence[Run], claimed: bool = True) -> pd.DataFrame:
    """A line per corpus, measure, method and kind of interval: the method's own mean, and its difference to ``ce`` and
    to what ``AGAINST`` names, on the seeds that both finished, with a verdict where a direction is ``claimed``; that of
    a control is that of the corpus that it controls."""
    lines = []
    for corpus, measures in MEASURES.items():
        done = {(r.method, r.seed): r for r in runs if r.corpus == corpus and r.record is not None}
        for measure, (test, metric) in measures.items():
            values = {key: value(run, measure) for key, run in done.items()}
            for method in dict.fromkeys(r.method for r in runs if r.corpus == corpus):
                seeds = [seed for name, seed in done if name == method]
                named = (corpus, measure, method)
                if not seeds:
                    continue
                own = [values[method, seed] for seed in seeds]
                lines.append((*named, "", "seeds", len(seeds), *over_seeds(own), BLANK))
                for base in AGAINST.get(method, (BASE,)):
                    shared = [seed for seed in seeds if (base, seed) in done]
                    if not shared:
                        continue
                    sign = direction(corpus, measure, method, base) if claimed else 0
                    change = over_seeds([values[method, seed] - values[base, seed] for seed in shared])
                    lines.append((*named, base, "seeds", len(shared), *change, verdict(*change[2:], sign)))
                    if test:
                        ours, theirs = ([done[name, seed] for seed in shared] for name in (method, base))
                        found = _patients(ours, theirs, test, metric)
                        span = (found.low, found.high)
                        cells = (found.groups, found.value, math.nan, *span, verdict(*span, sign))
                        lines.append((*named, base, "patients", *cells))
    return pd.DataFrame(lines, columns=COLUMNS)


def beyond_controls(runs: Sequence[Run]) -> pd.DataFrame:
    """A line per claim whose control has its rows: the difference in the corpus minus that in the control, by seed."""
    done = {(r.corpus, r.method, r.seed): r for r in runs if r.record is not None}
    lines = []
    for claim in CLAIMS:
        places = (claim.corpus, CONTROLS.get(claim.corpus, ""))
        needed = [(place, name) for place in places for name in (claim.method, claim.against)]
        shared = [s for s in dict.fromkeys(r.seed for r in runs) if all((*key, s) in done for key in needed)]
        if shared and all(claim.measure in MEASURES[place] for place in places):
            gained = [_gained(done, claim, seed, places) for seed in shared]
            change = over_seeds(gained)
            cells = ("seeds, beyond the control", len(shared), *change, verdict(*change[2:], claim.direction))
            lines.append((claim.corpus, claim.measure, claim.method, claim.against, *cells))
    return pd.DataFrame(lines, columns=COLUMNS)


def _gained(done: Mapping[tuple[str, str, int], Run], claim: Claim, seed: int, places: tuple[str, str]) -> float:
    """What a method gains in the corpus, less what it gains in the control."""
    planted, control = (
        value(done[place, claim.method, seed], claim.measure) - value(done[place, claim.against, seed], claim.measure)
        for place in places
    )
    return planted - control


def per_run(runs: Sequence[Run]) -> pd.DataFrame:
    """A line per run: the epoch chosen, the mean loss of the first and last epoch, the validation score of the best and
    the last one, and every measure of its corpus; NaN for a run that was stopped."""
    lines = []
    for run in runs:
        line: dict = {"corpus": run.corpus, "method": run.method, "seed": run.seed, "stopped": run.stopped}
        if run.record is not None:
            selection = run.record.selection
            losses, scores = selection["losses"], [epoch["score"] for epoch in selection["path"]]
            line |= {"epoch": selection["chosen"]["epoch"], "first_loss": losses[0], "last_loss": losses[-1]}
            line |= {"best_validation": max(scores), "last_validation": scores[-1]}
            line |= {measure: value(run, measure) for measure in MEASURES[run.corpus]}
        lines.append(line)
    return pd.DataFrame(lines)


def qualities(quality: pd.DataFrame) -> pd.DataFrame:
    """A line per condition of ``finetune_claims_quality.reactions`` and kind of interval: q, and its change from the
    clip as recorded."""
    lines = []
    for (condition, db), rows in quality.groupby(["condition", "db"], sort=False, dropna=False):
        named = (LONG_TAIL.name, "q", condition if math.isnan(db) else f"{condition}, {db:g} dB")
        each, direction = rows.groupby("seed"), -1 if condition == EQUAL else 0
        lines.append((*named, "", "seeds", each.ngroups, *over_seeds(each["q"].mean()), BLANK))
        if condition != CLEAN:
            change = over_seeds(each["change"].mean())
            lines.append((*named, CLEAN, "seeds", each.ngroups, *change, verdict(*change[2:], direction)))
            span, patients = by_patient(rows), rows["group"].nunique()
            cells = (patients, change[0], math.nan, *span, verdict(*span, direction))
            lines.append((*named, CLEAN, "patients", *cells))
    return pd.DataFrame(lines, columns=COLUMNS)


def by_patient(rows: pd.DataFrame) -> tuple[float, float]:
    """95 % interval of the mean change by bootstrap of patients, who have as many clips each, for these seeds."""
    means = rows.groupby("group")["change"].mean().to_numpy()
    counts, _ = intervals.bootstrap_weights(np.arange(len(means)))
    return intervals.expanded_interval(counts @ means / len(means), len(means), "patient")[:2]
