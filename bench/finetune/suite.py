"""Many fine-tuning runs into a results folder: every encoder × task × recipe × seed. Existing records are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.base.errors import BadInput
from bench.base.progress import Progress, silent
from bench.data.manifest import Prepared
from bench.encoders.load import require_device
from bench.finetune.cost import Estimate, estimate_prepared
from bench.finetune.data.clip_store import ClipStores
from bench.finetune.data.partition import partition
from bench.finetune.fitting import Fit, fit_prepared
from bench.finetune.model.fine_tuned import require_compatible
from bench.finetune.recipe import Recipe
from bench.finetune.record import NoEpochToChoose
from bench.finetune.training.loop import TrainingDiverged
from bench.finetune.training.teachers import find_teachers
from bench.finetune.training.trial import Trial, try_recipe
from bench.probe import protocols
from bench.runs.choices import EncoderChoice, Outcome, encoders_at_hand, require_same_data, tasks_at_hand
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
        For a task without data, a seed that leaves a class out, teachers that may not teach, or a recipe that does not
        suit an encoder.
    """
    seeds = tuple(seeds or protocols.get(protocols.FINETUNE).seeds)
    require_device(device)
    outcome = Outcome()
    available = encoders_at_hand(encoders, False, outcome, say, to_train=True)
    data = tasks_at_hand(tasks, (), root, on_bad_clip, outcome, progress, say)
    for card, prepared in data:
        for seed in seeds:
            partition(card, prepared, seed)
            for recipe in recipes:
                find_teachers(recipe.distillation, card, prepared, seed)
    for choice in available:  # one at a time, as training holds them
        encoder = choice.load()
        for recipe in recipes:
            require_compatible(encoder, with_pooling(recipe, choice))
    runs_of_each = (protocols.FINETUNE, protocols.BEST_TEST) if literature else (protocols.FINETUNE,)
    return FinetunePlan(tuple(recipes), tuple(available), tuple(data), seeds, device, runs_of_each)


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
        Where the folder holds records of the same tasks on other data.
    """
    stored = records.stored_specs(out, say)
    require_same_data(planned.data, stored)
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
        update_board_notes(out, command)
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
