"""What was asked for: encoders with their poolings and layers, tasks, and which of them are at hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.base import registry
from bench.base.errors import BadInput, MissingWeights, UnknownId
from bench.base.progress import Progress
from bench.data.manifest import Prepared, load_task, prepare
from bench.encoders.load import load_encoder, require_trained
from bench.encoders.pooling import LayerPooling
from bench.encoders.probe_inputs import resolve_layer_pooling
from bench.encoders.weights.code import require_code
from bench.probe import protocols
from bench.runs import evaluate
from bench.runs.spec import data_identity
from bench.scores.records import require_one_identity
from bench.scores.schema import Spec
from bench.types import PRECISIONS, Encoder, EncoderCard, Protocol, TaskCard


@dataclass(frozen=True)
class EncoderChoice:
    """An encoder as asked for.

    Attributes
    ----------
    id
        Of the encoder, its input policy included.
    poolings, layers
        To evaluate, all with all; empty for the card's own.
    weights
        An explicit checkpoint.
    trusted
        Revisions of code that comes with models and may run (``bench.encoders.weights.code``).
    layers_optional
        Whether layers may come to nothing, as in a sweep over all layers of many encoders. ``published``, the authors'
        own embedding, has no layers and is taken once; where nothing else takes the layers, they are refused.
    """

    id: str
    poolings: tuple[str, ...] = ()
    layers: tuple[int, ...] = ()
    weights: str | None = None
    trusted: tuple[str, ...] = ()
    layers_optional: bool = False

    @classmethod
    def parse(cls, text: str, layers: Sequence[int] = (), trusted: Sequence[str] = ()) -> EncoderChoice:
        """From ``id``, ``id:pooling,pooling`` or ``id:pooling=checkpoint``. Raises as ``checked``, ``with_weights``."""
        head, weights = with_weights(text)
        id, _, poolings = head.partition(":")
        # a comma inside brackets belongs to a pooling's name, as in [mean,max]
        names = tuple(filter(None, re.split(r",(?![^\[]*\])", poolings)))
        return cls(id, names, tuple(layers), weights, tuple(trusted)).checked()

    @property
    def card(self) -> EncoderCard:
        """The encoder's card, without a look at an explicit checkpoint. Raises ``UnknownId``."""
        return registry.encoder_card(self.id, self.trusted)

    def load(self, device: str = "cpu", precision: str = PRECISIONS[0]) -> Encoder:
        """The encoder, as ``bench.load_encoder`` gives it, and raises."""
        return load_encoder(self.id, self.weights, device, precision, trust_remote_code=self.trusted)

    def weights_digest(self) -> str:
        """The digest of its weights without loading them, as ``bench.encoders.weights.find.digest_of``, and raises."""
        from bench.encoders.weights.find import digest_of

        return digest_of(self.card, self.weights)

    @property
    def of_ones_own(self) -> bool:
        """Whether its weights are nobody's release: an explicit checkpoint, or a folder that its id names."""
        released = any(each.sha256 or each.urls or each.hub for each in self.card.weights)
        return self.weights is not None or (bool(self.card.weights) and not released)

    def checked(self) -> EncoderChoice:
        """The same choice, if its card has it. Raises ``UnknownId`` for an encoder, pooling or layer that is none.

        A checkpoint of the user's may have other layers than its card, so it is looked at once it is loaded.
        """
        if self.weights is None:
            self.requested(self.card)
        return self

    def requested(self, card: EncoderCard, reads: str = "clip") -> list[LayerPooling]:
        """Every (layer, pooling) asked for, each once.

        Parameters
        ----------
        card
            Of the encoder as built.
        reads
            What the protocol's probe reads (``bench.types.Protocol.reads``).

        Raises
        ------
        UnknownId, BadInput
            As ``bench.encoders.probe_inputs.resolve_layer_pooling``.
        """
        pairs: list[LayerPooling] = []
        unused: list[int] = []
        for pooling in self.poolings or (None,):
            by_layer = [resolve_layer_pooling(card, pooling, layer, reads) for layer in self.layers or (None,)]
            if by_layer[0][1] == "published":
                whole = resolve_layer_pooling(card, pooling, None)
                unused += [layer for layer, _ in by_layer if layer != whole[0]]
                by_layer = [whole]
            pairs += by_layer
        if unused and not self.layers_optional and all(pooling == "published" for _, pooling in pairs):
            problem = f"'published' has no layer {unused[0]}"
            raise BadInput(card.id, problem, "ask for it without a layer, or name another pooling")
        return list(dict.fromkeys(pairs))


