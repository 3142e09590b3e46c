"""How often a 95 % interval covers the truth: python scripts/benchmarks/coverage.py --out results/coverage

Corpora are simulated with known answers: patients drawn with replacement from the 126 of ICBHI 2017, each with that
patient's numbers of normal, crackle, wheeze and both cycles, and class scores from a model whose patients differ as
those of a real record do (``coverage_model``). The truth is each metric's value on very many patients of the same
model. Reads model.json, which ``--fit PREDICTIONS`` writes from a record's prediction file; writes coverage.csv (every
number), coverage.md and coverage.png. Needs the annotations of ICBHI, not its audio.

The draws are ``bench.scores.intervals.bootstrap_weights``, the metrics ``bench.scores.metrics``, the intervals
``bench.scores.intervals.expanded_interval``; at every size, one corpus is scored by ``score_table`` as a whole and must
give the same interval.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from coverage_model import CLASSES, METRICS, PARAMETERS, ROLES, Corpus, Generator, likeness
from coverage_pages import METHODS, figure, report
from scipy.special import expit, logit
from scipy.stats import norm, t

from bench.data.manifest import load_task
from bench.reports.pages import seal_pages
from bench.scores import records
from bench.scores.intervals import bootstrap_weights, effective_groups, expanded_interval, score_table

TASK = "icbhi.cycles4"
FILES = ("coverage.md", "coverage.csv", "coverage.png", "model.json")
SIZES, OTHER_SIZES = (20, 33, 47, 126, 400), (20, 47, 126)
TAILS, CLIP_DRAWS = (0.025, 0.975), 500


def intervals(corpus: Corpus, draws: int, seed: int) -> np.ndarray:
    """(METRICS, METHODS, 2) low and high, NaN where the metric is undefined."""
    groups = len(corpus.cells)
    drawn = corpus.drawn(bootstrap_weights(np.arange(groups), draws, seed)[0])
    clips = corpus.drawn_clips(np.random.default_rng([2, seed]), CLIP_DRAWS)
    found = corpus.drawn(np.ones((1, groups)))[0]
    without = corpus.drawn(1 - np.eye(groups))
    out = np.full((len(METRICS), len(METHODS), 2), np.nan)
    for m, (metric, value) in enumerate(zip(METRICS, found)):
        sizes = corpus.sizes(metric)
        holders = int((sizes > 0).sum())
        if np.isnan(value) or holders < 2:
            continue
        effective = effective_groups(sizes)
        defined = drawn[~np.isnan(drawn[:, m]), m]
        left = np.where(np.isnan(without[:, m]), value, without[:, m])
        out[m] = (
            expanded_interval(clips[:, m], int(sizes.sum()), "clip")[:2],
            np.quantile(defined, TAILS),
            expanded_interval(defined, holders, "patient")[:2],
            expanded_interval(defined, holders, "patient", effective)[:2],
            _bca(defined, value, left),
            _logit_t(value, left, effective),
        )
    return out


def study(name: str, generator: Generator, sizes: tuple[int, ...], corpora: int, draws: int) -> pd.DataFrame:
    """One row per size, metric and method."""
    truth, error = generator.truth()
    told = ", ".join(f"{metric} {100 * v:.2f} ± {100 * e:.2f}" for metric, v, e in zip(METRICS, truth, error))
    print(f"{name}: truth {told}", flush=True)
    rows = []
    for size in sizes:
        began, found = time.perf_counter(), np.empty((corpora, len(METRICS), len(METHODS), 2))
        for i in range(corpora):
            rng = np.random.default_rng([3, size, i])
            corpus = generator.corpus(rng, rng.integers(0, len(generator.clusters), size))
            found[i] = intervals(corpus, draws, i)
            if i == 0:
                _agree(corpus, found[i], draws)
            if (i + 1) % 250 == 0:
                print(f"{name}, {size} patients: {i + 1} corpora, {time.perf_counter() - began:.0f} s", flush=True)
        for m, metric in enumerate(METRICS):
            for j, method in enumerate(METHODS):
                low, high = found[~np.isnan(found[:, m, j, 0]), m, j].T
                above, below = (low > truth[m]).mean(), (high < truth[m]).mean()
                rows.append(
                    {"model": name, "patients": size, "metric": metric, "method": method, "corpora": corpora}
                    | {"draws": CLIP_DRAWS if method == "clips" else draws, "truth": truth[m]}
                    | {"coverage": 1 - above - below, "too_high": above, "too_low": below}
                    | {"mean_width": (high - low).mean(), "without_interval": corpora - len(low)}
                )
    return pd.DataFrame(rows)


def _agree(corpus: Corpus, found: np.ndarray, draws: int) -> None:
    """Raises ``AssertionError`` where ``score_table`` has another interval for this corpus."""
    scores = score_table(corpus.frame(), METRICS, CLASSES, ROLES, draws, seed=0)
    scores |= {f"recall.{k}": scores[f"recall.{name}"] for k, name in enumerate(CLASSES)}
    theirs = [(scores[name].low, scores[name].high) for name in METRICS]
    np.testing.assert_allclose(found[:, list(METHODS).index("effective")], theirs, rtol=1e-9)


def _bca(drawn: np.ndarray, value: float, left: np.ndarray) -> np.ndarray:
    """Bias-corrected and accelerated (Efron 1987), the acceleration from the jackknife over patients."""
    rest = left.mean() - left
    acceleration = (rest**3).sum() / (6 * (rest**2).sum() ** 1.5) if rest.any() else 0.0
    share = ((drawn < value).mean() + (drawn <= value).mean()) / 2
    bias = norm.ppf(np.clip(share, 0.5 / len(drawn), 1 - 0.5 / len(drawn)))
    shifted = bias + norm.ppf(TAILS)
    return np.quantile(drawn, norm.cdf(bias + shifted / (1 - acceleration * shifted)))


def _logit_t(value: float, left: np.ndarray, effective: float) -> np.ndarray:
    """Jackknife over patients, the t interval of the logit with effective patients less one degrees of freedom."""
    kept = np.clip(value, 1e-3, 1 - 1e-3)
    error = ((len(left) - 1) / len(left) * ((left - left.mean()) ** 2).sum()) ** 0.5 / (kept * (1 - kept))
    return expit(logit(kept) + error * t.ppf(TAILS, effective - 1)) if error else np.array([value, value])


def _fit(predictions: Path, out: Path) -> None:
    """Writes the model of a record's predictions, and how like them it is."""
    table = records.read_predictions(predictions)
    fitted = Generator.of(_clusters(), table)
    model = {"record": predictions.name.partition(".")[0], "like": likeness(fitted, table)}
    model |= {name: getattr(fitted, name).tolist() for name in PARAMETERS}
    out.write_text(json.dumps(model, indent=1) + "\n")


