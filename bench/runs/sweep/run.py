"""A sweep from its grid to its records."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.base.errors import RespBenchError
from bench.base.parallel.engine import LOCAL, Engine
from bench.base.progress import Progress, silent
from bench.base.provenance import peak_memory_mb
from bench.encoders.features.store import FeatureStore
from bench.encoders.load import on_devices
from bench.runs.context import SweepNotes
from bench.runs.sweep import cost, oracle
from bench.runs.sweep.execute import Finished, Unit, execute, make_controls, result_line, units
from bench.runs.sweep.grid import SweepGrid
from bench.runs.sweep.plan import Encoding, Plan, Source, Workload, plan, workload
from bench.runs.sweep.whole import Whole, time_told
from bench.scores import records


@dataclass
class SweepResult:
    """What a sweep did or, with ``estimate_only``, would do.

    Attributes
    ----------
    made, kept
        Records that were computed now, and that were there already.
    failed
        {job: what went wrong}.
    todo, unknown
        Number of jobs to do, and of those whose protocol has no cost model.
    workers
        Number of processes.
    clips, encode_s
        Clips to encode, and the seconds that will take.
    predicted_s, predicted_mb, took_s, memory_mb
        Time and memory, predicted and taken.
    probe_s, busy_s
        Seconds in probes, and at work, of all processes together.
    factorised
        Factorisations made.
    interrupted
        Whether it was stopped by Ctrl-C before its end.
    """

    made: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    todo: int = 0
    unknown: int = 0
    workers: int = 1
    clips: int = 0
    encode_s: float = 0.0
    predicted_s: float = 0.0
    predicted_mb: float = 0.0
    took_s: float = 0.0
    memory_mb: float = 0.0
    probe_s: float = 0.0
    busy_s: float = 0.0
    factorised: int = 0
    interrupted: bool = False


def sweep(
    grid: SweepGrid,
    out: Path,
    *,
    root: Path | None = None,
    engine: Engine = LOCAL,
    estimate_only: bool = False,
    with_oracle: bool = False,
    title: str | None = None,
    notes: Sequence[str] = (),
    command: str = "",
    rates: cost.Rates | None = None,
    progress: Progress = silent,
    say: Callable[[str], None] = lambda line: None,
) -> SweepResult:
    """Computes the missing records of the grid in ``out``; no page is written.

    Parameters
    ----------
    grid, out, root
        What is asked for, the results folder, and the data folder.
    engine
        Where clips are encoded and probes fitted; with its ``workers`` left open, as many as there is enough to do for.
    estimate_only
        Stops once it has said what is to be done.
    with_oracle
        Adds the scores that choosing on test would give, beside the records.
    title, notes, command
        For the report.
    rates
        What this machine does in a second; measured if not given.
    say
        Called with each line that a user should see.

    Returns
    -------
    SweepResult
        What goes wrong with one job is in ``failed`` and stops no other.

    Raises
    ------
    UnknownId, MissingWeights, BadInput
        As ``bench.runs.sweep.plan.plan``; ``BadInput`` where workers die again and again.
    """
    if not engine.devices:
        device, engine = on_devices(grid.device, engine)
        grid = replace(grid, device=device)
    planned = plan(grid, out, root, progress, say)
    work = workload(planned, say, all_features=with_oracle)
    result = SweepResult(kept=list(planned.outcome.kept), todo=len(work.jobs), workers=engine.at_once)
    todo = _predicted(work, grid, engine, result, rates)
    say(summary(result))
    if estimate_only:
        return result
    began = time.monotonic()
    if grid.controls:
        make_controls(planned.data, out, planned.stored, planned.outcome, lambda record: say(result_line(record)))
        result.made += planned.outcome.made
    try:
        refused = _encoded(work.encodings, grid, progress, engine)
        for unit in todo:
            result.failed |= {job.name: refused[job.source] for job in unit.jobs if job.source in refused}
        _run(_with_features(todo, refused), out, replace(engine, workers=result.workers), result, progress, say)
    except KeyboardInterrupt:
        result.interrupted = True
    result.took_s = time.monotonic() - began
    if result.todo and not result.interrupted:
        say(
            f"estimated {time_told(result.predicted_s)}, took {time_told(result.took_s)}; "
            f"estimated {result.predicted_mb:.0f} MB, needed {result.memory_mb:.0f} MB"
        )
    run_notes = SweepNotes.read(out)
    run_notes.keys = sorted({*run_notes.keys, *planned.requested})
    run_notes.absent |= planned.outcome.absent
    run_notes.absent_tasks |= planned.outcome.absent_tasks
    run_notes.add(command, title, notes)
    run_notes.write(out)
    if with_oracle and not result.interrupted:
        _oracle(planned, progress)
    return result


def _oracle(planned: Plan, progress: Progress) -> None:
    """Writes the oracle scores of every record of the sweep that is there."""
    out, requested = planned.out, planned.requested
    done = [job for key, job in requested.items() if records.path(out, job.spec["task"], key).exists()]
    oracle.write(done, out, progress)


def summary(result: SweepResult) -> str:
    """What is to be done, in a line."""
    line = f"{result.todo} jobs to do, {len(result.kept)} done"
    if not result.todo:
        return line
    encode = f", {time_told(result.encode_s)} of it for encoding {result.clips} clips" if result.clips else ""
    line += f"; about {time_told(result.predicted_s)}{encode} and {result.predicted_mb / 1000:.1f} GB"
    line += f" with {result.workers} process" + ("es" if result.workers > 1 else "")
    return line + (f"; {result.unknown} jobs of protocols without a cost model not counted" if result.unknown else "")


def _predicted(
    work: Workload, grid: SweepGrid, engine: Engine, result: SweepResult, rates: cost.Rates | None
) -> list[Unit]:
    """The units to do, for the number of workers asked for or the quickest; ``result`` gets what they need."""
    if not work.jobs:
        return []
    rates = rates or cost.Rates.measured()
    # processes take seconds to start: where nobody asked for them, they must be worth it
    asked = engine.workers or engine.backend != "loky"
    options = [result.workers] if asked else sorted({1, result.workers})
    planned = []
    for workers in options:
        parts = units(work.jobs, rates, workers)
        used = min(workers, len(parts))
        planned.append((*cost.together([unit.need for unit in parts], used, rates), used, parts))
    solve_s, result.predicted_mb, result.workers, todo = min(planned, key=lambda option: option[0])
    result.unknown = sum(not job.spec["protocol"].startswith(cost.MODELLED) for job in work.jobs)
    result.clips = sum(each.clips for each in work.encodings)
    at_once = len(engine.devices) or (engine.at_once if grid.device == "cpu" else 1)
    result.encode_s = sum(_encoding_s(each, grid) for each in work.encodings) / at_once
    result.predicted_s = solve_s + result.encode_s
    return todo


def _encoding_s(each: Encoding, grid: SweepGrid) -> float:
    """Seconds that an encoding will take one worker, from a few of its clips."""
    encoder = each.choice.load(grid.device, grid.precision)
    store = FeatureStore(encoder, each.source.prepared, grid.clip)
    tried, seconds = store.measure_speed(each.features)
    return each.seconds * seconds / tried if tried else 0.0


def _encoded(encodings: Sequence[Encoding], grid: SweepGrid, progress: Progress, engine: Engine) -> dict[Source, str]:
    """Fills the stores, one forward pass for all layers and poolings of an encoder on a task's clips.

    Returns {source: why it has no features}.
    """
    refused: dict[Source, str] = {}
    for each in encodings:
        try:
            encoder = each.choice.load(grid.device, grid.precision)
            FeatureStore(encoder, each.source.prepared, grid.clip).encode(each.features, progress, engine)
        except RespBenchError as error:
            refused[each.source] = str(error)
    return refused


def _with_features(todo: Sequence[Unit], refused: dict[Source, str]) -> list[Unit]:
    """The units without the jobs that have no features."""
    parts = [(unit, tuple(job for job in unit.jobs if job.source not in refused)) for unit in todo]
    return [Unit(jobs, unit.need) for unit, jobs in parts if jobs]


def _run(
    todo: Sequence[Unit],
    out: Path,
    engine: Engine,
    result: SweepResult,
    progress: Progress,
    say: Callable[[str], None],
) -> None:
    others: dict[int, float] = {}
    whole = Whole(len(result.kept) + result.todo, result.kept)
    with progress("sweep", sum(len(unit.jobs) for unit in todo)) as tick:
        for unit, done in execute(todo, out, engine):
            _add(result, done)
            others[done.process] = max(others.get(done.process, 0.0), done.memory_mb)
            for path in done.made:
                say(whole.line(records.read(path)))
            for name, why in done.failed.items():
                say(f"failed: {name}: {why}")
            tick(len(unit.jobs))
    result.memory_mb = peak_memory_mb() + sum(mb for process, mb in others.items() if process != os.getpid())


def _add(result: SweepResult, done: Finished) -> None:
    result.made += done.made
    result.failed |= done.failed
    result.probe_s += done.probe_s
    result.busy_s += done.seconds
    result.factorised += done.factorised
