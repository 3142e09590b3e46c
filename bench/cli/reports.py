"""The verbs whose result is a report: ``leaderboard``, ``audit``, ``ood``, ``score``, ``verify``, ``compare``."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.base import registry
from bench.base.errors import BadInput, RespBenchError
from bench.cli import options
from bench.cli.options import Verb, command_line, print_json, say, show, show_styled

SHOTS, DRAWS = (10, 50, 200), 5


def audit_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``audit`` takes beside the common options."""
    parser.add_argument("task", nargs="+")
    parser.add_argument(
        "--encoder",
        nargs="+",
        default=[],
        metavar="ID[:POOLING,…][=CHECKPOINT]",
        help="audit the first one's embedding too, and try the rows of all for rounding",
    )
    parser.add_argument(
        "--some",
        type=int,
        default=200,
        metavar="N",
        help="with --encoder: clips tried for rounding where all take long",
    )
    parser.add_argument("--out", type=Path, help="folder for <task>.md and <task>.json; default: print")
    for option in (options.root, options.licence, options.trust, options.short_clips, options.json_output):
        option(parser)


def audit(arguments: argparse.Namespace) -> int:
    """Runs ``audit``."""
    from bench.base.progress import terminal
    from bench.reports.audit.report import render_audit, write_audit
    from bench.runs.audit.audit import audit as run_audit

    choices = options.chosen(arguments.encoder, arguments)
    for task in arguments.task:
        result = run_audit(
            task,
            arguments.root,
            choices,
            some=arguments.some,
            on_bad_clip=arguments.on_bad_clip,
            progress=terminal,
        )
        if arguments.out:
            show("\n".join(map(str, write_audit(arguments.out, result.facts, result.task.card))))
        else:
            if arguments.json:
                print_json(result.facts)
            else:
                show(render_audit(result.facts, result.task.card))
    return 0


def ood_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``ood`` takes beside the common options."""
    parser.add_argument("--task", nargs="+", required=True, metavar="ID", help="transfers, or tasks with lodo-* splits")
    parser.add_argument("--encoder", nargs="+", required=True, metavar="ID[:POOLING,…][=CHECKPOINT]")
    parser.add_argument("--out", type=Path, required=True, help="folder of the records and the report")
    parser.add_argument("--shots", type=int, nargs="*", default=SHOTS, metavar="K", help="patients of the target")
    parser.add_argument("--draws", type=int, default=DRAWS, help="draws of each number of shots")
    parser.add_argument(
        "--bandwidth",
        nargs="*",
        default=["lowpass2k"],
        metavar="POLICY",
        help="once more without what is above a cut: lowpass2k (default), lowpass4k; none after the option: not at all",
    )
    parser.add_argument("--skip-absent", action="store_true", help="list encoders whose weights are not at hand")
    parser.add_argument("--no-controls", action="store_true", help="without untrained twins")
    parser.add_argument("--title", help="title of the report")
    parser.add_argument("--note", action="append", default=[], help="a remark for the report (repeatable)")
    for option in (options.root, options.devices, options.precision, options.licence, options.trust, options.bad_clips):
        option(parser)


def ood(arguments: argparse.Namespace) -> int:
    """Runs ``ood``."""
    from bench.base.progress import terminal
    from bench.publish.page import write_page
    from bench.reports.out_of_domain.report import write_transfer_report
    from bench.runs.out_of_domain import run_transfers
    from bench.scores import records

    choices = options.chosen(arguments.encoder, arguments)
    whole = run_transfers(
        arguments.task,
        choices,
        arguments.out,
        root=arguments.root,
        shots=arguments.shots,
        draws=arguments.draws,
        bandwidth=arguments.bandwidth,
        device=arguments.device,
        precision=arguments.precision,
        on_bad_clip=arguments.on_bad_clip,
        skip_absent=arguments.skip_absent,
        controls=not arguments.no_controls,
        title=arguments.title,
        notes=arguments.note,
        command=command_line(),
        progress=terminal,
        say=print,
    )
    if whole or any(records.paths(arguments.out)):
        show("\n".join(map(str, [*write_transfer_report(arguments.out), write_page(arguments.out)])))
    return 0 if whole else options.stopped(arguments.out)


def score_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``score`` takes."""
    parser.add_argument("--task", required=True)
    parser.add_argument("file", type=Path)
    parser.add_argument(
        "--labels", choices=("names", "indices"), help="what numbers in y_true and y_pred are, if both fit"
    )
    options.root(parser)
    options.json_output(parser)


