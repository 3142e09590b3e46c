"""Items that are made ready ahead, by threads, while the one before them is used: what a device would wait for."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
R = TypeVar("R")

FED = 2  # batches that are ready or in the making while an accelerator computes one


def made_ahead(
    make: Callable[[T], R], items: Iterable[T], threads: int, most: int, waited: list[float] | None = None
) -> Iterator[tuple[T, R]]:
    """Every item and what ``make`` gives for it, in order.

    With one thread items are made one after another, in order, as without any. What ``make`` raises is raised when the
    item's turn comes; items that were not begun by then, or when the caller stops, are given up.

    Parameters
    ----------
    make
        Called with each item.
    items
        Taken one by one, in order.
    threads
        That make items.
    most
        Items that are ready or in the making while the caller uses one. 0: no thread is started, and each item is made
        by the caller's own thread when its turn comes.
    waited
        Gets, for each item, the seconds that the caller waited for it.
    """
    if not most:
        for item in items:
            yield item, make(item)
        return
    left = iter(items)
    making: deque[tuple[T, Future[R]]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        while True:
            making.extend((item, pool.submit(make, item)) for item in islice(left, most + 1 - len(making)))
            if not making:
                return
            taken, future = making.popleft()
            began = time.perf_counter()
            result = future.result()
            if waited is not None:
                waited.append(time.perf_counter() - began)
            yield taken, result
    finally:
        pool.shutdown(cancel_futures=True)


def batches_ahead(device: torch.device) -> int:
    """``most`` of batches for a device; none for the CPU, whose cores a thread would only take from the network."""
    return 0 if device.type == "cpu" else FED
