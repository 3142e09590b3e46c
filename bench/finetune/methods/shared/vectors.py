"""Directions of feature vectors, exact under mixed precision."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """Return half-precision tensors in single precision: cosines in half are too coarse for the scales used."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def normalise(x: Tensor) -> Tensor:
    """Scale vectors (…, D) to length 1; a vector of length 0 stays 0 and passes no gradient."""
    x = at_least_float32(x)
    square = x.square().sum(-1, keepdim=True)
    alive = square > torch.finfo(x.dtype).tiny
    return torch.where(alive, x, 0.0) / torch.where(alive, square, 1.0).sqrt()


def cosines(a: Tensor, b: Tensor) -> Tensor:
    """Compute the cosines (A, B) of the angles between rows of ``a`` (A, D) and of ``b`` (B, D)."""
    with torch.autocast(a.device.type, enabled=False):
        return normalise(a) @ normalise(b).mT
