"""Locks between processes. They are the kernel's and end with their process: no clock is read, none is left stale."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import BaseFileLock


def kernel_lock(path: Path) -> BaseFileLock:
    """A lock of the kernel's on a file; where there are none, taking it raises, and no file stands for a lock."""
    from filelock import FileLock

    return FileLock(path, thread_local=False, fallback_to_soft=False)


@contextmanager
def alone(path: Path) -> Iterator[bool]:
    """Whether this process alone has the lock, until the block ends; True where the file system has no locks.

    Without locks two processes may do the same work, so what they write must be the same bytes. The lock's folder must
    be there.
    """
    from filelock import Timeout

    lock = kernel_lock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    except (OSError, NotImplementedError):
        yield True
        return
    try:
        yield True
    finally:
        lock.release()


def held(path: Path) -> bool:
    """Whether a process has the lock at the moment; True too where that cannot be found out."""
    from filelock import Timeout

    if not path.exists():
        return False
    lock = kernel_lock(path)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError, NotImplementedError):
        return True
    lock.release()
    return False
