"""Networks that another library builds and feeds: their geometry is measured by one probing pass, not known before."""

from __future__ import annotations

import dataclasses
import pickle
import zipfile
from typing import TYPE_CHECKING

from bench.base.errors import BadInput
from model_zoo._adapters.cards import dims

if TYPE_CHECKING:
    from bench.types import EncoderCard, Tokens
    from model_zoo._adapters.adapter import Adapter

FAULTS = (  # what another library raises over files that are not what it takes them for
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, OSError, RuntimeError),
    *(TypeError, ValueError, pickle.UnpicklingError, zipfile.BadZipFile),
)
UNKNOWN = dims(0)  # what a card offers before the network is built: every pooling of a grid without frequency axis


def measure_card(encoder: Adapter) -> EncoderCard:
    """Returns the encoder's card with dimensions, grid, layers and parameters as a clip of noise shows them.

    Parameters that the last layer and the clip embedding do not depend on (prediction heads, mask vectors) are frozen,
    so that fine-tuning does not meet parameters without a gradient. Raises ``BadInput`` where the network gives no
    tokens (B, T', F', D).
    """
    import torch

    card = encoder.card
    samples = round(max(1.0, card.min_s) * card.sample_rate)
    wave = 0.1 * torch.randn(1, samples, generator=torch.Generator().manual_seed(0))
    tokens: Tokens = encoder.encode(wave, torch.tensor([wave.shape[1]]))
    if not tokens.layers or any(grid.hidden.ndim != 4 for grid in tokens.layers):
        shapes = [tuple(grid.hidden.shape) for grid in tokens.layers]
        raise BadInput(card.id, f"gives no tokens in time (layers {shapes})", "it cannot serve as an encoder here")
    last = tokens.layers[card.pool_layer]
    weights = [p for p in encoder.parameters() if p.requires_grad]
    outputs = [x.sum() for x in (last.hidden, tokens.clip) if x is not None and x.requires_grad]
    reached: tuple = (None,) * len(weights)
    if weights and outputs:
        reached = torch.autograd.grad(sum(outputs), weights, allow_unused=True)
    for weight, gradient in zip(weights, reached, strict=True):
        weight.requires_grad_(gradient is not None)
    bands, width = last.hidden.shape[2:]
    sizes = dims(width, bands, published=None if tokens.clip is None else tokens.clip.shape[1])
    return dataclasses.replace(
        card,
        dims={pooling: size for pooling, size in sizes.items() if pooling in card.dims},
        grid=(last.hop_s, bands),
        layers=len(tokens.layers),
        params=sum(p.numel() for p in encoder.parameters()),
    )
