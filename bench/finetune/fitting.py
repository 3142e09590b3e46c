"""Fine-tuning as one call: from encoder, task, recipe and seed to two records and the trained encoder."""

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
from bench.encoders.features.statistics import BATCH_S, spaced
from bench.encoders.load import needs_statistics
from bench.encoders.weights.find import parameter_digest
from bench.finetune.data.clip_store import ClipStore
from bench.finetune.data.partition import Partition, partition
from bench.finetune.data.quality import QualityScale, measure_clip
from bench.finetune.data.randomness import derive_seed
from bench.finetune.data.training_data import NEUTRAL_QUALITY, TrainingData
from bench.finetune.methods import create_method, default_options
from bench.finetune.methods.shared.base import Method
from bench.finetune.model.fine_tuned import FineTunedModel, require_compatible
from bench.finetune.model.parts import freeze
from bench.finetune.recipe import Recipe, load_recipe
from bench.finetune.record import PROTOCOLS_OF_A_RUN, build_record, build_spec, total_seconds
from bench.finetune.training.checkpoints import CHOSEN, RunFolder
from bench.finetune.training.loop import Training, TrainingDiverged
from bench.probe.goal import Goal
from bench.runs import evaluate
from bench.scores import records
from bench.scores.schema import Record, RunFacts, Spec
from bench.types import Encoder, Task, TaskCard

TRAINING_FOLDER = "training"  # in a results folder: what unfinished runs left


@dataclass(frozen=True)
class Fit:
    """What one run gives.

    Attributes
    ----------
    records
        The record whose epoch validation patients chose (protocol ``finetune``), and the one whose epoch the test
        chose (``literature/best-test-epoch``).
    encoder
        The encoder with the weights of the epoch that validation patients chose, ready for ``bench.evaluate`` and
        ``bench.embed``; None where the records existed already and the weights were not kept.
    """

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
    """Fine-tune a copy of an encoder on a task's training clips, on the device of the encoder.

    Parameters
    ----------
    encoder
        Stays as it is.
    task
        A multiclass task with recordings.
    recipe
        A recipe, or what ``load_recipe`` takes: a name or a TOML file.
    seed
        Decides the validation patients, the head's initial weights, the order of clips and every augmentation.
    out
        A results folder, where records are written: an interrupted run goes on there from its last epoch, and a
        finished one is read, not computed again.
    on_bad_clip
        As for ``bench.data.manifest.prepare``.
    keep
        Whether checkpoints stay in ``out/training/<key>``.
    progress
        Shows the steps.

    Returns
    -------
    Fit
        Two records and the trained encoder.

    Raises
    ------
    BadInput
        For unusable data, and for a recipe that does not suit the encoder or the task.
    UnknownId
        For a method or recipe that does not exist.
    TrainingDiverged
        For a loss, gradient or prediction that is not finite.
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
    """Do what ``fit`` does, for clips that have been prepared already."""
    evaluate.check_trainable(card, prepared)
    start = prepare_run(encoder, card, prepared, recipe, seed, progress)
    stored = [_read_stored(out, spec) for spec in start.specs]
    folder = Path(out) / TRAINING_FOLDER / records.key(start.specs[0]) if out else None
    if all(stored):
        trained = _kept_encoder(start, folder, card)
        if trained is not None or not (keep and folder):
            return Fit(tuple(stored), trained)
    with _run_folder(folder) as path:
        training = start.training(RunFolder(path, records.key(start.specs[0])))
        title = f"{recipe.name} {encoder.card.id} on {card.id}, seed {seed}"
        steps = training.steps_per_epoch * recipe.epochs
        with progress(title, steps) as tick:
            training.run(tick)
        costs = _costs(training)
        made = tuple(build_record(spec, training, encoder.card, card, prepared, costs) for spec in start.specs)
        trained = _trained_encoder(training, card)
        if out is not None:
            for record in made:
                records.write(record, Path(out))
            if not keep:
                training.folder.remove()
    return Fit(made, trained)


@dataclass(frozen=True)
class RunStart:
    """Everything that a run starts from, before the first step.

    Attributes
    ----------
    model, method
        With their initial weights, on the encoder's device.
    data, partition
        Training clips, and which clips are predicted.
    recipe, seed
        How it is trained.
    validation_metric
        From log probabilities (v, K) of the validation clips to the main metric, high is better.
    specs
        What determines each of the two records, in the order of ``PROTOCOLS_OF_A_RUN``.
    """

    model: FineTunedModel
    method: Method
    data: TrainingData
    partition: Partition
    recipe: Recipe
    seed: int
    validation_metric: Callable[[np.ndarray], float]
    specs: tuple[Spec, ...]

    def training(self, folder: RunFolder) -> Training:
        """Return the run, with its working folder."""
        return Training(
            self.model,
            self.method,
            self.data,
            self.partition,
            self.recipe,
            self.seed,
            folder,
            self.validation_metric,
        )


def prepare_run(
    encoder: Encoder, card: TaskCard, prepared: Prepared, recipe: Recipe, seed: int, progress: Progress = silent
) -> RunStart:
    """Copy the encoder, add head and method, and decode the clips, as a run of that seed starts. Raises as ``fit``."""
    encoder = copy.deepcopy(encoder)
    require_compatible(encoder, recipe)
    if encoder.card.from_scratch:
        encoder.reset(seed)
    device = next((t.device for t in [*encoder.parameters(), *encoder.buffers()]), torch.device("cpu"))
    parts = partition(card, prepared, seed)
    rate, clip = encoder.card.sample_rate, recipe.batches.clip
    store = ClipStore(prepared, rate, clip, progress)
    statistics = _fit_statistics(encoder, prepared, store, parts.training)
    digests = {
        "weights": encoder.weights_digest,
        "parameters": parameter_digest(encoder),
        "statistics": statistics,
    }
    data = TrainingData.of(prepared, store, parts.training)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "initialisation"))
        freeze(encoder, recipe.encoder, recipe.lora, encoder.card.id)
        model = FineTunedModel(encoder, len(card.classes), recipe, seed).to(device)
        facts = data.facts(len(card.classes), model.readout.width)
        method = create_method(recipe.method.name, facts, **recipe.method.options).to(device)
    if "quality" in method.needs:
        native = store if clip == "native" else ClipStore(prepared, rate, "native", progress)
        data = replace(data, quality=clip_qualities(native, rate, parts.training, card.id.partition(".")[0]))
    goal, label = Goal.of(card), prepared.rows["label"].to_numpy()[parts.validation]
    options = default_options(method.name) | recipe.method.options
    read_from = (model.readout.layer, model.readout.pooling)
    specs = tuple(
        build_spec(name, encoder.card, digests, card, prepared, recipe, options, read_from, seed, device.type)
        for name in PROTOCOLS_OF_A_RUN
    )
    return RunStart(model, method, data, parts, recipe, seed, partial(goal.value, label), specs)


class _StatisticsBatches:
    """(wave, length) batches of some clips, collated anew each time they are iterated over."""

    def __init__(self, encoder: Encoder, store: ClipStore, rows: np.ndarray):
        self.encoder, self.store, self.rows = encoder, store, rows

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        limit = int(BATCH_S * self.encoder.card.sample_rate)
        sizes = [int(size) for size in self.store.sizes[self.rows]]
        for batch in plan_batches(sizes, self.encoder, limit, ragged=False):
            yield collate(self.encoder, [self.store[row] for row in self.rows[batch]])


def _fit_statistics(encoder: Encoder, prepared: Prepared, store: ClipStore, training: np.ndarray) -> str:
    """Fit statistics to training clips, evenly spaced ones where there are many, for an encoder that needs them.

    Returns the digest of those clips; an empty string for an encoder that needs no statistics.
    """
    if not needs_statistics(encoder):
        return ""
    chosen = training[spaced(len(training))]
    encoder.fit_stats(_StatisticsBatches(encoder, store, chosen))
    return clips.digest(prepared.rows.iloc[np.sort(chosen)], prepared.recordings)


def clip_qualities(store: ClipStore, rate: int, training: np.ndarray, dataset: str) -> np.ndarray:
    """Measure the quality of training clips (``bench.finetune.data.quality``), on the scale of those clips.

    Parameters
    ----------
    store
        Waveforms as they were recorded: under the policy ``native``.
    rate
        Their sampling rate in Hz.
    training
        Positions of the clips to measure.
    dataset
        A name for the corpus that all clips are of.

    Returns
    -------
    ndarray
        (N,) float32 in [0, 1]; ``NEUTRAL_QUALITY`` for clips that are not trained on.
    """
    measures = {row: measure_clip(store[row], rate) for row in training}
    scale = QualityScale.fitted(measures.values(), [dataset] * len(measures))
    out = np.full(len(store.sizes), NEUTRAL_QUALITY, np.float32)
    for row, measured in measures.items():
        out[row] = scale.quality(measured, dataset)
    return out


@contextmanager
def _run_folder(folder: Path | None) -> Iterator[Path]:
    """A run's folder; without one, a temporary folder that stays only where training diverged and left its batch."""
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


