"""The verbs ``finetune`` and ``recipe show``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.base.errors import NothingAsked
from bench.cli import options
from bench.cli.options import Group, Verb, command_line, say, show
from bench.types import PRECISIONS

EPILOG = """examples:
  respbench finetune --recipe ce supcon --encoder efficientat.mn04 --task sprsound.events2 --estimate
  respbench finetune --recipe patchmix-cl --encoder ast.base@evar --task icbhi.cycles4 --trial
  respbench finetune --recipe ce supcon --encoder efficientat.mn04 --task sprsound.events2 --out runs/finetune

A recipe is a name in scripts/recipes/finetune, or a TOML file; it says what it needs. --trial goes the whole way with a
few clips on any machine, in float32 on a CPU, and leaves no record: see that all works there before a GPU is asked for.
Every run gives two records: `finetune`, whose epoch validation patients chose, and `finetune/best-test-epoch`, whose
epoch the test chose. --literature adds a run of its own to each, `literature/best-test-epoch`, on all training rows, as
released code does it: set that beside a published number. A run that was interrupted goes on from its last epoch; one
that is done is not made again. The report is OUT/finetune/finetune.md."""


def finetune_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``finetune`` takes beside the common options."""
    parser.formatter_class, parser.epilog = argparse.RawDescriptionHelpFormatter, EPILOG
    parser.add_argument("--recipe", nargs="+", required=True, metavar="NAME | FILE.toml")
    parser.add_argument("--encoder", nargs="+", required=True, metavar="ID[:POOLING][=CHECKPOINT]")
    parser.add_argument("--task", nargs="+", required=True, metavar="ID")
    parser.add_argument("--seeds", type=int, nargs="+", metavar="N", help="default: 0 1 2 3 4")
    parser.add_argument("--out", type=Path, help="results folder (records, finetune/)")
    parser.add_argument("--estimate", action="store_true", help="time a few steps, say what the runs will cost, stop")
    parser.add_argument("--trial", action="store_true", help="try it in minutes: few clips, 2 epochs, no record; stop")
    parser.add_argument("--epochs", type=int, metavar="N", help="in place of the recipe's")
    parser.add_argument("--precision", choices=PRECISIONS, help="in place of the recipe's")
    parser.add_argument(
        "--literature", action="store_true", help="beside each run one on all training rows, its epoch by the test"
    )
    parser.add_argument("--keep-weights", action="store_true", help="leave checkpoints in OUT/training")
    for option in (options.root, options.device, options.licence, options.trust, options.bad_clips):
        option(parser)


def finetune(arguments: argparse.Namespace) -> int:
    """``finetune``: exit status 1 where a run diverged."""
    from bench.base.progress import terminal
    from bench.finetune import suite
    from bench.finetune.recipe import load_recipe, with_overrides
    from bench.finetune.training.memory import keep_freed_memory
    from bench.finetune.training.teachers import teachers_encoders
    from bench.publish.page import write_page
    from bench.reports.finetune.report import run_summary, write_finetune_report

    if not (arguments.out or arguments.estimate or arguments.trial):
        raise NothingAsked("give --out, the folder of the records, --estimate or --trial")
    if arguments.trial and (arguments.out or arguments.estimate):
        raise NothingAsked("a trial makes no record and no estimate; leave out --out and --estimate")
    keep_freed_memory()
    recipes = [with_overrides(load_recipe(name), arguments.epochs, arguments.precision) for name in arguments.recipe]
    chosen = options.chosen(arguments.encoder, arguments, besides=lambda trusted: teachers_encoders(recipes, trusted))
    planned = suite.plan(
        recipes,
        chosen,
        arguments.task,
        arguments.seeds,
        root=arguments.root,
        device=arguments.device,
        literature=arguments.literature,
        on_bad_clip=arguments.on_bad_clip,
        progress=terminal,
        say=say,
    )
    if arguments.estimate:
        for title, estimate in suite.estimate_plan(planned, terminal):
            show(f"{title}\n{estimate.text(len(planned.seeds))}")
        return 0
    if arguments.trial:
        for title, trial in suite.try_plan(planned, terminal):
            show(f"{title}\n{trial.text()}")
        return 0
    outcome = suite.run_plan(
        planned,
        arguments.out,
        keep_weights=arguments.keep_weights,
        command=command_line(),
        progress=terminal,
        say=say,
        done=lambda name, trained: say(f"{name}: {run_summary(trained.records)}"),
    )
    if outcome.made:
        written = [*write_finetune_report(arguments.out), write_page(arguments.out)]
        show(written[0].read_text(encoding="utf-8"))
        show("\n".join(map(str, written)))
    if outcome.interrupted:
        return options.stopped(arguments.out)
    if outcome.diverged:
        total = outcome.made + len(outcome.diverged)
        say(f"respbench: {len(outcome.diverged)} of {total} runs left no record, see above; the report is without them")
    return 1 if outcome.diverged else 0


def show_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``recipe show`` takes."""
    parser.add_argument("recipe", metavar="NAME | FILE.toml")
    options.json_output(parser)


def show_recipe(arguments: argparse.Namespace) -> int:
    """Runs ``recipe show``."""
    from bench.cli.texts import recipe_text

    facts = recipe_facts(arguments.recipe)
    if arguments.json:
        options.print_json(facts)
    else:
        show(recipe_text(facts))
    return 0


def recipe_facts(name: str) -> dict[str, Any]:
    """Everything about a recipe, by name or file: what it is, its method, and every setting under its dotted name.

    Raises as ``bench.finetune.load_recipe``.
    """
    from bench.base.settings import plain
    from bench.finetune.methods import describe
    from bench.finetune.recipe import DESCRIPTIVE, load_recipe

    recipe = load_recipe(name)
    method = describe(recipe.method.name)
    method["defaults"] = method["defaults"] | recipe.method.options
    values = {key: value for key, value in plain(recipe).items() if key not in (*DESCRIPTIVE, "method")}
    told: dict[str, Any] = {key: value for key, value in plain(recipe).items() if key in DESCRIPTIVE}
    given = {f"method.{key}": value for key, value in method["defaults"].items()}
    return told | {"method": method, "settings": {"method": recipe.method.name} | given | _dotted(values)}


def _dotted(values: Mapping[str, Any], under: str = "") -> dict[str, Any]:
    """{``table.setting``: value} of nested tables."""
    out: dict[str, Any] = {}
    for name, value in values.items():
        out |= _dotted(value, f"{under}{name}.") if isinstance(value, Mapping) else {f"{under}{name}": value}
    return out


RECIPE = Group(
    "recipe",
    "show what a recipe of fine-tuning does, and what differs from its source",
    (Verb("show", "every setting of a recipe, its source, and what differs from it", show_arguments, show_recipe),),
)
FINETUNE = Verb("finetune", "train encoders by recipes, on several seeds", finetune_arguments, finetune)
