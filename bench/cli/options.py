"""Options that several verbs share, and what every verb does with them."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli import encoders
from bench.types import PRECISIONS

if TYPE_CHECKING:
    from bench.runs.choices import EncoderChoice


def verb(verbs, name: str, function, text: str) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(verb=function)
    return parser


def json_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, help="data folder, in place of $RESPBENCH_DATA or ./data")


def device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1, mps")


def clip(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--clip",
        default="native",
        help="clip policy: native (default), tile8, opera8, respirenet; see bench/data/clips.py",
    )


def precision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--precision", choices=PRECISIONS, default=PRECISIONS[0], help="of the network's arithmetic (default float32)"
    )


def licence(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--accept-licence", action="store_true", help="agree to the restrictive licences of weights")


def computing(parser: argparse.ArgumentParser) -> None:
    device(parser)
    precision(parser)
    clip(parser)
    licence(parser)
    bad_clips(parser)


def bad_clips(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--on-bad-clip",
        choices=("error", "exclude"),
        default="error",
        help="exclude: go on without unusable clips, list them, mark the records incomplete",
    )


def agree(asked: Sequence[EncoderChoice], arguments: argparse.Namespace) -> None:
    """Licences of what is asked for by name; a checkpoint that the user names is the user's own matter."""
    encoders.agree((choice.id for choice in asked if choice.weights is None), arguments.accept_licence)


def print_json(value: object) -> None:
    from bench.cli.texts import json_text

    print(json_text(value))


def command_line() -> str:
    """The command that is running, as a user would type it."""
    return shlex.join(["respbench", *sys.argv[1:]])
