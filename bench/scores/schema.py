"""What a record holds: every key with its meaning and unit, and the check that a stored record has them.

A record is one result as JSON: what determined it (``Spec``), its scores, the choice of hyperparameters (``Selection``)
and the data (``DataFacts``); beside it lie predictions and ``RunFacts``. Scores are fractions in [0, 1] unless their
metric has a unit, times seconds, memory MB. Typed dictionaries, because records must stay the same bytes of JSON.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict, Union, get_args, get_origin, get_type_hints, is_typeddict

from bench.scores.printed import record_facts
from bench.shown import Shown

if TYPE_CHECKING:
    import pandas as pd

CONSTANT_FEATURES = "features are the same for all training clips"  # the mark of a record in which no sound took part


class DataIdentity(TypedDict):
    """What a task and the copy of its data contribute to what determines a result.

    Attributes
    ----------
    schema
        Version of the record's schema (``bench.scores.records.SCHEMA``).
    task, task_version
        Of the task's card.
    manifest
        SHA-256 of the clips' annotations and audio, ``annotations:`` in front where the audio is not at hand.
    state
        ``complete``, ``subset``, ``simulated`` or ``simulated subset``.
    excluded
        SHA-256 of the list of excluded clips and accepted short recordings; empty where there are neither.
    """

    schema: int
    task: str
    task_version: int
    manifest: str
    state: str
    excluded: str


class Spec(DataIdentity):
    """Everything that determines a result; the hash of its JSON is the record's key.

    Control rows have ``none`` for whatever belongs to an encoder. ``bench.runs.spec.result_spec`` builds it.

    Attributes
    ----------
    encoder, encoder_version
        Of the encoder's card; of a control row its name, and 1.
    weights
        SHA-256 of the weight files; of an untrained twin that of its initial state; ``none`` for an encoder without.
    parameters
        SHA-256 of the parameters as they were used (before training, of a fine-tuned encoder).
    layer
        Counted from the last, -1, -2, …; ``bench.types.ALL_LAYERS`` where every layer takes part.
    pooling
        How tokens became one vector (``bench.encoders.pooling``).
    clip, resampler, dtype
        Clip policy (``bench.data.clips``), library and quality of resampling, precision of the network's arithmetic.
    statistics
        Digest of the clips that the encoder's statistics were fitted to; empty where it needs none.
    settings, code
        Of the encoder's card: the digest of its settings, the revision of its own code that ran; absent without.
    protocol, protocol_version, kind, seed
        Of the protocol (``bench.types.Protocol``); of the folds, the initialisation and every other draw.
    device
        Kind of device a fine-tuned encoder was trained on (``cpu``, ``cuda``), on which rounding depends.
    recipe, teachers
        Numbers of the fine-tuning recipe, its method's defaults included; keys of the runs that gave soft labels.
    """

    encoder: str
    encoder_version: int
    weights: str
    parameters: str
    layer: int
    pooling: str
    clip: str
    resampler: str
    dtype: str
    statistics: str
    protocol: str
    protocol_version: int
    kind: str
    seed: int
    settings: NotRequired[str]
    code: NotRequired[str]
    device: NotRequired[str]
    recipe: NotRequired[dict[str, Any]]
    teachers: NotRequired[list[str]]


class ScoreJson(TypedDict):
    """A score as stored (``bench.types.Score``); None where it is undefined.

    Attributes
    ----------
    value, low, high
        The value with its 95 % interval, in the metric's unit: a fraction, or the target's own unit.
    n
        Number of clips that it is about.
    groups
        Number of resampled units (patients).
    method
        How the interval was made.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    groups: int
    method: str


MetricScores = dict[str, ScoreJson]  # {metric: score}
Scores = dict[str, MetricScores]  # {test: {metric: score}}
DomainScores = dict[str, dict[str, MetricScores]]  # {test: {device or site: {metric: score}}}


