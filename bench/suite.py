"""Many tasks times many encoders into a results folder; what is there already is not done again."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench import protocol as protocols
from bench import records, registry, run
from bench.encoders import load_encoder
from bench.errors import BadInput, MissingWeights
from bench.features import FeatureStore
from bench.manifest import load_task, prepare
from bench.progress import Progress, silent
from bench.types import EncoderCard, Record


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
        choice = cls(id, tuple(p for p in poolings.split(",") if p), tuple(layers), weights or None)
        choice.wanted()
        return choice

    def wanted(self) -> list[tuple[int, str]]:
        """Every (layer, pooling) asked for. Raises ``UnknownId`` for an encoder or pooling that does not exist."""
        card: EncoderCard = registry.encoder_card(self.id)
        return [run.choice(card, p, layer) for p in self.poolings or (None,) for layer in self.layers or (None,)]


@dataclass
class Outcome:
    """What a run did: records made and found, and encoders left out because their weights are not at hand."""

    made: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)


def run_suite(
    tasks: Sequence[str],
    encoders: Sequence[EncoderChoice],
    out: Path,
    *,
    root: Path | None = None,
    protocol_names: Sequence[str] = ("linear",),
    seeds: Sequence[int] = (0,),
    device: str = "cpu",
    on_bad_clip: str = "error",
    skip_absent: bool = False,
    progress: Progress = silent,
    say: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Runs every task with every encoder, and the control rows. All data is checked before anything is computed.

    Raises ``MissingWeights`` for an encoder without weights unless ``skip_absent``, which lists it instead.
    """
    for name in protocol_names:
        protocols.get(name)
    for task in tasks:
        registry.task_card(task)
    outcome = Outcome()
    data = []
    for task in tasks:
        loaded = load_task(task, root)
        prepared = prepare(loaded, on_bad_clip, progress)
        run.check_trainable(loaded.card, prepared)
        for finding in loaded.findings:
            if finding.level == "warning":
                say(f"{task}: warning: {finding}")
        for finding in prepared.excluded:
            say(f"{task}: excluded: {finding}")
        data.append((loaded.card, prepared))
    for card, prepared in data:
        for name in run.CONTROLS:
            spec = run.control_spec(name, card, prepared, 0)
            _keep(spec, out, outcome, say, partial(run.control, name, card, prepared))
    for asked in encoders:
        try:
            encoder = load_encoder(asked.id, asked.weights, device)
        except MissingWeights as error:
            if not skip_absent:
                raise
            outcome.absent[asked.id] = error.problem
            say(f"{asked.id}: left out, {error.problem}")
            continue
        wanted = asked.wanted()
        for card, prepared in data:
            combinations = [
                (want, name, seed, run.encoder_spec(encoder, card, prepared, name, seed, *want))
                for want in wanted
                for name in protocol_names
                for seed in seeds
            ]
            if any(not _path(out, spec).exists() for *_, spec in combinations):
                # one forward pass serves every pooling and layer asked for
                for clip in {protocols.get(name).clip for name in protocol_names}:
                    FeatureStore(encoder, prepared, clip).encode(wanted, progress)
            for (layer, pooling), name, seed, spec in combinations:
                make = partial(run.evaluate_prepared, encoder, card, prepared, name, seed)
                _keep(spec, out, outcome, say, partial(make, pooling=pooling, layer=layer, progress=progress))
    return outcome


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
            say(f"made again: {error}")
        else:
            outcome.kept.append(target)
            return
    record = make()
    outcome.made.append(records.write(record, out))
    test = next(iter(record.scores))
    score = record.scores[test][record.data["task"]["main_metric"]]
    say(f"{label}: {record.data['task']['main_metric']} {100 * (score['value'] or 0):.1f} on {test}")


def command_line() -> str:
    """The command that is running, as a user would type it."""
    return shlex.join(["respbench", *sys.argv[1:]])
