"""What a method is, and what it is given: facts before training, then one micro-batch at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from bench.base.errors import BadInput, UnknownId
from bench.base.settings import Rule, check

LABEL_COLUMN = "label"  # where a column of metadata may be named, the class instead


class TrainingFacts(NamedTuple):
    """Of the training rows: ``classes`` K, ``width`` D of the features that reach the head, ``counts`` (K,) clips of
    each class, ``domains`` {column of metadata: number of its values}."""

    classes: int
    width: int
    counts: tuple[int, ...]
    domains: Mapping[str, int]


class MicroBatch(NamedTuple):
    """One micro-batch, its tensors on the model's device.

    ``wave`` (B, T) float32 and ``length`` (B,) int64 in samples; ``label`` (B,) int64; ``meta`` {column: (B,) int64
    codes, -1 where unknown}; ``quality`` (B,) float32 in [0, 1], 0.5 where no method asks for it; ``progress``, the
    share of all optimiser steps done, in [0, 1]; ``generator``, on the CPU, is a method's only source of chance.
    """

    wave: Tensor
    length: Tensor
    label: Tensor
    meta: Mapping[str, Tensor]
    quality: Tensor
    progress: float
    generator: torch.Generator


class TrainableModel(Protocol):
    """What a method may ask of the encoder and its head."""

    def features(self, batch: MicroBatch, *, view: int = 0, mix: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """(B, D). Each ``view`` has an augmentation of its own, which it keeps when asked for again; ``mix`` is
        applied to the patch tokens (B, P, D') before positions are added to them."""

    def logits(self, features: Tensor) -> Tensor:
        """(B, K) by the head."""


class Method(nn.Module, ABC):
    """A way to train: ``loss`` of a micro-batch, and ``scores`` at prediction.

    ``needs`` names what has to be prepared: ``quality``, ``patches`` (an encoder whose tokens can be mixed) and
    ``meta:COLUMN``. ``hyper`` holds the hyper-parameters as given, plain values. Parameters of a method are set by
    torch's global generator when it is made and trained at the head's learning rate; its buffers are part of its state.
    ``ours`` says what the source leaves open or defines otherwise; empty where the definition is the source's.
    Raises ``BadInput`` where a hyper-parameter or the facts cannot be used.
    """

    name: ClassVar[str]
    formula: ClassVar[str]
    source: ClassVar[str]
    ours: ClassVar[str] = ""
    limits: ClassVar[Mapping[str, Rule]] = {}
    needs: frozenset[str] = frozenset()

    def __init__(self, facts: TrainingFacts, **hyper: Any):
        super().__init__()
        if len(facts.counts) != facts.classes or sum(facts.counts) < 1 or min(facts.counts) < 0:
            problem = f"{facts.classes} classes with the counts {facts.counts}"
            raise BadInput(self.name, problem, "count the training clips of each class, one in all at least")
        self.facts = facts
        self.hyper = check(hyper, self.limits, self.name, f"hyper-parameter of {self.name}")

    @abstractmethod
    def loss(self, model: TrainableModel, batch: MicroBatch) -> Tensor:
        """The mean over the batch, a scalar that can be differentiated."""

    def scores(self, model: TrainableModel, features: Tensor) -> Tensor:
        """(B, K) logits of features (B, D) at prediction."""
        return model.logits(features)

    def require_column(self, column: str) -> int:
        """The number of values of a column of metadata, which ``needs`` then names. Raises ``UnknownId``, and
        ``BadInput`` where the training rows do not differ in it."""
        if column not in self.facts.domains:
            raise UnknownId("column of metadata", column, self.facts.domains)
        if self.facts.domains[column] < 2:
            problem = f"the training clips do not differ in {column!r}"
            raise BadInput(self.name, problem, "name another column, or train with a method that needs none")
        self.needs = self.needs | {f"meta:{column}"}
        return self.facts.domains[column]

    def require_groups(self, column: str) -> None:
        """Makes sure that ``groups`` can be asked for. Raises as ``require_column``."""
        if column != LABEL_COLUMN:
            self.require_column(column)


def group_codes(batch: MicroBatch, column: str) -> Tensor:
    """(B,) codes of a column of metadata, or labels; -1 where unknown."""
    return batch.label if column == LABEL_COLUMN else batch.meta[column]
