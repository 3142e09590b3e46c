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
from typing import NoReturn

from bench.base.errors import RespBenchError, UnknownId
from bench.cli import encoders, finetune, options, reports, runs, tasks
from bench.cli.doctor import diagnose
from bench.cli.reports import leaderboard, verify_folder
from bench.cli.runs import encode_task, run_suite

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

    ls_parser = options.verb(verbs, "ls", list_ids, "list encoders, tasks, suites or protocols")
    ls_parser.add_argument("what", nargs="?", choices=LISTS, help="default: all")
    options.json_output(ls_parser)

    check_parser = options.verb(
        verbs, "check", encoders.check, "check a task's data, or that an encoder keeps the contract"
    )
    check_parser.add_argument("id", nargs="?", metavar="TASK | ENCODER[=CHECKPOINT]")
    check_parser.add_argument(
        "--all", action="store_true", help="every encoder, untrained where its weights are not at hand"
    )
    options.device(check_parser)
    options.licence(check_parser)
    options.root(check_parser)
    options.json_output(check_parser)

    encode_parser = options.verb(verbs, "encode", encode_task, "compute and keep the features of a task's clips")
    encode_parser.add_argument("task")
    encode_parser.add_argument("--encoder", required=True, metavar="ID[:POOLING,…][=CHECKPOINT]")
    encode_parser.add_argument("--layers", type=int, nargs="+", default=(), metavar="L")
    encode_parser.add_argument(
        "--out", type=Path, help="also write features (.npy, one row per clip) and clips.csv here"
    )
    options.root(encode_parser)
    options.computing(encode_parser)
    options.json_output(encode_parser)

    run_parser = options.verb(
        verbs, "run", run_suite, "evaluate encoders on tasks; what is there already is not done again"
    )
    run_parser.add_argument("--suite", help="a named set of tasks (respbench ls suites); those without data are listed")
    run_parser.add_argument("--task", nargs="+", default=(), metavar="ID")
    run_parser.add_argument("--encoder", nargs="+", required=True, metavar="ID[:POOLING,…][=CHECKPOINT]")
    run_parser.add_argument("--layers", type=int, nargs="+", default=(), metavar="L", help="default: the encoder's own")
    run_parser.add_argument("--protocol", nargs="+", default=["linear"], metavar="NAME", help="respbench ls protocols")
    run_parser.add_argument("--seeds", type=int, nargs="+", metavar="N", help="default: the protocol's own")
    run_parser.add_argument("--out", type=Path, required=True, help="results folder (records, leaderboard)")
    run_parser.add_argument("--title", help="title of the leaderboard")
    run_parser.add_argument(
        "--note", action="append", default=[], help="a remark for the leaderboard's notes (repeatable)"
    )
    run_parser.add_argument(
        "--skip-absent", action="store_true", help="list encoders whose weights are not at hand and go on"
    )
    run_parser.add_argument("--no-controls", action="store_true", help="without duration and untrained twins")
    options.root(run_parser)
    options.computing(run_parser)
    options.json_output(run_parser)

    sweep_parser = options.verb(
        verbs, "sweep", lambda a: runs.sweep(a, options.agree), "many layers, poolings and seeds, and a report"
    )
    runs.arguments(sweep_parser)
    options.root(sweep_parser)
    options.computing(sweep_parser)

    finetune_parser = options.verb(
        verbs, "finetune", lambda a: finetune.finetune(a, options.agree), "train encoders by recipes, on several seeds"
    )
    finetune.arguments(finetune_parser)
    for common in (options.root, options.device, options.licence, options.bad_clips):
        common(finetune_parser)

    board_parser = options.verb(
        verbs, "leaderboard", leaderboard, "write and print the leaderboard of a results folder"
    )
    board_parser.add_argument("folder", type=Path)
    board_parser.add_argument(
        "--note", action="append", default=[], help="add a remark to the board's notes (repeatable)"
    )
    options.json_output(board_parser)

    audit_parser = options.verb(
        verbs, "audit", reports.audit, "what is wrong with a task's data, and what predicts its labels"
    )
    reports.audit_arguments(audit_parser)
    options.root(audit_parser)
    options.json_output(audit_parser)

    ood_parser = options.verb(
        verbs, "ood", lambda a: reports.ood(a, options.agree), "train on one corpus, test on another: a report"
    )
    reports.ood_arguments(ood_parser)
    for common in (options.root, options.device, options.precision, options.licence, options.bad_clips):
        common(ood_parser)

    columns = "clip_id,y_true,y_pred[,s_0,…][,duration_s]"
    score_parser = options.verb(verbs, "score", reports.score, f"score a prediction file ({columns})")
    score_parser.add_argument("--task", required=True)
    score_parser.add_argument("file", type=Path)
    options.root(score_parser)
    options.json_output(score_parser)

    verify_parser = options.verb(
        verbs, "verify", verify_folder, "recompute every number of a results folder from its predictions"
    )
    verify_parser.add_argument("folder", type=Path)
    options.json_output(verify_parser)

    fetch_parser = options.verb(
        verbs, "fetch", encoders.fetch, "download an encoder's weights or a corpus, or register files"
    )
    fetch_parser.add_argument("what", metavar="ENCODER | CORPUS")
    fetch_parser.add_argument("--from", dest="source", type=Path, action="append", default=[], metavar="FILE")
    fetch_parser.add_argument(
        "--repin", action="store_true", help="trust another digest than the one pinned on first use"
    )
    options.licence(fetch_parser)
    options.root(fetch_parser)

    task_parser = options.verb(verbs, "task", tasks.from_csv, "your own recordings as a task, from a table of clips")
    task_parser.add_argument("what", choices=("from-csv",))
    task_parser.add_argument(
        "file", type=Path, help="columns path, label, group and, optional, start, end, split, domain"
    )
    options.root(task_parser)
    options.json_output(task_parser)

    simulate_parser = options.verb(verbs, "simulate", tasks.simulate, "write simulated ICBHI and SPRSound look-alikes")
    simulate_parser.add_argument("folder", type=Path)
    simulate_parser.add_argument("--size", default="small", choices=("small", "medium"))
    simulate_parser.add_argument("--seed", type=int, default=0)

    doctor_parser = options.verb(
        verbs, "doctor", diagnose, "what is installed and at hand: packages, devices, data, weights"
    )
    options.json_output(doctor_parser)
    return parser


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
    from bench.base import registry
    from bench.cli import texts

    kinds = [arguments.what] if arguments.what else LISTS
    listed = {kind: texts.LISTINGS[kind]() for kind in kinds}
    if arguments.json:
        options.print_json(listed[kinds[0]] if arguments.what else listed)
    else:
        print("\n\n".join(texts.TABLES[kind](rows) for kind, rows in listed.items()))
        packages = [registry.ENCODERS] * ("encoders" in listed) + [registry.TASKS] * ("tasks" in listed)
        for note in (note for package in packages for note in registry.open_ended(package)):
            print(f"\nalso {note}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
