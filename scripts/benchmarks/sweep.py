"""A sweep of 1,000 jobs from cached features, at ICBHI size: python scripts/benchmarks/sweep.py [--encoders 2 ...]

10 encoders × 10 tasks × 2 poolings × 5 seeds on 4,142 training and 2,756 test clips, 768 features for `mean` and 1,536
for `freq`, 4 classes. Features are simulated and put into a feature store; tasks are five labellings of the same clips,
each with two main metrics, so that every second task has rows, labels and folds in common with another: both choose
from one path, which is solved once. Fewer encoders, tasks or seeds run an even part of it.

Printed are the total, the share of it that is not solving (reading features, metrics and intervals, writing records,
planning, waiting), memory, factorisations against (job, fold) cells, and the total against the sum of single fits: the
time of `LogisticPathCV.fit` by itself on the same arrays, times the number of jobs. Exit status 1 where more than 10 %
is not solving, more than 4 GB is needed, or the total exceeds 1.2 times the sum.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from bench.base.parallel.engine import Engine
from bench.base.parallel.threads import cores
from bench.base.provenance import peak_memory_mb
from bench.data.manifest import Prepared
from bench.data.recordings import Recording
from bench.encoders.features.store import FeatureStore
from bench.probe import LogisticPathCV
from bench.runs.choices import EncoderChoice
from bench.runs.sweep.cost import Rates, together
from bench.runs.sweep.execute import execute, units
from bench.runs.sweep.grid import SweepGrid
from bench.runs.sweep.plan import Job, Source, jobs_of
from bench.scores.metrics import Roles
from bench.types import EncoderCard, TaskCard

TRAIN, TEST, PATIENTS, TESTED, SHARES = 4142, 2756, 79, 49, (0.53, 0.27, 0.13, 0.07)
WIDTHS = {"mean": 768, "freq": 1536}
METRICS = ("icbhi.Score", "uar")
ENCODERS, TASKS, SEEDS = 10, 10, 5
LIMITS = {"not solving": 0.10, "memory": 4000.0, "ratio": 1.2}


def manifest() -> pd.DataFrame:
    """The clips of all tasks, without labels: 20 s recordings of up to eight cycles."""
    rng = np.random.default_rng(0)
    n, rows = TRAIN + TEST, []
    for i in range(n):
        test = i >= TRAIN
        first, count = (PATIENTS, TESTED) if test else (0, PATIENTS)
        rows.append(
            (f"{i:05d}", f"{i // 8:04d}.wav", 2.5 * (i % 8), "test" if test else "train", first + i // 8 % count)
        )
    table = pd.DataFrame(rows, columns=["clip_id", "path", "start_s", "split", "patient"])
    return table.assign(
        end_s=table["start_s"] + rng.uniform(1.0, 2.5, n).round(3),
        group=table["patient"].astype(str),
        domain=np.where(table["patient"] % 2, "one", "another"),
    )


def task(i: int, rows: pd.DataFrame) -> tuple[TaskCard, Prepared]:
    """Task i: labelling i // 2, main metric i % 2."""
    rng = np.random.default_rng(100 + i // len(METRICS))
    labels = rng.choice(len(SHARES), len(rows), p=SHARES)
    card = TaskCard(
        id=f"simulated.task{i}",
        version=1,
        classes=("normal", "crackle", "wheeze", "both"),
        adventitious=(1, 2, 3),
        main_metric=METRICS[i % len(METRICS)],
        metrics=("icbhi.Score", "icbhi.Sp", "icbhi.Se", "uar", "macro_f1", "auroc"),
        tests={"test": ("test",)},
        url="",
        licence="none",
        citation="none",
    )
    recordings = {path: Recording(path, 4000, 1, 80000) for path in rows["path"].unique()}
    own = rows.assign(label=labels, available=True)
    counts = {"recordings": 0, "patients": 0, "clips": 0}
    statistics = {name: counts | {"clips": int((rows["split"] == name).sum())} for name in ("train", "test")}
    return card, Prepared(own, (), f"labelling {i // 2}", statistics, recordings, False, "simulated", Path())


class Encoder(torch.nn.Module):
    """An encoder that is never asked: its features are there."""

    def __init__(self, i: int):
        super().__init__()
        dims = dict(WIDTHS)
        self.card = EncoderCard(
            id=f"simulated.encoder{i}", version=1, sample_rate=4000, dims=dims, frontend="", citation="", licence=""
        )
        self.weights_digest = f"simulated {i}"


def features(d: int, seed: int, rows: pd.DataFrame, labels: list[np.ndarray]) -> np.ndarray:
    """(N, d) float32: latent factors of decaying strength, patient effects, a signal of every labelling."""
    rng = np.random.default_rng(seed)
    n, factors = len(rows), min(d, 512)
    latent = rng.normal(size=(n, factors))
    latent += 0.6 * rng.normal(size=(PATIENTS + TESTED, factors))[rows["patient"]]
    for y in labels:
        latent += 0.5 * rng.normal(size=(len(SHARES), factors))[y] * (rng.random(factors) < 0.1)
    x = (latent * np.arange(1, factors + 1) ** -0.8) @ rng.normal(size=(factors, d))
    return (x + 0.15 * rng.normal(size=x.shape)).astype(np.float32)


def stored(folder: Path, encoders: int, data: list[tuple[TaskCard, Prepared]], grid: SweepGrid) -> list[Job]:
    """The jobs of the grid, their features in a store."""
    rows = data[0][1].rows
    labels = [prepared.rows["label"].to_numpy() for _, prepared in data[:: len(METRICS)]]
    jobs = []
    for i in range(encoders):
        encoder = Encoder(i)
        wants = [(-1, pooling) for pooling in WIDTHS]
        asked = dict.fromkeys(grid.protocols, wants)
        for position, (card, prepared) in enumerate(data):
            store = FeatureStore(encoder, prepared, "native", folder)
            if not position:
                for want in wants:
                    values = features(WIDTHS[want[1]], 10 * i + len(want[1]), rows, labels)
                    chosen = list(store.units)
                    store.save(want, chosen, np.concatenate([values[list(unit.rows)] for unit in chosen]))
            source = Source.of(encoder, store, card, prepared)
            jobs += [job for _, job in jobs_of(grid, encoder, source, asked)]
    return jobs


def single(jobs: list[Job]) -> dict[str, float]:
    """{pooling: seconds of one fit by itself}, threads as they come."""
    out = {}
    for job in jobs:
        if job.spec["pooling"] not in out:
            prepared, card = job.source.prepared, job.source.card
            train = (prepared.rows["split"] == "train").to_numpy()
            x, y = job.source.store.gather(job.layer_pooling)[train], prepared.rows["label"].to_numpy()[train]
            groups = prepared.rows["group"].to_numpy()[train]
            began = time.perf_counter()
            LogisticPathCV(metric=card.main_metric, roles=Roles.of(card)).fit(x, y, groups)
            out[job.spec["pooling"]] = time.perf_counter() - began
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in (("encoders", ENCODERS), ("tasks", TASKS), ("seeds", SEEDS), ("workers", cores())):
        parser.add_argument(f"--{name}", type=int, default=usual, metavar="N", help=f"default {usual}")
    asked = parser.parse_args()
    rows = manifest()
    data = [task(i, rows) for i in range(asked.tasks)]
    grid = SweepGrid(tasks=(), encoders=(EncoderChoice("simulated"),), seeds=tuple(range(asked.seeds)))
    with tempfile.TemporaryDirectory() as folder:
        jobs = stored(Path(folder) / "features", asked.encoders, data, grid)
        whole = ENCODERS * TASKS * SEEDS * len(WIDTHS)
        print(f"{len(jobs)} of {whole} jobs, {asked.workers} processes of {cores()} cores", flush=True)
        began = time.perf_counter()
        rates = Rates.measured()
        todo = units(jobs, rates, asked.workers)
        predicted, memory = together([unit.need for unit in todo], min(asked.workers, len(todo)), rates)
        print(f"estimated {predicted:.0f} s and {memory:.0f} MB in {len(todo)} units", flush=True)
        done = []
        for unit, result in execute(todo, Path(folder) / "out", Engine(workers=asked.workers)):
            done.append(result)
            print(f"  {len(unit.jobs)} jobs: {result.seconds:.0f} s (estimated {unit.need.seconds:.0f} s)", flush=True)
        total, own = time.perf_counter() - began, peak_memory_mb()
        alone = single(jobs)
    print("single fits: " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in alone.items()))
    return judged(jobs, alone, done, total, asked.workers, own)


