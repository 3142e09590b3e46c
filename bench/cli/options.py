"""What verbs share: how a verb is declared, the options that several take, and what is printed around them."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.base.errors import is_shown, one_line
from bench.types import BACKENDS, PRECISIONS

if TYPE_CHECKING:
    from bench.base.parallel.engine import Engine
    from bench.runs.choices import EncoderChoice
    from bench.types import EncoderCard


@dataclass(frozen=True)
class Verb:
    """A command of ``respbench``: its name, the line about it, what it takes, and what it does (exit status)."""

    name: str
    about: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]

    def add_to(self, commands: argparse._SubParsersAction) -> None:
        """Adds the command to a parser's commands."""
        about = self.about[0].upper() + self.about[1:] + "."
        parser = commands.add_parser(self.name, help=self.about, description=about)
        parser.set_defaults(verb=self.run)
        self.arguments(parser)


@dataclass(frozen=True)
class Group:
    """A command that has commands of its own: ``respbench cache ls``."""

    name: str
    about: str
    verbs: tuple[Verb, ...]

    def add_to(self, commands: argparse._SubParsersAction) -> None:
        """Adds the command, with its own, to a parser's commands."""
        about = self.about[0].upper() + self.about[1:] + "."
        parser = commands.add_parser(self.name, help=self.about, description=about)
        own = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
        for verb in self.verbs:
            verb.add_to(own)


# ------------------------------------------------------------------ options


