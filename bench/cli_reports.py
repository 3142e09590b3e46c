"""The verbs that report on data, on transfer and on anyone's predictions: ``audit``, ``ood``, ``score``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

SHOTS, DRAWS = (10, 50, 200), 5


def audit_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``audit`` takes beside the common options."""
    parser.add_argument("task", nargs="+")
    parser.add_argument("--encoder", metavar="ID", help="audit its embeddings too")
    parser.add_argument("--out", type=Path, help="folder for <task>.md and <task>.json; default: print")


def audit(arguments: argparse.Namespace) -> int:
    """``audit``"""
    from bench.audit import audit as run
    from bench.audit import render, write
    from bench.listing import json_text
    from bench.progress import terminal

    for task in arguments.task:
        made = run(task, arguments.root, arguments.encoder, progress=terminal)
        if arguments.out:
            print("\n".join(map(str, write(arguments.out, made))))
        else:
            print(json_text(made.facts) if arguments.json else render(made))
    return 0


def ood_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``ood`` takes beside the common options."""
    parser.add_argument("--task", nargs="+", required=True, metavar="ID", help="transfers, or tasks with lodo-* splits")
    parser.add_argument("--encoder", nargs="+", required=True, metavar="ID[:POOLING,…][=CHECKPOINT]")
    parser.add_argument("--out", type=Path, required=True, help="folder of the records and the report")
    parser.add_argument("--shots", type=int, nargs="*", default=SHOTS, metavar="K", help="patients of the target")
    parser.add_argument("--draws", type=int, default=DRAWS, help="draws of each number of shots")
    parser.add_argument("--skip-absent", action="store_true", help="list encoders whose weights are not at hand")
    parser.add_argument("--no-controls", action="store_true", help="without untrained twins")
    parser.add_argument("--title", help="title of the report")
    parser.add_argument("--note", action="append", default=[], help="a remark for the report (repeatable)")


def ood(arguments: argparse.Namespace, agree: Callable) -> int:
    """``ood``"""
    from bench.ood import ood as run
    from bench.progress import terminal
    from bench.suite import EncoderChoice, command_line

    asked = [EncoderChoice.parse(text) for text in arguments.encoder]
    agree(asked, arguments)
    files = run(
        arguments.task,
        asked,
        arguments.out,
        root=arguments.root,
        shots=arguments.shots,
        draws=arguments.draws,
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
    print("\n".join(map(str, files)))
    return 0


def score(arguments: argparse.Namespace) -> int:
    """``score``"""
    from bench.listing import json_text, score_text
    from bench.scoring import score_file

    report = score_file(arguments.task, arguments.file, arguments.root)
    for warning in report["warnings"]:
        print(f"respbench: warning: {warning}", file=sys.stderr)
    print(json_text(report) if arguments.json else score_text(report))
    return 0
