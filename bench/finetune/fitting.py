"""One call from encoder, task, recipe and seed to two records and the trained encoder."""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from bench.base import provenance
from bench.base.errors import BadInput
from bench.base.progress import Progress, silent
from bench.data import clips
from bench.data.manifest import Prepared, prepare
from bench.encoders.batches import collate, plan_batches
from bench.encoders.features import MAX_BATCH_S, STATS_CLIPS
from bench.finetune import record as outcome
from bench.finetune.data.quality import Loudness, sound
from bench.finetune.data.randomness import seed_of
from bench.finetune.data.sides import Material, Sides, sides
from bench.finetune.data.waves import Waves
from bench.finetune.methods import defaults, method
from bench.finetune.methods.shared.base import Method
from bench.finetune.model.model import FineTuned, require_served
from bench.finetune.model.parts import freeze
from bench.finetune.recipe import Recipe, load_recipe
from bench.finetune.training.checkpoints import CHOSEN, Folder
from bench.finetune.training.loop import Training, TrainingDiverged
from bench.probe.goal import Goal
from bench.runs import evaluate
from bench.scores import records
from bench.scores.schema import Record, RunFacts, Spec
from bench.types import Encoder, Task, TaskCard

FOLDER = "training"  # in a results folder: what unfinished runs left


@dataclass(frozen=True)
class Fit:
    """``records``: the honest one (protocol ``finetune``) and the one whose epoch was chosen on the test
    (``literature/best-test-epoch``). ``encoder``: the encoder with the weights of the honest epoch, ready for
    ``bench.evaluate`` and ``bench.embed``; None where the records were there already and the weights were not kept."""

    records: tuple[Record, Record]
    encoder: Encoder | None


def fit(
    encoder: Encoder,
    task: Task,
    recipe: Recipe | str | Path,
    seed: int = 0,
    *,
    out: Path | None = None,
    on_bad_clip: str = "error",
    keep: bool = False,
    progress: Progress = silent,
) -> Fit:
    """Fine-tunes a copy of ``encoder`` on the task's training rows, on the device where it lies.

    With ``out``, a results folder, records are written there, a run that was interrupted goes on from its last epoch,
    and one that is done is not made again; ``keep`` leaves its checkpoints in ``out/training/<key>``. Raises
    ``BadInput`` for unusable data and for a recipe that the encoder or the task cannot serve, ``UnknownId`` for a
    method that does not exist, ``TrainingDiverged`` for a loss or gradient that is not finite.
    """
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    prepared = prepare(task, on_bad_clip, progress)
    return fit_prepared(encoder, task.card, prepared, recipe, seed, out=out, keep=keep, progress=progress)


def fit_prepared(
    encoder: Encoder,
    card: TaskCard,
    prepared: Prepared,
    recipe: Recipe,
    seed: int,
    *,
    out: Path | None = None,
    keep: bool = False,
    progress: Progress = silent,
) -> Fit:
    """``fit`` for data that has been prepared already."""
    evaluate.check_trainable(card, prepared)
    built = build(encoder, card, prepared, recipe, seed, progress)
    found = [_stored(out, identity) for identity in built.specs]
    folder = Path(out) / FOLDER / records.key(built.specs[0]) if out else None
    if all(found):
        kept = _kept(built, folder, card)
        if kept is not None or not (keep and folder):
            return Fit(tuple(found), kept)
    with _workplace(folder) as path:
        training = built.training(Folder(path, records.key(built.specs[0])))
        title = f"{recipe.name} {encoder.card.id} on {card.id}, seed {seed}"
        steps = training.steps_per_epoch * recipe.epochs
        with progress(title, steps) as tick:
            training.run(tick)
        stamp = _stamp(training)
        told = partial(outcome.record, training=training, encoder=encoder.card, card=card, prepared=prepared)
        made = tuple(told(identity, stamp=stamp) for identity in built.specs)
        trained = _trained(training, card)
        if out is not None:
            for record in made:
                records.write(record, Path(out))
            if not keep:
                training.folder.remove()
    return Fit(made, trained)


@dataclass(frozen=True)
class Built:
    """Everything that a run starts from, before the first step."""

    model: FineTuned
    method: Method
    material: Material
    sides: Sides
    recipe: Recipe
    seed: int
    value: Callable[[np.ndarray], float]
    specs: tuple[Spec, ...]

    def training(self, folder: Folder) -> Training:
        """The run in its working folder."""
        return Training(self.model, self.method, self.material, self.sides, self.recipe, self.seed, folder, self.value)


