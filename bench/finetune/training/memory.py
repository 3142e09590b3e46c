"""Memory of a process that trains on a CPU: freed blocks are kept, not given back to the kernel."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # parameters of mallopt(3)
_PAD_BYTES = 64 << 20  # by which the heap grows at once


def keep_freed_memory() -> bool:
    """Tell the C library not to give large blocks back to the kernel.

    glibc maps every large block anew and unmaps it when it is freed, so that each step of training has its tensors
    handed out again page by page, at up to two fifths of the step's time. The heap then never shrinks: for the command
    line, whose process trains and ends; the library does not do this to its caller.

    Returns
    -------
    bool
        Whether the C library could be told: glibc can.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # another system or another C library
        return False
    return all(mallopt(name, value) for name, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1), (_TOP_PAD, _PAD_BYTES)))
