"""A run's per-epoch predictions as two records: the epoch chosen on validation patients, and the one that a look at
the test would have chosen, which is how much of the literature reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bench.base.errors import BadInput
from bench.data import audio
from bench.data.manifest import Prepared
from bench.encoders.batches import bounded_length
from bench.finetune.data.sides import Sides
from bench.finetune.recipe import Recipe
from bench.finetune.training.checkpoints import Folder
from bench.finetune.training.loop import Epoch, Training
from bench.probe import protocols
from bench.probe.goal import Goal
from bench.runs import evaluate
from bench.runs.spec import result_spec
from bench.scores import records
from bench.scores.schema import EncoderFacts, Record, RunFacts, Selection, Spec
from bench.types import EncoderCard, TaskCard

HONEST, PEEKING = PROTOCOLS = protocols.FINETUNE, protocols.BEST_TEST
MARK = "epoch chosen on the test"


def spec(
    protocol: str,
    encoder: EncoderCard,
    digests: Mapping[str, str],
    card: TaskCard,
    prepared: Prepared,
    recipe: Recipe,
    method: Mapping,
    read: tuple[int, str],
    seed: int,
    device: str,
) -> Spec:
    """What determines a record: ``digests`` are the encoder's ``weights``, ``parameters`` before training and
    ``statistics``; ``method`` its hyper-parameters, defaults too; ``read`` (layer, pooling) of the readout; ``device``
    its kind, on which rounding depends."""
    named = protocols.get(protocol, recipe.batches.clip)
    numbers = recipe.numbers()
    numbers["method"] = {"name": recipe.method.name, "options": dict(method)}
    return result_spec(
        card,
        prepared,
        named,
        seed,
        encoder=encoder.id,
        encoder_version=encoder.version,
        layer=read[0],
        pooling=read[1],
        clip=named.clip,
        **digests,
        resampler=audio.RESAMPLER,
        dtype=recipe.precision,
        device=device,
        recipe=numbers,
    )


def record(
    identity: Spec, training: Training, encoder: EncoderCard, card: TaskCard, prepared: Prepared, stamp: RunFacts
) -> Record:
    """The record that ``identity`` (see ``spec``) names, of a run that is done. Raises ``BadInput`` where no epoch can
    be chosen because the metric is undefined in all of them."""
    history, sides, recipe = training.history, training.sides, training.recipe
    if identity["protocol"] == HONEST:
        path = [epoch.score for epoch in history]
        where = f"validation {card.group}s ({sides.rule})"
        told: dict = {}
    else:
        path = test_path(training.folder, len(history), sides, card, prepared)
        where, told = f"the test `{next(iter(card.tests))}` itself", {"on": "test"}
    best = best_epoch(path)
    if best is None:
        problem = f"{card.main_metric} is undefined on {where} in every epoch"
        raise BadInput(card.id, problem, "take another seed, or complete the corpus")
    groups = prepared.rows["group"].to_numpy()
    selection: Selection = {
        "method": f"epoch of the best {card.main_metric} on {where}, the first of equals",
        "chosen": {"epoch": best + 1, **told},
        "path": [{"epoch": epoch + 1, "score": score} for epoch, score in enumerate(path)],
        "at_edge": best + 1 == recipe.epochs > 1,
        "losses": [round(epoch.loss, records.DECIMALS) for epoch in history],
        "validation_groups": sorted(map(str, set(groups[sides.validation]))),
    }
    facts: EncoderFacts = {
        **evaluate.encoder_facts(encoder, card),
        "recipe": {"name": recipe.name, "source": recipe.source, "about": recipe.about},
        "clips_trained_on": len(sides.fit),
        "clips_padded_to_min_s": _shorter(training, encoder),
    }
    if identity["protocol"] == PEEKING:
        facts["marks"] = [*facts["marks"], MARK]
    return evaluate.assemble_record(
        card, prepared, identity, training.folder.scores(best, "test"), selection, facts, stamp
    )


def test_path(folder: Folder, epochs: int, sides: Sides, card: TaskCard, prepared: Prepared) -> list[float | None]:
    """The main metric on the headline test after every epoch (high is better), None where undefined."""
    splits = next(iter(card.tests.values()))
    tested = prepared.rows.iloc[sides.test]
    counted, goal = tested["split"].isin(splits).to_numpy(), Goal.of(card)
    label = tested["label"].to_numpy()[counted]
    values = (goal.value(label, folder.scores(epoch, "test")[counted]) for epoch in range(epochs))
    return [None if np.isnan(value) else round(float(value), records.DECIMALS) for value in values]


def best_epoch(path: Sequence[float | None]) -> int | None:
    """The first epoch (from 0) of the highest score; None where none is defined."""
    defined = [score for score in path if score is not None]
    return list(path).index(max(defined)) if defined else None


def _shorter(training: Training, encoder: EncoderCard) -> int:
    """How many clips are zero-padded to the encoder's minimum."""
    return sum(int(size) < bounded_length(int(size), encoder) for size in training.material.waves.sizes)


def seconds(history: Sequence[Epoch]) -> tuple[float, float]:
    """(training, predicting) seconds of all epochs."""
    return sum(epoch.train_s for epoch in history), sum(epoch.predict_s for epoch in history)
