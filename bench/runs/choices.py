"""What was asked for: encoders with their poolings and layers, tasks, and which of them are at hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.base import registry
from bench.base.errors import BadInput, MissingWeights, UnknownId
from bench.base.progress import Progress
from bench.data.manifest import Prepared, load_task, prepare
from bench.encoders import probe_inputs
from bench.encoders.load import require_trained
from bench.probe import protocols
from bench.runs import evaluate
from bench.runs.spec import data_identity
from bench.scores import records
from bench.types import EncoderCard, Protocol, TaskCard


@dataclass(frozen=True)
class EncoderChoice:
    """An encoder as asked for: its id, the poolings and layers to evaluate (empty: the card's default), and an
    explicit checkpoint."""

    id: str
    poolings: tuple[str, ...] = ()
    layers: tuple[int, ...] = ()
    weights: str | None = None

    @classmethod
    def parse(cls, text: str, layers: Sequence[int] = ()) -> EncoderChoice:
        """From ``id``, ``id:pooling,pooling`` or ``id:pooling=checkpoint``. Raises ``UnknownId``."""
        head, _, weights = text.partition("=")
        id, _, poolings = head.partition(":")
        # a comma inside brackets belongs to a pooling's name, as in [mean,max]
        choice = cls(id, tuple(filter(None, re.split(r",(?![^\[]*\])", poolings))), tuple(layers), weights or None)
        if choice.weights is None:  # a checkpoint may have other layers than its card
            choice.wanted(registry.encoder_card(id))
        return choice

    def wanted(self, card: EncoderCard, reads: str = "clip") -> list[tuple[int, str]]:
        """Every (layer, pooling) asked for, of the encoder as built, for a protocol that ``reads`` clips, tokens or
        layers. Raises as ``bench.encoders.probe_inputs.resolve_layer_pooling``."""
        asked = [(p, layer) for p in self.poolings or (None,) for layer in self.layers or (None,)]
        return list(dict.fromkeys(probe_inputs.resolve_layer_pooling(card, *each, reads) for each in asked))


@dataclass
class Outcome:
    """What a run did: records made and found, encoders left out because their weights are not at hand, and tasks left
    out because their data are not (``absent``, ``absent_tasks``: {id: why})."""

    made: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    absent_tasks: dict[str, str] = field(default_factory=dict)


def protocols_without_probe(
    named: Sequence[Protocol], tasks: Sequence[str], optional: Collection[str], say: Callable[[str], None]
) -> set[tuple[str, str]]:
    """(protocol, task) where the protocol has no probe for the task's kind and the task is optional; for another such
    task raises ``BadInput``."""
    out = set()
    for each in named:
        for task in tasks:
            card = registry.task_card(task)
            try:
                protocols.probe(each, card, 0)
            except BadInput as error:
                if task not in optional:
                    raise
                out.add((each.name, card.id))
                say(f"{task}: without {each.name}: {error}")
    return out


def require_same_data(data: Sequence[tuple[TaskCard, Prepared]], out: Path) -> None:
    """Raises ``BadInput`` where ``out`` holds records of a task on other data."""
    planned = [data_identity(card, prepared) for card, prepared in data]
    tasks = {spec["task"] for spec in planned}
    stored = records.stored_specs(out).values()
    records.require_one_identity([*planned, *(spec for spec in stored if spec["task"] in tasks)])


def tasks_at_hand(
    tasks: Sequence[str],
    optional: Collection[str],
    root: Path | None,
    on_bad_clip: str,
    outcome: Outcome,
    progress: Progress,
    say: Callable[[str], None],
) -> list[tuple[TaskCard, Prepared]]:
    """Card and clips of every task that can be run; optional others are noted in ``outcome``. Raises ``BadInput``."""
    data, refused = [], []
    for task in tasks:
        try:
            loaded = load_task(task, root)
            prepared = prepare(loaded, on_bad_clip, progress)
            evaluate.check_trainable(loaded.card, prepared)
        except BadInput as error:
            if task not in optional:
                raise
            refused.append(error)
            outcome.absent_tasks[task] = error.problem
            say(f"{task}: left out: {error}")
            continue
        for finding in loaded.findings:
            if finding.level == "warning":
                say(f"{task}: warning: {finding}")
        for finding in prepared.excluded:
            say(f"{task}: excluded: {finding}")
        data.append((loaded.card, prepared))
    if not data:
        raise refused[0]
    return data


def encoders_at_hand(
    encoders: Sequence[EncoderChoice],
    skip_absent: bool,
    outcome: Outcome,
    say: Callable[[str], None],
    to_train: bool = False,
) -> list[EncoderChoice]:
    """The encoders whose weights are there; the others are noted in ``outcome``, or raise ``MissingWeights``. Raises
    ``BadInput`` for one that is trained from scratch, unless they are here ``to_train``."""
    from bench.encoders.weights.find import find

    out = []
    for asked in encoders:
        card = registry.encoder_card(asked.id)
        if not to_train:
            require_trained(card)
        try:
            if card.weights:
                find(card, asked.weights)
        except MissingWeights as error:
            if not skip_absent:
                raise
            outcome.absent[asked.id] = error.problem
            say(f"{asked.id}: left out, {error.problem}")
        else:
            out.append(asked)
    return out


def _choices_of(
    asked: EncoderChoice, card: EncoderCard, named: Sequence[Protocol], required: bool, say: Callable[[str], None]
) -> list[tuple[Protocol, list[tuple[int, str]]]]:
    """What each protocol takes of an encoder; a control that is not ``required`` goes without those it cannot serve."""
    out = []
    for each in named:
        try:
            out.append((each, asked.wanted(card, each.reads)))
        except BadInput as error:
            if required:
                raise
            say(f"left out of {each.name}: {error}")
    return out


def with_controls(encoders: Sequence[EncoderChoice]) -> list[EncoderChoice]:
    """The encoders, each followed by its untrained twin, and the duration control, unless they are asked for."""
    out, asked = [], {choice.id for choice in encoders}
    for choice in encoders:
        out.append(choice)
        twin = registry.twin_id(choice.id)
        if _has_twin(choice.id) and twin not in asked:
            out.append(EncoderChoice(twin, choice.poolings, choice.layers))
            asked.add(twin)
    return out + [EncoderChoice(id) for id in registry.CONTROL_ENCODERS if id not in asked]


def _has_twin(id: str) -> bool:
    """Whether the encoder has an untrained form: it has weights, and its family can build it without them."""
    try:
        return bool(registry.encoder_card(registry.twin_id(id)))
    except UnknownId:
        return False