class Choice(TypedDict):
    """What a probe chose, and from what.

    Attributes
    ----------
    chosen
        {hyperparameter: value}, of the best candidate. With one probe per left-out group: {group: them as text}.
    path
        Every candidate: its hyperparameters, its ``score`` on held-out training clips (None where undefined), its
        ``share`` in a probe that is the mean of several, and the ``label`` that it is for where every label has
        candidates of its own. Of a fine-tuning run, its epochs.
    path_ends
        Where a path of ascending C ended early, since the rest had fallen behind: class weight, ``label`` if any, and
        the last ``C`` solved; in ``path`` the larger ones take over its score. Absent where all were solved.
    features_left_out
        Number of features left out as constant, absent if none.
    """

    chosen: dict[str, Any]
    path: list[dict[str, Any]]
    path_ends: NotRequired[list[dict[str, Any]]]
    features_left_out: NotRequired[int]


class Selection(Choice):
    """How hyperparameters were chosen, without a look at the test.

    Attributes
    ----------
    method
        The rule, in words; ``none`` for a control row.
    left_out
        {group: the choice of the probe that predicts it}, where every group has one; ``path`` is empty then.
        Older records lack it.
    at_edge
        Whether the choice lies at the edge of the search.
    folds
        {group: the fold that held it out}; empty for probes that select nothing.
    losses, validation_groups
        Of a fine-tuning run: mean training loss of every epoch; groups on whose clips it was validated.
    """

    method: str
    left_out: NotRequired[dict[str, Choice]]
    at_edge: NotRequired[bool]
    folds: NotRequired[dict[str, int]]
    losses: NotRequired[list[float]]
    validation_groups: NotRequired[list[str]]


class TaskFacts(TypedDict):
    """The part of a task's card that its scores depend on; every record carries its own copy."""

    kind: NotRequired[str]  # multilabel or regression; a multiclass task does not say
    headline: NotRequired[str]  # the test that stands for the task, where it is not the first in alphabetical order
    demonstration: NotRequired[bool]  # True for a task that enters no mean over tasks; others do not say
    classes: list[str]  # in label order
    metrics: list[str]  # names of bench.scores.metrics
    main_metric: str
    normal: int  # class index, of specificity
    adventitious: list[int]  # class indices, of sensitivity
    tests: dict[str, list[str]]  # {test: the splits that it pools}
    group: str  # what a group of this task is: patient
    domain: str  # what a domain of this task is: device, site


class RecipeFacts(TypedDict):
    """A recipe's ``name`` and ``source``, what it is ``about``, what was ``published`` of it and what differs here."""

    name: str
    source: str
    about: str
    published: NotRequired[str]  # older records lack it and the differences
    differences: NotRequired[list[str]]


class EncoderFacts(TypedDict):
    """What a table says about an encoder beside its number.

    Attributes
    ----------
    marks
        Remarks that a reader must see beside the number, such as a corpus seen in pretraining.
    trained_on
        Names of the corpora that it was pretrained on.
    weights_licence
        Licences of its weight files, joined by ``; ``.
    parity, policy
        Of its card.
    params
        Number of parameters.
    clips_padded_to_min_s, clips_cropped_to_max_s
        Number of clips outside the lengths that it takes, of the clip policies that keep lengths.
    clips_trained_on
        Number of clips that a fine-tuned encoder was trained on.
    recipe
        Of a fine-tuned encoder.
    """

    marks: list[str]
    trained_on: list[str]
    weights_licence: str
    parity: NotRequired[str]
    policy: NotRequired[str]
    params: NotRequired[int]
    clips_padded_to_min_s: NotRequired[int]
    clips_cropped_to_max_s: NotRequired[int]
    clips_trained_on: NotRequired[int]
    recipe: NotRequired[RecipeFacts]


class DataFacts(EncoderFacts):
    """What the data were, and what is known of the encoder.

    Attributes
    ----------
    task
        The record's own copy of the task's facts.
    state
        As in ``DataIdentity``.
    incomplete
        Whether clips of the task are missing.
    excluded
        Why clips were left out, one finding each.
    short
        Recordings that were accepted although they hold fewer samples than their headers promise, one finding each;
        absent where there are none.
    splits
        {split: number of ``recordings``, ``patients``, ``clips`` and of the clips of each class}.
    recordings_in_full
        Number of recordings of a complete copy; None where the card does not count them.
    groups_in_train
        {test: number of its groups that training holds too}.
    licence, citation, url
        Of the corpus.
    predictions_sha256
        Of the prediction table's canonical CSV.
    """

    task: TaskFacts
    state: str
    incomplete: bool
    excluded: list[str]
    short: NotRequired[list[str]]
    splits: dict[str, dict[str, int]]
    recordings_in_full: int | None
    groups_in_train: dict[str, int]
    licence: str
    citation: str
    url: str
    predictions_sha256: str


