"""Many fine-tuning runs into a results folder: every encoder × task × recipe × seed. Existing records are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from bench.base.errors import BadInput
from bench.base.progress import Progress, silent
from bench.data.manifest import Prepared
from bench.encoders.load import require_device
from bench.finetune.cost import Estimate, estimate_prepared
from bench.finetune.data.clip_store import ClipStores
from bench.finetune.data.partition import partition
from bench.finetune.fitting import Fit, fit_prepared, require_own_folder
from bench.finetune.recipe import Recipe
from bench.finetune.record import NoEpochToChoose
from bench.finetune.training.loop import TrainingDiverged, require_precision
from bench.finetune.training.start import require_buildable
from bench.finetune.training.teachers import find_teachers, require_loadable
from bench.finetune.training.trial import Trial, try_recipe
from bench.probe import protocols
from bench.runs import evaluate
from bench.runs.choices import (
    EncoderChoice,
    Outcome,
    checkpoints_of,
    encoders_at_hand,
    require_same_data,
    tasks_at_hand,
)
from bench.runs.context import update_board_notes
from bench.runs.sweep.execute import make_controls, result_line
from bench.scores import records
from bench.scores.schema import Spec
from bench.types import Encoder, TaskCard


@dataclass
class FinetuneOutcome:
    """What a suite did.

    Attributes
    ----------
    made
        Number of runs whose records are in the folder, whether they were made now or before.
    diverged
        {run: why it has no record}.
    interrupted
        Whether Ctrl-C stopped it before its end.
    """

    made: int = 0
    diverged: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False


@dataclass(frozen=True)
class PlannedRun:
    """A run but for its seed; ``title`` names task, encoder, recipe and, of the literature's run, the protocol."""

    title: str
    encoder: Encoder
    card: TaskCard
    prepared: Prepared
    recipe: Recipe
    protocol: str


@dataclass(frozen=True)
class FinetunePlan:
    """Runs that passed every check, so that none is refused after hours of training.

    What depends on the results folder, and what a trial does without, ``run_plan`` checks before its first run.

    Attributes
    ----------
    recipes, encoders, data, seeds
        What is combined, all with all; ``data`` holds the card and the clips of each task.
    device
        Where encoders are trained.
    runs_of_each
        Protocols of the runs: ``finetune``, and the literature's where it is asked for.
    """

    recipes: tuple[Recipe, ...]
    encoders: tuple[EncoderChoice, ...]
    data: tuple[tuple[TaskCard, Prepared], ...]
    seeds: tuple[int, ...]
    device: str
    runs_of_each: tuple[str, ...] = (protocols.FINETUNE,)

    @property
    def trusted(self) -> tuple[str, ...]:
        """Revisions of code that comes with encoders, those of teachers too, and may run."""
        return tuple(dict.fromkeys(revision for choice in self.encoders for revision in choice.trusted))

    def runs(self) -> Iterator[PlannedRun]:
        """Iterate over all runs but for their seeds: encoder by encoder, of which one is held at a time."""
        for choice in self.encoders:
            encoder = choice.load(self.device)
            for card, prepared in self.data:
                for recipe in self.recipes:
                    for protocol in self.runs_of_each:
                        title = f"{card.id}  {choice.id}  {recipe.name}"
                        title += "" if protocol == protocols.FINETUNE else f"  {protocol}"
                        yield PlannedRun(title, encoder, card, prepared, with_pooling(recipe, choice), protocol)


def plan(
    recipes: Sequence[Recipe],
    encoders: Sequence[EncoderChoice],
    tasks: Sequence[str],
    seeds: Sequence[int] | None = None,
    *,
    root: Path | None = None,
    device: str = "cpu",
    literature: bool = False,
    on_bad_clip: str = "error",
    progress: Progress = silent,
    say: Callable[[str], None] = lambda line: None,
) -> FinetunePlan:
    """Plan the runs of all encoders, tasks, recipes and seeds, after checking that each can run.

    Every model and method is built, and every teacher loaded, from the manifests and with no clip of theirs decoded.

    Parameters
    ----------
    recipes, encoders, tasks
        What is combined, all with all.
    seeds
        By default those of the protocol ``finetune``.
    root
        The data folder; by default ``$RESPBENCH_DATA`` or ``./data``.
    device
        ``cpu``, ``cuda``, …
    literature
        Whether every run has one beside it that trains on all training rows and lets the test choose its epoch.
    on_bad_clip
        As for ``bench.data.manifest.prepare``.
    progress, say
        Show the decoding of clips, and warnings about the data.

    Raises
    ------
    UnknownId
        For a task or encoder that does not exist.
    MissingWeights
        For an encoder whose weights are not at hand.
    BadInput
        For a task without data, a seed that leaves a class out, teachers that may not or cannot teach, or a recipe that
        does not suit an encoder or a task.
    CodeNotTrusted, LicenceNotAccepted
        For an encoder, of a teacher too, that may not be used.
    """
    seeds = tuple(seeds or protocols.get(protocols.FINETUNE).seeds)
    require_device(device)
    outcome = Outcome()
    available = encoders_at_hand(encoders, False, outcome, say, to_train=True)
    data = tasks_at_hand(tasks, (), root, on_bad_clip, outcome, progress, say)
    runs_of_each = (protocols.FINETUNE, protocols.BEST_TEST) if literature else (protocols.FINETUNE,)
    planned = FinetunePlan(tuple(recipes), tuple(available), tuple(data), seeds, device, runs_of_each)
    for card, prepared in data:
        for seed in seeds:
            partition(card, prepared, seed)
    _require_teachers(planned)
    for run in replace(planned, device="cpu", runs_of_each=runs_of_each[:1]).runs():
        require_buildable(run.encoder, run.card, run.prepared, run.recipe, seeds, runs_of_each)
    return planned


