"""The verbs that make records: ``encode`` (features alone), ``run`` and ``sweep``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.base import registry
from bench.base.errors import NothingAsked
from bench.cli import options
from bench.cli.options import Verb, agree, command_line, print_json, say, show
from bench.cli.reports import leaderboard

if TYPE_CHECKING:
    from bench.runs.choices import EncoderChoice

EPILOG = """examples:
  respbench sweep --suite quick --encoder efficientat.mn04:mean,freq --layers all --seeds 0 1 2 --out runs/sweep
  respbench sweep scripts/recipes/sweep.toml --estimate

What a flag says goes before what the file says. Records that are there are not made again, so an interrupted
sweep goes on where it was. The report is OUT/sweep/sweep.md; `leaderboard` and `verify` work on OUT too."""


def sweep_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``sweep`` takes beside the common options."""
    parser.formatter_class, parser.epilog = argparse.RawDescriptionHelpFormatter, EPILOG
    parser.add_argument("file", nargs="?", type=Path, metavar="GRID.toml", help="see scripts/recipes/sweep.toml")
    parser.add_argument("--suite", help="a named set of tasks (respbench ls suites); those without data are listed")
    parser.add_argument("--task", nargs="+", metavar="ID")
    parser.add_argument("--encoder", nargs="+", metavar="ID[:POOLING,…][=CHECKPOINT]")
    parser.add_argument("--layers", nargs="+", metavar="L", help="all, or numbers; default: the encoder's own")
    parser.add_argument("--protocol", nargs="+", metavar="NAME", help="default: linear (respbench ls protocols)")
    parser.add_argument("--seeds", type=int, nargs="+", metavar="N", help="default: the protocol's own")
    parser.add_argument("--out", type=Path, help="results folder (records, sweep/)")
    parser.add_argument("--estimate", action="store_true", help="say what is to be done, time and memory, and stop")
    parser.add_argument("--oracle", action="store_true", help="add what choosing on test would give, labelled as such")
    parser.add_argument("--title", help="title of the report")
    parser.add_argument("--note", action="append", help="a remark for the report (repeatable)")
    parser.add_argument("--skip-absent", action="store_true", help="list encoders whose weights are not at hand, go on")
    parser.add_argument("--no-controls", action="store_true", help="without floors, duration and untrained twins")
    options.root(parser)
    options.computing(parser)


def sweep(arguments: argparse.Namespace) -> int:
    """``sweep``: exit status 1 where a job failed."""
    from bench.base.progress import terminal
    from bench.publish.page import write_page
    from bench.reports.sweep.report import write_sweep_report
    from bench.runs.sweep.grid import SweepGrid
    from bench.runs.sweep.run import sweep as run_sweep

    settings = merged(arguments)
    grid = SweepGrid.of(settings, str(arguments.file or "sweep"))
    if not settings.get("out"):
        raise NothingAsked("give --out, the folder of the records")
    agree(grid.encoders, arguments)
    outcome = run_sweep(
        grid,
        Path(settings["out"]),
        root=arguments.root,
        engine=options.engine_of(arguments, settings.get("workers")),
        estimate_only=arguments.estimate,
        with_oracle=settings.get("oracle", False),
        title=settings.get("title"),
        notes=settings.get("notes", ()),
        command=command_line(),
        progress=terminal,
        say=say,
    )
    if arguments.estimate:
        return 0
    if outcome.interrupted and not outcome.made and not outcome.kept:
        return options.stopped(Path(settings["out"]))
    failed = f", {len(outcome.failed)} failed" if outcome.failed else ""
    say(f"{len(outcome.made)} records made, {len(outcome.kept)} were there already{failed}")
    show("\n".join(map(str, [*write_sweep_report(Path(settings["out"])), write_page(Path(settings["out"]))])))
    if outcome.interrupted:
        return options.stopped(Path(settings["out"]))
    return 1 if outcome.failed else 0


