"""The command line: argparse verbs, each a thin function of its Namespace that calls one library function.

Heavy imports happen inside the verbs, so ``--help`` and ``ls`` answer at once. Exit status: 0 done, 1 the input or
the data is at fault (one line says where and what to do), 2 an id or option that does not exist.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from bench import cli_encoders, cli_finetune, cli_reports, cli_sweep, cli_tasks
from bench.errors import NothingAsked, RespBenchError, UnknownId
from bench.types import PRECISIONS

if TYPE_CHECKING:
    from bench.suite import EncoderChoice

LISTS = ("encoders", "tasks", "suites", "protocols")
DESCRIPTION = "Benchmark pretrained audio representations on lung, breath and cough sounds."
EPILOG = """examples:
  respbench ls encoders
  respbench check icbhi.cycles4 --json
  respbench fetch efficientat.mn04
  respbench check --all
  respbench run --suite quick --encoder fbank.stats efficientat.mn04:mean,freq --out runs/mine
  respbench sweep --suite quick --encoder efficientat.mn04:mean,freq --layers all --out runs/sweep
  respbench finetune --recipe ce --encoder efficientat.mn04 --task sprsound.events2 --out runs/finetune
  respbench leaderboard runs/mine
  respbench verify runs/mine
  respbench score --task sprsound.events2 predictions.csv

