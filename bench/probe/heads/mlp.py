"""One hidden layer: what a representation offers beyond what a straight line finds in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from bench.probe.goal import Goal
from bench.probe.heads.stack import Head, Parameters, uniform_weights
from bench.probe.heads.training import HeadProbe

WIDTHS = (256, 1024)
LEARNING_RATES = (1e-4, 1e-3)
EPOCHS = 20


@dataclass(frozen=True)
class HiddenLayer:
    """Features (B, D) to ``width`` rectified units, half of them dropped in training, to the classes.

    Attributes
    ----------
    width : int
        Number of hidden units.
    averaged_axes, rate_factors
        As ``bench.probe.heads.stack.Head``.
    """

    width: int
    averaged_axes: tuple[int, ...] = (0,)
    rate_factors: Mapping[str, float] = field(default_factory=dict)

    def initial_parameters(self, shape: Sequence[int], columns: int, generator: torch.Generator) -> Parameters:
        """First parameters of one slice, see ``bench.probe.heads.stack.Head``."""
        (features,) = shape
        return {
            "inner": uniform_weights((features, self.width), features, generator),
            "inner_bias": uniform_weights((self.width,), features, generator),
            "outer": uniform_weights((self.width, columns), self.width, generator),
            "outer_bias": torch.zeros(columns),
        }

    def draw_noise(self, batch: int, generator: np.random.Generator) -> Tensor:
        """Dropout: which units count, by one random bit each, scaled so that the mean stays, (B, width)."""
        units = batch * self.width
        bits = np.unpackbits(np.frombuffer(generator.bytes(-(-units // 8)), np.uint8), count=units)
        return torch.from_numpy(bits.reshape(batch, self.width)) * 2.0

    def outputs(self, p: Parameters, x: Tensor, noise: Tensor | None) -> Tensor:
        """Outputs (F, C, B, columns) of standardised rows, see ``bench.probe.heads.stack.Head``."""
        hidden = (x[:, None] @ p["inner"] + p["inner_bias"][:, :, None]).relu_()  # (F, C, B, width)
        if noise is not None:
            hidden = hidden * noise[:, None]
        return hidden @ p["outer"] + p["outer_bias"][:, :, None]


class MlpProbe(HeadProbe):
    """One hidden layer on standardised features, trained by AdamW.

    Width, rate, class weight and epochs are chosen as in ``HeadProbe``. Features are (N, D).

    Parameters
    ----------
    goal : Goal
        What candidates are compared for.
    widths : sequence of int
        Numbers of hidden units.
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

    row_axes = 1

    def __init__(
        self,
        goal: Goal,
        widths: Sequence[int] = WIDTHS,
        rates: Sequence[float] = LEARNING_RATES,
        epochs: int = EPOCHS,
        folds: int = 5,
        seed: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ):
        super().__init__(goal, rates, epochs, folds, seed, progress)
        self.widths = widths

    def heads(self) -> list[tuple[dict, Head]]:
        """Settings and head of every shape, the simplest first."""
        return [({"width": width}, HiddenLayer(width)) for width in sorted(self.widths)]
