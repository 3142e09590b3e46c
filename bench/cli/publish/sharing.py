"""The verbs of results that are given to others: ``submit``, ``merge``, ``export``."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.cli import options
from bench.cli.options import Verb, print_json, say


def submit_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``submit`` takes."""
    parser.add_argument("folder", type=Path, help="results folder")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.zip")
    parser.add_argument("--by", default="", metavar="NAME", help="who submits, as it shall be published")
    parser.add_argument("--contact", default="", metavar="TEXT", help="an address, as it shall be published")


def submit(arguments: argparse.Namespace) -> int:
    """Runs ``submit``."""
    from bench.base.progress import terminal
    from bench.publish.sharing import pack

    packed = pack.submit(arguments.folder, arguments.out, arguments.by, arguments.contact, terminal)
    for line in packed.told:
        say(line)
    print(f"{packed.records} records in {packed.file}")
    return 0


def merge_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``merge`` takes."""
    parser.add_argument("file", type=Path, nargs="+", metavar="FILE.zip")
    parser.add_argument("--into", type=Path, required=True, metavar="FOLDER", help="results folder")
    options.json_output(parser)


def merge(arguments: argparse.Namespace) -> int:
    """``merge``: exit status 1 where a submission was refused."""
    from bench.base.progress import terminal
    from bench.publish.sharing.merge import merge
    from bench.reports.leaderboard.report import write_leaderboard
    from bench.scores import records

    results = merge(arguments.file, arguments.into, terminal)
    if any(result.added for result in results):
        write_leaderboard(records.load_all(arguments.into), arguments.into)
    if arguments.json:
        print_json([{**vars(result), "file": str(result.file)} for result in results])
    else:
        for result in results:
            verdict = f"{len(result.added)} records added, {len(result.kept)} were there already"
            print(f"{result.file}: " + ("refused, nothing was taken" if result.refused else verdict))
            for reason in result.refused:
                print(f"  {reason}")
    return 1 if any(result.refused for result in results) else 0


SUBMIT = Verb("submit", "pack a results folder's records for somebody else's folder", submit_arguments, submit)
MERGE = Verb("merge", "check submissions and take them into a results folder", merge_arguments, merge)