def _require_teachers(planned: FinetunePlan) -> None:
    """Find and load every teacher, each once."""
    tried = set()
    for card, prepared in planned.data:
        for recipe in planned.recipes:
            for seed in planned.seeds:
                for teacher in find_teachers(recipe.distillation, card, prepared, seed):
                    if teacher.weights not in tried:
                        require_loadable(teacher, card, prepared, planned.trusted)
                        tried.add(teacher.weights)


def estimate_plan(
    planned: FinetunePlan, progress: Progress = silent, say: Callable[[str], None] = lambda line: None
) -> Iterator[tuple[str, Estimate]]:
    """Iterate over (title, estimate for one seed) of every run of a plan; a few steps of each are timed."""
    stores = ClipStores(progress, say)
    for run in planned.runs():
        estimate = estimate_prepared(
            run.encoder, run.card, run.prepared, run.recipe, planned.seeds[0], stores, run.protocol
        )
        yield run.title, estimate


def try_plan(planned: FinetunePlan, progress: Progress = silent) -> Iterator[tuple[str, Trial]]:
    """Iterate over (title, trial) of every run of a plan, on its first seed; nothing is kept."""
    for run in replace(planned, runs_of_each=(protocols.FINETUNE,)).runs():
        yield run.title, try_recipe(run.encoder, run.card, run.prepared, run.recipe, planned.seeds[0], progress)


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
    """Train the runs of a plan whose records are missing in a results folder; add its control records and notes.

    No page is written. A run that diverges leaves the other runs and their records.

    Parameters
    ----------
    planned
        From ``plan``.
    out
        The results folder.
    keep_weights
        Whether checkpoints stay in ``out/training``.
    command
        The command line that asked for the runs, for the folder's notes.
    progress, say
        Show the steps, and what diverged.
    done
        Called with the title and the result of each run that did not diverge.

    Raises
    ------
    BadInput
        Where the folder holds records of the same tasks on other data, or a recipe's teachers, for a task whose clips
        cannot serve a probe, and for float16 on a device other than CUDA.
    """
    stored = records.stored_specs(out, say)
    require_same_data(planned.data, stored)
    for card, prepared in planned.data:
        evaluate.check_trainable(card, prepared.rows)
    for recipe in planned.recipes:
        require_own_folder(recipe, out)
        require_precision(recipe, torch.device(planned.device))
    outcome, stores = FinetuneOutcome(), ClipStores(progress, say)
    for run in planned.runs():
        for seed in planned.seeds:
            title = f"{run.title}  seed {seed}"
            try:
                result = fit_prepared(
                    run.encoder,
                    run.card,
                    run.prepared,
                    run.recipe,
                    seed,
                    out=out,
                    keep=keep_weights,
                    progress=progress,
                    stores=stores,
                    protocol=run.protocol,
                    trusted=planned.trusted,
                )
            except KeyboardInterrupt:
                outcome.interrupted = True
                return _noted(planned, out, stored, outcome, command, say)
            except (TrainingDiverged, NoEpochToChoose) as error:
                outcome.diverged[title] = str(error)
                say(f"{title}: {error}")
                continue
            outcome.made += 1
            done(title, result)
    return _noted(planned, out, stored, outcome, command, say)


def _noted(
    planned: FinetunePlan,
    out: Path,
    stored: Mapping[str, Spec],
    outcome: FinetuneOutcome,
    command: str,
    say: Callable[[str], None],
) -> FinetuneOutcome:
    """Adds the control records and the folder's notes where anything was made."""
    if outcome.made:
        make_controls(planned.data, out, stored, Outcome(), lambda record: say(result_line(record)))
        update_board_notes(out, command, checkpoints=checkpoints_of(planned.encoders))
    return outcome


def with_pooling(recipe: Recipe, choice: EncoderChoice) -> Recipe:
    """Return the recipe with the pooling that an encoder was asked for with, if any.

    Raises ``BadInput`` for several poolings, and for a head that reads tokens.
    """
    if not choice.poolings:
        return recipe
    if len(choice.poolings) > 1 or recipe.head.kind not in ("linear", "mlp"):
        problem = f"{', '.join(choice.poolings)} beside the head {recipe.head.kind!r}"
        raise BadInput(f"poolings of {choice.id}", problem, "name one, for a linear or mlp head")
    return replace(recipe, head=replace(recipe.head, pooling=choice.poolings[0]))