def json_output(parser: argparse.ArgumentParser) -> None:
    """Adds ``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def root(parser: argparse._ActionsContainer) -> None:
    """Adds ``--root``."""
    parser.add_argument("--root", type=Path, help="data folder, in place of $RESPBENCH_DATA or ./data")


def device(parser: argparse.ArgumentParser) -> None:
    """Adds ``--device``, of one device."""
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1, mps")


def devices(parser: argparse.ArgumentParser) -> None:
    """Adds ``--device`` for verbs that encode on several."""
    several = "cpu (default), cuda, mps; cuda:0,cuda:1 or cuda:all encode side by side, a process each"
    parser.add_argument("--device", default="cpu", metavar="NAME[,NAME…]", help=several)


def precision(parser: argparse.ArgumentParser) -> None:
    """Adds ``--precision``."""
    parser.add_argument(
        "--precision", choices=PRECISIONS, default=PRECISIONS[0], help="of the network's arithmetic (default float32)"
    )


def clip(parser: argparse.ArgumentParser) -> None:
    """Adds ``--clip``."""
    parser.add_argument(
        "--clip",
        default="native",
        help="clip policy: native (default), tile8, tile5, tile10, opera8, respirenet, dither16, lowpass2k, lowpass4k, "
        "or several joined by +; see bench/data/clips.py",
    )


def licence(parser: argparse.ArgumentParser) -> None:
    """Adds ``--accept-licence``."""
    parser.add_argument("--accept-licence", action="store_true", help="agree to the restrictive licences of weights")


def trust(parser: argparse.ArgumentParser) -> None:
    """Adds ``--trust-remote-code``."""
    parser.add_argument(
        "--trust-remote-code",
        action="append",
        default=[],
        metavar="REVISION",
        help="run the code that comes with a model (hf.*), where it is of this full commit hash, or of the digest that "
        "the error names for a folder (repeatable): it can do whatever you can, so read it first; by default none runs",
    )


BAD_CLIPS = ("error", "exclude", "keep-short")


def bad_clips(parser: argparse.ArgumentParser) -> None:
    """Adds ``--on-bad-clip``."""
    parser.add_argument(
        "--on-bad-clip",
        choices=BAD_CLIPS,
        default="error",
        help="exclude: go on without unusable clips, list them, mark the records incomplete; keep-short: take "
        "recordings that hold less than their headers promise as long as they are, and list them",
    )


def short_clips(parser: argparse.ArgumentParser) -> None:
    """Adds ``--on-bad-clip`` for verbs that look at data and go on without unusable clips anyway."""
    parser.add_argument(
        "--on-bad-clip",
        choices=BAD_CLIPS,
        default="error",
        help="as of run, to look at the data that it takes: keep-short takes recordings that hold less than their "
        "headers promise as long as they are; otherwise they are listed and left out, as all unusable clips",
    )


def engine(parser: argparse.ArgumentParser) -> None:
    """Adds what says where clips are encoded and probes fitted."""
    group = parser.add_argument_group("where clips are encoded and a sweep's probes fitted (no score depends on it)")
    group.add_argument("--workers", type=int, metavar="N", help="workers; default: one for each core")
    group.add_argument("--threads", type=int, default=1, metavar="N", help="threads of each worker (default 1)")
    group.add_argument("--max-memory", type=float, metavar="MB", help="of all workers together; default: no limit")
    group.add_argument(
        "--backend", choices=BACKENDS, default=BACKENDS[0], help="processes (default), threads, or a cluster"
    )
    group.add_argument("--scheduler", metavar="ADDRESS", help="of a running Dask scheduler or Ray head")
    group.add_argument("--slurm", type=int, default=0, metavar="N", help="with dask: start N workers as SLURM jobs")


def engine_of(arguments: argparse.Namespace, workers: int | None = None) -> Engine:
    """The engine that the options ask for; ``workers`` is that of a file, for which no flag stands."""
    from bench.base.parallel.engine import Engine

    return Engine(
        workers=workers if arguments.workers is None else arguments.workers,
        threads=arguments.threads,
        backend=arguments.backend,
        scheduler=arguments.scheduler,
        slurm=arguments.slurm,
        max_mb=arguments.max_memory,
    )


def computing(parser: argparse.ArgumentParser) -> None:
    """Adds what every verb that encodes clips takes."""
    for option in (devices, precision, clip, licence, trust, bad_clips, engine):
        option(parser)


# ------------------------------------------------------------------ around a verb


def command_line() -> str:
    """The command that is running, as a user would type it."""
    return shlex.join(["respbench", *sys.argv[1:]])


STOPPED = 130  # exit status after Ctrl-C, as shells have it


def stopped(folder: Path) -> int:
    """Says how to go on after Ctrl-C, and returns the exit status."""
    say(f"stopped: what is finished lies in {folder}, its pages show it; go on with the same command:")
    say(f"  {command_line()}")
    return STOPPED


def say(line: str) -> None:
    """Prints a remark where it does not mix with results."""
    print(_lines(line), file=sys.stderr)


def show(text: object, end: str = "\n") -> None:
    """Prints a result; nothing in it acts on the terminal."""
    print(_lines(str(text)), end=end)


def show_styled(text: str) -> None:
    """Prints a result with colours, whose makers spell out what else would act on the terminal."""
    print(text)


def print_json(value: object) -> None:
    """Prints any report as JSON, with what a terminal would act on escaped as JSON escapes it."""
    text = json.dumps(value, indent=1, ensure_ascii=False)
    print("".join(c if c == "\n" or is_shown(c) else json.dumps(c)[1:-1] for c in text))


def _lines(text: str) -> str:
    return "\n".join(map(one_line, text.split("\n")))


def agree_to_licences(ids: Iterable[str], accept: bool) -> None:
    """Shows each licence that is being agreed to, once, before any work.

    Raises ``LicenceNotAccepted`` for weights at hand whose restrictive licence nobody has agreed to.
    """
    from bench.base import registry
    from bench.encoders.weights import licences
    from bench.encoders.weights.find import at_hand

    for id in ids:
        card = registry.encoder_card(id)
        used = accept or not card.weights or at_hand(card) is not None
        if used and (text := licences.require(card, accept)):
            say(f"{card.id}: agreed to the licence: {text}")


def chosen(
    texts: Iterable[str],
    arguments: argparse.Namespace,
    layers: Sequence[int] = (),
    besides: Callable[[Sequence[str]], Sequence[EncoderCard]] = lambda trusted: (),
) -> list[EncoderChoice]:
    """The encoders that words of the command line name, agreed to. Raises as ``EncoderChoice.parse`` and ``agree``.

    ``besides`` gives the cards of further encoders that will be loaded, by the revisions that are trusted.
    """
    from bench.encoders.weights.code import revisions
    from bench.runs.choices import EncoderChoice

    trusted = revisions(arguments.trust_remote_code)
    choices = [EncoderChoice.parse(text, layers, trusted) for text in texts]
    agree(choices, arguments, besides(trusted))
    return choices


def agree(
    encoders: Sequence[EncoderChoice], arguments: argparse.Namespace, besides: Sequence[EncoderCard] = ()
) -> None:
    """Sees to licences and to trusted code before any work.

    Licences are those of what is asked for by name; a checkpoint that the user names is the user's own matter. Raises
    ``LicenceNotAccepted``, and ``BadInput`` for a trusted revision that no encoder has.
    """
    from bench.encoders.weights.code import require_used

    trusted = dict.fromkeys(revision for each in encoders for revision in each.trusted)
    require_used(trusted, [*(each.card for each in encoders), *besides])
    ids = [choice.id for choice in encoders if choice.weights is None]
    agree_to_licences([*ids, *(card.id for card in besides)], arguments.accept_licence)
