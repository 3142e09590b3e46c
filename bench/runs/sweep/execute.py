"""Jobs to records: in units that share features and factorisations, on as many processes as there are cores."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import joblib
import numpy as np

from bench.base.errors import RespBenchError
from bench.base.provenance import peak_memory_mb
from bench.encoders.probe_inputs import probe_input
from bench.probe import protocols
from bench.probe.linear.design import Designs
from bench.runs import evaluate
from bench.runs.sweep.cost import Need, Rates, cores, need
from bench.runs.sweep.plan import Job
from bench.scores import records

MAX_BYTES = 300_000_000  # of factorisations that one process keeps
_SHARE = 2  # a unit that would keep a process busy for longer than a share of 1/2 is split by seed


@dataclass(frozen=True, eq=False)
class Unit:
    """Jobs on the same encoder, layer, pooling and training rows, those that share folds next to each other, and among
    these those of one protocol, whose candidates are the same."""

    jobs: tuple[Job, ...]
    need: Need


@dataclass
class Finished:
    """What became of a unit: paths of the records made, {job: what went wrong}, seconds in all and in probes,
    factorisations made, paths solved, and the process's peak memory in MB."""

    made: list[Path] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    probe_s: float = 0.0
    factorised: int = 0
    solved: int = 0
    process: int = 0
    memory_mb: float = 0.0


def units(jobs: Sequence[Job], rates: Rates, workers: int) -> list[Unit]:
    """The jobs in units, the costliest first. A unit that would leave other processes idle is split by seed, which
    costs one factorisation of all training rows for each part."""
    grouped: dict[tuple, list[Job]] = {}
    for job in jobs:
        grouped.setdefault((str(job.source.store.folder), job.want, job.source.rows), []).append(job)
    made = [_unit(own, rates) for own in grouped.values()]
    total = sum(unit.need.seconds for unit in made)
    out = []
    for unit in made:
        seeds = sorted({job.spec["seed"] for job in unit.jobs})
        if workers > 1 and unit.need.seconds > total / (_SHARE * workers) and len(seeds) > 1:
            out += [_unit([job for job in unit.jobs if job.spec["seed"] == seed], rates) for seed in seeds]
        else:
            out.append(unit)
    return sorted(out, key=lambda unit: -unit.need.seconds)


def _unit(jobs: Sequence[Job], rates: Rates) -> Unit:
    ordered = sorted(
        jobs, key=lambda job: (job.spec["seed"], job.source.labels, job.spec["protocol"], job.spec["task"])
    )
    return Unit(tuple(ordered), need(ordered, rates, MAX_BYTES))


def execute(todo: Sequence[Unit], out: Path, workers: int) -> Iterator[tuple[Unit, Finished]]:
    """Every unit and what became of it, as they finish. Records are written by the process that makes them, so an
    interruption leaves what is finished. Their bytes do not depend on ``workers``."""
    workers = max(1, min(workers, len(todo)))
    threads = max(1, cores() // workers)
    if workers == 1:
        for unit in todo:
            yield unit, finished(unit, out, threads)
        return
    with joblib.parallel_config("loky", inner_max_num_threads=threads):
        pool = joblib.Parallel(n_jobs=workers, batch_size=1, return_as="generator_unordered", max_nbytes=None)
        numbered = (joblib.delayed(_numbered)(i, unit, out, threads) for i, unit in enumerate(todo))
        for i, done in pool(numbered):
            yield todo[i], done


def _numbered(i: int, unit: Unit, out: Path, threads: int) -> tuple[int, Finished]:
    return i, finished(unit, out, threads)


def finished(unit: Unit, out: Path, threads: int) -> Finished:
    """Makes and writes the unit's records; what goes wrong with one of them does not stop the others."""
    began, done = time.monotonic(), Finished(process=os.getpid())
    designs = Designs(max_bytes=MAX_BYTES if len(unit.jobs) > 1 else 0, threads=threads)
    features_of = _features()
    for job in unit.jobs:
        try:
            source = job.source
            record = evaluate.record_from_features(
                features_of(job),
                job.spec,
                source.encoder,
                source.card,
                source.prepared,
                device=source.device,
                designs=designs,
            )
            done.made.append(records.write(record, out))
            done.probe_s += record.run["probe_s"]
        except RespBenchError as error:
            done.failed[job.name] = str(error)
        except Exception as error:
            done.failed[job.name] = f"{type(error).__name__}: {error}"
    done.seconds, done.memory_mb = time.monotonic() - began, peak_memory_mb()
    done.factorised, done.solved = designs.made, designs.solved
    return done


def _features() -> Callable[[Job], np.ndarray]:
    """A function that reads a job's features, and reads none twice for tasks on the same clips."""
    known: list[tuple[tuple, np.ndarray]] = []

    def features_of(job: Job) -> np.ndarray:
        named = protocols.get(job.spec["protocol"])
        wanted = job.source.store.units, named.reads
        for same, values in known:
            if same == wanted:
                return values
        known[:] = [(wanted, probe_input(job.source.store, job.source.encoder, job.want, named))]
        return known[0][1]

    return features_of
