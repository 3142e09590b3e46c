"""Many tasks times many encoders into a results folder; what is there already is not done again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from bench.base.parallel.engine import LOCAL, Engine
from bench.base.progress import Progress, silent
from bench.encoders.load import on_devices
from bench.probe.controls import names
from bench.runs.choices import EncoderChoice, Outcome
from bench.runs.sweep.execute import RecordMaker, make_controls
from bench.runs.sweep.grid import SweepGrid
from bench.runs.sweep.plan import Step, features_needed, plan, steps
from bench.runs.sweep.run import sweep
from bench.runs.sweep.whole import Whole
from bench.scores import records
from bench.scores.schema import Record


def run_suite(
    tasks: Sequence[str],
    encoders: Sequence[EncoderChoice],
    out: Path,
    *,
    optional: Collection[str] = (),
    root: Path | None = None,
    protocol_names: Sequence[str] = ("linear",),
    seeds: Sequence[int] | None = None,
    device: str = "cpu",
    precision: str = "float32",
    clip: str = "native",
    on_bad_clip: str = "error",
    skip_absent: bool = False,
    controls: bool = True,
    engine: Engine = LOCAL,
    estimate_only: bool = False,
    progress: Progress = silent,
    say: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Runs every task with every encoder in this process, and the control rows.

    It is a sweep without processes of its own and without an estimate: the jobs of one encoder on one task are done
    before the next is looked at, so one encoder is held at a time. Label-only controls are always computed.

    Parameters
    ----------
    tasks, encoders
        To be combined, all with all. An encoder that is asked for twice is run once.
    out
        The results folder.
    optional
        Tasks that are left out, with the reason, where their data cannot be used, as the members of a suite are.
    root
        The data folder; by default ``$RESPBENCH_DATA`` or ``./data``.
    protocol_names
        Names of protocols.
    seeds
        By default each protocol's own.
    device
        One, or several between commas (``cuda:all``), which all encode; probes are solved by the first.
    skip_absent
        Lists encoders without weights instead of refusing them.
    controls
        Adds the clip's duration and every encoder's untrained twin, where they give what a protocol reads.
    engine
        Where clips are encoded; no number depends on it.
    estimate_only
        Says what is to be done, how long it will take and how much memory, and stops.
    say
        Called with each line that a user should see.

    Raises
    ------
    UnknownId, MissingWeights, BadInput
        As ``bench.runs.sweep.plan.plan``, before anything is computed.

    Notes
    -----
    Ctrl-C ends the run between or within records; what is finished stays, and the outcome is ``interrupted``.
    """
    first, engine = on_devices(device, engine)
    grid = SweepGrid(
        tasks=tuple(tasks),
        encoders=tuple(encoders),
        optional=frozenset(optional),
        protocols=tuple(dict.fromkeys(protocol_names)),
        seeds=None if seeds is None else tuple(dict.fromkeys(seeds)),
        clip=clip,
        device=first,
        precision=precision,
        on_bad_clip=on_bad_clip,
        skip_absent=skip_absent,
        controls=controls,
    )
    if estimate_only:
        estimated = sweep(grid, out, root=root, engine=engine, estimate_only=True, progress=progress, say=say)
        return Outcome(kept=estimated.kept)
    planned = plan(grid, out, root, progress, say)
    outcome = planned.outcome
    whole = Whole(planned.expected() + sum(len(names(card)) for card, _ in planned.data))
    try:
        make_controls(planned.data, out, planned.stored, outcome, lambda record: say(whole.line(record)))
        whole.there(outcome.kept)
        for step in steps(planned, say):
            whole.there(outcome.kept[whole.kept :])
            for record in _made(step, out, progress, engine):
                outcome.made.append(records.path(out, record.spec["task"], record.key))
                say(whole.line(record))
    except KeyboardInterrupt:
        outcome.interrupted = True
    return outcome


def _made(step: Step, out: Path, progress: Progress, engine: Engine) -> Iterator[Record]:
    """The records of a step's jobs, as they are written."""
    if not step.jobs:
        return
    step.store.encode(features_needed(step.jobs), progress, engine)
    maker = RecordMaker(out, progress=progress)
    for job in step.jobs:
        yield maker.make(job)
