"""Waveforms of a batch laid over each other."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from bench.finetune.methods._base import Batch


class Pairs(NamedTuple):
    """``own`` and ``other`` (B, T): each clip and its partner, the shorter one repeated; ``length`` (B,), the longer
    one's; ``heard`` (B, T), True up to there."""

    own: Tensor
    other: Tensor
    length: Tensor
    heard: Tensor


def pairs(batch: Batch, partner: Tensor, start: Tensor | None = None) -> Pairs:
    """Each clip beside the one at ``partner`` (B,), which begins at sample ``start`` (B,), at 0 where none is given."""
    time = torch.arange(batch.wave.shape[1], device=batch.wave.device)[None]
    own, other = batch.length.clamp_min(1)[:, None], batch.length[partner].clamp_min(1)[:, None]
    moved = time if start is None else time + start[:, None]
    length = torch.maximum(own, other)[:, 0]
    heard = time < length[:, None]
    return Pairs(batch.wave.gather(1, time % own), batch.wave[partner].gather(1, moved % other), length, heard)


def overlay(pair: Pairs, mask: Tensor) -> Tensor:
    """(B, T) mask · own + (1 − mask) · other, for a mask (B, T) or (B, 1) in [0, 1]; 0 beyond the clip's length."""
    return torch.where(pair.heard, mask * pair.own + (1 - mask) * pair.other, 0.0)
