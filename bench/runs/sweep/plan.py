"""The grid as jobs: what a record of each would be, which are there already, and what features they still need."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.base.errors import BadInput
from bench.base.progress import Progress, silent
from bench.data import clips
from bench.data.manifest import TRAIN, Prepared
from bench.encoders.features import FeatureStore
from bench.encoders.load import load_encoder, require_device
from bench.encoders.pooling import LayerPooling
from bench.encoders.probe_inputs import required_features
from bench.probe import protocols
from bench.runs import choices
from bench.runs.choices import EncoderChoice, Outcome
from bench.runs.spec import data_identity, encoder_spec
from bench.runs.sweep.grid import Grid, wanted
from bench.scores import records
from bench.scores.schema import Record
from bench.types import Encoder, EncoderCard, TaskCard


@dataclass(frozen=True, eq=False)
class Source:
    """An encoder on the data of a task, light enough to be sent to other processes. ``rows`` identifies the audio of
    the training clips, ``labels`` their labels and groups: with the seed they determine the folds."""

    encoder: EncoderCard
    store: FeatureStore
    card: TaskCard
    prepared: Prepared
    device: str
    rows: str
    labels: str

    @classmethod
    def of(cls, encoder: Encoder, store: FeatureStore, card: TaskCard, prepared: Prepared, device: str) -> Source:
        """``encoder`` is the loaded one; its card alone is kept."""
        train = prepared.rows if card.leave_one_out else prepared.rows[prepared.rows["split"].isin(TRAIN)]
        text = "\n".join(f"{label} {group}" for label, group in zip(train["label"], train["group"]))
        rows = clips.digest(train, prepared.recordings)
        return cls(
            encoder.card, store.reader(), card, prepared, device, rows, hashlib.sha256(text.encode()).hexdigest()
        )

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
    spec: Mapping

    @property
    def want(self) -> LayerPooling:
        return self.spec["layer"], self.spec["pooling"]

    @property
    def name(self) -> str:
        """Its identity as a line of text."""
        s = self.spec
        return f"{s['task']}  {s['encoder']}  layer {s['layer']}  {s['pooling']}  {s['protocol']}  seed {s['seed']}"


@dataclass(frozen=True, eq=False)
class Encoding:
    """Features that jobs need and the store lacks: of ``clips`` clips, ``seconds`` of audio."""

    asked: EncoderChoice
    source: Source
    wants: tuple[LayerPooling, ...]
    clips: int
    seconds: float


@dataclass
class Plan:
    """``asked``: jobs by their records' keys; ``jobs``: those to do; ``outcome``: what is there, and what absent."""

    jobs: list[Job] = field(default_factory=list)
    asked: dict[str, Job] = field(default_factory=dict)
    encodings: list[Encoding] = field(default_factory=list)
    data: list[tuple[TaskCard, Prepared]] = field(default_factory=list)
    outcome: Outcome = field(default_factory=Outcome)


def plan(
    grid: Grid,
    out: Path,
    root: Path | None = None,
    progress: Progress = silent,
    say: Callable[[str], None] = lambda line: None,
    all_features: bool = False,
) -> Plan:
    """The jobs of a grid. Data, ids, weights and device are checked, nothing is computed. With ``all_features`` those
    of jobs that are done are needed too. Raises as ``bench.runs.suite.run_suite``."""
    require_device(grid.device)
    made = Plan()
    without = choices.protocols_without_probe(
        [protocols.get(name) for name in grid.protocols], grid.tasks, grid.optional, say
    )
    at_hand = choices.encoders_at_hand(grid.encoders, grid.skip_absent, made.outcome, say)
    made.data = choices.tasks_at_hand(grid.tasks, grid.optional, root, grid.on_bad_clip, made.outcome, progress, say)
    there = _there(out, say)
    for card, prepared in made.data:
        stored = [r.spec for r in there.values() if r.spec["task"] == card.id]
        records.require_one_identity([data_identity(card, prepared), *stored])
    for asked in choices.with_controls(at_hand) if grid.controls else at_hand:
        encoder = load_encoder(asked.id, asked.weights, grid.device, grid.precision)
        wants = _wants(grid, asked, encoder.card, asked in at_hand, say)
        for card, prepared in made.data:
            store = FeatureStore(encoder, prepared, grid.clip)
            source = Source.of(encoder, store, card, prepared, grid.device)
            told = jobs_of(grid, encoder, source, store.spec, wants)
            own = {
                key: job
                for key, job in told
                if key not in made.asked and (job.spec["protocol"], card.id) not in without
            }
            made.asked |= own
            done = own.keys() & there.keys()
            made.outcome.kept += [records.path(out, card.id, key) for key in sorted(done)]
            todo = [job for key, job in own.items() if key not in done]
            made.jobs += todo
            needed = _needed(own.values() if all_features else todo)
            if missing := store.missing(needed):
                count = sum(len(unit.rows) for unit in missing)
                made.encodings.append(Encoding(asked, source, needed, count, sum(u.seconds for u in missing)))
    return made


def _wants(
    grid: Grid, asked: EncoderChoice, card: EncoderCard, required: bool, say: Callable[[str], None]
) -> dict[str, list[LayerPooling]]:
    """{protocol: what it takes of an encoder}; a control that is not ``required`` goes without what cannot serve it."""
    wants = {}
    for name in grid.protocols:
        try:
            wants[name] = wanted(asked, card, protocols.get(name).reads)
        except BadInput as error:
            if required:
                raise
            say(f"left out of {name}: {error}")
    return wants


def _needed(jobs: Iterable[Job]) -> tuple[LayerPooling, ...]:
    """What has to be encoded for jobs."""
    wants = {(job.want, protocols.get(job.spec["protocol"]).reads): job.source.encoder for job in jobs}
    return tuple(
        dict.fromkeys(each for (want, reads), card in wants.items() for each in required_features(card, want, reads))
    )


def _there(out: Path, say: Callable[[str], None]) -> dict[str, Record]:
    """{key: record} of what is in a results folder and whole; says what is wrong with the others."""
    found = {}
    for path in records.paths(out):
        try:
            found[path.stem] = records.read(path)
        except BadInput as error:
            say(f"not counted as done: {error}")
    return found


def jobs_of(
    grid: Grid, encoder: Encoder, source: Source, store: Mapping, wants: Mapping[str, list[LayerPooling]]
) -> Iterator[tuple[str, Job]]:
    """(key, job) of every combination on one encoder and data; ``store`` is the spec of the features, ``wants`` what
    each protocol takes."""
    for name, own in wants.items():
        for want in own:
            for seed in grid.seeds_of(name):
                chosen = (name, seed, *want, grid.clip)
                spec = encoder_spec(encoder, source.card, source.prepared, *chosen, store)
                yield records.key(spec), Job(source, spec)


def width(job: Job) -> int:
    """Features of a clip: as stored, or as the encoder's card says."""
    return job.source.store.width(job.want) or job.source.encoder.dims[job.want[1]]
