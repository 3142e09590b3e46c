"""Threads of this process that use one core each: faster than threads inside a product, and the same bits anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager


def cores() -> int:
    """Cores that this process may use: those of its affinity mask, fewer where its container's share is less."""
    import joblib

    return joblib.cpu_count()


@contextmanager
def workers(most: int) -> Iterator[Executor]:
    """A pool of up to ``most`` threads, one per core, in which every product uses a single thread.

    A rounding that depends on the number of threads would make the records of two runs differ.
    """
    from threadpoolctl import threadpool_limits

    # torch keeps its number of threads per thread, so that the caller's own setting is left alone
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(min(most, cores()), initializer=_alone) as pool:
        yield pool


def _alone() -> None:
    import torch

    torch.set_num_threads(1)
