"""The verbs about what goes in: ``check`` and ``fetch`` of encoders and corpora, ``task from-csv``, ``simulate``."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from bench.base.errors import NothingAsked, UnknownId
from bench.cli import options
from bench.cli.options import Verb, agree_to_licences, print_json, say, show


def check_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``check`` takes."""
    parser.add_argument("id", nargs="?", metavar="TASK | ENCODER[=CHECKPOINT]")
    parser.add_argument("--all", action="store_true", help="every encoder, untrained where its weights are not at hand")
    for option in (
        options.device,
        options.licence,
        options.trust,
        options.root,
        options.short_clips,
        options.json_output,
    ):
        option(parser)


def check(arguments: argparse.Namespace) -> int:
    """``check``: a task's data or an encoder's contract; exit status 1 where something is wrong."""
    from bench.base import registry
    from bench.encoders.weights.code import require_used, revisions

    if arguments.all == bool(arguments.id):
        raise NothingAsked("give the id of a task or an encoder, or --all for every encoder")
    trusted = revisions(arguments.trust_remote_code)
    encoder = bool(arguments.id) and not _is_task(arguments.id)
    if trusted:  # what cannot be built is a row of the report
        require_used(trusted, [registry.encoder_card(arguments.id.partition("=")[0], trusted)] if encoder else [])
    if arguments.all:
        return _check_encoders(arguments)
    return _check_encoder(arguments) if encoder else _check_task(arguments)


def _is_task(id: str) -> bool:
    """Whether an id is a task's rather than an encoder's. Raises ``UnknownId``, which suggests one of either."""
    from bench.base import registry

    name = id.partition("=")[0]
    if name.partition(".")[0] in registry.families(registry.TASKS):
        return True
    if name.partition(".")[0] in registry.families(registry.ENCODERS):
        return False
    raise UnknownId("task or encoder", name, registry.ids(registry.TASKS) + registry.ids(registry.ENCODERS))


def _check_task(arguments: argparse.Namespace) -> int:
    from bench.base.progress import terminal
    from bench.cli.texts import check_text
    from bench.data.check import check_task
    from bench.data.manifest import load_task

    task = load_task(arguments.id, arguments.root)
    report = check_task(task, progress=terminal, on_bad_clip=arguments.on_bad_clip)
    if arguments.json:
        print_json(report)
    else:
        show(check_text(report))
    return 0 if report["ok"] else 1


def _check_encoder(arguments: argparse.Namespace) -> int:
    from bench.cli.texts import examined_text
    from bench.encoders.check import BROKEN, check_registered
    from bench.runs.choices import with_weights

    id, weights = with_weights(arguments.id)
    if arguments.accept_licence and not weights:
        agree_to_licences([id], True)
    row = check_registered(id, weights, arguments.device, arguments.trust_remote_code)
    ok = row["verdict"] != BROKEN  # what is not there can be got, and is no violation
    if arguments.json:
        print_json(row | {"ok": ok})
    else:
        show(examined_text([row]))
    return 0 if ok else 1


def _check_encoders(arguments: argparse.Namespace) -> int:
    from bench.base import registry
    from bench.base.progress import terminal
    from bench.cli.texts import examined_text
    from bench.encoders.check import BROKEN, check_encoders

    if arguments.accept_licence:
        agree_to_licences((card.id for card in registry.cards(registry.ENCODERS)), True)
    rows = check_encoders(
        arguments.device, terminal, lambda row: say(f"{row['id']}: {row['verdict']}, {row['wall_s']:.0f} s")
    )
    ok = all(row["verdict"] != BROKEN for row in rows)
    if arguments.json:
        print_json({"ok": ok, "encoders": rows})
    else:
        show(examined_text(rows))
    return 0 if ok else 1