class RunFacts(TypedDict, total=False):
    """How and at what cost a result was computed: never hashed, never compared, empty where the file is not there."""

    commit: str  # of the code, + appended where it was modified
    versions: dict[str, str]  # {package: installed version or absent}
    machine: str  # operating system and kind of processor
    arithmetic: dict[str, str]  # what the last digits depend on, see bench.base.provenance.arithmetic
    device: str  # where features were computed, or the encoder was trained
    wall_s: float  # from features to scores; of a fine-tuning run, all epochs
    peak_memory_mb: float  # largest resident size of the process so far
    precision_drift: float  # of features at another precision from float32's, see bench.encoders.features.drift
    probe_s: float  # in the probe's fit and predictions
    train_s: float  # in the steps of all epochs
    predict_s: float  # in the predictions of all epochs
    epochs_run: int
    device_hours: float
    device_name: str  # of a GPU; empty on a CPU
    device_memory_mb: float | None  # peak of a GPU's allocated memory; None on a CPU


@dataclass(frozen=True, repr=False)
class Record(Shown):
    """One result and the predictions behind it.

    Attributes
    ----------
    key
        The hash of ``spec``, and the name of the record's files.
    predictions
        One row per predicted clip: ``clip_id, group, domain, split, duration_s`` (seconds), ``y_true, y_pred`` and
        the class scores ``s_0 … s_{K-1}``.
    """

    key: str
    spec: Spec
    scores: Scores
    domains: DomainScores
    selection: Selection
    data: DataFacts
    predictions: pd.DataFrame = field(repr=False, compare=False)
    run: RunFacts = field(default_factory=RunFacts, compare=False)

    def shown(self) -> tuple[str, Mapping[str, Any]]:
        """Its facts, for a notebook."""
        return self.key, record_facts(self.spec, self.scores, self.data["task"])


class RecordJson(TypedDict):
    """The record's JSON, without the schema's version and the digest that close it."""

    key: str
    spec: Spec
    scores: Scores
    domains: DomainScores
    selection: Selection
    data: DataFacts


def violations(value: object, expected: Any = RecordJson, where: str = "") -> Iterator[str]:
    """What in a JSON value is not as the schema says, one line each.

    Parameters
    ----------
    value
        As ``json.loads`` gives it.
    expected
        A typed dictionary of this module, or another type that its keys have.
    where
        The keys that lead to the value.

    Notes
    -----
    Keys that the schema does not know pass: facts may be added without a new version of the schema.
    """
    if expected is Any:
        return
    if is_typeddict(expected):
        if not isinstance(value, Mapping):
            yield f"{where or 'it'} is no object"
            return
        for name, (kind, required) in _keys(expected).items():
            inner = f"{where}.{name}" if where else name
            if name in value:
                yield from violations(value[name], kind, inner)
            elif required:
                yield f"{inner} is missing"
        return
    origin, arguments = get_origin(expected), get_args(expected)
    if origin in (Union, types.UnionType):
        if all(any(violations(value, kind, where)) for kind in arguments):
            yield f"{where} is {value!r}, not {expected}"
    elif origin is dict and isinstance(value, dict):
        for name, each in value.items():
            yield from violations(each, arguments[1], f"{where}.{name}")
    elif origin is list and isinstance(value, list):
        for i, each in enumerate(value):
            yield from violations(each, arguments[0], f"{where}[{i}]")
    elif not _is_plain(value, origin or expected):
        yield f"{where} is {value!r}, not {getattr(origin or expected, '__name__', expected)}"


def _is_plain(value: object, kind: type) -> bool:
    """Whether a value is of a plain type; a truth value is no number, a whole number is a float too."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


@cache
def _keys(expected: Any) -> dict[str, tuple[Any, bool]]:
    """{key: (its type, whether it is required)} of a typed dictionary."""
    keys = {}
    # annotations are strings here, so the class itself does not know which of its keys are NotRequired
    for name, kind in get_type_hints(expected, include_extras=True).items():
        optional = get_origin(kind) is NotRequired
        keys[name] = (get_args(kind)[0] if optional else kind, name in expected.__required_keys__ and not optional)
    return keys
