"""Many tasks times many encoders into a results folder; what is there already is not done again."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench import floors, identity, inputs, metrics, records, registry, run
from bench import protocol as protocols
from bench.encoders import load_encoder, require_device, require_trained
from bench.errors import BadInput, MissingWeights, UnknownId
from bench.features import FeatureStore
from bench.manifest import Prepared, load_task, prepare
from bench.progress import Progress, silent
from bench.ranking import require_one_data
from bench.tables import amount
from bench.types import EncoderCard, Protocol, Record, TaskCard


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
        layers. Raises as ``bench.inputs.choice``."""
        asked = [(p, layer) for p in self.poolings or (None,) for layer in self.layers or (None,)]
        return list(dict.fromkeys(inputs.choice(card, *each, reads) for each in asked))


@dataclass
class Outcome:
    """What a run did: records made and found, encoders left out because their weights are not at hand, and tasks left
    out because their data are not (``absent``, ``absent_tasks``: {id: why})."""

    made: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    absent_tasks: dict[str, str] = field(default_factory=dict)


def run_suite(
    tasks: Sequence[str],
    encoders: Sequence[EncoderChoice],
    out: Path,
    *,
    optional: Collection[str] = (),
    root: Path | None = None,
    protocol_names: Sequence[str] = ("linear",),
    seeds: Sequence[int] | None = None,
    device: str = "cpu",
    precision: str = "float32",
    clip: str = "native",
    on_bad_clip: str = "error",
    skip_absent: bool = False,
    controls: bool = True,
    progress: Progress = silent,
    say: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Runs every task with every encoder, and the control rows: chance, majority and, with ``controls``, the clip's
    duration and every encoder's untrained twin, where they give what a protocol reads. ``seeds`` default to each
    protocol's own. Ids, weights, device and data are checked before anything is computed.

    A task whose data cannot be used is listed with the reason where it is among the ``optional`` ones, as the members
    of a suite are. Raises ``BadInput`` for another such task, where no task is left, and where ``out`` holds records of
    a task on different data; and ``MissingWeights`` for an encoder without weights unless ``skip_absent``, which lists
    it instead.
    """
    named = [protocols.get(name, clip) for name in protocol_names]
    without = formless(named, tasks, optional, say)
    require_device(device)
    outcome = Outcome()
    at_hand = encoders_at_hand(encoders, skip_absent, outcome, say)
    for asked in at_hand:
        card = registry.encoder_card(asked.id)
        if asked.weights is None and all(card.dims.values()):  # of some, sizes are known once they are built
            _wanted(asked, card, named, True, say)
    data = tasks_at_hand(tasks, optional, root, on_bad_clip, outcome, progress, say)
    require_same_data(data, out)
    keep_floors(data, out, outcome, say)
    for asked in with_controls(at_hand) if controls else at_hand:
        encoder = load_encoder(asked.id, asked.weights, device, precision)
        wanted = _wanted(asked, encoder.card, named, asked in at_hand, say)
        for card, prepared in data:
            combinations = [
                (want, each, seed, identity.encoder_spec(encoder, card, prepared, each.name, seed, *want, clip))
                for each, wants in wanted
                if (each.name, card.id) not in without
                for want in wants
                for seed in (each.seeds if seeds is None else seeds)
            ]
            missing = [(want, each.reads) for want, each, _, spec in combinations if not _path(out, spec).exists()]
            # one forward pass serves every pooling and layer asked for
            together = [source for want in dict.fromkeys(missing) for source in inputs.sources(encoder.card, *want)]
            if together:
                FeatureStore(encoder, prepared, clip).encode(together, progress)
            for (layer, pooling), each, seed, spec in combinations:
                make = partial(run.evaluate_prepared, encoder, card, prepared, each.name, seed, clip=clip)
                _keep(spec, out, outcome, say, partial(make, pooling=pooling, layer=layer, progress=progress))
    return outcome


def formless(
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
    there = records.load_all(out) if any(records.paths(out)) else []
    for card, prepared in data:
        require_one_data([r for r in there if r.spec["task"] == card.id], identity.task_spec(card, prepared))


def keep_floors(
    data: Sequence[tuple[TaskCard, Prepared]], out: Path, outcome: Outcome, say: Callable[[str], None]
) -> None:
    """Makes what is missing of the control rows that hear nothing."""
    for card, prepared in data:
        for name in floors.names(card):
            spec = identity.control_spec(name, card, prepared, 0)
            _keep(spec, out, outcome, say, partial(run.control, name, card, prepared))


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
            run.check_trainable(loaded.card, prepared)
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
    from model_zoo._checkpoint import find

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


def _wanted(
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
        twin = f"random.{choice.id}"
        if _has_twin(choice.id) and twin not in asked:
            out.append(EncoderChoice(twin, choice.poolings, choice.layers))
            asked.add(twin)
    return out + [EncoderChoice(id) for id in run.CONTROL_ENCODERS if id not in asked]


def _has_twin(id: str) -> bool:
    """Whether the encoder has an untrained form: it has weights, and its family can build it without them."""
    try:
        return bool(registry.encoder_card(f"random.{id}"))
    except UnknownId:
        return False


def _path(out: Path, spec: dict) -> Path:
    return records.path(out, spec["task"], records.key(spec))


def _keep(spec: dict, out: Path, outcome: Outcome, say: Callable[[str], None], make: Callable[[], Record]) -> None:
    """Makes and writes a record unless it is there and whole."""
    target = _path(out, spec)
    label = f"{spec['task']}  {spec['encoder']}  {spec['pooling']}  {spec['protocol']}"
    if target.exists():
        try:
            records.read(target)
        except BadInput as error:
            say(f"made again: {error}")  # whatever is wrong with it, it is not done
        else:
            outcome.kept.append(target)
            return
    record = make()
    outcome.made.append(records.write(record, out))
    test, main = run.headline(record.data["task"]), record.data["task"]["main_metric"]
    say(f"{label}: {main} {amount(record.scores[test][main], metrics.get(main).unit)} on {test}")


def command_line() -> str:
    """The command that is running, as a user would type it."""
    return shlex.join(["respbench", *sys.argv[1:]])
