"""Blocks for an accelerator: decoded and resampled ahead by threads while the device computes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from bench.base.parallel import locks
from bench.base.parallel.ahead import made_ahead
from bench.encoders.features import shards
from bench.encoders.features.blocks import Block
from bench.encoders.features.encoding import BlockEncoding

AHEAD = 1  # blocks beyond those that are being decoded


def run(unit: BlockEncoding, todo: Sequence[Block], workers: int, waited: list[float]) -> Iterator[tuple[Block, int]]:
    """Every block and what ``unit`` gives for it, in order, on this process's device.

    Decoding and resampling release the interpreter, so threads are enough to keep ahead of it.

    Parameters
    ----------
    unit
        Encodes a block.
    todo
        The blocks.
    workers
        Threads that decode.
    waited
        Gets, for each block, the seconds that the device waited for its recordings.
    """
    for block, waves in made_ahead(partial(_decoded, unit), todo, workers, workers + AHEAD, waited):
        yield block, unit(block, waves)


def _decoded(unit: BlockEncoding, block: Block) -> list[np.ndarray] | None:
    """The block's clips; None where another process has encoded it or is about to."""
    taken = unit.found(block) or locks.held(shards.lock_of(unit.store, block.name))
    return None if taken else unit.waves(block)
