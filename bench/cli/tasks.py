"""The verbs about recordings: ``fetch`` of a corpus, ``task from-csv`` and ``simulate``."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from bench.cli import options
from bench.cli.options import Verb, print_json


def fetch_corpus(arguments: argparse.Namespace) -> int:
    """``fetch CORPUS``: its licence before anything is downloaded, then what ``check`` says of each of its tasks."""
    from bench.base import paths
    from bench.base.progress import terminal
    from bench.cli.texts import check_text
    from bench.data.corpora import fetch
    from bench.data.corpora.sources import corpus

    chosen = corpus(arguments.what)
    print(fetch.notice(chosen), file=sys.stderr)
    root = arguments.root or paths.data_root() or Path("data")
    installed = fetch.fetch(chosen, root, arguments.source, progress=terminal)
    print(fetch.text(installed), file=sys.stderr)
    for report in installed.reports:
        print(check_text(report) if "state" in report else f"{report['id']}: {report['problem']}")
    print(installed.folder)
    return 0 if installed.ok else 1


def from_csv_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``task from-csv`` takes."""
    parser.add_argument("what", choices=("from-csv",))
    parser.add_argument("file", type=Path, help="columns path, label, group and, optional, start, end, split, domain")
    options.root(parser)
    options.json_output(parser)


def from_csv(arguments: argparse.Namespace) -> int:
    """``task from-csv FILE``: checks the table and says how to run it."""
    from bench.base import registry
    from bench.cli.texts import check_text

    described = registry.family(registry.TASKS, "csv.").describe(arguments.file, arguments.root)
    if arguments.json:
        print_json(described)
    else:
        print(check_text(described["report"]))
        root = ["--root", str(arguments.root)] if arguments.root else []
        command = [
            "respbench",
            "run",
            "--task",
            described["id"],
            *root,
            "--encoder",
            "fbank.stats",
            "--out",
            "runs/own",
        ]
        print(f"\nrun it: {shlex.join(command)}")
    return 0 if described["report"]["ok"] else 1


def simulate_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``simulate`` takes."""
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", default="small", choices=("small", "medium"))
    parser.add_argument("--seed", type=int, default=0)


def simulate(arguments: argparse.Namespace) -> int:
    """Runs ``simulate``."""
    from bench import simulate

    for name, facts in simulate.corpora(arguments.folder, seed=arguments.seed, size=arguments.size).items():
        print(f"{name}: {facts['corpus']} in {arguments.folder}")
    return 0


TASK = Verb("task", "your own recordings as a task, from a table of clips", from_csv_arguments, from_csv)
SIMULATE = Verb("simulate", "write simulated ICBHI and SPRSound look-alikes", simulate_arguments, simulate)
