"""What a run starts from, before its first step: the model with its initial weights, the method, and the clips."""

from __future__ import annotations

import copy
import functools
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from bench.data.manifest import Prepared
from bench.encoders.batches import collate, device_of, plan_batches
from bench.encoders.features.statistics import BATCH_S
from bench.finetune.data.audio_quality import Grading, grading
from bench.finetune.data.clip_store import ClipStore, ClipStores
from bench.finetune.data.partition import Partition, parts_of_run, statistics_rows
from bench.finetune.data.randomness import derive_seed
from bench.finetune.data.training_data import NEUTRAL_QUALITY, TrainingData, input_texts, training_facts
from bench.finetune.methods import METHODS, create_method
from bench.finetune.methods.shared.base import Method
from bench.finetune.model.fine_tuned import FineTunedModel, require_compatible
from bench.finetune.model.parts import freeze
from bench.finetune.recipe import Recipe
from bench.finetune.training.checkpoints import RunFolder
from bench.finetune.training.loop import Training, TrainingDiverged
from bench.probe.goal import Goal
from bench.probe.protocols import FINETUNE
from bench.types import Encoder, TaskCard


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
    """

    model: FineTunedModel
    method: Method
    data: TrainingData
    partition: Partition
    recipe: Recipe
    seed: int
    validation_metric: Callable[[np.ndarray], float]

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
    encoder: Encoder,
    card: TaskCard,
    prepared: Prepared,
    recipe: Recipe,
    seed: int,
    stores: ClipStores | None = None,
    parts: Partition | None = None,
    protocol: str = FINETUNE,
) -> RunStart:
    """Copy the encoder, add head and method, and open the clips, as a run of that seed starts.

    ``parts`` are those that seed and protocol give, unless a trial brings its own. Raises as ``fit``.
    """
    stores = stores or ClipStores()
    encoder = _own_copy(encoder, recipe, seed)
    parts = parts or parts_of_run(card, prepared, seed, protocol)
    rate, clip = encoder.card.sample_rate, recipe.batches.clip
    store = stores.get(prepared, rate, clip)
    if (measured := statistics_rows(encoder, parts)) is not None:
        encoder.fit_stats(_StatisticsBatches(encoder, store, measured))
    data = TrainingData.of(prepared, store, parts.training)
    model, method = _assembled(encoder, card, prepared, recipe, seed, parts)
    if "quality" in method.needs:
        native = stores.get(prepared, rate, "native")
        graded = clip_qualities(native, rate, parts.training, card.id.partition(".")[0], grading(*method.quality))
        data = replace(data, quality=graded)
    goal, label = Goal.of(card), prepared.rows["label"].to_numpy()[parts.validation]
    return RunStart(model, method, data, parts, recipe, seed, partial(goal.value, label))


def untrained(
    encoder: Encoder, card: TaskCard, prepared: Prepared, recipe: Recipe, seed: int
) -> tuple[FineTunedModel, Method]:
    """Build model and method of a run of the protocol ``finetune``, from the manifest alone: no clip is decoded.

    Statistics that the encoder takes of training clips are not taken. Raises as ``fit``.
    """
    own = _own_copy(encoder, recipe, seed)
    return _assembled(own, card, prepared, recipe, seed, parts_of_run(card, prepared, seed, FINETUNE))


def require_buildable(
    encoder: Encoder,
    card: TaskCard,
    prepared: Prepared,
    recipe: Recipe,
    seeds: Sequence[int],
    runs: Sequence[str] = (FINETUNE,),
) -> None:
    """Build what the runs of an encoder, task and recipe would train, of each seed and protocol; no clip is decoded.

    Raises ``BadInput`` or ``UnknownId`` where ``fit`` would: for a tap, block or layer that the encoder lacks, for
    metadata that the task lacks or in which its training clips do not differ, for classes that the method is not made
    for, and for an encoder without the text tower, or without the vocabulary, that the method reads.
    """
    own = _own_copy(encoder, recipe, seeds[0])
    if (tower := getattr(own, "text_tower", None)) is not None:
        own.text_tower = functools.cache(tower)  # read once for all methods, which are not trained
    model = _with_head(own, card, recipe, seeds[0])
    for seed in seeds:
        for protocol in runs:
            method = _method(model, card, prepared, recipe, parts_of_run(card, prepared, seed, protocol))
            if "quality" in method.needs:
                grading(*method.quality)


def _own_copy(encoder: Encoder, recipe: Recipe, seed: int) -> Encoder:
    """A copy that may be trained by the recipe; one that is trained from scratch is initialised by the seed."""
    encoder = copy.deepcopy(encoder)
    require_compatible(encoder, recipe)
    if encoder.card.from_scratch:
        encoder.reset(seed)
    return encoder


def _assembled(
    encoder: Encoder, card: TaskCard, prepared: Prepared, recipe: Recipe, seed: int, parts: Partition
) -> tuple[FineTunedModel, Method]:
    """Model and method, on the encoder's device, with initial weights by the seed; the encoder becomes a part."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "initialisation"))
        model = _with_head(encoder, card, recipe, seed)
        return model, _method(model, card, prepared, recipe, parts)


def _with_head(encoder: Encoder, card: TaskCard, recipe: Recipe, seed: int) -> FineTunedModel:
    freeze(encoder, recipe.encoder, recipe.lora, encoder.card.id)
    return FineTunedModel(encoder, len(card.classes), recipe, seed).to(device_of(encoder))


def _method(model: FineTunedModel, card: TaskCard, prepared: Prepared, recipe: Recipe, parts: Partition) -> Method:
    encoder, rows = model.encoder, prepared.rows
    token = encoder.card.dims.get("mean", 0)
    facts = training_facts(rows, parts.training, card.classes, model.readout.width, token)
    if columns := METHODS[recipe.method.name].inputs:
        facts = facts._replace(inputs=input_texts(rows, columns), text=getattr(encoder, "text_tower", None))
    return create_method(recipe.method.name, facts, **recipe.method.options).to(device_of(encoder))


class _StatisticsBatches:
    """(wave, length) batches of some clips, collated anew each time they are iterated over."""

    def __init__(self, encoder: Encoder, store: ClipStore, rows: np.ndarray):
        self.encoder, self.store, self.rows = encoder, store, rows

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        limit = int(BATCH_S * self.encoder.card.sample_rate)
        sizes = [int(size) for size in self.store.sizes[self.rows]]
        for batch in plan_batches(sizes, self.encoder, limit, ragged=False):
            yield collate(self.encoder, [self.store[row] for row in self.rows[batch]])


def clip_qualities(store: ClipStore, rate: int, training: np.ndarray, dataset: str, by: Grading) -> np.ndarray:
    """Grade training clips on the scale of those clips.

    Parameters
    ----------
    store
        Waveforms as they were recorded: under the policy ``native``. It remembers what was measured of a clip.
    rate
        Their sampling rate in Hz.
    training
        Positions of the clips to measure.
    dataset
        A name for the corpus that all clips are of.
    by
        The definition of quality.

    Returns
    -------
    ndarray
        (N,) float32 in [0, 1]; ``NEUTRAL_QUALITY`` for clips that are not trained on.
    """
    known = store.measures.setdefault(by.measure, {})
    for row in training:
        if row not in known:
            known[row] = by.measure(store[row], rate)
    out = np.full(len(store.sizes), NEUTRAL_QUALITY, np.float32)
    out[training] = by.qualities([known[row] for row in training], dataset)
    return out


@contextmanager
def run_folder(folder: Path | None) -> Iterator[Path]:
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
