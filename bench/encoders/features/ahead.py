"""Blocks for accelerators: decoded and resampled ahead by threads while the device computes.

One device computes in this process, several in a process each. Whichever of them is free takes the next block.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pickle import PicklingError

import numpy as np

from bench.base.errors import one_line
from bench.base.parallel import assigned, locks
from bench.base.parallel.ahead import made_ahead
from bench.base.parallel.engine import WORTH_S
from bench.base.parallel.shared import Shared
from bench.encoders.features import shards
from bench.encoders.features.blocks import Block
from bench.encoders.features.encoding import BlockEncoding
from bench.encoders.pooling import LayerPooling
from bench.types import Encoder

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


@dataclass(frozen=True)
class OnDevice:
    """A unit of work for a process that has a device of its own: gives the clips encoded and the seconds waited."""

    unit: BlockEncoding
    workers: int

    def __call__(self, device: str, block: Block, upcoming: tuple[Block, ...]) -> tuple[int, float]:
        """Encodes a block on the device, while what comes next is decoded."""
        _move(self.unit.encoder.value, device)
        for each in (block, *upcoming):
            if (key := self._key(each)) not in _decoding:
                _decoding[key] = _decoders(self.workers).submit(_decoded, self.unit, each)
        for key in _decoding.keys() - {self._key(each) for each in (block, *upcoming)}:  # another process took those
            _decoding.pop(key).cancel()
        began = time.perf_counter()
        waves = _decoding.pop(self._key(block)).result()
        waited = time.perf_counter() - began
        return self.unit(block, waves), waited

    def _key(self, block: Block) -> tuple[str, tuple[LayerPooling, ...], str]:
        return str(self.unit.store), self.unit.requested, block.name


_decoding: dict[tuple, Future[list[np.ndarray] | None]] = {}  # in a process that has a device of its own


@lru_cache(maxsize=1)
def _decoders(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers)


def _move(encoder: Encoder, device: str) -> None:
    """Moves this process's copy of the encoder to the process's device, which becomes that of all it makes."""
    import torch

    if torch.device(device).type == "cuda":
        torch.cuda.set_device(device)
    encoder.to(device)


def run_on_each(
    unit: BlockEncoding,
    todo: Sequence[Block],
    devices: Sequence[str],
    workers: int,
    waited: list[float],
    hung_s: float | None = None,
) -> Iterator[tuple[Block, int]]:
    """Every block and what ``unit`` gives for it, as they finish, in a process for each of several devices.

    This process does the first blocks on the device of its own encoder, and all where the rest is not worth the
    seconds that processes take to start, or where they cannot be sent the encoder.

    Parameters
    ----------
    unit
        Encodes a block.
    todo
        The blocks.
    devices
        Of one kind.
    workers
        Threads of each process that decode.
    waited
        Gets, for each block, the seconds that its device waited for its recordings.
    hung_s
        As for ``bench.base.parallel.assigned.run``.
    """
    left, done, began = list(todo), 0, time.perf_counter()
    while left and not done:
        for block, clips in run(unit, left[:1], workers, waited):
            done += clips > 0
            yield block, clips
        left = left[1:]
    if (time.perf_counter() - began) * len(left) < WORTH_S:
        yield from run(unit, left, workers, waited)
        return
    shared = Shared(copy.deepcopy(unit.encoder.value).to("cpu"))  # no process then touches another's device
    there = OnDevice(replace(unit, encoder=shared), workers)
    open_blocks = {block.name: block for block in left}
    try:
        for block, (clips, seconds) in assigned.run(there, left, devices, workers + AHEAD, hung_s):
            del open_blocks[block.name]
            waited.append(seconds)
            yield block, clips
    except (BrokenProcessPool, PicklingError) as error:  # such as a module that only this process finds
        print(one_line(f"blocks cannot be sent to processes ({error}); {devices[0]} encodes them all"), file=sys.stderr)
        yield from run(unit, list(open_blocks.values()), workers, waited)
    finally:
        shared.remove()
