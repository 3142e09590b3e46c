"""The values that cross the seams between stages: frozen, documented, without logic of their own.

Nothing here imports torch, so listing encoders and tasks stays instant.
"""

from __future__ import annotations

import typing  # its Protocol and this module's are two things
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.shown import Shown

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from torch import nn


# --------------------------------------------------------------------------- encoders

BACKENDS = ("loky", "threading", "dask", "ray")  # of joblib, where units of work may run (bench.base.parallel.engine)
PRECISIONS = ("float32", "bfloat16", "float16")  # of a network's arithmetic


@dataclass(frozen=True)
class Weights:
    """One released weight file (or folder) of an encoder.

    ``file`` is the name under which it is looked for; ``sha256`` is empty where the release has no fixed digest;
    ``hub`` is a transformers Hub id, for loaders that take one. ``restricted`` says whether the licence must be agreed
    to before the first use; None leaves that to the licence's text (``bench.encoders.weights.licences``). ``part`` is
    the module of a larger model that is used, a piece of its tensors' dotted names: of a folder in shards, those that
    hold none of it are neither fetched nor read nor part of the digest.
    """

    file: str
    urls: tuple[str, ...] = ()
    sha256: str = ""
    size: int | None = None
    licence: str = ""
    hub: str = ""
    restricted: bool | None = None
    part: str = ""


@dataclass(frozen=True, repr=False)
class EncoderCard(Shown):
    """What a table, a cache key and a reader must know about an encoder, without building it.

    ``id`` is ``family.variant``, with ``@policy`` appended where a policy other than the default one is asked for.
    ``version`` is raised whenever the numbers change. ``min_s``/``max_s`` bound the clip length in seconds (shorter
    clips are zero-padded at their end, longer ones cropped at 0; ``None`` means no bound). ``dims`` maps each pooling
    that the encoder offers to its number of features. ``grid`` is (seconds per token, F') of the pooled layer.
    ``policies`` lists input policies, the default first. ``year`` is the paper's. ``trained_on`` holds corpus names
    (``icbhi``, ``audioset``, …). ``parity`` is ``golden`` (equal to arrays made with the original code),
    ``self-consistent`` or ``unverified``, and speaks of the default policy; ``policy_parity`` of the others, which are
    ``self-consistent`` where it says nothing. ``from_scratch`` encoders have no released weights by design: they are
    trained on a task's own clips (``respbench finetune``), never scored as they are, and have ``reset(seed)``.
    ``settings`` is the digest of what determines the numbers beside the tensors, such as a folder's config.json, and
    ``code`` the revision of code of the model's own that may run (``bench.encoders.weights.code``); empty without.
    ``floor_sensitive`` lists the input policies whose front end hears rounding: noise of 1e-7 of full scale moves a
    band of 8 kHz audio by as much as clips differ (``results/encode/floor.md``).
    """

    id: str
    version: int
    sample_rate: int
    dims: Mapping[str, int]
    frontend: str
    citation: str
    licence: str
    min_s: float = 0.0
    max_s: float | None = None
    year: int = 0
    grid: tuple[float, int] = (0.0, 1)
    layers: int = 1
    pool_layer: int = -1
    params: int = 0
    weights: tuple[Weights, ...] = ()
    trained_on: tuple[str, ...] = ()
    parity: str = "unverified"
    policy_parity: Mapping[str, str] = field(default_factory=dict)
    default_pooling: str = "mean"
    policies: tuple[str, ...] = ("upstream",)
    policy: str = "upstream"
    notes: str = ""
    from_scratch: bool = False
    settings: str = ""
    code: str = ""
    floor_sensitive: tuple[str, ...] = ()

    def shown(self) -> tuple[str, Mapping[str, object]]:
        """Its facts, for a notebook."""
        names = ("params", "sample_rate", "dims", "trained_on", "licence", "layers", "policies", "parity", "citation")
        return self.id, {name: getattr(self, name) for name in names} | {"notes": self.notes}


ALL_LAYERS = 0  # of a result that every layer has a part in: one layer is counted from the last, -1, -2, …


class Grid(NamedTuple):
    """One layer's tokens: ``hidden`` (B, T', F', D) float, ``length`` (B,) int64 tokens in time that count.

    ``valid`` (B,) int64 counts the tokens over real audio, where the original averages its own padding too; ``cls``
    (B, D) is the layer's class token.
    """

    hidden: torch.Tensor
    length: torch.Tensor
    hop_s: float
    name: str
    valid: torch.Tensor | None = None
    cls: torch.Tensor | None = None


class Tokens(NamedTuple):
    """What an encoder returns: every layer's grid, and the authors' own clip embedding (B, E) where there is one."""

    layers: tuple[Grid, ...]
    clip: torch.Tensor | None = None


