"""Containers made of chunks, each with a name and a size: WAV (RIFF, RIFX), RF64, BW64, Wave64, AIFF, SVX, CAF."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

HEAD = 40  # bytes of a file that tell its layout
W64 = bytes.fromhex("2e91cf11a5d628db04c10000")  # behind "riff"
# Names of chunks that stand behind samples, as far as writers are known to put some there
_BEHIND = (
    b"LIST|JUNK|junk|FLLR|PAD |id3 |ID3 |bext|iXML|axml|chna|cart|cue |smpl|inst|plst|acid|strc|DISP|PEAK|fact|umid"
    b"|levl|afsp|_PMX|aXML|MD5 |SNDM|minf|elm1|regn|LGWV|tlst|wavl|note|labl|ltxt|SAUR|ResU|bwav|qlty"
    b"|MARK|INST|COMT|NAME|AUTH|ANNO|\\(c\\) |APPL|MIDI|AESD|SAXL|CHAN"  # AIFF
    b"|info|free|strg|pakt|chan|kuki|mark|uuid|ovvw|peak|edct|midi|summ"  # CAF, Wave64
)
_TAGS = (b"TAG", b"APETAGEX", b"ID3", b"LYRICSBEGIN")  # of music players, behind the container
_FILES = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM", b"caff", b"riff")  # which chunks are not named
_FILLER = b"\0\r\n\t\x1a "
_PART = 1 << 20  # bytes that are looked at together


class Chunk(NamedTuple):
    """A chunk of a file."""

    name: bytes
    size_at: int  # offset of the field that holds its size
    body: int  # offset of its content
    size: int


class Layout(NamedTuple):
    """How a container writes its chunks, and the chunk of the samples."""

    first: int  # offset of the first chunk
    order: str
    name: int  # bytes of a chunk's name
    size: str
    align: int
    inclusive: bool  # whether a size counts the chunk's own head
    data: bytes
    lead: int = 0  # bytes between the head of the data chunk and the samples

    def chunks(self, file: BinaryIO, start: int, end: int) -> Iterator[Chunk]:
        """The chunks from ``start`` on, as far as their heads lie before ``end``."""
        head, at = self.name + struct.calcsize(self.size), start
        while at + head <= end:
            file.seek(at)
            name = file.read(self.name)
            (size,) = struct.unpack(self.order + self.size, file.read(head - self.name))
            chunk = Chunk(name[:4], at + self.name, at + head, max(0, size - head) if self.inclusive else size)
            yield chunk
            at = chunk.body + -(-chunk.size // self.align) * self.align


_RIFF = Layout(12, "<", 4, "I", 2, False, b"data")
_RIFX = _RIFF._replace(order=">")
_AIFF = _RIFX._replace(data=b"SSND", lead=8)
_SVX = _RIFX._replace(data=b"BODY")
_CAF = Layout(8, ">", 4, "Q", 1, False, b"data", 4)
_WAVE64 = Layout(40, "<", 16, "Q", 8, True, b"data")


def layout(head: bytes) -> Layout | None:
    """The layout of a file with these first ``HEAD`` bytes; None where it is not made of chunks."""
    form, kind = head[:4], head[8:12]
    if kind == b"WAVE" and form in (b"RIFF", b"RF64", b"BW64"):
        return _RIFF
    if form == b"RIFX" and kind == b"WAVE":
        return _RIFX
    if form == b"FORM" and kind in (b"AIFF", b"AIFC"):
        return _AIFF
    if form == b"FORM" and kind in (b"8SVX", b"16SV"):
        return _SVX
    if form == b"caff":
        return _CAF
    return _WAVE64 if form == b"riff" and head[4:16] == W64 else None


def alone(file: BinaryIO, start: int, end: int, layout: Layout) -> bool:
    """Whether what lies between two offsets is nothing, or chunks to the very end, and no samples."""
    at = start
    for chunk in layout.chunks(file, start, end):
        if chunk.name in _FILES or not chunk.name.isascii() or not chunk.name.decode().isprintable():
            return False
        at = chunk.body + chunk.size
    return 0 <= end - at < layout.align


def first_behind(file: BinaryIO, start: int, end: int, layout: Layout) -> int:
    """Offset of the first of the chunks that close a file, behind samples whose length nobody knows; else ``end``."""
    at = start
    while at < end:
        file.seek(at)
        part = file.read(min(_PART + 16, end - at))
        for match in re.finditer(_BEHIND, part):
            place = at + match.start()
            if (place - start) % layout.align == 0 and alone(file, place, end, layout):
                return place
        at += _PART
    return end


def samples_behind(file: BinaryIO, start: int, end: int, layout: Layout | None) -> int:
    """Bytes between two offsets, behind the samples that a header promises, that can only be further samples.

    Chunks, tags of music players and filling are none. ``layout`` is None where no chunks can follow.
    """
    at = start
    if layout is not None:
        padded = start + (layout.first - start) % layout.align
        for begin in dict.fromkeys((padded, start)):  # many writers leave out the bytes that fill a size up
            if alone(file, begin, end, layout):
                further = any(chunk.name == layout.data for chunk in layout.chunks(file, begin, end))
                return end - start if further else 0
            at = max(at, _behind_known(file, begin, end, layout))
    if at > start and at >= end:
        return 0
    for begin in (start, at):
        file.seek(begin)
        if file.read(16).startswith(_TAGS):
            return 0
    file.seek(at)
    part = file.read(min(_PART, end - at))
    while part and not part.strip(_FILLER):
        at += len(part)
        part = file.read(min(_PART, end - at))
    return end - start if part else 0


def _behind_known(file: BinaryIO, start: int, end: int, layout: Layout) -> int:
    """Offset behind the chunks from ``start`` on whose names are known; the last may be cut."""
    at = start
    for chunk in layout.chunks(file, start, end):
        if not re.fullmatch(_BEHIND, chunk.name):
            break
        at = chunk.body + -(-chunk.size // layout.align) * layout.align
    return at
