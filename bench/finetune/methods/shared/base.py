"""The base class of methods, and what they are given: facts before training, then one micro-batch at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from bench.base.errors import BadInput, UnknownId
from bench.base.settings import Rule, check

PATCHES, SPECTROGRAM = "patches", "spectrogram"  # what a method may mix inside the encoder
LABEL_COLUMN = "label"  # stands for the class where a column of metadata may be named


class QualityWanted(NamedTuple):
    """A definition of quality, by its name in ``bench.finetune.data.audio_quality``, and its settings."""

    definition: str
    settings: Mapping[str, Any]


class TextTower(Protocol):
    """What reads text into the space of an encoder's embeddings.

    Attributes
    ----------
    width
        Number of features E.
    """

    width: int

    def ids(self, sentences: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return token numbers (S, W) int64 of sentences, and which of them count (S, W), bool."""

    def __call__(self, ids: Tensor, counted: Tensor) -> Tensor:
        """Return embeddings (S, E) of unit length."""


class TrainingFacts(NamedTuple):
    """What a method knows of the training clips before it is built.

    Attributes
    ----------
    classes
        Number of classes K.
    width
        Number of features D that the head reads.
    counts
        (K,) clips of each class.
    domains
        {column of metadata: number of its values}.
    token
        Channels W of the encoder's tokens; 0 where it gives whole clips alone.
    names
        (K,) names of the classes.
    inputs
        {column: (N,) texts of all clips, those that are predicted included, empty where unknown}, of the columns that
        the method's ``inputs`` name and no others.
    text
        Reads the encoder's text tower, for methods with ``inputs``; None where it has none.
    """

    classes: int
    width: int
    counts: tuple[int, ...]
    domains: Mapping[str, int]
    token: int = 0
    names: tuple[str, ...] = ()
    inputs: Mapping[str, np.ndarray] = MappingProxyType({})
    text: Callable[[], TextTower] | None = None


class MicroBatch(NamedTuple):
    """One micro-batch, its tensors on the model's device.

    Attributes
    ----------
    wave
        (B, T) float32 samples.
    length
        (B,) int64 samples that count.
    label
        (B,) int64 class indices.
    meta
        {column: (B,) int64 codes, −1 where unknown}.
    quality
        (B,) float32 in [0, 1]; 0.5 where the method does not need it.
    progress
        Share of all optimiser steps done, in [0, 1].
    generator
        On the CPU; a method's only source of chance.
    row
        (B,) int64 positions of the clips among all of the task, by which ``TrainingFacts.inputs`` are found.
    soft_label
        (B, K) float32, what teachers say of the clips as they are, probabilities; None without teachers.
    """

    wave: Tensor
    length: Tensor
    label: Tensor
    meta: Mapping[str, Tensor]
    quality: Tensor
    progress: float
    generator: torch.Generator
    row: Tensor
    soft_label: Tensor | None = None


class Reading(NamedTuple):
    """A batch as the encoder gives it and as the head reads it.

    Attributes
    ----------
    features
        (B, D) float32.
    tokens
        (B, N, W) float32.
    counted
        (B, N) bool, False for padding.
    """

    features: Tensor
    tokens: Tensor
    counted: Tensor


class TrainableModel(Protocol):
    """What a method may call: the encoder with its readout, and the head's classifier."""

    def features(
        self,
        batch: MicroBatch,
        *,
        view: int = 0,
        mix: Callable[[Tensor], Tensor] | None = None,
        mixed: str = PATCHES,
    ) -> Tensor:
        """Return features (B, D) of the augmented clips.

        Parameters
        ----------
        batch
            The clips.
        view
            Number of the augmentation: another view is augmented differently, the same view again alike.
        mix
            Applied to what ``mixed`` names.
        mixed
            ``patches``: tokens (B, P, D') before positions are added to them; or ``spectrogram``: (B, frames, bands)
            after the recipe's masks.
        """

    def reading(self, batch: MicroBatch, *, view: int = 0) -> Reading:
        """Return the features of the augmented clips, and the tokens that they were read from."""

    def logits(self, features: Tensor) -> Tensor:
        """Classify features (B, D): logits (B, K)."""


class Method(nn.Module, ABC):
    """A way to train: ``loss`` of a micro-batch, and ``scores`` at prediction.

    Parameters of a method are initialised by torch's global generator and trained at the head's learning rate; its
    buffers are part of its state.

    Parameters
    ----------
    facts
        About the training clips.
    **hyper
        Hyper-parameters, plain values.

    Attributes
    ----------
    name
        The method's name in recipes.
    formula, source
        The loss in words, and where it was published.
    ours
        What the source leaves open or this benchmark defines otherwise; empty where the definition is the source's.
    limits
        {hyper-parameter: what it may be}.
    inputs
        Columns of metadata that the method reads as input, at prediction too. Their records are marked.
    needs
        What has to be prepared: ``quality``, ``patches`` or ``spectrogram`` (an encoder where
        those can be mixed), ``meta:COLUMN``.
    quality
        How clips are graded, where ``quality`` is needed.
    hyper
        The hyper-parameters as given.

    Raises
    ------
    BadInput
        For a hyper-parameter outside its limits, and for impossible facts.
    """

    name: ClassVar[str]
    formula: ClassVar[str]
    source: ClassVar[str]
    ours: ClassVar[str] = ""
    limits: ClassVar[Mapping[str, Rule]] = {}
    inputs: ClassVar[tuple[str, ...]] = ()
    needs: frozenset[str] = frozenset()
    quality: QualityWanted = QualityWanted("structure", {})

    def __init__(self, facts: TrainingFacts, **hyper: Any):
        super().__init__()
        if len(facts.counts) != facts.classes or sum(facts.counts) < 1 or min(facts.counts) < 0:
            problem = f"{facts.classes} classes with the counts {facts.counts}"
            raise BadInput(self.name, problem, "count the training clips of each class, one in all at least")
        self.facts = facts
        self.hyper = check(hyper, self.limits, self.name, f"hyper-parameter of {self.name}")

    @abstractmethod
    def loss(self, model: TrainableModel, batch: MicroBatch) -> Tensor:
        """Compute the loss of a micro-batch: its mean, a scalar that can be differentiated."""

    def scores(self, model: TrainableModel, features: Tensor, row: Tensor) -> Tensor:
        """Return logits (B, K) of features (B, D) at prediction, of the clips at positions ``row`` (B,)."""
        return model.logits(features)

    def require_column(self, column: str) -> int:
        """Add a column of metadata to ``needs``; return the number of its values.

        Raises
        ------
        UnknownId
            For a column that does not exist.
        BadInput
            Where the training clips do not differ in it.
        """
        if column not in self.facts.domains:
            raise UnknownId("column of metadata", column, self.facts.domains)
        if self.facts.domains[column] < 2:
            problem = f"the training clips do not differ in {column!r}"
            raise BadInput(self.name, problem, "name another column, or train with a method that needs none")
        self.needs = self.needs | {f"meta:{column}"}
        return self.facts.domains[column]

    def require_groups(self, column: str) -> None:
        """Add a column to ``needs`` unless it is the label, for ``group_codes``. Raises as ``require_column``."""
        if column != LABEL_COLUMN:
            self.require_column(column)


def group_codes(batch: MicroBatch, column: str) -> Tensor:
    """Return (B,) int64 codes of a column of metadata, or the labels; −1 where unknown."""
    return batch.label if column == LABEL_COLUMN else batch.meta[column]
