"""The clip's duration as an embedding: how far a classifier gets without hearing anything.

Paper: none. Checkpoint: none. Licence: this project's. Trained on: nothing.

Events of different classes often differ in length (crackles are short, wheezes long), and annotation habits leave
traces in it; an encoder that does not beat this control has not been shown to use the sound. The embedding is the
natural logarithm of the clip's unpadded duration in seconds. The rate is low because only the length is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import EncoderCard

if TYPE_CHECKING:
    from torch import nn

CARDS = (
    EncoderCard(
        id="meta.duration",
        version=1,
        sample_rate=8000,
        dims={"published": 1, "mean": 1},
        frontend="none",
        citation="control of this project",
        licence="MIT",
        parity="self-consistent",
        default_pooling="published",
        notes="control: natural logarithm of the clip's duration in seconds",
    ),
)


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The weightless encoder; ``weights`` is not used."""
    import torch
    from torch import Tensor

    from bench.types import Grid, Tokens
    from model_zoo._adapter import Adapter

    class Duration(Adapter):
        def forward(self, wave: Tensor, length: Tensor) -> Tokens:
            seconds = (length / card.sample_rate).to(torch.float32).log()[:, None]  # (B, 1)
            grid = Grid(seconds[:, :, None, None], torch.ones_like(length), 0.0, "duration")
            return Tokens((grid,), seconds)

    return Duration(card).eval()
