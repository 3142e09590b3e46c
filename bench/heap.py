"""Memory that is freed stays with the process, for work that needs the same again at every step."""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4  # parameters of mallopt(3)
PAD = 64 << 20  # bytes by which the heap grows at once


def keep_freed() -> bool:
    """Tells the C library not to give large blocks back to the kernel; whether it could be told (glibc can).

    glibc maps every large block anew and unmaps it when it is freed, so that each step of training has its tensors
    handed out again page by page, at up to two fifths of the step's time. The heap then never shrinks: for a process
    that trains and ends, not for a library to do to its caller.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # another system or another C library
        return False
    return all(mallopt(name, value) for name, value in ((MMAP_MAX, 0), (TRIM_THRESHOLD, -1), (TOP_PAD, PAD)))
