"""How much memory a forward pass takes, and what follows for batches and workers where memory is short."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from bench.encoders.batches import BATCH_S, DEVICE_BATCH_S, collate, device_of

if TYPE_CHECKING:
    from bench.types import Encoder

WORKER_MB = 600.0  # of a worker that has imported torch, before it holds an encoder or audio
HELD = 3  # largest outputs of a module that are alive at a time: its input, its output, a residual
TRIED_S = 2.0


def batch_seconds(encoder: Encoder, max_mb: float | None = None, threads: int = 1) -> float:
    """Seconds of padded audio in a forward pass at most.

    Parameters
    ----------
    encoder
        Loaded.
    max_mb
        Of memory for one worker, or of an accelerator's; None: what is fastest.
    threads
        Of the worker, each of which has a batch.
    """
    here = device_of(encoder).type == "cpu"
    usual = BATCH_S if here else DEVICE_BATCH_S
    if max_mb is None:
        return usual
    left_mb = max_mb - weights_mb(encoder) - (WORKER_MB if here else 0.0)
    return float(np.clip(left_mb / threads / forward_mb(encoder), 0.0, usual))


def worker_mb(encoder: Encoder, threads: int = 1) -> float:
    """Memory that a worker with the fastest batches takes, about."""
    return WORKER_MB + weights_mb(encoder) + threads * batch_seconds(encoder) * forward_mb(encoder)


def weights_mb(encoder: Encoder) -> float:
    """Size of parameters and buffers."""
    tensors = [*encoder.parameters(), *encoder.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors) / 1e6


def forward_mb(encoder: Encoder) -> float:
    """Memory of a forward pass for each second of audio, about: what it returns and some of its largest maps."""
    largest = 0

    def seen(module: torch.nn.Module, inputs: object, output: object) -> None:
        nonlocal largest
        if isinstance(output, torch.Tensor):
            largest = max(largest, output.numel() * output.element_size())

    rate = encoder.card.sample_rate
    noise = np.random.default_rng(0).standard_normal(int(TRIED_S * rate)).astype(np.float32)
    wave, length = collate(encoder, [0.1 * noise])
    hooks = [module.register_forward_hook(seen) for module in encoder.modules() if not list(module.children())]
    try:
        with torch.inference_mode():
            tokens = encoder(wave, length)
    finally:
        for hook in hooks:
            hook.remove()
    returned = sum(grid.hidden.numel() * grid.hidden.element_size() for grid in tokens.layers)
    return (returned + HELD * largest) / 1e6 / (wave.shape[1] / rate)