def score(arguments: argparse.Namespace) -> int:
    """Runs ``score``."""
    from bench.cli.texts import score_text
    from bench.data.manifest import load_task
    from bench.scores.submitted import score_file

    card, manifest, absent = registry.task_card(arguments.task), None, ""
    try:
        manifest = load_task(arguments.task, arguments.root).manifest
    except RespBenchError as error:
        absent = str(error)
    report = score_file(card, arguments.file, manifest, absent, arguments.labels)
    for warning in report["warnings"]:
        say(f"respbench: warning: {warning}")
    if arguments.json:
        print_json(report)
    else:
        show(score_text(report))
    return 0


def leaderboard_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``leaderboard`` takes."""
    parser.add_argument("folder", type=Path)
    parser.add_argument("--note", action="append", default=[], help="add a remark to the board's notes (repeatable)")
    options.json_output(parser)


def leaderboard(arguments: argparse.Namespace) -> int:
    """Runs ``leaderboard``."""
    from bench.reports.leaderboard.report import console_leaderboard, leaderboard_json, write_leaderboard
    from bench.runs.context import BoardNotes, update_board_notes
    from bench.scores import records

    if arguments.note:
        update_board_notes(arguments.folder, notes=arguments.note)
    loaded = records.load_all(arguments.folder)
    written = write_leaderboard(loaded, arguments.folder)
    if arguments.json:
        print_json(leaderboard_json(loaded, BoardNotes.read(arguments.folder)))
    else:
        show_styled(console_leaderboard(loaded, shutil.get_terminal_size((100, 0)).columns, sys.stdout.isatty()))
        show(f"\nevery number, task by task: {written[0]}")
    return 0


def verify_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``verify`` takes."""
    parser.add_argument("folder", type=Path)
    options.json_output(parser)


def verify_folder(arguments: argparse.Namespace) -> int:
    """``verify``: exit status 1 where anything does not hold."""
    from bench.base.progress import terminal
    from bench.publish.page import stale_page
    from bench.reports.agreement.verify import verify

    checked, problems = verify(arguments.folder, terminal)
    problems += [] if problems else stale_page(arguments.folder)
    if arguments.json:
        print_json({"records": checked, "problems": problems})
    else:
        for problem in problems:
            show(problem)
        show(f"{checked} records: " + (f"{len(problems)} problems" if problems else "every number holds"))
    return 1 if problems else 0


