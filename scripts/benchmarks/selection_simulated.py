"""Rules of selection on simulated corpora: python scripts/benchmarks/selection_simulated.py FOLDER

Features of decaying strength in which patients differ, three classes of 6 : 2 : 1, the weakest features nothing but
rounding that is drawn anew under every disturbance, as of bands above a recording's Nyquist frequency. The test is
twenty times as large as a real one, so that the mean test score is close to what a rule is worth. One file a trial.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed
from selection_trials import Rows, solved

from bench.scores.metrics import Roles

METRIC, ROLES, CLASSES = "icbhi.Score", Roles(normal=0, adventitious=(1, 2)), 3
SIGNALS, CORPORA, DRAWS = (0.0, 0.4, 0.8), 8, 8
PATIENTS, CLIPS, TEST_PATIENTS, WIDTH, ROUNDING = 60, 600, 400, 96, 32


def corpus(signal: float, seed: int, draw: int) -> Rows:
    """A simulated corpus; ``draw`` redraws the rounding alone."""
    rng = np.random.default_rng([seed, 0])
    patients = PATIENTS + TEST_PATIENTS
    groups = rng.integers(0, patients, CLIPS * patients // PATIENTS)
    y = rng.choice(CLASSES, len(groups), p=np.array([6, 2, 1]) / 9)
    latent = rng.normal(size=(len(y), WIDTH)) + rng.normal(size=(patients, WIDTH))[groups]
    latent += signal * (rng.normal(size=(CLASSES, WIDTH)) * (rng.random(WIDTH) < 0.3))[y]
    x = (latent * np.arange(1, WIDTH + 1) ** -0.5) @ rng.normal(size=(WIDTH, WIDTH))
    noise = np.random.default_rng([seed, 1 + draw]).normal(size=(len(y), ROUNDING))
    x = np.hstack([x, noise]).astype(np.float32)
    train = groups < PATIENTS
    return Rows(x[train], y[train], groups[train], x[~train], y[~train])


def name(signal: float, seed: int, draw: int) -> str:
    """Of a trial's file."""
    return f"simulated {signal:g} {seed} {draw}.npz"


def solve(folder: Path, signal: float, seed: int, draw: int) -> None:
    """One trial, unless it is there."""
    torch.set_num_threads(1)
    path = folder / name(signal, seed, draw)
    if not path.exists():
        solved(corpus(signal, seed, draw), CLASSES, METRIC, ROLES, range(DRAWS if draw == 0 else 1)).save(path)


def main() -> int:
    """Solves what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [(signal, seed, draw) for signal in SIGNALS for seed in range(CORPORA) for draw in range(DRAWS)]
    Parallel(n_jobs=2)(delayed(solve)(folder, *job) for job in jobs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
