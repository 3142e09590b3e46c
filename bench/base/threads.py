"""Folds side by side, one thread each: faster than threads inside a product, and the same bits on any core count."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager


@contextmanager
def workers(most: int) -> Iterator[Executor]:
    """A pool of up to ``most`` threads, one per core, in which every product uses a single thread.

    A rounding that depends on the number of threads would make the records of two runs differ.
    """
    import torch
    from threadpoolctl import threadpool_limits

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # torch keeps its number of threads per thread, so that the caller's own setting is left alone
    with (
        threadpool_limits(1, user_api="blas"),
        ThreadPoolExecutor(min(most, cores), initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        yield pool
