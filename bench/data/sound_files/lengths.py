"""How many bytes of samples the header of a sound file claims, and how many are there.

The decoder corrects a header that claims more than the file holds, so a cut file looks whole to it; and it takes a
length of 0 at its word, although writers to a pipe leave one behind because they cannot come back to fill it in.
Known: WAV (RIFF, RIFX), RF64, BW64, Wave64, AIFF, CAF, AU.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

# What writers leave in place of a length that they do not know lies near one of these: 0x7FFFF000, 0x7FFFFFFF,
# 0x80000000, 0xFFFFFFFF less the header's size, and sox's for AIFF.
_PLACEHOLDERS, _NEAR = (0x7F000000, 1 << 31, 1 << 32), 1 << 16
_NO_FILE = 1 << 40  # a terabyte: 64-bit lengths beyond it are placeholders too
_FRAMED = {1: (8, 16, 24, 32), 3: (32, 64), 6: (8,), 7: (8,), 0xFFFE: (8, 16, 24, 32, 64)}  # tags: a block is a sample
_AU_BYTES = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}  # of a sample, by AU's number of the encoding
_W64 = bytes.fromhex("2e91cf11a5d628db04c10000")  # behind "riff"


@dataclass(frozen=True)
class Length:
    """The samples of a file, in bytes.

    Attributes
    ----------
    claimed
        What the header claims; None where it says "until the end of the file".
    there
        What the file holds from the first sample on.
    block
        Bytes that only make sense together: the samples of one instant, or a packet of a compressed file.
    framed
        Whether a block is the samples of one instant.
    patches
        {offset: bytes} that turn the header of a file of unknown length into one that says how long it is.
    """

    claimed: int | None
    there: int
    block: int
    framed: bool
    patches: dict[int, bytes] = field(default_factory=dict)

    @property
    def shortage(self) -> str | None:
        """What is missing where the header claims more than is there, told without decoding."""
        if self.claimed is None or self.claimed <= self.there:
            return None
        if self.framed:
            return shortage(self.claimed // self.block, self.there // self.block)
        return shortage(self.claimed, self.there, "bytes of samples")

    def promised(self, decoded: int) -> int | None:
        """Samples per channel that the header promises; None where it does not say.

        ``decoded`` samples are there; of a compressed file it is an estimate from them.
        """
        if self.claimed is None:
            return None
        if self.framed:
            return self.claimed // self.block
        missing = self.claimed // self.block - self.there // self.block
        return decoded if missing <= 0 else -(-decoded * self.claimed // max(1, self.there))


def shortage(promised: int, there: int, unit: str = "samples") -> str:
    """What is said of a file that holds less than its header promises."""
    return f"is truncated: its header promises {promised} {unit}, {there} are there"


class _Chunk(NamedTuple):
    name: bytes
    size_at: int  # offset of the field that holds its size
    body: int  # offset of its content
    size: int


class _Layout(NamedTuple):
    """How a chunked container writes its chunks, and the chunks that count."""

    first: int  # offset of the first chunk
    order: str
    name: int  # bytes of a chunk's name
    size: str
    align: int
    inclusive: bool  # whether a size counts the chunk's own head
    data: bytes
    lead: int = 0  # bytes between the head of the data chunk and the samples

    def chunks(self, file: BinaryIO, start: int, end: int) -> Iterator[_Chunk]:
        """The chunks from ``start`` on, as far as their heads lie before ``end``."""
        head, at = self.name + struct.calcsize(self.size), start
        while at + head <= end:
            file.seek(at)
            name = file.read(self.name)
            (size,) = struct.unpack(self.order + self.size, file.read(head - self.name))
            chunk = _Chunk(name[:4], at + self.name, at + head, max(0, size - head) if self.inclusive else size)
            yield chunk
            at = chunk.body + -(-chunk.size // self.align) * self.align


_RIFF = _Layout(12, "<", 4, "I", 2, False, b"data")
_RIFX = _RIFF._replace(order=">")
_AIFF = _RIFX._replace(data=b"SSND", lead=8)
_CAF = _Layout(8, ">", 4, "Q", 1, False, b"data", 4)
_WAVE64 = _Layout(40, "<", 16, "Q", 8, True, b"data")


def length(path: Path) -> Length | None:
    """What the header of a file says of its length; None for other formats and for damaged headers."""
    with path.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(0)
        head = file.read(40).ljust(40, b"\0")
        if head.startswith(b".snd"):
            return _au(head, end)
        layout = _layout(head)
        return None if layout is None else _chunked(file, head, end, layout)


def _layout(head: bytes) -> _Layout | None:
    form, kind = head[:4], head[8:12]
    if kind == b"WAVE" and form in (b"RIFF", b"RF64", b"BW64"):
        return _RIFF
    if form == b"RIFX" and kind == b"WAVE":
        return _RIFX
    if form == b"FORM" and kind in (b"AIFF", b"AIFC"):
        return _AIFF
    if form == b"caff":
        return _CAF
    return _WAVE64 if form == b"riff" and head[4:16] == _W64 else None


def _chunked(file: BinaryIO, head: bytes, end: int, layout: _Layout) -> Length | None:
    """What the chunks of a file say."""
    block, framed, ds64 = 0, False, None
    for chunk in layout.chunks(file, layout.first, end):
        if chunk.name == b"ds64":
            ds64 = chunk
        elif chunk.name in (b"fmt ", b"COMM", b"desc"):
            file.seek(chunk.body)
            block, framed = _block(chunk.name, file.read(min(chunk.size, 64)), layout.order)
        elif chunk.name == layout.data:
            if not block:
                return None
            claimed, field_at = chunk.size - layout.lead, chunk.size_at
            if ds64 is not None and chunk.size == 0xFFFFFFFF:
                file.seek(ds64.body + 8)
                (claimed,), field_at = struct.unpack("<Q", file.read(8)), ds64.body + 8
            there = end - chunk.body - layout.lead
            stated = claimed <= there if claimed > 0 else _chunks_alone(file, chunk.body, end, layout)
            known = Length(claimed, there, block, framed)
            if head[:4] == b"BW64":
                known = Length(claimed, there, block, framed, {0: b"RF64"})
            if stated or (claimed > 0 and not _placeholder(claimed)):
                return known
            patches = known.patches | _true_length(layout, there, field_at, ds64, end)
            return Length(None, there, block, framed, patches)
    return None


def _true_length(layout: _Layout, there: int, field_at: int, ds64: _Chunk | None, end: int) -> dict[int, bytes]:
    """Patches that give a file of unknown length the one it has."""
    if ds64 is not None and field_at == ds64.body + 8:
        return {ds64.body: struct.pack("<QQQ", end - 8, there, 0)}
    own = struct.calcsize(layout.size) + layout.name if layout.inclusive else 0
    most = (1 << 8 * struct.calcsize(layout.size)) - 1
    patches = {field_at: struct.pack(layout.order + layout.size, min(there + layout.lead + own, most))}
    if layout.size == "I":
        return patches | {4: struct.pack(layout.order + "I", min(end - 8, most))}
    return patches | ({16: struct.pack("<Q", end)} if layout.inclusive else {})


def _block(name: bytes, body: bytes, order: str) -> tuple[int, bool]:
    """(bytes of a block, whether it is the samples of one instant); 0 bytes where the chunk is damaged."""
    if name == b"fmt " and len(body) >= 16:
        tag, channels, _, _, block, bits = struct.unpack_from(order + "HHIIHH", body)
        return block, bits in _FRAMED.get(tag, ()) and block == channels * bits // 8
    if name == b"COMM" and len(body) >= 18:
        channels, _, bits = struct.unpack_from(">HIH", body)
        compressed = len(body) >= 22 and body[18:22] not in (b"NONE", b"sowt", b"twos")
        return (1, False) if compressed else (channels * -(-bits // 8), True)
    if name == b"desc" and len(body) >= 32:
        packet, frames = struct.unpack_from(">II", body, 16)
        return packet or 1, frames == 1 and packet > 0
    return 0, False


def _au(head: bytes, end: int) -> Length | None:
    start, claimed, encoding, _, channels = struct.unpack_from(">5I", head, 4)
    block, there = _AU_BYTES.get(encoding, 0) * channels, max(0, end - start)
    if not block or not start:
        return None
    if (claimed > there and _placeholder(claimed)) or (not claimed and there):
        return Length(None, there, block, True, {8: struct.pack(">I", min(there, 0xFFFFFFFE))})
    return Length(claimed, there, block, True)


def _placeholder(claimed: int) -> bool:
    return claimed >= _NO_FILE or any(abs(claimed - at) <= _NEAR for at in _PLACEHOLDERS)


def _chunks_alone(file: BinaryIO, start: int, end: int, layout: _Layout) -> bool:
    """Whether what lies behind an empty data chunk is nothing, or further chunks to the very end, and no samples."""
    at = start
    for chunk in layout.chunks(file, start, end):
        if not chunk.name.isascii() or not chunk.name.decode().isprintable():
            return False
        at = chunk.body + chunk.size
    return 0 <= end - at < layout.align
