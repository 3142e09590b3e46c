"""Whether an Ogg file is there to its end, told from the heads of its pages (RFC 3533).

The decoder takes the last page that it finds for the end, and of several streams the first for all.
"""

from __future__ import annotations

from typing import BinaryIO

MARK = b"OggS"
_HEAD = 27  # bytes of a page before the sizes of its segments
_FIRST, _LAST = 2, 4  # flags of the first and the last page of a stream
_PART = 1 << 20  # bytes that are searched together
_SOUND = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex")


def lacking(file: BinaryIO, end: int) -> str | None:
    """What is missing of an Ogg file of ``end`` bytes, or is there and not read; None where it is whole."""
    at = 0
    stream, closed, cut = None, False, False
    while at + _HEAD <= end:
        file.seek(at)
        head = file.read(_HEAD + 255)
        if head[:4] != MARK:  # damage, or something else behind the last page
            if (following := _next(file, at, end)) is None:
                break
            at = following
            continue
        flags, serial, segments = head[5], head[14:18], head[26]
        body = at + _HEAD + segments
        size = sum(head[_HEAD : _HEAD + segments])
        if cut := body + size > end:
            break
        if flags & _FIRST:
            file.seek(body)
            if file.read(8).startswith(_SOUND):
                if stream is not None and closed:
                    return "holds several Ogg streams one after another, of which only the first is read"
                stream = serial if stream is None else stream
        if serial == stream and flags & _LAST:
            closed = True
        at = body + size
    if stream is None or closed:
        return None
    seen = "its last page is cut" if cut else "no page closes its stream"
    return f"is truncated: {seen}, so that the end of the sound is missing"


def _next(file: BinaryIO, start: int, end: int) -> int | None:
    """Offset of the next page behind ``start``."""
    at = start + 1
    while at < end:
        file.seek(at)
        part = file.read(_PART + len(MARK) - 1)
        if (found := part.find(MARK)) >= 0:
            return at + found
        at += _PART
    return None
