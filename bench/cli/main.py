"""The command line: argparse verbs, each a thin function of its Namespace that calls one library function.

Heavy imports happen inside the verbs, so ``--help`` and ``ls`` answer at once. Exit status: 0 done, 1 the input or
the data is at fault (one line says where and what to do), 2 an id or option that does not exist.
"""

from __future__ import annotations

import argparse
import errno
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from bench.base.errors import RespBenchError, UnknownId, one_line
from bench.cli import finetune, inputs, publish, reports, runs, texts
from bench.cli.machine import cache, doctor
from bench.cli.options import STOPPED

VERBS = (
    texts.LS,
    inputs.CHECK,
    runs.ENCODE,
    runs.RUN,
    runs.SWEEP,
    finetune.FINETUNE,
    finetune.RECIPE,
    reports.LEADERBOARD,
    reports.AUDIT,
    reports.OOD,
    reports.SCORE,
    reports.VERIFY,
    reports.COMPARE,
    *publish.VERBS,
    inputs.FETCH,
    inputs.TASK,
    inputs.SIMULATE,
    cache.CACHE,
    doctor.DOCTOR,
)
# What a disk or its owner refuses, of a file that was named
REFUSED = {errno.EACCES, errno.EDQUOT, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG, errno.ENOENT, errno.ENOSPC}
REFUSED |= {errno.ENOTDIR, errno.EPERM, errno.EROFS}
DESCRIPTION = "Benchmark pretrained audio representations on lung, breath and cough sounds."
EPILOG = """examples:
  respbench ls encoders
  respbench check icbhi.cycles4 --json
  respbench fetch efficientat.mn04
  respbench check --all
  respbench run --suite quick --encoder fbank.stats efficientat.mn04:mean,freq --out runs/mine
  respbench sweep --suite quick --encoder efficientat.mn04:mean,freq --layers all --out runs/sweep
  respbench finetune --recipe ce --encoder efficientat.mn04 --task sprsound.events2 --out runs/finetune
  respbench recipe show patchmix-cl
  respbench leaderboard runs/mine
  respbench report runs/mine
  respbench verify runs/mine
  respbench compare results runs/mine
  respbench table runs/mine --tests sprsound.events2 icbhi.cycles4 --out table.tex
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
        print(one_line(f"respbench: {message} (see {self.prog} --help)"), file=sys.stderr)
        sys.exit(UnknownId.exit_code)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    arguments = build_parser().parse_args(argv)
    try:
        with _data_folder(getattr(arguments, "root", None)), _harmless_warnings():
            return arguments.verb(arguments)
    except RespBenchError as error:
        print(f"respbench: {one_line(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:  # commands that make records say how to go on
        print("\nrespbench: stopped", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:
        sys.stderr.close()  # the reader went away (`respbench ls | head`); nothing is wrong
        return 0
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)  # while a file is written, which is then not named
        if error.errno not in REFUSED or (error.filename is None and not full):
            raise
        where = f"{error.filename}: " if error.filename else ""
        said = f"respbench: {where}{error.strerror}; see to its folder, permissions and disk"
        print(one_line(said), file=sys.stderr)
        return RespBenchError.exit_code


@contextmanager
def _harmless_warnings() -> Iterator[None]:
    """Warnings name files and classes too: nothing in them acts on the terminal."""
    usual = warnings.formatwarning
    warnings.formatwarning = lambda *said, **more: "\n".join(map(one_line, usual(*said, **more).split("\n")))
    try:
        yield
    finally:
        warnings.formatwarning = usual


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
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for verb in VERBS:
        verb.add_to(commands)
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


if __name__ == "__main__":
    sys.exit(main())
