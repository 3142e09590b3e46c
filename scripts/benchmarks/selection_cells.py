"""Solves the trials of the study of selection: python scripts/benchmarks/selection_cells.py FOLDER [--tasks …]

A cell is an encoder with a pooling on a task. Its features are disturbed, by dither of one 16-bit step that is drawn
anew (``dither-0`` to ``dither-19``; six draws on large tasks) or by another code path of the processor
(``path-default``, ``path-avx2``), or not (``plain``, with twenty draws of the folds, eight on large tasks). One file a
trial is put into FOLDER; those that are there are left alone, so that the command goes on where it was stopped. Two
processes of one thread each.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import torch
from joblib import Parallel, delayed
from selection_trials import Rows, solved

from bench.base import registry
from bench.base.parallel.engine import Engine
from bench.data.manifest import load_task, prepare
from bench.encoders.features.store import FeatureStore
from bench.encoders.load import load_encoder
from bench.encoders.probe_inputs import resolve_layer_pooling
from bench.scores.metrics import Roles

ENCODERS = {
    "fbank.stats": ("published",),
    "efficientat.mn04": ("mean", "freq"),
    "whisper.base@short": ("mean_valid",),
}
TASKS = (
    "icbhi.cycles4",
    "icbhi.cycles2",
    "sprsound.records3",
    "sprsound.records5",
    "sprsound.events2",
    "sprsound.events7",
)
LARGE = ("sprsound.events2", "sprsound.events7")  # one draw of the folds under every disturbance
DRAWS, FOLD_SEEDS, USUAL_SEEDS = 20, 20, 1
DRAWS_LARGE, FOLD_SEEDS_LARGE = 6, 8  # on large tasks
PATHS = ("path-default", "path-avx2")
DISTURBED = ("plain", *PATHS, *(f"dither-{draw}" for draw in range(DRAWS)))


def file_of(folder: Path, task: str, encoder: str, pooling: str, disturbed: str) -> Path:
    """Where a trial lies."""
    return folder / f"{task} {encoder} {pooling} {disturbed}.npz"


def solve(folder: Path, encoder_id: str, disturbed: str, tasks: tuple[str, ...] = TASKS) -> None:
    """The trials of one encoder under one disturbance, on every task and pooling that has none."""
    torch.set_num_threads(1)
    encoder = load_encoder(encoder_id)
    draw = disturbed.partition("-")[2]
    policy = f"dither16.{int(draw) + 1}" if disturbed.startswith("dither") else "native"
    for task in tasks:
        if task in LARGE and draw.isdigit() and int(draw) >= DRAWS_LARGE:
            continue
        missing = [p for p in ENCODERS[encoder_id] if not file_of(folder, task, encoder_id, p, disturbed).exists()]
        if not missing:
            continue
        card, prepared = registry.task_card(task), prepare(load_task(task), "exclude")
        store = FeatureStore(encoder, prepared, policy, folder / f"features {disturbed}")
        pairs = [resolve_layer_pooling(encoder.card, pooling, None, "clip") for pooling in missing]
        store.encode(pairs, engine=Engine(workers=1))
        of_plain, of_others = (FOLD_SEEDS_LARGE, 1) if task in LARGE else (FOLD_SEEDS, USUAL_SEEDS)
        seeds = of_plain if disturbed == "plain" else of_others
        for pooling, pair in zip(missing, pairs, strict=True):
            rows = Rows.of_task(store.gather(pair), prepared, card)
            made = solved(rows, len(card.classes), card.main_metric, Roles.of(card), range(seeds))
            path = file_of(folder, task, encoder_id, pooling, disturbed)
            made.save(path.with_suffix(".part.npz"))
            path.with_suffix(".part.npz").rename(path)
            print(path.stem, flush=True)


def in_process(folder: Path, tasks: list[str], encoder: str, disturbed: str) -> None:
    """``solve`` in a process of its own, which takes a code path from its environment."""
    environment = dict(os.environ, OMP_NUM_THREADS="1")
    if disturbed in PATHS:
        environment["ATEN_CPU_CAPABILITY"] = disturbed.partition("-")[2]
    command = [sys.executable, __file__, str(folder), "--tasks", *tasks, "--one", encoder, disturbed]
    subprocess.run(command, check=True, env=environment)


def main() -> int:
    """Solves what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", default=[""], help="parts of the names to solve")
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS)
    parser.add_argument("--one", nargs=2, metavar=("ENCODER", "DISTURBED"))
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if arguments.one:
        solve(arguments.folder, *arguments.one, tuple(arguments.tasks))
        return 0
    jobs = [(e, d) for d in DISTURBED for e in ENCODERS if any(only in f"{e} {d}" for only in arguments.only)]
    Parallel(n_jobs=2, prefer="threads")(delayed(in_process)(arguments.folder, arguments.tasks, *job) for job in jobs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
