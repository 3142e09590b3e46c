"""A learned mixture of an encoder's layers under a linear layer (Yang et al., SUPERB, Interspeech 2021, section 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from bench.base.errors import BadInput
from bench.probe.goal import Goal
from bench.probe.heads.stack import Head, Parameters, Stack
from bench.probe.heads.training import HeadProbe

LEARNING_RATES = (1e-4, 1e-3, 1e-2)
EPOCHS = 20
MIXTURE_RATE_FACTOR = 10.0  # one number has to move as far as a whole column of the linear layer


@dataclass(frozen=True)
class Mixture:
    """Layers (B, L, D) weighted by softmax, summed, read by a linear layer. Weights start equal, that layer at 0.

    Attributes
    ----------
    averaged_axes, rate_factors
        As ``bench.probe.heads.stack.Head``.
    """

    averaged_axes: tuple[int, ...] = (0,)
    rate_factors: Mapping[str, float] = field(default_factory=lambda: {"mixture": MIXTURE_RATE_FACTOR})

    def initial_parameters(self, shape: Sequence[int], columns: int, generator: torch.Generator) -> Parameters:
        """First parameters of one slice, see ``bench.probe.heads.stack.Head``."""
        layers, width = shape
        return {
            "mixture": torch.zeros(layers),
            "outer": torch.zeros(width, columns),
            "outer_bias": torch.zeros(columns),
        }

    def draw_noise(self, batch: int, generator: np.random.Generator) -> None:
        """None: nothing is drawn."""

    def outputs(self, p: Parameters, x: Tensor, noise: Tensor | None) -> Tensor:
        """Outputs (F, C, B, columns) of standardised rows, see ``bench.probe.heads.stack.Head``."""
        mixed = p["mixture"].softmax(dim=2)[:, None] @ x  # (F, 1, C, L) @ (F, B, L, D)
        return mixed.transpose(1, 2) @ p["outer"] + p["outer_bias"][:, :, None]


def learned_weights(fitted: Stack) -> list[float]:
    """Weights (L,) of the layers that the first slice of a head with a ``mixture`` has learned, to four places."""
    return [round(float(weight), 4) for weight in fitted.parameters["mixture"][0, 0].softmax(dim=0)]


class LayerMixProbe(HeadProbe):
    """``Mixture`` of layers, each standardised by itself, trained by AdamW.

    Rate, class weight and epochs are chosen as in ``HeadProbe``. Features are (N, L, D), the first layer first.
    ``best_params_["layer_weights"]`` are the weights (L,) learned on all rows, which sum to 1.

    Parameters
    ----------
    goal : Goal
        What candidates are compared for.
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

    References
    ----------
    Yang et al., SUPERB: Speech processing universal performance benchmark, Interspeech 2021, section 3.
    """

    row_axes = 2

    def __init__(
        self,
        goal: Goal,
        rates: Sequence[float] = LEARNING_RATES,
        epochs: int = EPOCHS,
        folds: int = 5,
        seed: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ):
        super().__init__(goal, rates, epochs, folds, seed, progress)

    def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> LayerMixProbe:
        """As ``HeadProbe.fit``. Raises ``BadInput`` for a single layer too."""
        if np.ndim(X) == 3 and np.shape(X)[1] < 2:
            raise BadInput("layer-mix", "there is one layer and nothing to mix", "take the protocol linear")
        super().fit(X, y, groups)
        self.best_params_["layer_weights"] = learned_weights(self._fitted)
        return self

    def heads(self) -> list[tuple[dict, Head]]:
        """Settings and head of every shape, the simplest first."""
        return [({}, Mixture())]