def _clusters() -> np.ndarray:
    """(126, 4) clips of each class of every patient."""
    return load_task(TASK).manifest.groupby(["group", "label"]).size().unstack(fill_value=0).to_numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of table and figure")
    parser.add_argument("--fit", type=Path, help=f"prediction file of {TASK} (.csv.gz) to fit the model to anew")
    parser.add_argument("--corpora", type=int, default=1000)
    parser.add_argument("--other-corpora", type=int, default=500, help="of the other models of the predictions")
    parser.add_argument("--draws", type=int, default=2000)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.fit:
        _fit(options.fit, options.out / "model.json")
    model = json.loads((options.out / "model.json").read_text())
    fitted = Generator(_clusters(), *(np.array(model[name]) for name in PARAMETERS))
    others = {
        "patients alike": replace(fitted, patient=0 * fitted.patient, cell=0 * fitted.cell),
        "patients twice as different": replace(fitted, patient=2 * fitted.patient, cell=2 * fitted.cell),
        "better predictions": replace(fitted, mean=fitted.mean + 2.5 * np.eye(4, 3, -1)),
    }
    parts = [study("like the record", fitted, SIZES, options.corpora, options.draws)]
    parts += [study(name, g, OTHER_SIZES, options.other_corpora, options.draws) for name, g in others.items()]
    table = pd.concat(parts, ignore_index=True)
    table.to_csv(options.out / "coverage.csv", index=False, float_format="%.6f", lineterminator="\n")
    (options.out / "coverage.md").write_text(report(table, model["like"], model["record"]))
    figure(table, options.out / "coverage.png")
    seal_pages(options.out, FILES, f"python scripts/benchmarks/coverage.py --out {options.out.as_posix()}")


if __name__ == "__main__":
    main()