def compare_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``compare`` takes."""
    what = (
        "results folder, prediction file, or row of --in: ID[+RECIPE][:POOLING[:LAYER]][=CHECKPOINT] or a record's key"
    )
    parser.add_argument("first", metavar="A", help=what)
    parser.add_argument("second", metavar="B", help="the same")
    parser.add_argument(
        "--out", type=Path, action="append", default=[], metavar="FILE", help="write .md or .json (repeatable)"
    )
    options.json_output(parser)
    folders = parser.add_argument_group("two results folders: do their records agree?")
    folders.add_argument(
        "--tolerance",
        type=float,
        nargs="+",
        metavar="X",
        help="points that a metric may move, and the share of its interval's width if that is larger "
        "(default 0.3 0.1; without a second number: points alone)",
    )
    folders.add_argument(
        "--marked",
        type=Path,
        metavar="FOLDER|FILE.json",
        help="rows that the board marks as sensitive: a folder of audits (results/audit), or a list of rows",
    )
    systems = parser.add_argument_group("two rows or prediction files: which is better on the same clips?")
    systems.add_argument("--in", type=Path, dest="folder", metavar="FOLDER", help="results folder that rows are of")
    systems.add_argument("--task", nargs="+", default=[], metavar="ID", help="default: all that both have")
    systems.add_argument("--protocol", nargs="+", default=[], metavar="NAME", help="one, or that of A and that of B")
    systems.add_argument("--test", nargs="+", default=[], metavar="NAME", help="headline, or names; default: all")
    systems.add_argument("--draws", type=int, metavar="N", help="of the bootstrap (default 2000)")
    systems.add_argument("--metric", default="", metavar="NAME", help="default: the task's main metric")
    systems.add_argument("--clips", type=Path, metavar="FILE.csv", help="list the clips that one side alone has right")
    systems.add_argument("--labels", choices=("names", "indices"), help="as of score, in prediction files")
    options.root(systems)


def compare_words(arguments: argparse.Namespace) -> int:
    """``compare``.

    Two folders: exit status 0 where records of the same key agree, 1 where not, 2 where none can be compared. Two
    systems: 0, or 2 where they cannot be compared.
    """
    from bench.reports.agreement.comparison_page import check_output

    try:
        for path in arguments.out:
            check_output(path)
        of_folders = arguments.folder is None and all(Path(word).is_dir() for word in _words(arguments))
        _refuse_options_of_the_other(arguments, of_folders)
        return _compare_folders(arguments) if of_folders else _compare_systems(arguments)
    except RespBenchError as error:
        error.exit_code = 2  # 1 says that two folders differ
        raise


def _words(arguments: argparse.Namespace) -> tuple[str, str]:
    return arguments.first, arguments.second


def _refuse_options_of_the_other(arguments: argparse.Namespace, of_folders: bool) -> None:
    """Raises ``BadInput`` for an option that says nothing in this kind of comparison."""
    of_systems = ("task", "protocol", "test", "metric", "clips", "labels", "root", "draws")
    refused = [name for name in (of_systems if of_folders else ("tolerance", "marked")) if getattr(arguments, name)]
    if refused:
        between = "two results folders" if of_folders else "rows or prediction files"
        problem = f"has no meaning between {between}"
        raise BadInput(f"--{refused[0]}", problem, "leave it out; `respbench compare --help` says what belongs to what")


def _compare_folders(arguments: argparse.Namespace) -> int:
    from bench.base.progress import terminal
    from bench.reports.agreement import comparison_page
    from bench.reports.agreement.compare import compare, marked_rows
    from bench.reports.agreement.differences import USUAL, Tolerance

    tolerance = Tolerance.of(arguments.tolerance) if arguments.tolerance else USUAL
    marked = marked_rows(arguments.marked) if arguments.marked else []
    found = compare(Path(arguments.first), Path(arguments.second), tolerance, marked, terminal)
    written = [comparison_page.write_comparison(found, path) for path in arguments.out]
    if arguments.json:
        print_json(comparison_page.comparison_json(found))
    else:
        show(comparison_page.comparison_text(found, comparison_page.FEW), end="")
        _say_written(written)
    return 0 if found.agrees else 1


def _compare_systems(arguments: argparse.Namespace) -> int:
    from bench.base.paths import write_text
    from bench.reports.agreement.comparison_page import FEW
    from bench.reports.agreement.paired import page
    from bench.reports.agreement.paired.difference import DRAWS
    from bench.reports.agreement.paired.sides import Asked, compare_systems

    asked = Asked(
        arguments.folder,
        tuple(arguments.task),
        tuple(arguments.protocol),
        tuple(arguments.test),
        arguments.metric,
        arguments.root,
        arguments.labels,
        DRAWS if arguments.draws is None else arguments.draws,
    )
    report = compare_systems(_words(arguments), asked)
    written = [page.write_paired(report, path) for path in arguments.out]
    if arguments.clips:
        write_text(arguments.clips, page.clips_csv(report))
        written.append(arguments.clips)
    if arguments.json:
        print_json(page.paired_json(report))
    else:
        show(page.paired_text(report, FEW), end="")
        _say_written(written)
    return 0


def _say_written(written: Sequence[Path]) -> None:
    for path in written:
        show(f"\nreport: {path}")


LEADERBOARD = Verb(
    "leaderboard", "write and print the leaderboard of a results folder", leaderboard_arguments, leaderboard
)
AUDIT = Verb("audit", "what is wrong with a task's data, and what predicts its labels", audit_arguments, audit)
OOD = Verb("ood", "train on one corpus, test on another: a report", ood_arguments, ood)
SCORE = Verb("score", "score a prediction file (clip_id,y_true,y_pred[,s_0,…][,duration_s])", score_arguments, score)
VERIFY = Verb(
    "verify", "recompute every number of a results folder from its predictions", verify_arguments, verify_folder
)
COMPARE = Verb(
    "compare",
    "whether two results folders agree, or which of two rows or prediction files is better on the same clips",
    compare_arguments,
    compare_words,
)