Recordings are looked for in $RESPBENCH_DATA, else ./data; weights in $RESPBENCH_WEIGHTS,
<data>/weights and what was fetched.
For research only; not a medical device."""


class _Parser(argparse.ArgumentParser):
    """Refuses a wrong word as every other id is refused: one line, a suggestion, exit status 2."""

    def error(self, message: str) -> NoReturn:
        wrong = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        if wrong:
            known = re.findall(r"[\w-]+", wrong[2])
            message = str(UnknownId("word", wrong[1], known))
        print(f"respbench: {message} (see {self.prog} --help)", file=sys.stderr)
        sys.exit(UnknownId.exit_code)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    arguments = build_parser().parse_args(argv)
    try:
        with _data_folder(getattr(arguments, "root", None)):
            return arguments.verb(arguments)
    except RespBenchError as error:
        print(f"respbench: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()  # the reader went away (`respbench ls | head`); nothing is wrong
        return 0


@contextmanager
def _data_folder(root: Path | None) -> Iterator[None]:
    """``--root`` stands for RESPBENCH_DATA while a command runs, so that weights are looked for there too."""
    before = os.environ.get("RESPBENCH_DATA")
    if root is not None:
        os.environ["RESPBENCH_DATA"] = str(root)
    try:
        yield
    finally:
        if root is not None:
            os.environ.pop("RESPBENCH_DATA")
            if before is not None:
                os.environ["RESPBENCH_DATA"] = before


def build_parser() -> argparse.ArgumentParser:
    """The whole grammar."""
    parser = _Parser(
        "respbench", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    parser.set_defaults(verb=_version_or_help(parser))
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND")

    ls = _verb(verbs, "ls", list_ids, "list encoders, tasks, suites or protocols")
    ls.add_argument("what", nargs="?", choices=LISTS, help="default: all")
    _json(ls)

    check = _verb(verbs, "check", cli_encoders.check, "check a task's data, or that an encoder keeps the contract")
    check.add_argument("id", nargs="?", metavar="TASK | ENCODER[=CHECKPOINT]")
    check.add_argument("--all", action="store_true", help="every encoder, untrained where its weights are not at hand")
    _device(check)
    _licence(check)
    _root(check)
    _json(check)

    encode = _verb(verbs, "encode", encode_task, "compute and keep the features of a task's clips")
    encode.add_argument("task")
    encode.add_argument("--encoder", required=True, metavar="ID[:POOLING,…][=CHECKPOINT]")
    encode.add_argument("--layers", type=int, nargs="+", default=(), metavar="L")
    encode.add_argument("--out", type=Path, help="also write features (.npy, one row per clip) and clips.csv here")
    _root(encode)
    _computing(encode)
    _json(encode)

    run = _verb(verbs, "run", run_suite, "evaluate encoders on tasks; what is there already is not done again")
    run.add_argument("--suite", help="a named set of tasks (respbench ls suites); those without data are listed")
    run.add_argument("--task", nargs="+", default=(), metavar="ID")
    run.add_argument("--encoder", nargs="+", required=True, metavar="ID[:POOLING,…][=CHECKPOINT]")
    run.add_argument("--layers", type=int, nargs="+", default=(), metavar="L", help="default: the encoder's own")
    run.add_argument("--protocol", nargs="+", default=["linear"], metavar="NAME", help="respbench ls protocols")
    run.add_argument("--seeds", type=int, nargs="+", metavar="N", help="default: the protocol's own")
    run.add_argument("--out", type=Path, required=True, help="results folder (records, leaderboard)")
    run.add_argument("--title", help="title of the leaderboard")
    run.add_argument("--note", action="append", default=[], help="a remark for the leaderboard's notes (repeatable)")
    run.add_argument("--skip-absent", action="store_true", help="list encoders whose weights are not at hand and go on")
    run.add_argument("--no-controls", action="store_true", help="without duration and untrained twins")
    _root(run)
    _computing(run)
    _json(run)

    sweep = _verb(verbs, "sweep", lambda a: cli_sweep.sweep(a, _agree), "many layers, poolings and seeds, and a report")
    cli_sweep.arguments(sweep)
    _root(sweep)
    _computing(sweep)

    finetune = _verb(
        verbs, "finetune", lambda a: cli_finetune.finetune(a, _agree), "train encoders by recipes, on several seeds"
    )
    cli_finetune.arguments(finetune)
    for common in (_root, _device, _licence, _bad_clips):
        common(finetune)

    board = _verb(verbs, "leaderboard", leaderboard, "write and print the leaderboard of a results folder")
    board.add_argument("folder", type=Path)
    board.add_argument("--note", action="append", default=[], help="add a remark to the board's notes (repeatable)")
    _json(board)

    audit = _verb(verbs, "audit", cli_reports.audit, "what is wrong with a task's data, and what predicts its labels")
    cli_reports.audit_arguments(audit)
    _root(audit)
    _json(audit)

    ood = _verb(verbs, "ood", lambda a: cli_reports.ood(a, _agree), "train on one corpus, test on another: a report")
    cli_reports.ood_arguments(ood)
    for common in (_root, _device, _precision, _licence, _bad_clips):
        common(ood)

    columns = "clip_id,y_true,y_pred[,s_0,…][,duration_s]"
    score = _verb(verbs, "score", cli_reports.score, f"score a prediction file ({columns})")
    score.add_argument("--task", required=True)
    score.add_argument("file", type=Path)
    _root(score)
    _json(score)

    verify = _verb(verbs, "verify", verify_folder, "recompute every number of a results folder from its predictions")
    verify.add_argument("folder", type=Path)
    _json(verify)

    fetch = _verb(verbs, "fetch", cli_encoders.fetch, "download an encoder's weights or a corpus, or register files")
    fetch.add_argument("what", metavar="ENCODER | CORPUS")
    fetch.add_argument("--from", dest="source", type=Path, action="append", default=[], metavar="FILE")
    fetch.add_argument("--repin", action="store_true", help="trust another digest than the one pinned on first use")
    _licence(fetch)
    _root(fetch)

    task = _verb(verbs, "task", cli_tasks.from_csv, "your own recordings as a task, from a table of clips")
    task.add_argument("what", choices=("from-csv",))
    task.add_argument("file", type=Path, help="columns path, label, group and, optional, start, end, split, domain")
    _root(task)
    _json(task)

    simulate = _verb(verbs, "simulate", cli_tasks.simulate, "write simulated ICBHI and SPRSound look-alikes")
    simulate.add_argument("folder", type=Path)
    simulate.add_argument("--size", default="small", choices=("small", "medium"))
    simulate.add_argument("--seed", type=int, default=0)

    doctor = _verb(verbs, "doctor", diagnose, "what is installed and at hand: packages, devices, data, weights")
    _json(doctor)
    return parser


def _verb(verbs, name: str, function, text: str) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(verb=function)
    return parser


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, help="data folder, in place of $RESPBENCH_DATA or ./data")


def _device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1, mps")


def _clip(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--clip", default="native", help="clip policy: native (default), tile8, opera8, respirenet; see bench/clips.py"
    )


def _precision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--precision", choices=PRECISIONS, default=PRECISIONS[0], help="of the network's arithmetic (default float32)"
    )


def _licence(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--accept-licence", action="store_true", help="agree to the restrictive licences of weights")


def _computing(parser: argparse.ArgumentParser) -> None:
    _device(parser)
    _precision(parser)
    _clip(parser)
    _licence(parser)
    _bad_clips(parser)


def _bad_clips(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--on-bad-clip",
        choices=("error", "exclude"),
        default="error",
        help="exclude: go on without unusable clips, list them, mark the records incomplete",
    )


def _version_or_help(parser: argparse.ArgumentParser):
    def verb(arguments: argparse.Namespace) -> int:
        if arguments.version:
            from importlib.metadata import version

            print(f"respbench {version('respbench')}")
        else:
            parser.print_help()
        return 0

    return verb


# ------------------------------------------------------------------ verbs


def list_ids(arguments: argparse.Namespace) -> int:
    """``ls``"""
    from bench import listing, registry

    kinds = [arguments.what] if arguments.what else LISTS
    listed = {kind: listing.LISTINGS[kind]() for kind in kinds}
    if arguments.json:
        _print_json(listed[kinds[0]] if arguments.what else listed)
    else:
        print("\n\n".join(listing.TABLES[kind](rows) for kind, rows in listed.items()))
        packages = [registry.ENCODERS] * ("encoders" in listed) + [registry.TASKS] * ("tasks" in listed)
        for note in (note for package in packages for note in listing.open_ended(package)):
            print(f"\nalso {note}")
    return 0


def encode_task(arguments: argparse.Namespace) -> int:
    """``encode``"""
    from bench.encoding import encode_task as encode
    from bench.progress import terminal
    from bench.suite import EncoderChoice

    asked = EncoderChoice.parse(arguments.encoder, arguments.layers)
    _agree([asked], arguments)
    done = encode(
        arguments.task,
        asked,
        root=arguments.root,
        out=arguments.out,
        device=arguments.device,
        precision=arguments.precision,
        clip=arguments.clip,
        on_bad_clip=arguments.on_bad_clip,
        progress=terminal,
    )
    if arguments.json:
        _print_json(done)
    else:
        print(f"{done['clips']} clips, {done['encoded']} encoded now, {done['peak_memory_mb']:.0f} MB at the peak")
        for path in done["files"]:
            print(path)
    return 0


def run_suite(arguments: argparse.Namespace) -> int:
    """``run``"""
    from bench import board, suite
    from bench.progress import terminal
    from tasks._suites import SUITES

    if not arguments.suite and not arguments.task:
        raise NothingAsked("give --suite or --task (respbench ls suites, respbench ls tasks)")
    if arguments.suite and arguments.suite not in SUITES:
        raise UnknownId("suite", arguments.suite, SUITES)
    suite_of = SUITES[arguments.suite] if arguments.suite else ()
    tasks = list(dict.fromkeys([*suite_of, *arguments.task]))
    asked = [suite.EncoderChoice.parse(text, arguments.layers) for text in arguments.encoder]
    _agree(asked, arguments)
    outcome = suite.run_suite(
        tasks,
        asked,
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
        progress=terminal,
        say=lambda line: print(line, file=sys.stderr),
    )
    told = (outcome.absent, arguments.title, arguments.note, outcome.absent_tasks)
    board.update_context(arguments.out, suite.command_line(), *told)
    print(f"{len(outcome.made)} records made, {len(outcome.kept)} were there already", file=sys.stderr)
    arguments.folder = arguments.out
    return leaderboard(arguments)


def _agree(asked: Sequence[EncoderChoice], arguments: argparse.Namespace) -> None:
    """Licences of what is asked for by name; a checkpoint that the user names is the user's own matter."""
    cli_encoders.agree((choice.id for choice in asked if choice.weights is None), arguments.accept_licence)


