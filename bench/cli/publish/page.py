"""The verb for the page of a results folder: ``report``."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.cli import options
from bench.cli.options import Verb, show


def report_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``report`` takes."""
    parser.add_argument("folder", type=Path, help="results folder")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: index.html in the folder")
    parser.add_argument(
        "--with-audio",
        action="store_true",
        help="the surest errors of each task can be heard: parts of recordings go into the page, whose licences it "
        "names; default file: index-with-audio.html",
    )
    options.root(parser)


def report(arguments: argparse.Namespace) -> int:
    """Runs ``report``."""
    from bench.publish.page import write_page
    from bench.scores.printed import size

    path = write_page(arguments.folder, arguments.out, arguments.with_audio, arguments.root)
    show(f"report: {path} ({size(path.stat().st_size)})")
    return 0


REPORT = Verb("report", "write a results folder as one page of HTML to send around", report_arguments, report)