def merged(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings of the file, if there is one, with what the flags say in their place."""
    from bench.encoders.weights.code import revisions
    from bench.runs.choices import EncoderChoice
    from bench.runs.sweep.grid import layers_of, read

    settings = read(arguments.file) if arguments.file else {}
    given = {
        "suite": arguments.suite,
        "tasks": arguments.task,
        "protocols": arguments.protocol,
        "seeds": arguments.seeds,
        "layers": layers_of(arguments.layers) if arguments.layers else None,
        "out": str(arguments.out) if arguments.out else None,
        "workers": arguments.workers,
        "title": arguments.title,
        "notes": arguments.note,
        "oracle": arguments.oracle or None,
        "skip_absent": arguments.skip_absent or None,
        "controls": False if arguments.no_controls else None,
    }
    for name, usual in (("device", "cpu"), ("precision", "float32"), ("clip", "native"), ("on_bad_clip", "error")):
        value = getattr(arguments, name)
        given[name] = None if value == usual else value
    given["trust_remote_code"] = arguments.trust_remote_code or None
    if arguments.encoder:
        trusted = arguments.trust_remote_code or settings.get("trust_remote_code")
        parsed = [EncoderChoice.parse(text, (), revisions(trusted)) for text in arguments.encoder]
        given["encoder"] = [
            {"id": each.id, "poolings": list(each.poolings)} | ({"weights": each.weights} if each.weights else {})
            for each in parsed
        ]
    if arguments.suite or arguments.task:  # what is asked for on the command line takes the place of the file's tasks
        settings = {name: value for name, value in settings.items() if name not in ("suite", "tasks")}
    return settings | {name: value for name, value in given.items() if value is not None}


def encode_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``encode`` takes."""
    parser.add_argument("task")
    parser.add_argument("--encoder", required=True, metavar="ID[:POOLING,…][=CHECKPOINT]")
    parser.add_argument("--layers", type=int, nargs="+", default=(), metavar="L")
    parser.add_argument("--out", type=Path, help="also write features (.npy, one row per clip) and clips.csv here")
    for option in (options.root, options.computing, options.json_output):
        option(parser)


def encode_task(arguments: argparse.Namespace) -> int:
    """Runs ``encode``."""
    from bench.base.progress import terminal
    from bench.runs.encode import encode_task as encode

    (choice,) = options.chosen([arguments.encoder], arguments, arguments.layers)
    encoded = encode(
        arguments.task,
        choice,
        root=arguments.root,
        out=arguments.out,
        device=arguments.device,
        precision=arguments.precision,
        clip=arguments.clip,
        on_bad_clip=arguments.on_bad_clip,
        engine=options.engine_of(arguments),
        progress=terminal,
    )
    for line in encoded["warnings"]:
        say(f"{arguments.task}: warning: {line}")
    if arguments.json:
        print_json(encoded)
    else:
        memory = f"{encoded['peak_memory_mb']:.0f} MB at the peak"
        show(f"{encoded['clips']} clips, {encoded['encoded']} encoded now, {memory}")
        if arguments.device != "cpu" and encoded["encoded"]:
            share = encoded["device_waited_s"] / max(encoded["encode_s"], 1e-9)
            show(f"the device waited for recordings {100 * share:.0f} % of {encoded['encode_s']} s")
        if encoded["drift"] is not None:
            show(f"features differ by {encoded['drift']:.1e} of the largest from those in float32")
        for path in encoded["files"]:
            show(path)
    return 0


def run_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``run`` takes."""
    parser.add_argument("--suite", help="a named set of tasks (respbench ls suites); those without data are listed")
    parser.add_argument("--task", nargs="+", default=(), metavar="ID")
    parser.add_argument("--encoder", nargs="+", required=True, metavar="ID[:POOLING,…][=CHECKPOINT]")
    parser.add_argument("--layers", type=int, nargs="+", default=(), metavar="L", help="default: the encoder's own")
    parser.add_argument("--protocol", nargs="+", default=["linear"], metavar="NAME", help="respbench ls protocols")
    parser.add_argument("--seeds", type=int, nargs="+", metavar="N", help="default: the protocol's own")
    parser.add_argument("--out", type=Path, required=True, help="results folder (records, leaderboard)")
    parser.add_argument("--title", help="title of the leaderboard")
    parser.add_argument("--note", action="append", default=[], help="a remark for the leaderboard's notes (repeatable)")
    parser.add_argument(
        "--skip-absent", action="store_true", help="list encoders whose weights are not at hand and go on"
    )
    parser.add_argument("--no-controls", action="store_true", help="without duration and untrained twins")
    parser.add_argument("--estimate", action="store_true", help="say what is to be done, time and memory, and stop")
    for option in (options.root, options.computing, options.json_output):
        option(parser)


def run_suite(arguments: argparse.Namespace) -> int:
    """Runs ``run``."""
    from bench.base.progress import terminal
    from bench.publish.page import write_page
    from bench.runs import suite
    from bench.runs.choices import checkpoints_of
    from bench.runs.context import update_board_notes

    if not arguments.suite and not arguments.task:
        raise NothingAsked("give --suite or --task (respbench ls suites, respbench ls tasks)")
    suite_of = registry.suite(arguments.suite).tasks if arguments.suite else ()
    tasks = list(dict.fromkeys([*suite_of, *arguments.task]))
    encoders = options.chosen(arguments.encoder, arguments, arguments.layers)
    outcome = suite.run_suite(
        tasks,
        encoders,
        arguments.out,
        optional=set(suite_of) - set(arguments.task),
        root=arguments.root,
        protocol_names=arguments.protocol,
        seeds=arguments.seeds,
        device=arguments.device,
        precision=arguments.precision,
        clip=arguments.clip,
        on_bad_clip=arguments.on_bad_clip,
        skip_absent=arguments.skip_absent,
        controls=not arguments.no_controls,
        engine=options.engine_of(arguments),
        estimate_only=arguments.estimate,
        progress=terminal,
        say=say,
    )
    if arguments.estimate:
        return 0
    update_board_notes(
        arguments.out,
        command_line(),
        outcome.absent,
        arguments.title,
        arguments.note,
        outcome.absent_tasks,
        checkpoints_of(encoders),
    )
    say(f"{len(outcome.made)} records made, {len(outcome.kept)} were there already")
    arguments.folder = arguments.out
    if outcome.interrupted and not (outcome.made or outcome.kept):
        return options.stopped(arguments.out)
    status = leaderboard(arguments)
    say(f"page to look at and send around: {write_page(arguments.out)}")
    if outcome.interrupted:
        return options.stopped(arguments.out)
    _compare_checkpoints([*outcome.made, *outcome.kept], encoders, arguments)
    return status


def _compare_checkpoints(
    made: Sequence[Path], encoders: Sequence[EncoderChoice], arguments: argparse.Namespace
) -> None:
    """Shows and writes how a checkpoint of one's own differs from what else was asked for of the same encoder."""
    from bench.reports.agreement.comparison_page import FEW
    from bench.reports.agreement.paired.checkpoints import FOLDER, comparisons
    from bench.reports.agreement.paired.page import paired_text, write_paired
    from bench.scores import records

    if len({choice.id for choice in encoders}) == len(encoders):
        return
    for name, report in comparisons([records.read(path) for path in made], encoders, say):
        written = write_paired(report, arguments.out / FOLDER / name)
        if not arguments.json:
            show(f"\n{paired_text(report, FEW)}", end="")
        say(f"paired difference: {written}")


ENCODE = Verb("encode", "compute and keep the features of a task's clips", encode_arguments, encode_task)
RUN = Verb("run", "evaluate encoders on tasks; what is there already is not done again", run_arguments, run_suite)
SWEEP = Verb("sweep", "many layers, poolings and seeds, and a report", sweep_arguments, sweep)
