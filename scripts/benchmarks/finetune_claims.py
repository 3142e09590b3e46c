"""What methods of fine-tuning are for, put to the test: python scripts/benchmarks/finetune_claims.py

Corpora with known answers (``finetune_claims_corpora``), a small network from scratch, every method beside ``ce`` on
the same clips, validation patients and initial weights, five seeds. Claims (``finetune_claims_rules``), what is run
(``finetune_claims_plan``) and every number in them were fixed before the runs; a claim that does not hold is reported
as such. Writes claims.md and claims*.csv.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from finetune_claims_corpora import CLIPS, CORPORA, DEVICES, EVEN, IDENTITIES, LONG_TAIL, SHORTCUT, WORN
from finetune_claims_encoder import RATE, Frames
from finetune_claims_numbers import Run, beyond_controls, comparisons, per_run, qualities
from finetune_claims_pages import report
from finetune_claims_plan import METHODS, RECIPE, Plan
from finetune_claims_quality import reactions, wear
from finetune_claims_rules import BASE
from finetune_claims_runs import Job, done, load, write_corpora

from bench.reports.pages import seal_pages, write_pages
from bench.reports.tables import markdown


def runs(plan: Plan, corpora: Path, kept: Path, processes: int) -> tuple[list[Run], list[Run]]:
    """Every method on its corpus with every seed; and what was planned when the first results were known, with the
    runs that it is compared with."""
    jobs = [
        Job(corpus, plan.recipe(name, row), seed, corpora, kept)
        for seed in plan.seeds
        for corpus, rows in plan.methods.items()
        for name, row in rows.items()
    ]
    others = [
        Job(LONG_TAIL.name, plan.recipe(name, row), seed, corpora, kept)
        for seed in plan.seeds
        for name, row in plan.after.items()
    ]
    made = done([*jobs, *others], processes)
    last = [
        Job(SHORTCUT.name, plan.recipe(name, row), seed, corpora, kept, last=True)
        for seed in plan.seeds
        for name, row in plan.methods[SHORTCUT.name].items()
    ]
    first = made[: len(jobs)]
    beside = [run for run in first if run.corpus == LONG_TAIL.name and run.method in (BASE, "quality-margin")]
    return first, [*beside, *made[len(jobs) :], *done(last, processes)]


def results(plan: Plan, folder: Path, processes: int = 1) -> dict[str, str]:
    """{file: its text} of a plan. Corpora and runs are left in ``folder``; runs that it holds are not made again."""
    os.environ.setdefault("RESPBENCH_CACHE", str(folder / "cache"))
    write_corpora(plan, folder / "corpora")
    made, later = runs(plan, folder / "corpora", folder / "runs", processes)
    tail, worn, even = (load(corpus.name, folder / "corpora") for corpus in (LONG_TAIL, WORN, EVEN))
    table, each, heard = comparisons(made), per_run(made), reactions(tail, RATE, plan.seeds)
    after, beyond, grades = comparisons(later, claimed=False), beyond_controls(made), wear(worn, even, RATE)
    return {
        "claims.csv": _csv(pd.concat([table, beyond, qualities(heard)])),
        "claims_runs.csv": _csv(each),
        "claims_after.csv": _csv(after),
        "claims.md": report(pd.concat([table, beyond]), each, heard, grades, after, told(plan)),
    }


def _csv(table: pd.DataFrame) -> str:
    return table.to_csv(index=False, float_format="%.6f", lineterminator="\n")


def told(plan: Plan) -> str:
    """What was run, in words."""
    size = sum(p.numel() for p in Frames().parameters())
    clips = "; ".join(
        f"{name}: " + ", ".join(f"{side} {split.patients * CLIPS}" for side, split in CORPORA[name].splits.items())
        for name in (*METHODS, DEVICES.name)
    )
    probed = sum(split.patients for split in IDENTITIES.splits.values())
    seeds = ", ".join(map(str, plan.seeds))
    return f"""\
Made by:

    python scripts/benchmarks/finetune_claims.py --out results/finetune

Simulated sound alone. Every method trains the same network of {size:,} parameters (log power in 48 bands, two residual
blocks) from its initialisation by the seed: this tests what methods do, not what a pretrained encoder gains.

Seeds {seeds}; corpora drawn once, by seed {plan.corpus_seed}; {CLIPS} clips a patient. Clips: {clips};
{IDENTITIES.name}: {probed} patients with {CLIPS} clips each to train the probe and {CLIPS} to test it.

One recipe for all:

    {RECIPE}

Every method has its default hyper-parameters but for these rows:

{_rows(plan)}

Corpora, recipe and rules were committed before the runs. They were set by `ce` alone, on corpora of seed 2026, so that
it is neither at chance nor at the best that can be reached: `{LONG_TAIL.name}` and `{SHORTCUT.name}` with training
seeds 100 and 101, the others with seed 100. The first results were of `{LONG_TAIL.name}` and `{SHORTCUT.name}` without
`qlung`, `dual-axis-patchmix-style` and Freq-MixStyle. These, the other corpora and all controls were added when those
results were known, and committed before any of their own; recipe and earlier claims stayed as they were. What was added
with no rule fixed before stands at the end."""


def _rows(plan: Plan) -> str:
    """The rows whose method is not told by their name and defaults."""
    lines: dict[str, Sequence[str]] = {}
    for rows in (*plan.methods.values(), plan.after):
        for name, row in rows.items():
            settings = {**row.options, **{f"[spectrogram] {key}": value for key, value in row.spectrogram.items()}}
            if settings:
                lines[name] = [
                    name,
                    f"`{row.method}`",
                    ", ".join(f"{key} = {value}" for key, value in settings.items()),
                ]
    return markdown(["row", "method", "settings"], list(lines.values()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of claims.md and claims*.csv")
    parser.add_argument(
        "--runs",
        type=Path,
        help="folder that keeps corpora and runs: a second call makes those runs that are missing",
    )
    parser.add_argument("--processes", type=int, default=1, help="runs beside each other (default: 1)")
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        files = results(Plan(), arguments.runs or Path(folder), arguments.processes)
    write_pages(arguments.out, files)
    command = f"python scripts/benchmarks/finetune_claims.py --out {arguments.out.as_posix()}"
    seal_pages(arguments.out, list(files), command)
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
