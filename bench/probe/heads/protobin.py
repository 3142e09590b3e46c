"""Binarised prototypes: how near a clip's nearest token comes to each of many learned signs, read by a linear layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.probe.goal import Goal
from bench.probe.heads.stack import Head, Parameters, uniform_weights
from bench.probe.heads.training import HeadProbe

PROTOTYPES = (64, 256)
LEARNING_RATES = (1e-3, 1e-2, 1e-1)
EPOCHS = 20
DROPPED = 0.2  # share of similarities that are dropped in training
FIRST_SPREAD = 0.02  # standard deviation of first prototypes


@dataclass(frozen=True)
class BinaryPrototypes:
    """Prototypes of signs, shared by all classes, under a linear layer.

    A prototype is kept as D real numbers and used as their signs in {-1, +1} (0 counts as +1); its gradient is that of
    the signs (straight-through). Every token of (B, T, D) is compared with every prototype by their cosine; of each
    prototype's cosines the largest of the clip is kept; of these a fifth are dropped in training, and the linear layer
    reads the rest.

    Attributes
    ----------
    prototypes : int
        Number of prototypes P, of all classes together.
    averaged_axes, rate_factors
        As ``bench.probe.heads.stack.Head``.
    """

    prototypes: int
    averaged_axes: tuple[int, ...] = (0, 1)
    rate_factors: Mapping[str, float] = field(default_factory=dict)

    def initial_parameters(self, shape: Sequence[int], columns: int, generator: torch.Generator) -> Parameters:
        """First parameters of one slice, see ``bench.probe.heads.stack.Head``."""
        width = shape[1]
        return {
            "prototypes": FIRST_SPREAD * torch.randn(self.prototypes, width, generator=generator),
            "outer": uniform_weights((self.prototypes, columns), self.prototypes, generator),
            "outer_bias": torch.zeros(columns),
        }

    def draw_noise(self, batch: int, generator: np.random.Generator) -> Tensor:
        """Dropout of similarities, see ``dropout``."""
        return dropout(batch, self.prototypes, generator)

    def outputs(self, p: Parameters, x: Tensor, noise: Tensor | None) -> Tensor:
        """Outputs (F, C, B, columns) of standardised rows, see ``bench.probe.heads.stack.Head``."""
        steps = x.shape[1:3]
        tokens = F.normalize(x, dim=-1).flatten(1, 2)  # (F, B · T, D): one product for all, and one for its gradient
        prototypes = F.normalize(signs(p["prototypes"]), dim=-1).flatten(1, 2)  # (F, C · P, D)
        cosines = (tokens @ prototypes.mT).unflatten(1, steps)  # (F, B, T, C · P)
        nearest = cosines.max(dim=2).values.unflatten(2, (-1, self.prototypes)).transpose(1, 2)  # (F, C, B, P)
        if noise is not None:
            nearest = nearest * noise[:, None]
        return nearest @ p["outer"] + p["outer_bias"][:, :, None]


def signs(values: Tensor) -> Tensor:
    """+1 for 0 and above, else -1, with the gradient of the values themselves (a straight-through estimator)."""
    return torch.where(values >= 0, 1.0, -1.0) + (values - values.detach())


def dropout(batch: int, width: int, generator: np.random.Generator) -> Tensor:
    """Factors (batch, width): 0 for a share ``DROPPED`` of them, the others scaled so that the mean stays."""
    kept = generator.random((batch, width), dtype=np.float32) >= DROPPED
    return torch.from_numpy(kept) / (1 - DROPPED)


class ProtobinStyleProbe(HeadProbe):
    """``BinaryPrototypes`` on tokens standardised by channel, trained by AdamW.

    Number of prototypes, rate, class weight and epochs are chosen as in ``HeadProbe``. Features are (N, T, D): T tokens
    of width D.

    Parameters
    ----------
    goal : Goal
        What candidates are compared for.
    prototypes : sequence of int
        Numbers of prototypes.
    rates : sequence of float
        Learning rates.
    epochs : int
        Most epochs.
    folds : int
        Number of folds, fewer where there are fewer groups.
    seed : int
        Seed of folds, first parameters, batches and dropout.
    progress : callable, optional
        Called with (parts done, parts) after each part of the work.

    Notes
    -----
    The pooling is ``protobin`` as its authors released it with BAT, and so are the spread of first prototypes and the
    dropout. Ours: tokens averaged into steps of time and standardised, how many prototypes there are (10,000 there),
    the number of steps and the constant rate (there 4,000 steps or more under warm-up and a cosine), 0.01 in place of
    0.05 or 0.2 as weight decay, which takes in prototypes here, and the choice of settings by held-out groups.

    References
    ----------
    Rauch et al., Unmute the patch tokens: rethinking probing in multi-label audio classification, ICLR 2026
    (arXiv 2509.24901); its head as released in https://github.com/houtan-ghaffari/BAT_ICML2026.
    """

    row_axes = 2

    def __init__(
        self,
        goal: Goal,
        prototypes: Sequence[int] = PROTOTYPES,
        rates: Sequence[float] = LEARNING_RATES,
        epochs: int = EPOCHS,
        folds: int = 5,
        seed: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ):
        super().__init__(goal, rates, epochs, folds, seed, progress)
        self.prototypes = prototypes

    def heads(self) -> list[tuple[dict, Head]]:
        """Settings and head of every shape, the simplest first."""
        return [({"prototypes": number}, BinaryPrototypes(number)) for number in sorted(self.prototypes)]
