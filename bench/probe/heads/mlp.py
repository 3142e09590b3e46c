"""One hidden layer: what a representation offers beyond what a straight line finds in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from bench.probe.goal import Goal
from bench.probe.heads.stack import Head, Parameters, uniform
from bench.probe.heads.training import HeadProbe

WIDTHS = (256, 1024)
RATES = (1e-4, 1e-3)
EPOCHS = 20


@dataclass(frozen=True)
class HiddenLayer:
    """(B, D) to ``width`` rectified units, half of them dropped in training, to the classes."""

    width: int
    averaged: tuple[int, ...] = (0,)
    pace: Mapping[str, float] = field(default_factory=dict)

    def start(self, shape: Sequence[int], columns: int, source: torch.Generator) -> Parameters:
        """``bench.probe.heads.stack.Head``."""
        (features,) = shape
        return {
            "inner": uniform((features, self.width), features, source),
            "inner_bias": uniform((self.width,), features, source),
            "outer": uniform((self.width, columns), self.width, source),
            "outer_bias": torch.zeros(columns),
        }

    def noise(self, batch: int, source: np.random.Generator) -> Tensor:
        """Which units count, by one random bit each, scaled so that the mean stays: (B, width)."""
        units = batch * self.width
        bits = np.unpackbits(np.frombuffer(source.bytes(-(-units // 8)), np.uint8), count=units)
        return torch.from_numpy(bits.reshape(batch, self.width)) * 2.0

    def outputs(self, p: Parameters, x: Tensor, noise: Tensor | None) -> Tensor:
        """``bench.probe.heads.stack.Head``."""
        hidden = (x[:, None] @ p["inner"] + p["inner_bias"][:, :, None]).relu_()  # (F, C, B, width)
        if noise is not None:
            hidden = hidden * noise[:, None]
        return hidden @ p["outer"] + p["outer_bias"][:, :, None]


class MlpProbe(HeadProbe):
    """Standardised features, one hidden layer, AdamW; width, rate, class weight and epochs as ``HeadProbe`` chooses.

    Features (N, D).
    """

    row_axes = 1

    def __init__(
        self,
        goal: Goal,
        widths: Sequence[int] = WIDTHS,
        rates: Sequence[float] = RATES,
        epochs: int = EPOCHS,
        folds: int = 5,
        seed: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ):
        super().__init__(goal, rates, epochs, folds, seed, progress)
        self.widths = widths

    def _heads(self) -> list[tuple[dict, Head]]:
        return [({"width": width}, HiddenLayer(width)) for width in sorted(self.widths)]
