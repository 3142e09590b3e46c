"""How many bytes the variables of a MATLAB file claim (MAT-File Format, The MathWorks; levels 4 and 5).

The decoder takes a file with the variables ``samplerate`` and ``wavedata``, as libsndfile writes them, for sound.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

_LEVEL_5 = b"MATLAB 5"
_LEVEL_4 = {"<": struct.pack("<3I", 0, 1, 1), ">": struct.pack(">3I", 1000, 1, 1)}  # a number comes first: the rate
_BYTES = (8, 4, 4, 2, 2, 1)  # of an element of level 4, by its digit
_BYTE_ORDER_AT, _FIRST_AT = 126, 128  # of level 5
_MATRIX = 14  # type of its variables


def is_one(head: bytes) -> bool:
    """Whether a file that begins so may be one."""
    return head.startswith(_LEVEL_5) or any(head.startswith(mark) for mark in _LEVEL_4.values())


def claimed(file: BinaryIO, end: int) -> int | None:
    """Bytes that a file of ``end`` bytes claims to have; None where its variables cannot be followed."""
    file.seek(0)
    head = file.read(_FIRST_AT)
    if head.startswith(_LEVEL_5):
        return _level_5(file, end, "<" if head[_BYTE_ORDER_AT:] == b"IM" else ">")
    order = next(order for order, mark in _LEVEL_4.items() if head.startswith(mark))
    return _level_4(file, end, order)


def _level_4(file: BinaryIO, end: int, order: str) -> int | None:
    at = 0
    while at < end:
        file.seek(at)
        kind, rows, columns, imaginary, name = struct.unpack(order + "5I", file.read(20).ljust(20, b"\0"))
        element = kind // 10 % 10
        if element >= len(_BYTES):
            return None
        at += 20 + name + rows * columns * _BYTES[element] * (1 + (imaginary != 0))
    return at


def _level_5(file: BinaryIO, end: int, order: str) -> int:
    at, furthest = _FIRST_AT, 0
    while at < end:
        file.seek(at)
        kind, size = struct.unpack(order + "2I", file.read(8).ljust(8, b"\0"))
        at += 8
        # What fills the last of the parts of a variable up is not always there, and sizes count it nevertheless
        furthest = _parts(file, at, min(at + size, end), order) if kind == _MATRIX else at + size
        at += size
    return furthest


def _parts(file: BinaryIO, at: int, end: int, order: str) -> int:
    """Offset behind the content of the last of a variable's parts."""
    behind = at
    while at + 8 <= end:
        file.seek(at)
        kind, size = struct.unpack(order + "2I", file.read(8))
        if kind >> 16:  # a small one, whose size and content stand where the size of others does
            behind = at = at + 8
            continue
        behind = at + 8 + size
        at = at + 8 + -(-size // 8) * 8
    return behind