def judged(jobs: list[Job], alone: dict[str, float], done: list, total: float, workers: int, own_mb: float) -> int:
    failed = {name: why for each in done for name, why in each.failed.items()}
    probe_s, busy_s = sum(each.probe_s for each in done), sum(each.seconds for each in done)
    by_process: dict[int, float] = {}
    for each in (each for each in done if each.process != os.getpid()):
        by_process[each.process] = max(by_process.get(each.process, 0.0), each.memory_mb)
    expected = sum(alone[job.spec["pooling"]] for job in jobs)
    found = {
        "not solving": 1 - probe_s / (total * min(workers, len(done))),
        "memory": own_mb + sum(by_process.values()),
        "ratio": total / expected,
    }
    cells = len(jobs) * 6
    print(f"total {total:.0f} s; processes were at work for {busy_s:.0f} s, in probes for {probe_s:.0f} s")
    print(f"not solving: {100 * found['not solving']:.1f} % of the processes' time (limit 10 %); of the time at work")
    print(f"             {100 * (1 - probe_s / busy_s):.1f} %, the rest is planning, starting and waiting at the end")
    parts = ", ".join(f"{mb:.0f}" for mb in [own_mb, *by_process.values()])
    print(f"memory: {found['memory']:.0f} MB of all processes together ({parts}; limit 4,000 MB)")
    print(f"factorisations: {sum(each.factorised for each in done)} for {cells} cells (jobs × (folds + refit))")
    print(f"paths solved: {sum(each.solved for each in done)}")
    print(f"total over sum of single fits: {found['ratio']:.2f} (limit 1.2)")
    for name, why in failed.items():
        print(f"failed: {name}: {why}")
    missed = [name for name, limit in LIMITS.items() if found[name] > limit]
    if missed:
        print(f"missed: {', '.join(missed)}")
    return 1 if missed or failed else 0


if __name__ == "__main__":
    sys.exit(main())
