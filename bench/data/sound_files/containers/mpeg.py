"""The frames of an MP3 file, walked from head to head (MPEG audio, layer III: ISO/IEC 11172-3 and 13818-3, 2.4.1.3).

An MP3 file is its frames alone: how many they are stands at most in a frame without sound at its beginning, as LAME
(names ``Xing`` and ``Info``) and Fraunhofer (``VBRI``) write it. The decoder believes that number. Where there is none
it reckons from the file's size and the first frame, which is wrong where frames differ in size.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

HEAD = 4  # bytes of the head of a frame
_RATES = (44100, 48000, 32000)  # Hz, of version 1; half of it in version 2, a quarter in 2.5
_SHIFTS = {3: 0, 2: 1, 0: 2}  # of the rate, by the head's number of the version
_VERSION_1, _LAYER_III, _MONO = 3, 1, 3  # in the head's numbers
_KBIT_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)  # of version 1, by the head's number
_KBIT_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_SYNC = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]")  # of layer III
_TAGS = re.compile(rb"TAG|APETAGEX|LYRICSBEGIN|ID3")  # of music players
_VBRI_AT, _VBRI_COUNT = 36, 14  # offsets: of it in its frame, of the number of frames in it
_COUNTED, _SIZED = 1, 2  # flags of Xing: the numbers of frames and of bytes follow
_MIDDLE = 8  # number of a bit rate whose frames have room for the number of frames

_SEVERAL = "holds several MP3 streams one after another, of which only the first is read"


class Head(NamedTuple):
    """The head of a frame: its bytes, its samples per channel, and what does not change within a stream."""

    size: int
    samples: int
    stream: tuple[int, bool]  # rate in Hz, which tells the version, and whether it has one channel


class Count(NamedTuple):
    """The number of frames that a stream claims, at an offset of the file; None where it does not say.

    ``size`` is the number of bytes that it claims, from the frame on that says so.
    """

    frames: int | None
    at: int
    size: int | None


class Walk(NamedTuple):
    """What a walk over a file shows.

    ``begin`` is the offset of the first of the ``frames`` that hold sound; ``said``, what the one before it says of
    their number; ``whole``, whether all its bytes are there; ``doubt``, what makes the sound another than was recorded.
    """

    begin: int
    frames: int
    said: Count | None
    whole: bool
    doubt: str | None


def behind_tags(content: bytes, at: int = 0) -> int:
    """Offset behind the ID3v2 tags that stand at an offset (id3.org, ID3v2.4.0, section 3.1)."""
    while content[at : at + 3] == b"ID3" and len(content) >= at + 10:
        size = 0
        for byte in content[at + 6 : at + 10]:
            size = size << 7 | byte & 0x7F
        at += 10 + size + (10 if content[at + 5] & 0x10 else 0)
    return at


def head(content: bytes, at: int) -> Head | None:
    """The head of the frame at an offset; None where there is none, and where its bit rate is free."""
    if len(content) < at + HEAD or content[at] != 0xFF or content[at + 1] < 0xE0:
        return None
    _, second, third, fourth = content[at : at + HEAD]
    version, layer, rate, kbit = second >> 3 & 3, second >> 1 & 3, third >> 2 & 3, third >> 4
    if version not in _SHIFTS or layer != _LAYER_III or rate == 3 or kbit in (0, 15):
        return None
    hertz = _RATES[rate] >> _SHIFTS[version]
    samples, kbits = (1152, _KBIT_1) if version == _VERSION_1 else (576, _KBIT_2)
    size = samples * 1000 * kbits[kbit] // (8 * hertz) + (third >> 1 & 1)
    return Head(size, samples, (hertz, fourth >> 6 == _MONO))


def walk(content: bytes) -> Walk | None:
    """The frames of a file; None where none begins behind its tags."""
    start = behind_tags(content)
    first = head(content, start)
    if first is None or not (_is_followed(content, start, first) or start + first.size > len(content)):
        return None
    count = _count(content, start)
    at = begin = start + (first.size if count else 0)
    frames, damage, doubt, stop = 0, 0, None, begin
    while at < len(content) and doubt is None:
        here = head(content, at)
        if here is None or here.stream != first.stream:
            behind = _behind_players_tags(content, at)
            following = next(_starts(content, behind), None)
            if following is None:
                damage += 0 if count and count.frames is not None else len(content) - behind
                break
            if head(content, following).stream != first.stream:  # type: ignore[union-attr]  # one begins there
                doubt = _SEVERAL
            damage += following - behind
            at = following
        elif _count(content, at):
            doubt = _SEVERAL
        elif at + here.size > len(content):
            doubt = "is truncated: its last frame is cut"
        else:
            frames += 1
            at = stop = at + here.size
    if damage and doubt is None:
        doubt = f"is damaged: {damage} of its bytes belong to no frame of sound"
    whole = count is not None and count.size is not None and count.size <= stop - start
    return Walk(begin, frames, count, whole, doubt)


def with_frames(frames: int) -> bytes:
    """The number of frames, as it stands at ``Count.at``."""
    return struct.pack(">I", frames)


def counting(first: bytes, frames: int) -> bytes:
    """A frame without sound that tells the decoder how many follow, before a frame with this head."""
    marked = bytes([first[0], first[1] | 1, _MIDDLE << 4 | first[2] & 0x0C, first[3]])
    said = marked + bytes(_side(marked)) + b"Xing" + struct.pack(">II", _COUNTED, frames)
    return said.ljust(head(marked, 0).size, b"\0")  # type: ignore[union-attr]  # only its bit rate is another


def _side(header: bytes) -> int:
    """Bytes between the head of a frame and its sound."""
    first_version, mono = header[1] >> 3 & 3 == _VERSION_1, header[3] >> 6 == _MONO
    return (17 if mono else 32) if first_version else (9 if mono else 17)


def _count(content: bytes, at: int) -> Count | None:
    """What the frame at an offset says of the number of those behind it; None where it holds sound."""
    place = at + HEAD + _side(content[at : at + HEAD])
    if content[place : place + 4] in (b"Xing", b"Info") and len(content) >= place + 16:
        flags, *numbers = struct.unpack_from(">3I", content, place + 4)
        frames = numbers.pop(0) if flags & _COUNTED else None
        return Count(frames, place + 8, numbers.pop(0) if flags & _SIZED else None)
    place = at + _VBRI_AT
    if content[place : place + 4] == b"VBRI" and len(content) >= place + _VBRI_COUNT + 4:
        size, frames = struct.unpack_from(">II", content, place + _VBRI_COUNT - 4)
        return Count(frames, place + _VBRI_COUNT, size)
    return None


def _behind_players_tags(content: bytes, at: int) -> int:
    """Offset behind what players put between frames or behind them, where something of the kind stands."""
    while _TAGS.match(content, at):
        behind = behind_tags(content, at)
        at = behind if behind > at else next(_starts(content, at), len(content))
    return min(at, len(content))


def _starts(content: bytes, at: int) -> Iterator[int]:
    """Offsets from one on where frames begin that are followed by another, by tags or by the file's end."""
    for match in _SYNC.finditer(content, at):
        here = head(content, match.start())
        if here is not None and _is_followed(content, match.start(), here):
            yield match.start()


def _is_followed(content: bytes, at: int, here: Head) -> bool:
    behind = at + here.size
    following = head(content, behind)
    alike = following is not None and following.stream == here.stream
    return alike or behind == len(content) or bool(_TAGS.match(content, behind))
