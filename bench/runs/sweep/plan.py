"""A grid as jobs: what a record of each would be, which are there already, and what features they still need."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.base.errors import BadInput
from bench.base.progress import Progress, silent
from bench.data import clips
from bench.data.manifest import TRAIN, Prepared
from bench.encoders.batches import device_of
from bench.encoders.features.store import FeatureStore
from bench.encoders.load import require_device, unused_told
from bench.encoders.pooling import LayerPooling
from bench.encoders.probe_inputs import required_features
from bench.probe import protocols
from bench.runs import choices
from bench.runs.choices import EncoderChoice, Outcome
from bench.runs.spec import encoder_spec
from bench.runs.sweep.grid import SweepGrid
from bench.scores import records
from bench.scores.schema import Spec
from bench.types import Encoder, EncoderCard, TaskCard

MOST_SEED = 2**32 - 1  # of numpy's and scikit-learn's generators


@dataclass(frozen=True, eq=False)
class Source:
    """An encoder on the data of a task, light enough to be sent to other processes.

    Attributes
    ----------
    encoder, card
        The cards of both.
    store
        Reads the features; it holds no encoder.
    prepared
        The clips.
    device
        Where the features are computed.
    rows
        Identifies the audio of the training clips.
    labels
        Identifies their labels and groups: with the seed they determine the folds.
    """

    encoder: EncoderCard
    store: FeatureStore
    card: TaskCard
    prepared: Prepared
    device: str
    rows: str
    labels: str

    @classmethod
    def of(cls, encoder: Encoder, store: FeatureStore, card: TaskCard, prepared: Prepared) -> Source:
        """``encoder`` is the loaded one; its card alone is kept."""
        train = prepared.rows if card.leave_one_out else prepared.rows[prepared.rows["split"].isin(TRAIN)]
        text = "\n".join(f"{label} {group}" for label, group in zip(train["label"], train["group"]))
        labels = hashlib.sha256(text.encode()).hexdigest()
        rows = clips.digest(train, prepared.recordings)
        return cls(encoder.card, store.reader(), card, prepared, str(device_of(encoder)), rows, labels)

    @property
    def counts(self) -> tuple[int, int]:
        """(training clips, predicted clips)."""
        train = int(self.prepared.rows["split"].isin(TRAIN).sum())
        n = len(self.prepared.rows)
        return (n, n) if self.card.leave_one_out else (train, n - train)

    @property
    def groups(self) -> int:
        """Training groups."""
        rows = self.prepared.rows
        return rows["group"][rows["split"].isin(TRAIN) | self.card.leave_one_out].nunique()


@dataclass(frozen=True, eq=False)
class Job:
    """A record to be made."""

    source: Source
    spec: Spec

    @property
    def layer_pooling(self) -> LayerPooling:
        """(layer, pooling) of its features."""
        return self.spec["layer"], self.spec["pooling"]

    @property
    def reads(self) -> str:
        """What its probe reads (``bench.types.Protocol.reads``)."""
        return protocols.get(self.spec["protocol"]).reads

    @property
    def name(self) -> str:
        """Its identity as a line of text."""
        s = self.spec
        return f"{s['task']}  {s['encoder']}  layer {s['layer']}  {s['pooling']}  {s['protocol']}  seed {s['seed']}"


@dataclass(frozen=True, eq=False)
class Step:
    """One encoder on one task.

    Attributes
    ----------
    choice
        The encoder as asked for.
    store
        Holds the loaded encoder: it encodes what the jobs need.
    requested
        {record key: job} of what is asked for here and nowhere before.
    jobs
        Those of them that are not done.
    """

    choice: EncoderChoice
    store: FeatureStore
    source: Source
    requested: dict[str, Job]
    jobs: tuple[Job, ...]


@dataclass
class Plan:
    """What is asked for and can be run.

    Attributes
    ----------
    encoders
        Every encoder to run, controls included; ``required`` those that were asked for.
    data
        The card and the clips of every task at hand.
    without_probe
        (protocol, task) that are left out.
    stored
        {record key: spec} of what is whole in the results folder.
    requested
        {record key: job}, filled by ``steps``.
    outcome
        What was there already, and what is absent.
    """

    grid: SweepGrid
    out: Path
    required: list[EncoderChoice]
    encoders: list[EncoderChoice]
    data: list[tuple[TaskCard, Prepared]]
    without_probe: set[tuple[str, str]]
    stored: dict[str, Spec]
    outcome: Outcome
    requested: dict[str, Job] = field(default_factory=dict)

    def expected(self) -> int:
        """Number of records of encoders that are asked for.

        One of which its checkpoint or its module says what it has counts with as many rows as are named.
        """
        asked, total = self.grid.protocols_asked(), 0
        for choice in self.encoders:
            card, named = (
                choice.card,
                len(choice.poolings or (None,)) * len(choice.layers or (None,)),
            )
            rows = {protocol.name: named for protocol in asked}
            if choice.weights is None and all(card.dims.values()):
                found = choices.requested_by_protocol(choice, card, asked, choice in self.required, lambda _: None)
                rows = {protocol: len(pairs) for protocol, pairs in found.items()}
            for protocol, count in rows.items():
                tasks = sum((protocol, card.id) not in self.without_probe for card, _ in self.data)
                total += count * len(self.grid.seeds_of(protocol)) * tasks
        return total


def plan(
    grid: SweepGrid,
    out: Path,
    root: Path | None = None,
    progress: Progress = silent,
    say: Callable[[str], None] = lambda line: None,
) -> Plan:
    """Checks ids, protocols, device, weights and data; nothing is computed, no encoder is loaded.

    Raises
    ------
    UnknownId
        For a pooling, layer or protocol that does not exist.
    MissingWeights
        For an encoder without weights, unless the grid skips those.
    BadInput
        For a task that is not optional and whose data cannot be used, where no task is left, and where ``out`` holds
        records of a task on different data.
    """
    if out.exists() and not out.is_dir():
        raise BadInput(out, "is a file", "name a folder for the results")
    for seed in grid.seeds or ():
        if not 0 <= seed <= MOST_SEED:
            raise BadInput(f"seed {seed}", "is out of range", f"give whole numbers from 0 to {MOST_SEED}")
    requested = grid.protocols_asked()
    without_probe = choices.protocols_without_probe(requested, grid.tasks, grid.optional, say)
    require_device(grid.device)
    outcome = Outcome()
    required = choices.encoders_at_hand(grid.encoders, grid.skip_absent, outcome, say)
    for choice in required:
        card = choice.card
        if choice.weights is None and all(card.dims.values()):  # of some, sizes are known once they are built
            choices.requested_by_protocol(choice, card, requested, True, say)
    data = choices.tasks_at_hand(grid.tasks, grid.optional, root, grid.on_bad_clip, outcome, progress, say)
    stored = records.stored_specs(out, say)
    choices.require_same_data(data, stored)
    for choice in required:
        if choice.of_ones_own:  # what cannot be loaded is refused now, not after hours with the encoders before it
            choice.load(grid.device, grid.precision)
    encoders = choices.with_controls(required) if grid.controls else required
    return Plan(grid, out, required, encoders, data, without_probe, stored, outcome)


def steps(plan: Plan, say: Callable[[str], None] = lambda line: None) -> Iterator[Step]:
    """Every encoder on every task, one loaded encoder at a time; each is loaded when its first step is asked for."""
    grid = plan.grid
    for choice in plan.encoders:
        encoder = choice.load(grid.device, grid.precision)
        if choice.weights and (told := unused_told(encoder)):
            say(f"{choice.id}={choice.weights}: {told}")
        required = choice in plan.required
        by_protocol = choices.requested_by_protocol(choice, encoder.card, grid.protocols_asked(), required, say)
        for card, prepared in plan.data:
            store = FeatureStore(encoder, prepared, grid.clip)
            source = Source.of(encoder, store, card, prepared)
            requested = {
                key: job
                for key, job in jobs_of(grid, encoder, source, by_protocol)
                if key not in plan.requested and (job.spec["protocol"], card.id) not in plan.without_probe
            }
            plan.requested |= requested
            done = requested.keys() & plan.stored.keys()
            plan.outcome.kept += [records.path(plan.out, card.id, key) for key in sorted(done)]
            todo = tuple(job for key, job in requested.items() if key not in done)
            yield Step(choice, store, source, requested, todo)


def jobs_of(
    grid: SweepGrid, encoder: Encoder, source: Source, by_protocol: dict[str, list[LayerPooling]]
) -> Iterator[tuple[str, Job]]:
    """(key, job) of every combination on one encoder and data."""
    for protocol, pairs in by_protocol.items():
        for layer, pooling in pairs:
            for seed in grid.seeds_of(protocol):
                spec = encoder_spec(
                    encoder,
                    source.card,
                    source.prepared,
                    protocol,
                    seed,
                    layer,
                    pooling,
                    grid.clip,
                    source.store.spec,
                )
                yield records.key(spec), Job(source, spec)


def features_needed(jobs: Iterable[Job]) -> tuple[LayerPooling, ...]:
    """What has to be encoded for jobs: one forward pass serves all of it."""
    inputs = {(job.layer_pooling, job.reads): job.source.encoder for job in jobs}
    return tuple(
        dict.fromkeys(each for (pair, reads), card in inputs.items() for each in required_features(card, pair, reads))
    )


@dataclass(frozen=True, eq=False)
class Encoding:
    """Features that jobs need and the store lacks: of ``clips`` clips, ``seconds`` of audio."""

    choice: EncoderChoice
    source: Source
    features: tuple[LayerPooling, ...]
    clips: int
    seconds: float


@dataclass
class Workload:
    """What remains to be done of a whole plan: no step, and so no encoder, is held."""

    jobs: list[Job] = field(default_factory=list)
    encodings: list[Encoding] = field(default_factory=list)


def workload(plan: Plan, say: Callable[[str], None] = lambda line: None, all_features: bool = False) -> Workload:
    """All steps of a plan together; with ``all_features`` the features of jobs that are done are needed too."""
    work = Workload()
    for step in steps(plan, say):
        work.jobs += step.jobs
        features = features_needed(step.requested.values() if all_features else step.jobs)
        if missing := step.store.missing(features):
            clip_count = sum(len(unit.rows) for unit in missing)
            seconds = sum(unit.seconds for unit in missing)
            work.encodings.append(Encoding(step.choice, step.source, features, clip_count, seconds))
    return work


def width(job: Job) -> int:
    """Features of a clip: as stored, or as the encoder's card says."""
    return job.source.store.width(job.layer_pooling) or job.source.encoder.dims[job.spec["pooling"]]
