"""What the header of a sound file says of its samples: their rate, their channels, how many bytes they take."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

from bench.data.sound_files import plausible
from bench.data.sound_files.containers import chunks, flac

NAMES = (b"fmt ", b"COMM", b"desc", b"VHDR")  # of the chunks that say it
LONGEST = 64  # bytes of such a chunk that are looked at
MOST_CHANNELS = 1024  # that the decoder takes
AU_BYTES = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}  # of a sample, by AU's number of the encoding
_PCM, _LAW, _EXTENSIBLE = (1, 3), (6, 7), 0xFFFE  # tags of WAV: integers and floats; A-law and mu-law; said further on
_FLOAT, _FLOATS = 3, (32, 64)  # and the bits that floats take


class Format(NamedTuple):
    """What a header says.

    ``block``: bytes that only make sense together, the samples of one instant or a packet of a compressed file;
    ``framed``: whether they are the samples of one instant, of ``bits`` each (None: not said).
    """

    block: int
    framed: bool
    rate: float
    channels: int
    bits: int | None = None
    floats: bool = False

    @property
    def contradiction(self) -> str | None:
        """What makes decoders take samples for others than they are."""
        if not self.framed or not self.bits or self.block == self.channels * -(-self.bits // 8):
            return None
        samples = f"{self.channels} x {self.bits} bits" if self.channels > 1 else f"{self.bits} bits"
        return f"contradicts itself: its header gives {self.block} bytes to the samples of one instant, and {samples}"

    @property
    def impossible(self) -> tuple[str, str] | None:
        """(problem, remedy) where no sound can be so."""
        if remark := plausible.wrong_rate(self.rate):
            return remark.problem, remark.remedy
        if not 1 <= self.channels <= MOST_CHANNELS:
            problem = f"claims {self.channels} channels (taken are 1 to {MOST_CHANNELS})"
            return problem, "write it again with the channels that it was recorded with"
        if self.bits == 0:
            return "claims 0 bits for a sample", "write it again: its header is damaged"
        if self.floats and self.bits not in _FLOATS:
            return f"claims floats of {self.bits} bits", "write it again: its header is damaged"
        return None


def of_chunk(name: bytes, body: bytes, order: str) -> Format | None:
    """What a chunk of ``NAMES`` says; None where it is too short."""
    if name == b"fmt " and len(body) >= 16:
        tag, channels, rate, _, block, bits = struct.unpack_from(order + "HHIIHH", body)
        if tag == _EXTENSIBLE and len(body) >= 26:
            (tag,) = struct.unpack_from(order + "H", body, 24)
        if tag not in (*_PCM, *_LAW):
            return Format(block, False, rate, channels)
        bits = 8 if tag in _LAW else bits
        return Format(block or channels * -(-bits // 8), True, rate, channels, bits, tag == _FLOAT)
    if name == b"COMM" and len(body) >= 18:
        channels, _, bits = struct.unpack_from(">HIH", body)
        compressed = len(body) >= 22 and body[18:22] not in (b"NONE", b"sowt", b"twos")
        block = 1 if compressed else channels * -(-bits // 8)
        return Format(block, not compressed, _extended(body[8:18]), channels, bits)
    if name == b"desc" and len(body) >= 32:
        (rate,) = struct.unpack_from(">d", body)
        packet, frames, channels = struct.unpack_from(">3I", body, 16)
        return Format(packet or 1, frames == 1 and packet > 0, rate, channels)
    if name == b"VHDR" and len(body) >= 14:
        return Format(1, False, struct.unpack_from(">H", body, 12)[0], 1)
    return None


def of_file(path: Path) -> Format | None:
    """What the header of a file made of chunks says, or of an AU or FLAC file; None for others and for damaged ones."""
    with path.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(0)
        head = file.read(chunks.HEAD).ljust(chunks.HEAD, b"\0")
        if head.startswith(flac.MARK):
            file.seek(0)
            said = flac.info(file.read(flac.HEAD))
            return said and Format(1, False, said.rate, said.channels)
        if head.startswith(b".snd"):
            encoding, rate, channels = struct.unpack_from(">3I", head, 12)
            return Format(AU_BYTES.get(encoding, 1) * channels, encoding in AU_BYTES, rate, channels)
        layout = chunks.layout(head)
        if layout is None:
            return None
        for chunk in layout.chunks(file, layout.first, end):
            if chunk.name in NAMES:
                file.seek(chunk.body)
                return of_chunk(chunk.name, file.read(min(chunk.size, LONGEST)), layout.order)
    return None


def _extended(body: bytes) -> float:
    """An 80-bit float, which AIFF takes for the rate: sign and exponent, then 64 bits with the leading one."""
    exponent, mantissa = struct.unpack(">HQ", body)
    return mantissa * 2.0 ** ((exponent & 0x7FFF) - 16383 - 63) if exponent & 0x7FFF < 16383 + 64 else float("inf")
