"""The verb ``finetune``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BadInput, NothingAsked
from bench.types import PRECISIONS

if TYPE_CHECKING:
    from bench.finetune.recipe import Recipe
    from bench.suite import EncoderChoice

EPILOG = """examples:
  respbench finetune --recipe ce supcon --encoder efficientat.mn04 --task sprsound.events2 --estimate
  respbench finetune --recipe ce supcon --encoder efficientat.mn04 --task sprsound.events2 --out runs/finetune

A recipe is a name in scripts/recipes/finetune, or a TOML file. Every run gives two records: `finetune`, whose epoch
validation patients chose, and `literature/best-test-epoch`, whose epoch the test chose. A run that was interrupted goes
on from its last epoch; one that is done is not made again. The report is OUT/finetune/finetune.md."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What ``finetune`` takes beside the common options."""
    parser.formatter_class, parser.epilog = argparse.RawDescriptionHelpFormatter, EPILOG
    parser.add_argument("--recipe", nargs="+", required=True, metavar="NAME | FILE.toml")
    parser.add_argument("--encoder", nargs="+", required=True, metavar="ID[:POOLING][=CHECKPOINT]")
    parser.add_argument("--task", nargs="+", required=True, metavar="ID")
    parser.add_argument("--seeds", type=int, nargs="+", metavar="N", help="default: 0 1 2 3 4")
    parser.add_argument("--out", type=Path, help="results folder (records, finetune/)")
    parser.add_argument("--estimate", action="store_true", help="time a few steps, say what the runs will cost, stop")
    parser.add_argument("--epochs", type=int, metavar="N", help="in place of the recipe's")
    parser.add_argument("--precision", choices=PRECISIONS, help="in place of the recipe's")
    parser.add_argument("--keep-weights", action="store_true", help="leave checkpoints in OUT/training")


def finetune(arguments: argparse.Namespace, agree: Callable) -> int:
    """``finetune``"""
    from bench import board, heap, suite
    from bench import protocol as protocols
    from bench.encoders import load_encoder, require_device
    from bench.finetune import call, cost, report
    from bench.finetune.data import sides
    from bench.finetune.loop import TrainingDiverged
    from bench.finetune.model import require_served
    from bench.finetune.outcome import HONEST
    from bench.finetune.recipe import changed, load_recipe
    from bench.progress import terminal

    if not arguments.out and not arguments.estimate:
        raise NothingAsked("give --out, the folder of the records, or --estimate")
    heap.keep_freed()
    recipes = [changed(load_recipe(name), arguments.epochs, arguments.precision) for name in arguments.recipe]
    asked = [suite.EncoderChoice.parse(text) for text in arguments.encoder]
    seeds = arguments.seeds or list(protocols.get(HONEST).seeds)
    agree(asked, arguments)
    require_device(arguments.device)
    outcome = suite.Outcome()
    say = lambda line: print(line, file=sys.stderr)  # noqa: E731
    asked = suite.encoders_at_hand(asked, False, outcome, say, to_train=True)
    data = suite.tasks_at_hand(arguments.task, (), arguments.root, arguments.on_bad_clip, outcome, terminal, say)
    for card, prepared in data:  # whatever must be refused is, before hours are spent on the first
        for seed in seeds:
            sides(card, prepared, seed)
    for choice in asked:  # one at a time, as training holds them
        encoder = load_encoder(choice.id, choice.weights)
        for recipe in recipes:
            require_served(encoder, pooled(recipe, choice))
    if not arguments.estimate:
        suite.require_same_data(data, arguments.out)

    def runs() -> Iterator[tuple]:
        """(title, encoder, card, clips, recipe) of what is asked for, one encoder held at a time."""
        for choice in asked:
            encoder = load_encoder(choice.id, choice.weights, arguments.device)
            for card, prepared in data:
                for recipe in recipes:
                    yield f"{card.id}  {choice.id}  {recipe.name}", encoder, card, prepared, pooled(recipe, choice)

    if arguments.estimate:
        for title, *what in runs():
            print(f"{title}\n{cost.estimate_prepared(*what, seeds[0], terminal).text(len(seeds))}")
        return 0
    made, diverged = 0, 0
    for title, *what in runs():
        for seed in seeds:
            options = {"out": arguments.out, "keep": arguments.keep_weights, "progress": terminal}
            try:
                told = report.in_words(call.fit_prepared(*what, seed, **options).records)
                made += 1
            except TrainingDiverged as error:  # the other runs are worth no less
                told = str(error)
                diverged += 1
            say(f"{title}  seed {seed}: {told}")
    if made:
        suite.keep_floors(data, arguments.out, outcome, say)
        board.update_context(arguments.out, suite.command_line())
        written = report.write(arguments.out)
        print(written[0].read_text())
        print("\n".join(map(str, written)))
    if diverged:
        say(f"respbench: {diverged} of {made + diverged} runs diverged, see above; the report is without them")
    return 1 if diverged else 0


def pooled(recipe: Recipe, choice: EncoderChoice) -> Recipe:
    """The recipe with the pooling that is asked for beside the encoder. Raises ``BadInput`` for several."""
    if not choice.poolings:
        return recipe
    if len(choice.poolings) > 1 or recipe.head.kind not in ("linear", "mlp"):
        problem = f"{', '.join(choice.poolings)} beside the head {recipe.head.kind!r}"
        raise BadInput(f"poolings of {choice.id}", problem, "name one, for a linear or mlp head")
    return replace(recipe, head=replace(recipe.head, pooling=choice.poolings[0]))
