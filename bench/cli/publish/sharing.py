"""The verbs of results that are given to others: ``submit``, ``merge``, ``export``."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.base.errors import BadInput, RespBenchError
from bench.cli import options
from bench.cli.options import Verb, print_json, say, show


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
    show(f"{packed.records} records in {packed.file}")
    return 0


def merge_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``merge`` takes."""
    parser.add_argument("file", type=Path, nargs="+", metavar="FILE.zip")
    parser.add_argument("--into", type=Path, required=True, metavar="FOLDER", help="results folder")
    options.json_output(parser)


def merge(arguments: argparse.Namespace) -> int:
    """``merge``: exit status 1 where a submission was refused."""
    from bench.base.progress import terminal
    from bench.publish.page import PAGE, write_page
    from bench.publish.sharing.merge import merge
    from bench.reports.leaderboard.report import write_leaderboard
    from bench.scores import records

    results = merge(arguments.file, arguments.into, terminal)
    if any(result.added for result in results):
        write_leaderboard(records.load_all(arguments.into), arguments.into)
        if (arguments.into / PAGE).exists():
            write_page(arguments.into)
    if arguments.json:
        print_json([{**vars(result), "file": str(result.file)} for result in results])
    else:
        for result in results:
            verdict = f"{len(result.added)} records added, {len(result.kept)} were there already"
            show(f"{result.file}: " + ("refused, nothing was taken" if result.refused else verdict))
            for reason in result.refused:
                show(f"  {reason}")
    return 1 if any(result.refused for result in results) else 0


def export_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``export`` takes."""
    parser.add_argument("what", nargs="+", metavar="FOLDER|TASK", help="hub: a results folder; croissant: tasks")
    parser.add_argument("--format", choices=("hub", "croissant"), required=True)
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--dataset", default="", metavar="OWNER/NAME", help="hub: the benchmark's data set on the Hub")
    parser.add_argument("--source", default="", metavar="URL", help="hub: where the results can be looked at")
    options.root(parser)


def export(arguments: argparse.Namespace) -> int:
    """Runs ``export``."""
    written = _export_hub(arguments) if arguments.format == "hub" else _export_croissant(arguments)
    show("\n".join(map(str, written)))
    return 0


def _export_hub(arguments: argparse.Namespace) -> list[Path]:
    from bench.publish.sharing.hub import export_hub
    from bench.scores import records

    if len(arguments.what) > 1:
        raise BadInput("export", f"{len(arguments.what)} folders", "name one results folder")
    loaded = records.load_all(Path(arguments.what[0]))
    written, told = export_hub(loaded, arguments.out, arguments.dataset, arguments.source)
    for line in told:
        say(line)
    return written


def _export_croissant(arguments: argparse.Namespace) -> list[Path]:
    from bench.base import registry
    from bench.data.manifest import load_task
    from bench.publish.sharing.croissant import write_croissant

    if arguments.dataset or arguments.source:
        raise BadInput("--dataset and --source", "have no meaning for Croissant", "leave them out")
    written = []
    for card in [registry.task_card(id) for id in arguments.what]:  # all of them, before anything is written
        id, task = card.id, None
        try:
            task = load_task(id, arguments.root)
        except RespBenchError as error:
            say(f"{id}: without its clips: {error}")
        written += write_croissant(card, arguments.out, task)
    return written


SUBMIT = Verb("submit", "pack a results folder's records for somebody else's folder", submit_arguments, submit)
MERGE = Verb("merge", "check submissions and take them into a results folder", merge_arguments, merge)
EXPORT = Verb("export", "write results or tasks in a format of others: hub, croissant", export_arguments, export)
