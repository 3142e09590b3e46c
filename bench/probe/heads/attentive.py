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
from bench.probe.heads.stack import Head, Parameters, uniform_weights
from bench.probe.heads.training import HeadProbe

QUERIES = (1, 4)
LEARNING_RATES = (1e-4, 1e-3, 1e-2)
EPOCHS = 20


@dataclass(frozen=True)
class Attention:
    """Learned queries that average the tokens of a clip, under a linear layer.

    Tokens (B, T, D) are each normalised over their channels and averaged by softmax(query · token / sqrt(D)) for each
    of ``queries`` queries over all channels; the averages side by side are read by a linear layer. A gain and a shift
    after the normalisation would add nothing that query and layer cannot do. Queries start at 0: as the mean.

    Attributes
    ----------
    queries : int
        Number of queries.
    averaged_axes, rate_factors
        As ``bench.probe.heads.stack.Head``.
    """

    queries: int
    averaged_axes: tuple[int, ...] = (0, 1)
    rate_factors: Mapping[str, float] = field(default_factory=dict)

    def initial_parameters(self, shape: Sequence[int], columns: int, generator: torch.Generator) -> Parameters:
        """First parameters of one slice, see ``bench.probe.heads.stack.Head``."""
        width = shape[1]
        return {
            "query": torch.zeros(self.queries, width),
            "outer": uniform_weights((self.queries * width, columns), self.queries * width, generator),
            "outer_bias": torch.zeros(columns),
        }

    def draw_noise(self, batch: int, generator: np.random.Generator) -> None:
        """None: nothing is drawn."""

    def outputs(self, p: Parameters, x: Tensor, noise: Tensor | None) -> Tensor:
        """Outputs (F, C, B, columns) of standardised rows, see ``bench.probe.heads.stack.Head``."""
        tokens = F.layer_norm(x, x.shape[-1:])  # (F, B, T, D)
        folds, batch, _, width = tokens.shape
        queries = p["query"].flatten(1, 2)  # (F, C · queries, D)
        match = tokens @ queries.mT[:, None] / math.sqrt(width)  # (F, B, T, C · queries)
        pooled = match.softmax(dim=2).mT @ tokens  # (F, B, C · queries, D)
        pooled = pooled.reshape(folds, batch, -1, self.queries * width).transpose(1, 2)
        return pooled @ p["outer"] + p["outer_bias"][:, :, None]


class AttentiveProbe(HeadProbe):
    """``Attention`` on tokens standardised by channel, trained by AdamW.

    Number of queries, rate, class weight and epochs are chosen as in ``HeadProbe``. Features are (N, T, D): T tokens of
    width D.

    Parameters
    ----------
    goal : Goal
        What candidates are compared for.
    queries : sequence of int
        Numbers of queries.
    rates : sequence of float
        Learning rates.
    epochs : int
        Most epochs.
    folds : int
        Number of folds, fewer where there are fewer groups.
    seed : int
        Seed of folds, first parameters and batches.
    progress : callable, optional
        Called with (parts done, parts) after each part of the work.
    """

    row_axes = 2

    def __init__(
        self,
        goal: Goal,
        queries: Sequence[int] = QUERIES,
        rates: Sequence[float] = LEARNING_RATES,
        epochs: int = EPOCHS,
        folds: int = 5,
        seed: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ):
        super().__init__(goal, rates, epochs, folds, seed, progress)
        self.queries = queries

    def heads(self) -> list[tuple[dict, Head]]:
        """Settings and head of every shape, the simplest first."""
        return [({"queries": queries}, Attention(queries)) for queries in sorted(self.queries)]
