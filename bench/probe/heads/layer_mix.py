"""A learned mixture of an encoder's layers under a linear layer (Yang et al., SUPERB, Interspeech 2021, section 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from bench.base.errors import BadInput
from bench.probe.goal import Goal
from bench.probe.heads.stack import Head, Parameters
from bench.probe.heads.training import HeadProbe

RATES = (1e-4, 1e-3, 1e-2)
EPOCHS = 20
PACE = 10.0  # of the mixture: one number has to move as far as a whole column of the linear layer


@dataclass(frozen=True)
class Mixture:
    """(B, L, D) layers weighted by softmax, summed, read by a linear layer. Weights start equal, that layer at 0."""

    averaged: tuple[int, ...] = (0,)
    pace: Mapping[str, float] = field(default_factory=lambda: {"mixture": PACE})

    def start(self, shape: Sequence[int], columns: int, source: torch.Generator) -> Parameters:
        """``bench.probe.heads.stack.Head``."""
        layers, width = shape
        return {
            "mixture": torch.zeros(layers),
            "outer": torch.zeros(width, columns),
            "outer_bias": torch.zeros(columns),
        }

    def noise(self, batch: int, source: np.random.Generator) -> None:
        """Nothing is drawn."""

    def outputs(self, p: Parameters, x: Tensor, noise: Tensor | None) -> Tensor:
        """``bench.probe.heads.stack.Head``."""
        mixed = p["mixture"].softmax(dim=2)[:, None] @ x  # (F, 1, C, L) @ (F, B, L, D)
        return mixed.transpose(1, 2) @ p["outer"] + p["outer_bias"][:, :, None]


class LayerMixProbe(HeadProbe):
    """Layers standardised each by itself, ``Mixture``, AdamW; rate, class weight and epochs as ``HeadProbe`` chooses.

    Features (N, L, D), the first layer first. ``best_params_["layer_weights"]`` are the weights (L,) learned on all
    rows, which sum to 1.
    """

    row_axes = 2

    def __init__(
        self,
        goal: Goal,
        rates: Sequence[float] = RATES,
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
        weights = self._fitted.parameters["mixture"][0, 0].softmax(dim=0)
        self.best_params_["layer_weights"] = [round(float(weight), 4) for weight in weights]
        return self

    def _heads(self) -> list[tuple[dict, Head]]:
        return [({}, Mixture())]
