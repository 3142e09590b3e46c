"""Convex gated probing: prototypes compared with the tokens of a learned convex mixture of all layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.base.errors import BadInput
from bench.probe.goal import Goal
from bench.probe.heads.layer_mix import learned_weights
from bench.probe.heads.protobin import EPOCHS, FIRST_SPREAD, LEARNING_RATES, PROTOTYPES, dropout
from bench.probe.heads.stack import Head, Parameters, uniform_weights
from bench.probe.heads.training import HeadProbe


@dataclass(frozen=True)
class GatedPrototypes:
    """Layers gated by softmax, prototypes shared by all classes, under a linear layer.

    Tokens (B, L, T, D) are each scaled to length 1; those of one time are summed over the layers under weights
    softmax(mixture), which start equal. The sums, whose length is at most 1, are multiplied with every prototype of
    length 1. Of each prototype's T products the smallest, the mean and the largest are kept; of these a fifth are
    dropped in training, and the linear layer reads the rest.

    Attributes
    ----------
    prototypes : int
        Number of prototypes P, of all classes together.
    averaged_axes, rate_factors
        As ``bench.probe.heads.stack.Head``.
    """

    prototypes: int
    averaged_axes: tuple[int, ...] = (0, 2)
    rate_factors: Mapping[str, float] = field(default_factory=dict)

    def initial_parameters(self, shape: Sequence[int], columns: int, generator: torch.Generator) -> Parameters:
        """First parameters of one slice, see ``bench.probe.heads.stack.Head``."""
        layers, _, width = shape
        return {
            "mixture": torch.zeros(layers),
            "prototypes": FIRST_SPREAD * torch.randn(self.prototypes, width, generator=generator),
            "outer": uniform_weights((3 * self.prototypes, columns), 3 * self.prototypes, generator),
            "outer_bias": torch.zeros(columns),
        }

    def draw_noise(self, batch: int, generator: np.random.Generator) -> Tensor:
        """Dropout of similarities, see ``bench.probe.heads.protobin.dropout``."""
        return dropout(batch, 3 * self.prototypes, generator)

    def outputs(self, p: Parameters, x: Tensor, noise: Tensor | None) -> Tensor:
        """Outputs (F, C, B, columns) of standardised rows, see ``bench.probe.heads.stack.Head``."""
        folds, batch, layers, steps, width = x.shape
        tokens = F.normalize(x, dim=-1).transpose(1, 2).reshape(folds, layers, -1)  # (F, L, B · T · D)
        mixed = (p["mixture"].softmax(dim=2) @ tokens).unflatten(2, (batch * steps, width))  # (F, C, B · T, D)
        products = mixed @ F.normalize(p["prototypes"], dim=-1).mT  # (F, C, B · T, P)
        products = products.unflatten(2, (batch, steps))
        kept = [products.min(dim=3).values, products.mean(dim=3), products.max(dim=3).values]
        similar = torch.cat(kept, dim=-1)  # (F, C, B, 3 · P)
        if noise is not None:
            similar = similar * noise[:, None]
        return similar @ p["outer"] + p["outer_bias"][:, :, None]


class CgpStyleProbe(HeadProbe):
    """``GatedPrototypes`` on tokens standardised by layer and channel, trained by AdamW.

    Number of prototypes, rate, class weight and epochs are chosen as in ``HeadProbe``. Features are (N, L, T, D), the
    first layer first. ``best_params_["layer_weights"]`` are the weights (L,) learned on all rows, which sum to 1.

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
    Gate and pooling are those of the released code where there is no class token, and so are the spread of first
    prototypes and the dropout. Ours: the mean of the products where the release compares the class token if there is
    one; tokens averaged over bands, into steps of time, and standardised; how many prototypes there are (10,000 there);
    the number of steps and the constant rate (there 4,000 steps or more under warm-up and a cosine), 0.01 in place of
    0.05 or 0.2 as weight decay, which takes in prototypes here, and the choice of settings by held-out groups. The gate
    has the rate of everything else, as released: ten times a rate of 0.1, as ``layer-mix`` would have it, closes it on
    one layer in a few steps.

    References
    ----------
    Ghaffari et al., BAT: better audio transformer guided by convex gated probing, ICML 2026 (arXiv 2602.16305), as
    released in https://github.com/houtan-ghaffari/BAT_ICML2026.
    """

    row_axes = 3

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

    def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> CgpStyleProbe:
        """As ``HeadProbe.fit``. Raises ``BadInput`` for a single layer too."""
        if np.ndim(X) == 4 and np.shape(X)[1] < 2:
            raise BadInput("cgp-style", "there is one layer and nothing to mix", "take the protocol protobin-style")
        super().fit(X, y, groups)
        self.best_params_["layer_weights"] = learned_weights(self._fitted)
        return self

    def heads(self) -> list[tuple[dict, Head]]:
        """Settings and head of every shape, the simplest first."""
        return [({"prototypes": number}, GatedPrototypes(number)) for number in sorted(self.prototypes)]
