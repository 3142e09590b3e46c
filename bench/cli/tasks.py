"""The verbs about recordings: ``fetch`` of a corpus, ``task from-csv`` and ``simulate``."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path


def fetch(arguments: argparse.Namespace) -> int:
    """``fetch CORPUS``: its licence before anything is downloaded, then what ``check`` says of each of its tasks."""
    from bench.base import paths
    from bench.base.progress import terminal
    from bench.cli.texts import check_text
    from bench.data.corpora import fetch
    from bench.data.corpora.sources import corpus

    wanted = corpus(arguments.what)
    print(fetch.notice(wanted), file=sys.stderr)
    root = arguments.root or paths.data_root() or Path("data")
    done = fetch.fetch(wanted, root, arguments.source, progress=terminal)
    print(fetch.text(done), file=sys.stderr)
    for report in done.reports:
        print(check_text(report) if "state" in report else f"{report['id']}: {report['problem']}")
    print(done.folder)
    return 0 if done.ok else 1


def from_csv(arguments: argparse.Namespace) -> int:
    """``task from-csv FILE``: checks the table and says how to run it."""
    from bench.cli.texts import check_text, json_text
    from tasks.csv import describe

    told = describe(arguments.file, arguments.root)
    if arguments.json:
        print(json_text(told))
    else:
        print(check_text(told["report"]))
        root = ["--root", str(arguments.root)] if arguments.root else []
        command = ["respbench", "run", "--task", told["id"], *root, "--encoder", "fbank.stats", "--out", "runs/own"]
        print(f"\nrun it: {shlex.join(command)}")
    return 0 if told["report"]["ok"] else 1


def simulate(arguments: argparse.Namespace) -> int:
    """``simulate``"""
    from bench import simulate

    for name, facts in simulate.corpora(arguments.folder, seed=arguments.seed, size=arguments.size).items():
        print(f"{name}: {facts['corpus']} in {arguments.folder}")
    return 0
