"""Compares rules of selection on trials that are solved: python scripts/benchmarks/selection.py FOLDER [--write]

For every cell (task, encoder, pooling) and rule: the mean test score, and how far it moves over draws of dither of one
16-bit step, over draws of the folds and over code paths of the processor. ``--write`` puts the tables into
results/selection/.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from selection_cells import DISTURBED, ENCODERS, TASKS, file_of
from selection_rules import RULES
from selection_trials import Trial

from bench.base import registry
from bench.scores import metrics
from bench.scores.metrics import Roles
from bench.types import TaskCard

REPLICATES = 200


def scores_of(trial: Trial, card: TaskCard) -> pd.DataFrame:
    """Test score in percent of every rule and group of fold draws: columns ``rule``, ``fold`` and ``score``."""
    rows = []
    beyond = np.arange(trial.scores.shape[1])[None, :, None] >= trial.solved[:, None, :]
    held_out = np.where(beyond, np.nan, trial.scores)
    errors = [standard_error(trial, s, card) for s in range(len(held_out))]
    for name, (rule, draws) in RULES.items():
        for fold in range(0, len(held_out) - draws + 1, draws):
            several = slice(fold, fold + draws)
            shares = rule(held_out[several].mean(axis=0), float(np.mean(errors[several])))
            if (np.isnan(trial.log_proba).any(axis=(2, 3)) & (shares > 0)).any():
                raise RuntimeError(f"{name} takes a candidate that was not solved")
            log_proba = np.einsum("cw,cwnk->nk", shares, np.nan_to_num(trial.log_proba).astype(float))
            value = metrics.evaluate(
                card.main_metric, trial.tested, log_proba.argmax(axis=1), log_proba, Roles.of(card)
            )
            rows.append({"rule": name, "fold": fold, "score": 100 * value, "effective": 1 / (shares**2).sum()})
    return pd.DataFrame(rows)


def standard_error(trial: Trial, draw: int, card: TaskCard) -> float:
    """Bootstrap standard error, over patients, of the best candidate's score on held-out rows."""
    flat = np.where(np.arange(trial.scores.shape[1])[:, None] < trial.solved[draw], trial.scores[draw], -np.inf)
    decided = trial.decisions[draw].reshape(-1, len(trial.labels))[int(flat.argmax())]
    k, patients = len(card.classes), int(trial.groups.max()) + 1
    counts = np.zeros((patients, k, k))
    np.add.at(counts, (trial.groups, trial.labels, decided), 1)
    weights = np.random.default_rng(0).multinomial(patients, np.full(patients, 1 / patients), REPLICATES)
    metric = metrics.get(card.main_metric)
    return float(np.nanstd([metric.fn(each, Roles.of(card)) for each in np.tensordot(weights, counts, 1)]))


def table(folder: Path) -> pd.DataFrame:
    """Every score: columns ``task``, ``encoder``, ``pooling``, ``disturbed``, ``rule``, ``fold``, ``score``."""
    parts = []
    for task in TASKS:
        card = registry.task_card(task)
        for encoder, poolings in ENCODERS.items():
            for pooling in poolings:
                for disturbed in DISTURBED:
                    path = file_of(folder, task, encoder, pooling, disturbed)
                    if path.exists():
                        cell = {"task": task, "encoder": encoder, "pooling": pooling, "disturbed": disturbed}
                        parts.append(scores_of(Trial.load(path), card).assign(**cell))
    return pd.concat(parts, ignore_index=True)


def spreads(scores: pd.DataFrame) -> pd.DataFrame:
    """Per cell and rule: mean score, and standard deviations over dither and folds and the range over paths."""
    out = []
    for keys, part in scores.groupby(["task", "encoder", "pooling", "rule"], sort=False):
        first = part[part["fold"] == 0]
        kind = first["disturbed"].str.partition("-")[0]
        dither, paths = first[kind == "dither"]["score"], first[kind != "dither"]["score"]
        folds = part[part["disturbed"] == "plain"]["score"]
        out.append(
            dict(zip(["task", "encoder", "pooling", "rule"], keys, strict=True))
            | {
                "mean": part["score"].mean(),
                "dither": dither.std() if len(dither) > 1 else np.nan,
                "folds": folds.std() if len(folds) > 1 else np.nan,
                "paths": paths.max() - paths.min() if len(paths) > 1 else np.nan,
            }
        )
    return pd.DataFrame(out)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    found = spreads(table(arguments.folder))
    pd.set_option("display.width", 200, "display.max_rows", 1000)
    rms = lambda v: float(np.sqrt(np.nanmean(np.square(v)))) if v.notna().any() else np.nan  # noqa: E731
    print(
        found.pivot_table(index=["task", "encoder", "pooling"], columns="rule", values="folds", sort=False).round(2).T
    )
    print(
        found.groupby("rule", sort=False).agg(
            mean=("mean", "mean"), dither=("dither", rms), folds=("folds", rms), paths=("paths", rms)
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
