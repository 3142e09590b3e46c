"""Where the frames of a FLAC file are, told from their heads without decoding (RFC 9639, sections 8.2 and 9.1).

The decoder believes the number of samples in the header, and gives up what it has of a file that is cut within a frame.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

MARK = b"fLaC"
TOTAL_AT = 21  # offset of the byte whose lower half begins the 36 bits of the number of samples
HEAD = 42  # bytes up to the end of STREAMINFO, which is the first block
_TAIL = 1 << 16  # bytes at a file's end in which its last frame begins, where the header does not say how long one is
_PART = 1 << 20  # bytes that are searched together
_LONGEST_HEAD = 16  # of a frame, in bytes
_BITS = {1: 8, 2: 12, 4: 16, 5: 20, 6: 24, 7: 32}
_SYNC = re.compile(rb"\xff(?=[\xf8\xf9])")


class Info(NamedTuple):
    """What the header says. ``samples`` is 0 where it does not know."""

    block: int  # samples of the longest frame, per channel
    frame: int  # bytes of the longest frame; 0 where it is not known
    channels: int
    bits: int
    samples: int
    rate: int


class Frame(NamedTuple):
    """A frame: its offset in the file, and its first and last-plus-one sample."""

    at: int
    start: int
    stop: int


def info(head: bytes) -> Info | None:
    """What a file with these first bytes says of itself; None for no FLAC and a damaged one."""
    if not head.startswith(MARK) or len(head) < HEAD or head[4] & 0x7F:
        return None
    fields = int.from_bytes(head[18:26], "big")  # 20 bits of rate, 3 of channels, 5 of bits, 36 of samples
    block, frame = int.from_bytes(head[10:12], "big"), int.from_bytes(head[15:18], "big")
    return Info(block, frame, (fields >> 41 & 7) + 1, (fields >> 36 & 31) + 1, fields & (1 << 36) - 1, fields >> 44)


def with_samples(head: bytes, samples: int) -> dict[int, bytes]:
    """{offset: bytes} that write the number of samples into a header; 0 for "to the end"."""
    return {TOTAL_AT: bytes([head[TOTAL_AT] & 0xF0 | samples >> 32]) + (samples & 0xFFFFFFFF).to_bytes(4, "big")}


def is_followed_by_another(file: BinaryIO) -> bool:
    """Whether another header stands behind the first."""
    another, at = MARK + bytes([0, 0, 0, HEAD - 8]), HEAD
    file.seek(at)
    while part := file.read(_PART):
        if another in part:
            return True
        at += len(part) - (len(another) - 1 if len(part) == _PART else 0)
        file.seek(at)
    return False


def last_frames(file: BinaryIO, end: int, whole: bool = False) -> Iterator[Frame]:
    """The frames of a file of ``end`` bytes from its last on backwards: those near its end, or all of the ``whole``.

    Bytes within a frame that look like the head of another come with them, about one in 2^27.
    """
    file.seek(0)
    said = info(file.read(HEAD))
    if said is None:
        return
    begin = HEAD if whole else max(HEAD, end - (said.frame + _LONGEST_HEAD if said.frame else _TAIL))
    file.seek(begin)
    part = file.read(end - begin)
    for at in reversed([match.start() for match in _SYNC.finditer(part)]):
        if (frame := _frame(part[at : at + _LONGEST_HEAD], said)) is not None:
            yield Frame(begin + at, *frame)


def _frame(head: bytes, said: Info) -> tuple[int, int] | None:
    """First and last-plus-one sample of the frame with this head; None where it is none of this file's."""
    if len(head) < 6:
        return None
    size_code, rate_code, channel_code, bits_code = head[2] >> 4, head[2] & 15, head[3] >> 4, head[3] & 15
    channels = channel_code + 1 if channel_code < 8 else 2
    if size_code == 0 or rate_code == 15 or channel_code > 10 or channels != said.channels or bits_code & 1:
        return None
    if bits_code and _BITS.get(bits_code >> 1) != said.bits:
        return None
    number, at = _number(head[4:])
    at += 4
    size_bytes = {6: 1, 7: 2}.get(size_code, 0)
    crc_at = at + size_bytes + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if at == 4 or crc_at >= len(head) or _crc8(head[:crc_at]) != head[crc_at]:
        return None
    if size_bytes:
        size = int.from_bytes(head[at : at + size_bytes], "big") + 1
    else:
        size = 192 if size_code == 1 else 576 << (size_code - 2) if size_code < 6 else 256 << (size_code - 8)
    if size > said.block:
        return None
    start = number if head[1] & 1 else number * said.block  # blocks of one size are counted, others say where they are
    return start, start + size


def _number(coded: bytes) -> tuple[int, int]:
    """(value, bytes) of a number coded as UTF-8 codes characters; 0 bytes where it is not."""
    ones = 8 - (~coded[0] & 0xFF).bit_length()
    more = coded[1 : max(1, ones)]
    if ones in (1, 8) or len(more) < ones - 1 or any(byte >> 6 != 2 for byte in more):
        return 0, 0
    value = coded[0] & 0x7F >> ones
    for byte in more:
        value = value << 6 | byte & 0x3F
    return value, 1 + len(more)


def _crc8(content: bytes) -> int:
    """CRC-8 with the polynomial x^8 + x^2 + x + 1."""
    crc = 0
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ (0x07 if crc & 0x80 else 0)) & 0xFF
    return crc
