"""The blocks of a Creative Voice File (VOC), each with a type and a size: the decoder reads the first with sound."""

from __future__ import annotations

import struct
from typing import BinaryIO, NamedTuple

MARK = b"Creative Voice File\x1a"
_HEAD = 4  # bytes of a block before its content: its type, and its size in three
_END, _SOUND, _MORE, _SILENCE, _STEREO, _SOUND_2 = 0, 1, 2, 3, 8, 9  # types
_HEADS = {_SOUND: 2, _SOUND_2: 12}  # bytes before the samples


class Sound(NamedTuple):
    """The samples of the first block with sound: bytes that it claims and that are there, and bytes of one instant."""

    claimed: int
    there: int
    block: int
    further: bool  # whether blocks with more sound, or with silence, follow


def sound(file: BinaryIO, end: int) -> Sound | None:
    """The sound of a file of ``end`` bytes; None where no block has any."""
    file.seek(len(MARK))
    (at,) = struct.unpack("<H", file.read(2).ljust(2, b"\0"))
    found, channels = None, 1
    while at + _HEAD <= end:
        file.seek(at)
        kind, *size = file.read(_HEAD)
        if kind == _END:
            break
        body, length = file.read(12).ljust(12, b"\0"), int.from_bytes(bytes(size), "little")
        if kind == _STEREO:
            channels = 1 + (body[3] > 0)
        elif found is not None:
            if kind in (_SOUND, _MORE, _SILENCE, _SOUND_2):
                return found._replace(further=True)
        elif kind in _HEADS:
            samples, lead = length - _HEADS[kind], at + _HEAD + _HEADS[kind]
            block = body[5] * -(-body[4] // 8) if kind == _SOUND_2 else channels
            if samples < 0 or not block:
                return None
            found = Sound(samples, max(0, min(samples, end - lead)), block, False)
        at += _HEAD + length
    return found