def leaderboard(arguments: argparse.Namespace) -> int:
    """``leaderboard``"""
    from bench import board, records

    if arguments.note:
        board.update_context(arguments.folder, notes=arguments.note)
    found = records.load_all(arguments.folder)
    written = board.write(found, arguments.folder)
    if arguments.json:
        _print_json(board.as_json(found, board.Context.read(arguments.folder)))
    else:
        print(board.console(found))
        print(f"\nreport: {written[0]}")
    return 0


def verify_folder(arguments: argparse.Namespace) -> int:
    """``verify``: exit status 1 where anything does not hold."""
    from bench.progress import terminal
    from bench.verify import verify

    checked, problems = verify(arguments.folder, terminal)
    if arguments.json:
        _print_json({"records": checked, "problems": problems})
    else:
        for problem in problems:
            print(problem)
        print(f"{checked} records: " + (f"{len(problems)} problems" if problems else "every number holds"))
    return 1 if problems else 0


def diagnose(arguments: argparse.Namespace) -> int:
    """``doctor``"""
    from bench import doctor
    from bench.listing import doctor_text

    report = doctor.report()
    if arguments.json:
        _print_json(report)
    else:
        print(doctor_text(report))
    return 0


def _print_json(value: object) -> None:
    from bench.listing import json_text

    print(json_text(value))


if __name__ == "__main__":
    sys.exit(main())