def fetch_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``fetch`` takes."""
    parser.add_argument("what", metavar="ENCODER | CORPUS")
    parser.add_argument("--from", dest="source", type=Path, action="append", default=[], metavar="FILE")
    parser.add_argument("--repin", action="store_true", help="trust another digest than the one pinned on first use")
    options.licence(parser)
    options.root(parser)


def fetch(arguments: argparse.Namespace) -> int:
    """``fetch``: prints where the weights or the corpus lie; licence and digest go to standard error."""
    from bench.base import registry
    from bench.base.progress import terminal
    from bench.encoders.weights import licences
    from bench.encoders.weights.fetch import fetch as fetch_weights

    if "." not in arguments.what:  # an encoder's id has a dot
        return fetch_corpus(arguments)
    card = registry.encoder_card(arguments.what)
    if card.weights:
        licences.require(card, arguments.accept_licence)
        say(f"{card.id}: licence of the weights: {card.weights[0].licence or 'unstated'}; cite {card.citation}")
    fetched = fetch_weights(card, next(iter(arguments.source), None), repin=arguments.repin, progress=terminal)
    trust = {
        "card": "as the release's card has it",
        "pinned": "as pinned on first use",
        "first use": "not known before: trusted on this first use and pinned from now on",
    }
    say(f"SHA-256 {fetched.sha256}, {trust[fetched.trust]}")
    show(fetched.path)
    return 0


def fetch_corpus(arguments: argparse.Namespace) -> int:
    """``fetch CORPUS``: its licence before anything is downloaded, then what ``check`` says of each of its tasks."""
    from bench.base import paths
    from bench.base.progress import terminal
    from bench.cli.texts import check_text
    from bench.data.corpora import fetch
    from bench.data.corpora.sources import corpus

    chosen = corpus(arguments.what)
    say(fetch.notice(chosen))
    root = arguments.root or paths.data_root() or Path("data")
    installed = fetch.fetch(chosen, root, arguments.source, progress=terminal)
    say(fetch.text(installed))
    for report in installed.reports:
        show(check_text(report) if "state" in report else f"{report['id']}: {report['problem']}")
    show(installed.folder)
    return 0 if installed.ok else 1


def from_csv_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``task from-csv`` takes."""
    parser.add_argument("what", choices=("from-csv",))
    parser.add_argument("file", type=Path, help="columns path, label, group and, optional, start, end, split, domain")
    options.root(parser)
    options.json_output(parser)


def from_csv(arguments: argparse.Namespace) -> int:
    """``task from-csv FILE``: checks the table and says how to run it, or why it cannot be run."""
    from bench.base import registry
    from bench.cli.texts import check_text

    described = registry.family(registry.TASKS, "csv.").describe(arguments.file, arguments.root)
    why_not = "" if described["report"]["ok"] else "mend the errors above"
    why_not = why_not or _not_trainable(described["id"], arguments.root)
    if arguments.json:
        print_json(described | {"why_not": why_not})
    else:
        show(check_text(described["report"]))
        root = ["--root", str(arguments.root)] if arguments.root else []
        run = ["respbench", "run", "--task", described["id"], *root, "--encoder", "fbank.stats", "--out", "runs/own"]
        show(f"\nit cannot be run as it is: {why_not}" if why_not else f"\nrun it: {shlex.join(run)}")
    return 1 if why_not else 0


def _not_trainable(id: str, root: Path | None) -> str:
    """Why no probe can be fitted on the clips whose recordings are there; empty where one can."""
    from bench.base.errors import BadInput
    from bench.data.manifest import load_task
    from bench.runs.evaluate import check_trainable

    task = load_task(id, root)
    rows = task.manifest[task.manifest["available"]]
    if rows.empty:
        return "none of its recordings are there; put them where the table's paths lead"
    try:
        check_trainable(task.card, rows)
    except BadInput as error:
        return f"{error.problem}; {error.remedy}"
    return ""


def simulate_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``simulate`` takes."""
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", default="small", choices=("small", "medium"))
    parser.add_argument("--seed", type=int, default=0)


def simulate(arguments: argparse.Namespace) -> int:
    """Runs ``simulate``."""
    from bench import simulate

    for name, facts in simulate.corpora(arguments.folder, seed=arguments.seed, size=arguments.size).items():
        show(f"{name}: {facts['corpus']} in {arguments.folder}")
    return 0


CHECK = Verb("check", "check a task's data, or that an encoder keeps the contract", check_arguments, check)
FETCH = Verb("fetch", "download an encoder's weights or a corpus, or register files", fetch_arguments, fetch)
TASK = Verb("task", "your own recordings as a task, from a table of clips", from_csv_arguments, from_csv)
SIMULATE = Verb("simulate", "write simulated ICBHI and SPRSound look-alikes", simulate_arguments, simulate)