def with_weights(text: str) -> tuple[str, str | None]:
    """What stands before ``=`` in the words for an encoder, and the checkpoint behind it; None without one.

    Raises ``BadInput`` for an empty checkpoint, as ``id=$CKPT`` gives where the variable is not set: the released
    weights in its place would pass for the user's own.
    """
    head, given, weights = text.partition("=")
    if given and not weights.strip():
        raise BadInput(text, "names no checkpoint behind =", f"give its path, or {head} alone for the released weights")
    return head, weights or None


@dataclass
class Outcome:
    """What a run did.

    Attributes
    ----------
    made, kept
        Records that were computed now, and that were there already.
    absent
        {encoder that was left out: why its weights are not at hand}.
    absent_tasks
        {task that was left out: why its data are not at hand}.
    interrupted
        Whether it was stopped by Ctrl-C before its end.
    """

    made: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    absent_tasks: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False


def protocols_without_probe(
    requested: Sequence[Protocol], tasks: Sequence[str], optional: Collection[str], say: Callable[[str], None]
) -> set[tuple[str, str]]:
    """(protocol, task) where the protocol has no probe for the kind of an optional task.

    Raises ``BadInput`` for such a task that is not optional.
    """
    without = set()
    for protocol in requested:
        for task in tasks:
            card = registry.task_card(task)
            try:
                protocols.probe(protocol, card, 0)
            except BadInput as error:
                if task not in optional:
                    raise
                without.add((protocol.name, card.id))
                say(f"{task}: without {protocol.name}: {error}")
    return without


def requested_by_protocol(
    choice: EncoderChoice,
    card: EncoderCard,
    requested: Sequence[Protocol],
    required: bool,
    say: Callable[[str], None],
) -> dict[str, list[LayerPooling]]:
    """{protocol: every (layer, pooling) that it takes of an encoder}.

    A control that is not ``required`` goes without the protocols that it cannot serve. Raises as
    ``EncoderChoice.requested`` for an encoder that is required.
    """
    by_protocol = {}
    for protocol in requested:
        try:
            by_protocol[protocol.name] = choice.requested(card, protocol.reads)
        except BadInput as error:
            if required:
                raise
            say(f"left out of {protocol.name}: {error}")
    return by_protocol


def require_same_data(data: Sequence[tuple[TaskCard, Prepared]], stored: Mapping[str, Spec]) -> None:
    """Raises ``BadInput`` where ``stored`` records (``records.stored_specs``) are of a task on other data."""
    planned = [data_identity(card, prepared) for card, prepared in data]
    tasks = {spec["task"] for spec in planned}
    require_one_identity([*planned, *(spec for spec in stored.values() if spec["task"] in tasks)])


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
            evaluate.check_trainable(loaded.card, prepared.rows)
        except BadInput as error:
            if task not in optional:
                raise
            refused.append(error)
            outcome.absent_tasks[task] = error.problem
            say(f"{task}: left out: {error}")
            continue
        for finding in (*loaded.findings, *prepared.warnings):
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
    """The encoders whose weights are there; with ``skip_absent`` the others are noted in ``outcome``.

    Raises ``MissingWeights`` for another, ``CodeNotTrusted`` for one that needs code of its own which the user does not
    trust, and ``BadInput`` for an encoder that is trained from scratch, unless the encoders are here ``to_train``.
    """
    from bench.encoders.weights.find import find

    at_hand = []
    for choice in encoders:
        card = choice.card
        if not to_train:
            require_trained(card)
        require_code(card, choice.trusted)
        try:
            if card.weights:
                find(card, choice.weights)
        except MissingWeights as error:
            if not skip_absent:
                raise
            outcome.absent[choice.id] = error.problem
            say(f"{choice.id}: left out, {error.problem}")
        else:
            at_hand.append(choice)
    return at_hand


def checkpoints_of(encoders: Sequence[EncoderChoice]) -> list[str]:
    """The digests of the checkpoints that are named in the place of releases."""
    return [choice.weights_digest() for choice in encoders if choice.weights is not None]


def with_controls(encoders: Sequence[EncoderChoice]) -> list[EncoderChoice]:
    """The encoders, each followed by its untrained twin, and the duration control, unless they are asked for."""
    choices, ids = [], {choice.id for choice in encoders}
    for choice in encoders:
        choices.append(choice)
        twin = registry.twin_id(choice.id)
        if _has_twin(choice) and twin not in ids:
            choices.append(replace(choice, id=twin, weights=None))
            ids.add(twin)
    return choices + [EncoderChoice(id) for id in registry.CONTROL_ENCODERS if id not in ids]


def _has_twin(choice: EncoderChoice) -> bool:
    """Whether the encoder has an untrained form: it has weights, and its family can build it without them."""
    try:
        return bool(registry.encoder_card(registry.twin_id(choice.id), choice.trusted))
    except UnknownId:
        return False