class _Module(typing.Protocol):
    """What is used of ``torch.nn.Module``."""

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]: ...
    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...
    def buffers(self) -> Iterator[torch.Tensor]: ...
    def modules(self) -> Iterator[nn.Module]: ...
    def named_modules(self) -> Iterator[tuple[str, nn.Module]]: ...
    def requires_grad_(self, requires_grad: bool = True) -> typing.Self: ...
    def train(self, mode: bool = True) -> typing.Self: ...
    def eval(self) -> typing.Self: ...
    def to(self, device: str | torch.device) -> typing.Self: ...


class Encoder(_Module, typing.Protocol):
    """A ``torch.nn.Module`` in ``eval()`` with a card; ``bench.check_encoder`` checks the contract in full.

    It is for type checkers: encoders are no subclasses of it, and derive from ``torch.nn.Module``.
    Everything that this project uses of an encoder is declared here. What is marked as optional may be missing in an
    encoder that does not derive from ``model_zoo._adapters.adapter.Adapter``, which has all of it.

    Attributes
    ----------
    card
        What is known of it without building it; a checkpoint of another geometry adapts it.
    weights_digest
        SHA-256 of what was loaded, ``none`` without weights; set by ``bench.load_encoder``.
    precision
        One of ``PRECISIONS``, of the network's arithmetic; set by ``bench.load_encoder``. Optional: float32.
    threads_may_share
        Whether several threads may call it at once. Optional: False.
    reads_lengths_alone
        Whether a clip's length says all that the encoder reads, so that no recording is decoded. Optional: False.
    needs_stats
        Whether ``fit_stats`` must be called before the first forward pass. Optional: False.
    ragged
        Whether clips of different padded lengths may share a batch in ``eval()``, each row getting the tokens that it
        gets alone in one forward pass. Where False, they may be given too, but gain nothing. Optional: False.
    taps
        {name: function of a tensor that gives one of the same shape}: lets training change what passes through.
        Optional: without taps, nothing can.
    offers
        Names of taps that the encoder calls (``spectrogram``, ``patches``). Optional: none.
    band_hz
        (F,) float64, centre frequencies in Hz of the bands of what ``spectrogram`` taps, on the CPU: ascending, and
        again from the lowest where another spectrogram lies beside the first. Optional: None.
    """

    card: EncoderCard
    weights_digest: str
    precision: str
    taps: dict[str, Callable[[torch.Tensor], torch.Tensor]]

    @property
    def needs_stats(self) -> bool:
        """Optional; see above."""

    @property
    def ragged(self) -> bool:
        """Optional; see above."""

    @property
    def offers(self) -> frozenset[str]:
        """Optional; see above."""

    @property
    def band_hz(self) -> torch.Tensor | None:
        """Optional; see above."""

    @property
    def threads_may_share(self) -> bool:
        """Optional; see above."""

    @property
    def reads_lengths_alone(self) -> bool:
        """Optional; see above."""

    def __call__(self, wave: torch.Tensor, length: torch.Tensor) -> Tokens:
        """Tokens of a batch; a row's tokens depend on ``wave[i, :length[i]]`` alone.

        Parameters
        ----------
        wave
            (B, T) float32 in [-1, 1] at ``card.sample_rate``; clips shorter than T are zero-padded at their end.
        length
            (B,) int64, samples of each clip.
        """

    def batch_length(self, n: int) -> int:
        """Samples to which a clip of n samples is padded; clips of equal padded length share a batch.

        Optional: n itself.
        """

    def fit_stats(self, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Takes statistics of training clips; the (wave, length) may be iterated over again. Optional."""

    def reset(self, seed: int) -> None:
        """Initialises the parameters from a seed. Only of encoders with ``card.from_scratch``."""

    def blocks(self) -> list[nn.Module]:
        """The parameters in blocks from the input to the output, each parameter in one block.

        Optional: ``bench.encoders.blocks.split_at_longest_stack`` of the module.
        """


# --------------------------------------------------------------------------- tasks


@dataclass(frozen=True)
class Finding:
    """Something that a reader of the data must know.

    ``level``: ``error`` stops a run unless its clips are excluded, ``warning`` is shown, ``note`` is recorded.
    ``clips`` are the clip ids that it concerns.
    """

    level: str
    code: str
    where: str
    problem: str
    remedy: str = ""
    clips: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}" + (f"; {self.remedy}" if self.remedy else "")


@dataclass(frozen=True, repr=False)
class TaskCard(Shown):
    """What a task is, before any file is read.

    ``classes`` in label order; ``normal`` and ``adventitious`` are class indices for Sp/Se style scores (a class in
    neither, such as Poor Quality, enters neither). ``tests`` maps a test's name to the splits that it pools, the
    headline first. ``counts`` maps a split to its expected ``recordings``, ``patients`` and class counts in a
    complete copy. ``known_overlap`` are the groups allowed on both sides of the split; ``within_patient`` are the
    splits that share patients with train by design. ``corpora`` are the names matched with
    ``EncoderCard.trained_on``. ``kind`` is ``multiclass``, ``multilabel`` (``classes`` are bits of the label) or
    ``regression`` (one class, the target's name). With ``leave_one_out`` every clip is a test clip, predicted by a
    probe that saw all groups but its own. A ``demonstration`` enters no mean over tasks. ``access`` is ``open``, or
    where and how to apply for the data. ``spellings`` are labels by names that others write for them beside the
    classes' own. ``probe_settings`` are what a protocol's probe does otherwise on this task than by default:
    {protocol: {setting: value}}.
    """

    id: str
    version: int
    classes: tuple[str, ...]
    main_metric: str
    metrics: tuple[str, ...]
    tests: Mapping[str, tuple[str, ...]]
    url: str
    licence: str
    citation: str
    kind: str = "multiclass"
    leave_one_out: bool = False
    demonstration: bool = False
    access: str = "open"
    group: str = "patient"
    domain: str = "device"
    normal: int = 0
    adventitious: tuple[int, ...] = ()
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    known_overlap: tuple[str, ...] = ()
    within_patient: tuple[str, ...] = ()
    corpora: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    variant: str = ""
    notes: str = ""
    spellings: Mapping[str, int] = field(default_factory=dict)
    probe_settings: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def shown(self) -> tuple[str, Mapping[str, object]]:
        """Its facts, for a notebook."""
        names = ("classes", "main_metric", "tests", "licence", "access", "kind", "group", "url", "citation", "notes")
        return self.id, {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class RemoteFile:
    """A file of a corpus as its publisher offers it; an archive is unpacked.

    ``digest`` is ``sha256:…`` or ``md5:…``, empty where none is known. ``optional`` says what is lacking without the
    file, where a corpus is of use without it.
    """

    name: str
    urls: tuple[str, ...] = ()
    digest: str = ""
    optional: str = ""


@dataclass(frozen=True)
class Corpus:
    """Where the corpus of the task family ``name`` comes from.

    ``folder`` is where it goes, below the data folder. ``inner``: archives inside its archive are unpacked too.
    ``by_hand`` says how to get what has no address to download from, or where the address fails.
    """

    name: str
    folder: str
    files: tuple[RemoteFile, ...]
    inner: bool = False
    by_hand: str = ""


@dataclass(frozen=True)
class Suite:
    """A named set of tasks: what it is ``about``, and the ids of its ``tasks``."""

    about: str
    tasks: tuple[str, ...]


@dataclass(frozen=True, repr=False)
class Task(Shown):
    """A task on the user's own copy of the data.

    ``manifest``: one row per clip, see ``bench.data.manifest``. ``state`` is ``complete``, ``subset``, ``simulated``
    or ``simulated subset``.
    """

    card: TaskCard
    manifest: pd.DataFrame = field(repr=False, compare=False)
    root: Path
    findings: tuple[Finding, ...] = ()
    state: str = "complete"

    def shown(self) -> tuple[str, Mapping[str, object]]:
        """Its facts, for a notebook."""
        clips = self.manifest["split"].value_counts(sort=False).to_dict()
        facts = {"state": self.state, "clips": clips, "findings": len(self.findings), "root": self.root}
        return self.card.id, facts | dict(self.card.shown()[1])


# --------------------------------------------------------------------------- results


@dataclass(frozen=True)
class Score:
    """A value with its 95 % interval. ``n`` clips, ``groups`` resampled units, ``method`` names the interval."""

    value: float
    low: float
    high: float
    n: int
    groups: int
    method: str


@dataclass(frozen=True)
class Protocol:
    """A named evaluation protocol as data.

    ``kind`` is ``frozen``, ``finetune`` or ``control``: kinds are never ranked together. ``selection`` names the rule
    that chose the hyperparameters. ``reads`` is what its probe is handed: one ``clip`` vector (N, D), ``tokens``
    (N, T, D), ``layers`` (N, L, D) or ``layer-steps`` (N, L, T, D). ``seeds`` are those of a run that names none:
    several where chance takes part in the fit. ``validates``: its probe's ``fit`` takes the task's own validation rows
    as ``validation``.
    """

    name: str
    version: int
    kind: str
    selection: str
    description: str
    clip: str = "native"
    reads: str = "clip"
    seeds: tuple[int, ...] = (0,)
    validates: bool = False
