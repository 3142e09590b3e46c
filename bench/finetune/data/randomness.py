"""Every draw of a run comes from a generator made for its purpose, epoch and step, never from one that has a past.

So nothing has to be stored for a run to go on exactly where it was: epoch 7 draws the same whether epoch 6 was
computed in this process or in one that was killed.
"""

from __future__ import annotations

import numpy as np
import torch

PURPOSES = ("initialisation", "order", "crop", "view", "method", "network")


def seed_of(seed: int, purpose: str, *place: int) -> int:
    """A seed below 2^63 of the run's ``seed``, one of ``PURPOSES`` and a place (epoch, step, …)."""
    words = np.random.SeedSequence([seed, PURPOSES.index(purpose), *place]).generate_state(1, np.uint64)
    return int(words[0]) >> 1


def numpy_generator(seed: int, purpose: str, *place: int) -> np.random.Generator:
    """For draws outside torch."""
    return np.random.default_rng(seed_of(seed, purpose, *place))


def torch_generator(seed: int, purpose: str, *place: int) -> torch.Generator:
    """For draws of tensors, on the CPU."""
    return torch.Generator().manual_seed(seed_of(seed, purpose, *place))
