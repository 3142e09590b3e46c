"""Recipes × encoders × tasks × seeds into a results folder; what is there already is not trained again."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.base.errors import BadInput
from bench.base.progress import Progress, silent
from bench.data.manifest import Prepared
from bench.encoders.load import load_encoder, require_device
from bench.finetune.cost import Estimate, estimate_prepared
from bench.finetune.data.sides import sides
from bench.finetune.fitting import Fit, fit_prepared
from bench.finetune.model.model import require_served
from bench.finetune.recipe import Recipe
from bench.finetune.record import HONEST
from bench.finetune.training.loop import TrainingDiverged
from bench.probe import protocols
from bench.runs.choices import EncoderChoice, Outcome, encoders_at_hand, require_same_data, tasks_at_hand
from bench.runs.context import update_board_notes
from bench.runs.sweep.execute import make_controls
from bench.scores import records
from bench.types import Encoder, TaskCard

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # parameters of mallopt(3)
_PAD_BYTES = 64 << 20  # by which the heap grows at once


@dataclass
class FinetuneOutcome:
    """What became of a suite: ``made`` counts the runs whose records are in the folder, ``diverged`` {run: why}."""

    made: int = 0
    diverged: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FinetunePlan:
    """What is asked for and can run: everything that must be refused has been, before hours are spent on the first."""

    recipes: tuple[Recipe, ...]
    encoders: tuple[EncoderChoice, ...]
    data: tuple[tuple[TaskCard, Prepared], ...]
    seeds: tuple[int, ...]
    device: str

    def runs(self) -> Iterator[tuple[str, Encoder, TaskCard, Prepared, Recipe]]:
        """(title, encoder, task, clips, recipe) of every run but for its seed; one encoder is held at a time."""
        for choice in self.encoders:
            encoder = load_encoder(choice.id, choice.weights, self.device)
            for card, prepared in self.data:
                for recipe in self.recipes:
                    title = f"{card.id}  {choice.id}  {recipe.name}"
                    yield title, encoder, card, prepared, with_pooling(recipe, choice)


def plan(
    recipes: Sequence[Recipe],
    encoders: Sequence[EncoderChoice],
    tasks: Sequence[str],
    seeds: Sequence[int] | None = None,
    *,
    root: Path | None = None,
    device: str = "cpu",
    on_bad_clip: str = "error",
    progress: Progress = silent,
    say: Callable[[str], None] = lambda line: None,
) -> FinetunePlan:
    """Holds every encoder against every recipe and every task against every seed.

    Parameters
    ----------
    recipes, encoders, tasks
        What is to be combined, all with all.
    seeds
        By default those of the protocol ``finetune``.
    root
        The data folder; by default ``$RESPBENCH_DATA`` or ``./data``.

    Raises
    ------
    UnknownId
        For a task or encoder that does not exist.
    MissingWeights
        For an encoder whose weights are not at hand.
    BadInput
        For a task without data, a seed that leaves a class out, or a recipe that an encoder cannot serve.
    """
    seeds = tuple(seeds or protocols.get(HONEST).seeds)
    require_device(device)
    outcome = Outcome()
    chosen = encoders_at_hand(encoders, False, outcome, say, to_train=True)
    data = tasks_at_hand(tasks, (), root, on_bad_clip, outcome, progress, say)
    for card, prepared in data:
        for seed in seeds:
            sides(card, prepared, seed)
    for choice in chosen:  # one at a time, as training holds them
        encoder = load_encoder(choice.id, choice.weights)
        for recipe in recipes:
            require_served(encoder, with_pooling(recipe, choice))
    return FinetunePlan(tuple(recipes), tuple(chosen), tuple(data), seeds, device)


def estimate_plan(planned: FinetunePlan, progress: Progress = silent) -> Iterator[tuple[str, Estimate]]:
    """(title, what one seed will take) of every run of a plan; a few steps of each are timed."""
    for title, *run in planned.runs():
        yield title, estimate_prepared(*run, planned.seeds[0], progress)


def run_plan(
    planned: FinetunePlan,
    out: Path,
    *,
    keep_weights: bool = False,
    command: str = "",
    progress: Progress = silent,
    say: Callable[[str], None] = lambda line: None,
    done: Callable[[str, Fit], None] = lambda title, fit: None,
) -> FinetuneOutcome:
    """Trains what is missing of a plan's records in ``out``, and the control rows beside them; writes no page.

    A run that diverges leaves the others and their records. ``done`` is called after each run that ended well.
    Raises ``BadInput`` where the folder holds records of other data.
    """
    keep_freed_memory()
    stored = records.stored_specs(out, say)
    require_same_data(planned.data, stored)
    outcome = FinetuneOutcome()
    for title, *run in planned.runs():
        for seed in planned.seeds:
            name = f"{title}  seed {seed}"
            try:
                trained = fit_prepared(*run, seed, out=out, keep=keep_weights, progress=progress)
            except TrainingDiverged as error:  # the other runs are worth no less
                outcome.diverged[name] = str(error)
                say(f"{name}: {error}")
                continue
            outcome.made += 1
            done(name, trained)
    if outcome.made:
        make_controls(planned.data, out, stored, Outcome(), say)
        update_board_notes(out, command)
    return outcome


def with_pooling(recipe: Recipe, choice: EncoderChoice) -> Recipe:
    """The recipe with the pooling that is asked for beside the encoder. Raises ``BadInput`` for several."""
    if not choice.poolings:
        return recipe
    if len(choice.poolings) > 1 or recipe.head.kind not in ("linear", "mlp"):
        problem = f"{', '.join(choice.poolings)} beside the head {recipe.head.kind!r}"
        raise BadInput(f"poolings of {choice.id}", problem, "name one, for a linear or mlp head")
    return replace(recipe, head=replace(recipe.head, pooling=choice.poolings[0]))


def keep_freed_memory() -> bool:
    """Tells the C library not to give large blocks back to the kernel; returns whether it could be told (glibc can).

    glibc maps every large block anew and unmaps it when it is freed, so that each step of training has its tensors
    handed out again page by page, at up to two fifths of the step's time. The heap then never shrinks: for a process
    that trains and ends, not for a library to do to its caller.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # another system or another C library
        return False
    return all(mallopt(name, value) for name, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1), (_TOP_PAD, _PAD_BYTES)))
