"""Jobs to records: in units that share features and factorisations, on as many processes as there are cores."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from bench.base.errors import RespBenchError
from bench.base.parallel.engine import Engine
from bench.base.parallel.threads import cores
from bench.base.progress import Progress, silent
from bench.base.provenance import peak_memory_mb
from bench.data.manifest import Prepared
from bench.encoders.probe_inputs import probe_input
from bench.probe import controls, protocols
from bench.probe.linear.design import Designs, solving_device
from bench.runs import evaluate
from bench.runs.choices import Outcome
from bench.runs.spec import control_spec
from bench.runs.sweep.cost import WORKER_MB, Need, Rates, need
from bench.runs.sweep.plan import Job
from bench.scores import metrics, per_test, records
from bench.scores.printed import amount
from bench.scores.schema import Record, Spec
from bench.types import TaskCard

MAX_BYTES = 300_000_000  # of factorisations that one process keeps
_SHARE = 2  # a unit that would keep a process busy for longer than a share of 1/2 is split by seed


@dataclass(frozen=True, eq=False)
class Unit:
    """Jobs on the same encoder, layer, pooling and training rows.

    Those that share folds are next to each other, and among these those of one protocol, whose candidates are the same.
    """

    jobs: tuple[Job, ...]
    need: Need


@dataclass
class Finished:
    """What became of a unit.

    Attributes
    ----------
    made
        Paths of the records made.
    failed
        {job: what went wrong}.
    seconds, probe_s
        In all, and in probes.
    factorised, solved
        Factorisations made, and paths solved.
    process, memory_mb
        The process that did it, and its peak memory.
    """

    made: list[Path] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    probe_s: float = 0.0
    factorised: int = 0
    solved: int = 0
    process: int = 0
    memory_mb: float = 0.0


def units(jobs: Sequence[Job], rates: Rates, workers: int) -> list[Unit]:
    """The jobs in units, the costliest first.

    A unit that would leave other processes idle is split by seed, which costs one factorisation of all training rows
    for each part.
    """
    grouped: dict[tuple, list[Job]] = {}
    for job in jobs:
        grouped.setdefault((str(job.source.store.folder), job.layer_pooling, job.source.rows), []).append(job)
    whole = [_unit(own, rates) for own in grouped.values()]
    total = sum(unit.need.seconds for unit in whole)
    out = []
    for unit in whole:
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


def execute(todo: Sequence[Unit], out: Path, engine: Engine) -> Iterator[tuple[Unit, Finished]]:
    """Every unit and what became of it, as they finish.

    Records are written by the process that makes them, so an interruption leaves what is finished. Their bytes do not
    depend on the engine.
    """
    workers = max(1, min(engine.at_once, len(todo)))
    threads = max(1, cores() // workers)
    if workers == 1 and not engine.elsewhere:
        for unit in todo:
            yield unit, finished(unit, out, threads)
        return
    if engine.max_mb:
        engine = engine.within(WORKER_MB + max(unit.need.memory_mb for unit in todo))
    # a unit may take hours, the first ones longest
    yield from replace(engine, hung_s=None).run(partial(finished, out=out, threads=threads), todo, tried=0)


def finished(unit: Unit, out: Path, threads: int) -> Finished:
    """Makes and writes the unit's records; what goes wrong with one of them does not stop the others."""
    began, done = time.monotonic(), Finished(process=os.getpid())
    device = solving_device(unit.jobs[0].source.device)
    designs = Designs(device, MAX_BYTES if len(unit.jobs) > 1 else 0, threads)
    maker = RecordMaker(out, designs)
    for job in unit.jobs:
        try:
            record = maker.make(job)
            done.made.append(records.path(out, record.spec["task"], record.key))
            done.probe_s += record.run["probe_s"]
        except RespBenchError as error:
            done.failed[job.name] = str(error)
        except Exception as error:
            done.failed[job.name] = f"{type(error).__name__}: {error}"
    done.seconds, done.memory_mb = time.monotonic() - began, peak_memory_mb()
    done.factorised, done.solved = designs.made, designs.solved
    return done


class RecordMaker:
    """Makes and writes records, one after another, of jobs whose features are stored.

    Parameters
    ----------
    out
        The results folder.
    designs
        Shares factorisations between the jobs.
    progress
        Where each probe's folds are counted.
    """

    def __init__(self, out: Path, designs: Designs | None = None, progress: Progress = silent):
        self.out, self.designs, self.progress = out, designs, progress
        self._input: tuple[object, np.ndarray] | None = None  # (what it is of, features) of the job before

    def make(self, job: Job) -> Record:
        """The job's record, written to the results folder."""
        source = job.source
        record = evaluate.record_from_features(
            self._features(job),
            job.spec,
            source.encoder,
            source.card,
            source.prepared,
            device=source.device,
            designs=self.designs,
            drift=source.store.drift,
            progress=self.progress,
        )
        records.write(record, self.out)
        return record

    def _features(self, job: Job) -> np.ndarray:
        """The job's features; none are read twice in a row, by tasks on the same clips either."""
        source = job.source
        identity = str(source.store.folder), source.store.units, job.layer_pooling, job.reads
        if self._input is None or self._input[0] != identity:
            self._input = None  # the features before go first
            protocol = protocols.get(job.spec["protocol"])
            self._input = identity, probe_input(source.store, source.encoder, job.layer_pooling, protocol)
        return self._input[1]


def make_controls(
    data: Sequence[tuple[TaskCard, Prepared]],
    out: Path,
    stored: Mapping[str, Spec],
    outcome: Outcome,
    made: Callable[[Record], None] = lambda record: None,
) -> None:
    """Computes the missing label-only control records.

    Parameters
    ----------
    data
        The card and the clips of every task.
    out
        The results folder.
    stored
        What is whole there (``bench.scores.records.stored_specs``).
    outcome
        Where records made and kept are noted.
    made
        Called with each record made.
    """
    for card, prepared in data:
        for name in controls.names(card):
            key = records.key(control_spec(name, card, prepared, 0))
            if key in stored:
                outcome.kept.append(records.path(out, card.id, key))
                continue
            record = evaluate.control_record(name, card, prepared)
            outcome.made.append(records.write(record, out))
            made(record)


def result_line(record: Record) -> str:
    """A record's headline score in a line."""
    spec, task = record.spec, record.data["task"]
    test, metric = per_test.headline(task), task["main_metric"]
    score = amount(record.scores[test][metric], metrics.get(metric).unit)
    return f"{spec['task']}  {spec['encoder']}  {spec['pooling']}  {spec['protocol']}: {metric} {score} on {test}"
