"""Mixing clips of a batch: random draws from the batch's own generator, and waveforms laid over each other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bench.finetune.methods.shared.base import MicroBatch


def beta_shares(generator: torch.Generator, concentration: float, count: int) -> Tensor:
    """Draw (count,) float32 from Beta(concentration, concentration), on the CPU.

    torch draws from that distribution only without a generator, so numpy does, seeded by one draw from ``generator``.
    """
    seed = int(torch.randint(2**62, (), generator=generator))
    return torch.from_numpy(np.random.default_rng(seed).beta(concentration, concentration, count)).float()


def draw_shares(batch: MicroBatch, concentration: float, count: int = 1) -> Tensor:
    """Draw mixing shares from Beta(concentration, concentration).

    Parameters
    ----------
    batch
        Its generator is the only source of chance.
    concentration
        Both parameters of the Beta distribution, above 0.
    count
        Number of shares.

    Returns
    -------
    Tensor
        (count,) float32 in [0, 1], on the CPU.
    """
    return beta_shares(batch.generator, concentration, count)


def draw_partners(batch: MicroBatch) -> Tensor:
    """Draw the clip that each clip is mixed with: a permutation (B,) int64, in which a clip may be its own partner."""
    return torch.randperm(len(batch.label), generator=batch.generator).to(batch.label.device)


class WavePairs(NamedTuple):
    """Each clip of a batch beside its partner.

    Attributes
    ----------
    own, other
        (B, T) the clip and its partner; the shorter of the two is repeated.
    length
        (B,) samples of the longer of the two.
    audible
        (B, T) bool, True up to ``length``.
    """

    own: Tensor
    other: Tensor
    length: Tensor
    audible: Tensor


def pair_waves(batch: MicroBatch, partner: Tensor, start: Tensor | None = None) -> WavePairs:
    """Lay each clip beside its partner.

    Parameters
    ----------
    batch
        The clips.
    partner
        (B,) index of each clip's partner.
    start
        (B,) sample at which the partner begins; 0 where it is not given.
    """
    time = torch.arange(batch.wave.shape[1], device=batch.wave.device)[None]
    own, other = batch.length.clamp_min(1)[:, None], batch.length[partner].clamp_min(1)[:, None]
    moved = time if start is None else time + start[:, None]
    length = torch.maximum(own, other)[:, 0]
    audible = time < length[:, None]
    return WavePairs(batch.wave.gather(1, time % own), batch.wave[partner].gather(1, moved % other), length, audible)


def overlay(pair: WavePairs, mask: Tensor) -> Tensor:
    """(B, T) mask · own + (1 − mask) · other, for a mask (B, T) or (B, 1) in [0, 1]; 0 beyond the clip's length."""
    return torch.where(pair.audible, mask * pair.own + (1 - mask) * pair.other, 0.0)
