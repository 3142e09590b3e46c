"""Directions of feature vectors, exact under mixed precision."""

from __future__ import annotations

import torch
from torch import Tensor


def full(x: Tensor) -> Tensor:
    """At least single precision: a cosine in half precision is too coarse for the scales and temperatures used."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def unit(x: Tensor) -> Tensor:
    """(…, D) at length 1. A vector of length 0 has no direction: it stays 0 and passes no gradient on."""
    x = full(x)
    square = x.square().sum(-1, keepdim=True)
    alive = square > torch.finfo(x.dtype).tiny
    return torch.where(alive, x, 0.0) / torch.where(alive, square, 1.0).sqrt()


def cosines(a: Tensor, b: Tensor) -> Tensor:
    """(A, B) cosines of the angles between rows of (A, D) and of (B, D)."""
    with torch.autocast(a.device.type, enabled=False):
        return unit(a) @ unit(b).mT
