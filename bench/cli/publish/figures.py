"""The verb for figures: ``figures``."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.cli import options
from bench.cli.options import Verb, say, show


def figures_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``figures`` takes."""
    parser.add_argument("folder", type=Path, help="results folder")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: FOLDER/figures")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="ranks, heat_map, …; all: docs/figures.md"
    )
    parser.add_argument("--width", type=int, choices=(1, 2), default=2, help="columns: 85 mm or 178 mm (default)")
    parser.add_argument("--format", default="pdf,png", metavar="NAME[,NAME…]", help="pdf,png (default), svg")
    for option in (options.root, options.trust):
        option(parser)


def figures(arguments: argparse.Namespace) -> int:
    """Runs ``figures``."""
    from bench.base.progress import terminal
    from bench.publish.figures.folder import draw_folder

    done = draw_folder(
        arguments.folder,
        arguments.out,
        only=arguments.only,
        width=arguments.width,
        formats=arguments.format.split(","),
        root=arguments.root,
        progress=terminal,
        trust_remote_code=arguments.trust_remote_code,
    )
    show("\n".join(map(str, done.written)))
    for stem, why in done.left_out.items():
        say(f"left out: {stem}: {why}")
    return 0


FIGURES = Verb("figures", "figures for papers from the records of a results folder", figures_arguments, figures)
