"""Activations computed again in the backward pass in place of being kept: less memory for a second forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint


def recomputed(module: nn.Module, forward: Callable[..., Any], *inputs: Any) -> Any:
    """What ``forward``, which computes with ``module``, gives for ``inputs``; nothing inside is kept for gradients.

    Loss, gradients and what BatchNorm measures are those of ``forward(*inputs)``: dropout draws the same again, and
    BatchNorm counts the batch once.
    """
    return checkpoint(forward, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), _unmeasured(module)))


@contextmanager
def _unmeasured(module: nn.Module) -> Iterator[None]:
    """BatchNorm normalises as it does, and measures into copies of its running statistics."""
    norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    measured = [dict(part.named_buffers(recurse=False)) for part in norms]
    for part, buffers in zip(norms, measured, strict=True):
        for name, buffer in buffers.items():
            setattr(part, name, buffer.clone())
    try:
        yield
    finally:
        for part, buffers in zip(norms, measured, strict=True):
            for name, buffer in buffers.items():
                setattr(part, name, buffer)
