"""A run's per-epoch predictions as two records.

One has the epoch that validation patients chose, the other the epoch that the test itself would have chosen, which is
how much of the literature reports.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from bench.base.errors import BadInput
from bench.data import audio, clips
from bench.data.manifest import Prepared
from bench.encoders.batches import bounded_length, device_of
from bench.encoders.weights.find import parameter_digest
from bench.finetune.data.partition import Partition, partition, statistics_rows
from bench.finetune.methods import default_options
from bench.finetune.model.heads import build_readout
from bench.finetune.recipe import Recipe
from bench.finetune.training.checkpoints import RunFolder
from bench.finetune.training.loop import Epoch, Training
from bench.probe import protocols
from bench.probe.goal import Goal
from bench.probe.protocols import BEST_TEST, FINETUNE
from bench.runs import evaluate
from bench.runs.spec import result_spec
from bench.scores import records
from bench.scores.schema import EncoderFacts, Record, RunFacts, Selection, Spec
from bench.types import Encoder, EncoderCard, TaskCard

PROTOCOLS_OF_A_RUN = (FINETUNE, BEST_TEST)
CHOSEN_ON_TEST = "epoch chosen on the test"  # a mark of records


def run_specs(encoder: Encoder, card: TaskCard, prepared: Prepared, recipe: Recipe, seed: int) -> tuple[Spec, ...]:
    """Collect what determines the records of a run, in the order of ``PROTOCOLS_OF_A_RUN``; no clip is decoded.

    Raises ``BadInput`` where ``partition`` does, and where the encoder does not offer what the recipe's head reads.
    """
    device = device_of(encoder).type
    measured = statistics_rows(encoder, partition(card, prepared, seed))
    if encoder.card.from_scratch:
        encoder = copy.deepcopy(encoder)
        encoder.reset(seed)
    digests = {
        "weights": encoder.weights_digest,
        "parameters": parameter_digest(encoder),
        "statistics": ""
        if measured is None
        else clips.digest(prepared.rows.iloc[np.sort(measured)], prepared.recordings),
    }
    with torch.random.fork_rng(devices=[]):
        readout = build_readout(recipe.head, encoder.card)
    options = default_options(recipe.method.name) | recipe.method.options
    read_from = (readout.layer, readout.pooling)
    return tuple(
        build_spec(name, encoder.card, digests, card, prepared, recipe, options, read_from, seed, device)
        for name in PROTOCOLS_OF_A_RUN
    )


def build_spec(
    protocol: str,
    encoder: EncoderCard,
    digests: Mapping[str, str],
    card: TaskCard,
    prepared: Prepared,
    recipe: Recipe,
    options: Mapping,
    read_from: tuple[int, str],
    seed: int,
    device: str,
) -> Spec:
    """Collect what determines a record.

    Parameters
    ----------
    protocol
        One of ``PROTOCOLS_OF_A_RUN``.
    encoder, digests
        The encoder's card, and the digests of its ``weights``, of its ``parameters`` before training and of the
        ``statistics`` that it took from training clips.
    card, prepared
        The task and its clips.
    recipe, options
        The recipe, and all options of its method, defaults too.
    read_from
        (layer, pooling) of the readout.
    seed
        Of the run.
    device
        Its kind, such as ``cpu``: rounding depends on it.
    """
    resolved = protocols.get(protocol, recipe.batches.clip)
    numbers = recipe.numbers()
    numbers["method"] = {"name": recipe.method.name, "options": dict(options)}
    return result_spec(
        card,
        prepared,
        resolved,
        seed,
        encoder=encoder.id,
        encoder_version=encoder.version,
        layer=read_from[0],
        pooling=read_from[1],
        clip=resolved.clip,
        **digests,
        resampler=audio.RESAMPLER,
        dtype=recipe.precision,
        device=device,
        recipe=numbers,
    )


def build_record(
    spec: Spec, training: Training, encoder: EncoderCard, card: TaskCard, prepared: Prepared, costs: RunFacts
) -> Record:
    """Build the record of a finished run.

    Parameters
    ----------
    spec
        From ``build_spec``: its protocol says how the epoch is chosen.
    training
        The run, after its last epoch.
    encoder, card, prepared
        The encoder's card, the task's, and the task's clips.
    costs
        What the record's run file holds.

    Raises
    ------
    BadInput
        Where the metric is undefined in every epoch, so that none can be chosen.
    """
    history, partition, recipe = training.history, training.partition, training.recipe
    on_test = spec["protocol"] == BEST_TEST
    if on_test:
        path = headline_scores_by_epoch(training.folder, len(history), partition, card, prepared)
        where = f"the test `{next(iter(card.tests))}` itself"
    else:
        path = [epoch.score for epoch in history]
        where = f"validation {card.group}s ({partition.rule})"
    best = best_epoch(path)
    if best is None:
        problem = f"{card.main_metric} is undefined on {where} in every epoch"
        raise BadInput(card.id, problem, "take another seed, or complete the corpus")
    groups = prepared.rows["group"].to_numpy()
    selection: Selection = {
        "method": f"epoch of the best {card.main_metric} on {where}, the first of equals",
        "chosen": {"epoch": best + 1, **({"on": "test"} if on_test else {})},
        "path": [{"epoch": epoch + 1, "score": score} for epoch, score in enumerate(path)],
        "at_edge": best + 1 == recipe.epochs > 1,
        "losses": [round(epoch.loss, records.DECIMALS) for epoch in history],
        "validation_groups": sorted(map(str, set(groups[partition.validation]))),
    }
    facts: EncoderFacts = {
        **evaluate.encoder_facts(encoder, card),
        "recipe": {"name": recipe.name, "source": recipe.source, "about": recipe.about},
        "clips_trained_on": len(partition.training),
        "clips_padded_to_min_s": _count_padded(training, encoder),
    }
    if on_test:
        facts["marks"] = [*facts["marks"], CHOSEN_ON_TEST]
    scores = training.folder.load_scores(best, "test")
    return evaluate.assemble_record(card, prepared, spec, scores, selection, facts, costs)


def headline_scores_by_epoch(
    folder: RunFolder, epochs: int, partition: Partition, card: TaskCard, prepared: Prepared
) -> list[float | None]:
    """Compute the main metric on the headline test after every epoch (high is better), None where undefined."""
    splits = next(iter(card.tests.values()))
    rows = prepared.rows.iloc[partition.test]
    tested, goal = rows["split"].isin(splits).to_numpy(), Goal.of(card)
    label = rows["label"].to_numpy()[tested]
    values = (goal.value(label, folder.load_scores(epoch, "test")[tested]) for epoch in range(epochs))
    return [None if np.isnan(value) else round(float(value), records.DECIMALS) for value in values]


def best_epoch(path: Sequence[float | None]) -> int | None:
    """Return the first epoch (from 0) of the highest score; None where none is defined."""
    defined = [score for score in path if score is not None]
    return list(path).index(max(defined)) if defined else None


def _count_padded(training: Training, encoder: EncoderCard) -> int:
    """Count the clips that are zero-padded to the encoder's minimum."""
    return sum(int(size) < bounded_length(int(size), encoder) for size in training.data.clips.sizes)


def total_seconds(history: Sequence[Epoch]) -> tuple[float, float]:
    """Sum the seconds of (training, predicting) over all epochs."""
    return sum(epoch.train_s for epoch in history), sum(epoch.predict_s for epoch in history)
