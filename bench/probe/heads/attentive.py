"""Attentive pooling: a learned query decides which tokens of a clip count, a linear layer reads their average."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.probe.goal import Goal
from bench.probe.heads.stack import Head, Parameters, uniform
from bench.probe.heads.training import HeadProbe

QUERIES = (1, 4)
RATES = (1e-4, 1e-3, 1e-2)
EPOCHS = 20


@dataclass(frozen=True)
class Attention:
    """(B, T, D) tokens, each normalised over its channels, averaged by softmax(query · token / sqrt(D)) for each of
    ``queries`` queries over all channels; the averages side by side are read by a linear layer. A gain and a shift
    after the normalisation would add nothing that query and layer cannot do. Queries start at 0: as the mean."""

    queries: int
    averaged: tuple[int, ...] = (0, 1)
    pace: Mapping[str, float] = field(default_factory=dict)

    def start(self, shape: Sequence[int], columns: int, source: torch.Generator) -> Parameters:
        """``bench.probe.heads.stack.Head``."""
        width = shape[1]
        return {
            "query": torch.zeros(self.queries, width),
            "outer": uniform((self.queries * width, columns), self.queries * width, source),
            "outer_bias": torch.zeros(columns),
        }

    def noise(self, batch: int, source: np.random.Generator) -> None:
        """Nothing is drawn."""

    def outputs(self, p: Parameters, x: Tensor, noise: Tensor | None) -> Tensor:
        """``bench.probe.heads.stack.Head``."""
        tokens = F.layer_norm(x, x.shape[-1:])  # (F, B, T, D)
        folds, batch, _, width = tokens.shape
        asked = p["query"].flatten(1, 2)  # (F, C · queries, D)
        match = tokens @ asked.mT[:, None] / math.sqrt(width)  # (F, B, T, C · queries)
        pooled = match.softmax(dim=2).mT @ tokens  # (F, B, C · queries, D)
        pooled = pooled.reshape(folds, batch, -1, self.queries * width).transpose(1, 2)
        return pooled @ p["outer"] + p["outer_bias"][:, :, None]


class AttentiveProbe(HeadProbe):
    """Tokens standardised by channel, ``Attention``, AdamW; number of queries, rate, class weight and epochs as
    ``HeadProbe`` chooses.

    Features (N, T, D): T tokens of width D.
    """

    row_axes = 2

    def __init__(
        self,
        goal: Goal,
        queries: Sequence[int] = QUERIES,
        rates: Sequence[float] = RATES,
        epochs: int = EPOCHS,
        folds: int = 5,
        seed: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ):
        super().__init__(goal, rates, epochs, folds, seed, progress)
        self.queries = queries

    def _heads(self) -> list[tuple[dict, Head]]:
        return [({"queries": queries}, Attention(queries)) for queries in sorted(self.queries)]
