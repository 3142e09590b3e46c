"""A run's per-epoch predictions as records.

A run that withholds validation patients gives two: one of the epoch that they chose, one of the epoch that the test
itself would have chosen. A run on all training rows, as much of the literature has it, gives the latter alone.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from bench.base.errors import BadInput
from bench.data import audio, clips
from bench.data.manifest import Prepared
from bench.encoders.batches import bounded_length, device_of
from bench.encoders.weights.find import parameter_digest
from bench.finetune.data.partition import Partition, parts_of_run, statistics_rows
from bench.finetune.methods import METHODS, default_options
from bench.finetune.model.heads import build_readout
from bench.finetune.recipe import Recipe
from bench.finetune.training.checkpoints import RunFolder
from bench.finetune.training.loop import Epoch, Training
from bench.finetune.training.teachers import METADATA_READ, find_teachers
from bench.probe import protocols
from bench.probe.goal import Goal
from bench.probe.protocols import BEST_TEST, FINETUNE, PEEK, PEEKING
from bench.runs import evaluate
from bench.runs.spec import result_spec
from bench.scores import records
from bench.scores.schema import EncoderFacts, Record, RunFacts, Selection, Spec
from bench.types import Encoder, EncoderCard, TaskCard

PROTOCOLS_OF_RUN = {FINETUNE: (FINETUNE, PEEK), BEST_TEST: (BEST_TEST,)}  # {run: protocols of its records}
CHOSEN_ON_TEST = "epoch chosen on the test"  # a mark of records
REPORTED = "official"  # test that the literature reports, of tasks that have it
SENSITIVITY, LEAST = "icbhi.Se", 0.05  # what released code asks of an epoch: more than that share


class NoEpochToChoose(BadInput):
    """No epoch of a run may be chosen by its protocol's rule, so that there is no record."""


def run_specs(
    encoder: Encoder, card: TaskCard, prepared: Prepared, recipe: Recipe, seed: int, protocol: str = FINETUNE
) -> tuple[Spec, ...]:
    """Collect what determines the records of a run, in the order of ``PROTOCOLS_OF_RUN``; no clip is decoded.

    Raises ``BadInput`` where ``partition`` and ``find_teachers`` do, and where the encoder does not offer what the
    recipe's head reads.
    """
    device = device_of(encoder).type
    measured = statistics_rows(encoder, parts_of_run(card, prepared, seed, protocol))
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
    specs = tuple(
        build_spec(name, encoder.card, digests, card, prepared, recipe, options, read_from, seed, device)
        for name in PROTOCOLS_OF_RUN[protocol]
    )
    if teachers := find_teachers(recipe.distillation, card, prepared, seed):
        for spec in specs:
            spec["teachers"] = [teacher.key for teacher in teachers]
            spec["recipe"]["distillation"] = {
                "weight": recipe.distillation.weight,
                "temperature": recipe.distillation.temperature,
                "teachers": [teacher.kind for teacher in teachers],
            }
    return specs


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
        One of ``PROTOCOLS_OF_RUN``.
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
    if columns := METHODS[recipe.method.name].inputs:
        numbers["method"]["inputs"] = list(columns)
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
        settings=encoder.settings,
        code=encoder.code,
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
    NoEpochToChoose
        Where the metric is undefined in every epoch, or no epoch is as sensitive as the protocol asks.
    """
    history, partition, recipe = training.history, training.partition, training.recipe
    on_test, asked = spec["protocol"] in PEEKING, spec["protocol"] == BEST_TEST and bool(card.adventitious)
    if on_test:
        test = reported_test(card)
        path = scores_by_epoch(training.folder, len(history), partition, card, prepared, test, asked)
        where = f"the test `{test}` itself"
        where += f", of those with {SENSITIVITY} above {100 * LEAST:g} %" if asked else ""
    else:
        path = [epoch.score for epoch in history]
        where = f"validation {card.group}s ({partition.rule})"
    best = best_epoch(path)
    if best is None:
        problem = f"{card.main_metric} is undefined on {where} in every epoch"
        if asked:
            problem = f"no epoch of seed {spec['seed']} finds more than {100 * LEAST:g} % of the adventitious clips"
        raise NoEpochToChoose(card.id, problem, "take another seed or more epochs, or complete the corpus")
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
        "recipe": {
            "name": recipe.name,
            "source": recipe.source,
            "about": recipe.about,
            "published": recipe.published,
            "differences": list(recipe.differences),
        },
        "clips_trained_on": len(partition.training),
        "clips_padded_to_min_s": _count_padded(training, encoder),
    }
    if columns := METHODS[recipe.method.name].inputs:
        facts["marks"] = [*facts["marks"], f"{METADATA_READ}: {', '.join(columns)}"]
    if on_test:
        facts["marks"] = [*facts["marks"], CHOSEN_ON_TEST]
    scores = training.folder.load_scores(best, "test")
    return evaluate.assemble_record(card, prepared, spec, scores, selection, facts, costs)


def reported_test(card: TaskCard) -> str:
    """The test that the literature reports: ``official`` where the task has it, else the headline."""
    return REPORTED if REPORTED in card.tests else next(iter(card.tests))


def scores_by_epoch(
    folder: RunFolder,
    epochs: int,
    partition: Partition,
    card: TaskCard,
    prepared: Prepared,
    test: str,
    sensitive: bool = False,
) -> list[float | None]:
    """Compute the main metric on a test after every epoch (high is better).

    None where it is undefined and, if ``sensitive``, where no more than ``LEAST`` of the adventitious clips are found.
    """
    rows = prepared.rows.iloc[partition.test]
    tested, goal = rows["split"].isin(card.tests[test]).to_numpy(), Goal.of(card)
    finds, label = replace(goal, metric=SENSITIVITY), rows["label"].to_numpy()[tested]
    path: list[float | None] = []
    for epoch in range(epochs):
        scores = folder.load_scores(epoch, "test")[tested]
        value = goal.value(label, scores)
        barred = sensitive and not finds.value(label, scores) > LEAST
        path.append(None if barred or np.isnan(value) else round(float(value), records.DECIMALS))
    return path


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
