"""Draws of the methods that mix clips, all from the generator that the batch brings."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from bench.finetune.methods._base import Batch


def shares(batch: Batch, a: float, count: int = 1) -> Tensor:
    """(count,) float32 from Beta(a, a), on the CPU. torch draws from that distribution without a generator alone, so
    numpy does, seeded by one draw from the batch's."""
    seed = int(torch.randint(2**62, (), generator=batch.generator))
    return torch.from_numpy(np.random.default_rng(seed).beta(a, a, count)).float()


def partners(batch: Batch) -> Tensor:
    """(B,) a permutation of the batch: the clip that each one is mixed with, which may be itself."""
    return torch.randperm(len(batch.label), generator=batch.generator).to(batch.label.device)
