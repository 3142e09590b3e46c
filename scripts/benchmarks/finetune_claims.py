"""What methods of fine-tuning are for, put to the test: python scripts/benchmarks/finetune_claims.py

Corpora with known answers (``finetune_claims_corpora``), a small network from scratch, every method beside ``ce`` on
the same clips, validation patients and initial weights, five seeds. Claims, rules and every number below were fixed
before the runs; a claim that does not hold is reported as such. Writes claims.md and claims*.csv.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from finetune_claims_after import OPTIONS, at_last_epoch, beside
from finetune_claims_corpora import CLIPS, DEVICES, LONG_TAIL, SHORTCUT, Corpus, written
from finetune_claims_encoder import RATE, Frames
from finetune_claims_numbers import HALF_EVEN, Run, comparisons, per_run, qualities
from finetune_claims_pages import report
from finetune_claims_quality import reactions

import bench
from bench.finetune import TrainingDiverged, fit
from bench.finetune.recipe import Recipe, recipe_of
from bench.reports.pages import seal_pages, write_pages
from bench.types import Task

SEEDS = (0, 1, 2, 3, 4)
CORPUS_SEED = 11
METHODS: Mapping[str, Mapping[str, tuple[str, dict]]] = {  # corpus: {row: (method, options that are not its defaults)}
    LONG_TAIL.name: {
        "ce": ("ce", {}),
        "ce-weighted": ("ce-weighted", {}),
        "cosine, no margin": ("log-margin", {"target": 0.0}),
        "log-margin": ("log-margin", {}),
        "quality-margin": ("quality-margin", {}),
        "patchmix-cl": ("patchmix-cl", {}),
    },
    SHORTCUT.name: {"ce": ("ce", {}), "dat": ("dat", {}), "supcon-dat": ("supcon-dat", {})},
}
RECIPE = {  # the same for every method
    "epochs": 20,
    "optimiser": {"name": "adamw", "lr": 3e-3, "weight_decay": 0.01},
    "schedule": {"kind": "cosine", "warmup_epochs": 1.0},
    "batches": {"size": 16},
    "waveform": {"gain_db": 6.0, "shift_s": 0.1},
    "spectrogram": {"band_mask": 8, "frame_mask": 8},
}


@dataclass(frozen=True)
class Plan:
    """What is run; tests shrink it."""

    seeds: Sequence[int] = SEEDS
    corpus_seed: int = CORPUS_SEED
    epochs: int = RECIPE["epochs"]
    patients: int | None = None
    methods: Mapping[str, Mapping[str, tuple[str, dict]]] = field(default_factory=lambda: METHODS)


def recipe(name: str, method: str, options: Mapping, epochs: int) -> Recipe:
    """The recipe with that method."""
    return recipe_of(RECIPE | {"name": name, "epochs": epochs, "method": {"name": method, "options": dict(options)}})


def task(corpus: Corpus, folder: Path, plan: Plan) -> Task:
    """The corpus, written, as a task."""
    return bench.load_task(f"csv.{written(corpus, folder / corpus.name, plan.corpus_seed, plan.patients)}")


def runs(plan: Plan, folder: Path) -> list[Run]:
    """Every method on its corpus with every seed; on the corpus with a shortcut also the device's probe."""
    devices = task(DEVICES, folder, plan)
    out = []
    for corpus in (LONG_TAIL, SHORTCUT):
        data = task(corpus, folder, plan)
        for seed in plan.seeds:
            for name, (method, options) in plan.methods[corpus.name].items():
                began = time.monotonic()
                out.append(run(data, recipe(name, method, options, plan.epochs), seed, corpus, devices))
                print(f"{corpus.name} {name} seed {seed}: {time.monotonic() - began:.1f} s", flush=True)
    return out


def run(data: Task, chosen: Recipe, seed: int, corpus: Corpus, devices: Task) -> Run:
    """One fine-tuning, and the linear probe of the device on the trained encoder as it is."""
    try:
        fitted = fit(Frames(), data, chosen, seed)
    except TrainingDiverged as stopped:
        return Run(corpus.name, chosen.name, seed, None, None, str(stopped))
    probe = None
    if corpus is SHORTCUT:
        [probe] = bench.evaluate(fitted.encoder, devices, "linear")
    return Run(corpus.name, chosen.name, seed, fitted.records[0], probe, "")


def afterwards(plan: Plan, made: Sequence[Run], folder: Path) -> list[Run]:
    """What ``finetune_claims_after`` describes, with the runs that it is compared with."""
    tail, shortcut, devices = (
        bench.load_task(f"csv.{folder / corpus.name / corpus.name}.csv") for corpus in (LONG_TAIL, SHORTCUT, DEVICES)
    )
    out = beside(made, LONG_TAIL.name)
    for seed in plan.seeds:
        half_even = recipe(HALF_EVEN, "log-margin", OPTIONS, plan.epochs)
        out.append(run(tail, half_even, seed, LONG_TAIL, devices))
        for name, (method, options) in plan.methods[SHORTCUT.name].items():
            chosen = recipe(name, method, options, plan.epochs)
            out.append(at_last_epoch(shortcut, chosen, seed, SHORTCUT.name, devices, folder / "last"))
        print(f"after the fact, seed {seed}", flush=True)
    return out


def results(plan: Plan, folder: Path) -> dict[str, str]:
    """{file: its text} of a plan, everything else left in ``folder``."""
    os.environ["RESPBENCH_CACHE"] = str(folder / "cache")
    made = runs(plan, folder)
    data = bench.load_task(f"csv.{folder / LONG_TAIL.name / LONG_TAIL.name}.csv")
    table, each, heard = comparisons(made), per_run(made), reactions(data, RATE, plan.seeds)
    after = comparisons(afterwards(plan, made, folder), claimed=False)
    return {
        "claims.csv": _csv(pd.concat([table, qualities(heard)])),
        "claims_runs.csv": _csv(each),
        "claims_after.csv": _csv(after),
        "claims.md": report(table, each, heard, after, told(plan)),
    }


def _csv(table: pd.DataFrame) -> str:
    return table.to_csv(index=False, float_format="%.6f", lineterminator="\n")


def told(plan: Plan) -> str:
    """What was run, in words."""
    size = sum(p.numel() for p in Frames().parameters())
    clips = "; ".join(
        f"{corpus.name}: " + ", ".join(f"{name} {split.patients * CLIPS}" for name, split in corpus.splits.items())
        for corpus in (LONG_TAIL, SHORTCUT, DEVICES)
    )
    seeds = ", ".join(map(str, plan.seeds))
    return f"""\
Made by:

    python scripts/benchmarks/finetune_claims.py --out results/finetune

Simulated sound alone. Every method trains the same network of {size:,} parameters (log power in 48 bands, two residual
blocks) from its initialisation by the seed: this tests what methods do, not what a pretrained encoder gains.

Seeds {seeds}; corpora drawn once, by seed {plan.corpus_seed}; {CLIPS} clips a patient. Clips: {clips}.

One recipe for all:

    {RECIPE}

Every method has its default hyper-parameters unless its row says otherwise. Corpora, recipe and rules were committed
before this run. They were set by `ce` alone, with training seeds 100 and 101 on corpora of seed 2026, so that it is
neither at chance nor at the best that can be reached. What was added when the results were known stands at the end."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of claims.md and claims*.csv")
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        files = results(Plan(), Path(folder))
    write_pages(arguments.out, files)
    command = f"python scripts/benchmarks/finetune_claims.py --out {arguments.out.as_posix()}"
    seal_pages(arguments.out, list(files), command)
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