def _read_stored(out: Path | None, spec: Spec) -> Record | None:
    """Read the record of a spec where a results folder holds it whole."""
    if out is None:
        return None
    path = records.path(Path(out), spec["task"], records.key(spec))
    try:
        return records.read(path) if path.exists() else None
    except BadInput:
        return None  # a damaged record is made again


def _kept_encoder(start: RunStart, folder: Path | None, card: TaskCard) -> Encoder | None:
    """Load the trained encoder of a run whose chosen weights were kept.

    None where the run in the folder has not ended: its weights are those of the best epoch so far.
    """
    if folder is None or not (folder / CHOSEN).exists():
        return None
    training = start.training(RunFolder(folder, folder.name))
    return _trained_encoder(training, card) if training.resume() else None


def _trained_encoder(training: Training, card: TaskCard) -> Encoder:
    """Return the encoder at the chosen epoch, in prediction mode.

    Its weights digest is that of its parameters, its card lists the task's corpora as trained on, and an encoder that
    was trained from scratch may be evaluated from now on.
    """
    training.restore_chosen()
    encoder = training.model.encoder.eval()
    encoder.weights_digest = parameter_digest(encoder)
    trained_on = tuple(dict.fromkeys([*encoder.card.trained_on, *card.corpora]))
    encoder.card = replace(encoder.card, from_scratch=False, trained_on=trained_on)
    return encoder


def _costs(training: Training) -> RunFacts:
    """Costs and provenance of a run: seconds, device-hours and peak memory of all epochs, resumed ones included."""
    train_s, predict_s = total_seconds(training.history)
    on_gpu = training.device.type == "cuda"
    return provenance.stamp(str(training.device), train_s + predict_s) | {
        "train_s": round(train_s, 3),
        "predict_s": round(predict_s, 3),
        "epochs_run": len(training.history),
        "device_hours": round((train_s + predict_s) / 3600, 5),
        "device_name": torch.cuda.get_device_name(training.device) if on_gpu else "",
        "device_memory_mb": round(torch.cuda.max_memory_allocated(training.device) / 1e6, 1) if on_gpu else None,
    }
