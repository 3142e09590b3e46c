"""Generators of a run, each made for its purpose, epoch and step, so that none depends on earlier draws.

Nothing has to be stored for a run to resume exactly: epoch 7 draws the same whether epoch 6 was computed in this
process or in one that was killed.
"""

from __future__ import annotations

import numpy as np
import torch

PURPOSES = ("initialisation", "order", "crop", "view", "method", "network")  # their positions enter every seed


def derive_seed(seed: int, purpose: str, *position: int) -> int:
    """Derive a seed below 2^63 from the run's ``seed``, one of ``PURPOSES`` and a position (epoch, micro-batch, …)."""
    words = np.random.SeedSequence([seed, PURPOSES.index(purpose), *position]).generate_state(1, np.uint64)
    return int(words[0]) >> 1


def numpy_generator(seed: int, purpose: str, *position: int) -> np.random.Generator:
    """Return numpy's generator for the arguments of ``derive_seed``."""
    return np.random.default_rng(derive_seed(seed, purpose, *position))


def torch_generator(seed: int, purpose: str, *position: int) -> torch.Generator:
    """Return torch's generator for the arguments of ``derive_seed``, on the CPU."""
    return torch.Generator().manual_seed(derive_seed(seed, purpose, *position))
