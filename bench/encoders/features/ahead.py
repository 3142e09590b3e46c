"""Blocks for an accelerator: decoded and resampled ahead by threads while the device computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from bench.base.parallel import locks
from bench.encoders.features import shards
from bench.encoders.features.blocks import Block
from bench.encoders.features.encoding import BlockEncoding

AHEAD = 2  # blocks beyond those that are being decoded


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
    import time

    waiting = deque(todo)
    decoding: deque[tuple[Block, Future[list[np.ndarray] | None]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            while waiting or decoding:
                while waiting and len(decoding) < workers + AHEAD:
                    block = waiting.popleft()
                    decoding.append((block, pool.submit(_decoded, unit, block)))
                block, future = decoding.popleft()
                began = time.perf_counter()
                waves = future.result()
                waited.append(time.perf_counter() - began)
                yield block, unit(block, waves)
        finally:
            pool.shutdown(cancel_futures=True)


def _decoded(unit: BlockEncoding, block: Block) -> list[np.ndarray] | None:
    """The block's clips; None where another process has encoded it or is about to."""
    taken = unit.found(block) or locks.held(shards.lock_of(unit.store, block.name))
    return None if taken else unit.waves(block)