def build(
    encoder: Encoder, card: TaskCard, prepared: Prepared, recipe: Recipe, seed: int, progress: Progress = silent
) -> Built:
    """A copy of the encoder with head and method, and the clips, as a run of that seed starts with them. Raises as
    ``fit``."""
    from bench.encoders.weights.find import parameter_digest

    encoder = copy.deepcopy(encoder)
    require_served(encoder, recipe)
    if encoder.card.from_scratch:
        encoder.reset(seed)
    device = next((t.device for t in [*encoder.parameters(), *encoder.buffers()]), torch.device("cpu"))
    part = sides(card, prepared, seed)
    rate, clip = encoder.card.sample_rate, recipe.batches.clip
    waves = Waves(prepared, rate, clip, progress)
    statistics = _fit_statistics(encoder, prepared, waves, part.fit)
    digests = {
        "weights": encoder.weights_digest,
        "parameters": parameter_digest(encoder),
        "statistics": statistics,
    }
    material = Material.of(prepared, waves, part.fit)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed, "initialisation"))
        freeze(encoder, recipe.encoder, recipe.lora, encoder.card.id)
        model = FineTuned(encoder, len(card.classes), recipe, seed).to(device)
        made = method(
            recipe.method.name, material.facts(len(card.classes), model.readout.width), **recipe.method.options
        ).to(device)
    if "quality" in made.needs:
        native = waves if clip == "native" else Waves(prepared, rate, "native", progress)
        material = replace(material, quality=qualities(native, rate, part.fit, card.id.partition(".")[0]))
    goal, label = Goal.of(card), prepared.rows["label"].to_numpy()[part.validation]
    options = defaults(made.name) | recipe.method.options
    read = (model.readout.layer, model.readout.pooling)
    specs = tuple(
        outcome.spec(name, encoder.card, digests, card, prepared, recipe, options, read, seed, device.type)
        for name in outcome.PROTOCOLS
    )
    return Built(model, made, material, part, recipe, seed, partial(goal.value, label), specs)


def _fit_statistics(encoder: Encoder, prepared: Prepared, waves: Waves, rows: np.ndarray) -> str:
    """Measures what the encoder needs of the clips trained on, evenly spaced ones where there are many; their digest,
    empty where it needs none."""
    if not getattr(encoder, "needs_stats", False):
        return ""
    spaced = np.linspace(0, len(rows) - 1, min(len(rows), STATS_CLIPS))
    chosen = rows[np.unique(spaced.round().astype(int))]
    limit = int(MAX_BATCH_S * encoder.card.sample_rate)
    plan = plan_batches([int(size) for size in waves.sizes[chosen]], encoder, limit)

    class Batches:
        def __iter__(self):
            return (collate(encoder, [waves[row] for row in chosen[batch]]) for batch in plan)

    encoder.fit_stats(Batches())
    return clips.digest(prepared.rows.iloc[np.sort(chosen)], prepared.recordings)


def qualities(waves: Waves, rate: int, fit: np.ndarray, dataset: str) -> np.ndarray:
    """(N,) float32: quality of the clips ``fit`` as they were recorded, by ``bench.finetune.data.quality`` with bounds
    of those clips alone; 0.5 elsewhere."""
    sounds = {row: sound(waves[row], rate) for row in fit}
    bounds = Loudness.fitted(sounds.values(), [dataset] * len(sounds))
    out = np.full(len(waves.sizes), 0.5, np.float32)
    for row, heard in sounds.items():
        out[row] = bounds.quality(heard, dataset)
    return out


@contextmanager
def _workplace(folder: Path | None) -> Iterator[Path]:
    """A run's folder; without one, a temporary folder that only a batch at which training diverged outlives."""
    path = Path(tempfile.mkdtemp(prefix="respbench-")) if folder is None else folder
    diverged = False
    try:
        yield path
    except TrainingDiverged:
        diverged = True
        raise
    finally:
        if folder is None and not diverged:
            shutil.rmtree(path)


def _stored(out: Path | None, identity: Spec) -> Record | None:
    """The record of that identity where it lies whole in a results folder."""
    if out is None:
        return None
    path = records.path(Path(out), identity["task"], records.key(identity))
    try:
        return records.read(path) if path.exists() else None
    except BadInput:
        return None  # whatever is wrong with it, it is not done


def _kept(built: Built, folder: Path | None, card: TaskCard) -> Encoder | None:
    """The trained encoder of a run whose chosen weights were kept; None where the run in the folder did not end, whose
    weights are those of the best epoch so far."""
    if folder is None or not (folder / CHOSEN).exists():
        return None
    training = built.training(Folder(folder, folder.name))
    return _trained(training, card) if training.resume() else None


def _trained(training: Training, card: TaskCard) -> Encoder:
    """The encoder at the chosen epoch, in prediction mode; its weights digest is that of its parameters, it was trained
    on the task's corpora too, and from scratch no more."""
    from bench.encoders.weights.find import parameter_digest

    training.take_chosen()
    encoder = training.model.encoder.eval()
    encoder.weights_digest = parameter_digest(encoder)
    seen = tuple(dict.fromkeys([*encoder.card.trained_on, *card.corpora]))
    encoder.card = replace(encoder.card, from_scratch=False, trained_on=seen)
    return encoder


def _stamp(training: Training) -> RunFacts:
    """Cost and provenance: seconds, device-hours and peak memory are those of all epochs, resumed ones included."""
    train_s, predict_s = outcome.seconds(training.history)
    on_device = training.device.type == "cuda"
    return provenance.stamp(str(training.device), train_s + predict_s) | {
        "train_s": round(train_s, 3),
        "predict_s": round(predict_s, 3),
        "epochs_run": len(training.history),
        "device_hours": round((train_s + predict_s) / 3600, 5),
        "device_name": torch.cuda.get_device_name(training.device) if on_device else "",
        "device_memory_mb": round(torch.cuda.max_memory_allocated(training.device) / 1e6, 1) if on_device else None,
    }
