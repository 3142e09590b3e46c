"""How many bytes of samples the header of a sound file claims, and how many are there.

The decoder corrects a header that claims more than the file holds, so a cut file looks whole to it; it takes a header
that claims less at its word, so what lies behind is lost unseen; and so it does a length of 0, although writers to a
pipe leave one behind because they cannot come back to fill it in.
Known: WAV (RIFF, RIFX), RF64, BW64, Wave64, AIFF, SVX, CAF, AU, NIST SPHERE, FLAC, Ogg, MP3, VOC, MATLAB. Of other
containers nobody can tell whether they were cut.
"""

from __future__ import annotations

import io
import itertools
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from bench.data.sound_files import formats
from bench.data.sound_files.claims import Length, shortage, surplus
from bench.data.sound_files.containers import chunks, flac, matlab, mpeg, ogg, voc
from bench.data.sound_files.containers.chunks import Chunk, Layout

# What writers leave in place of a length that they do not know lies near one of these: 0x7FFFF000, 0x7FFFFFFF,
# 0x80000000, 0xFFFFFFFF less the header's size, and sox's for AIFF.
_PLACEHOLDERS, _NEAR = (0x7F000000, 1 << 31, 1 << 32), 1 << 16
_NO_FILE = 1 << 40  # a terabyte: 64-bit lengths beyond it are placeholders too
_IN_DS64 = (1 << 32) - 1  # as the size of the data chunk: the chunk ds64 has it
_SPHERE = b"NIST_1A\n"
_LAST_FRAMES = 2  # of a damaged FLAC file, at which its decoding is tried to end


def length(path: Path) -> Length | None:
    """What the header of a file says of its length; None for other formats and for damaged headers."""
    with _opened(path) as (file, begin):
        found = _length(file, file.seek(0, io.SEEK_END))
        return found and replace(found, begin=found.begin + begin)


def _length(file: BinaryIO, end: int) -> Length | None:
    file.seek(0)
    head = file.read(chunks.HEAD).ljust(chunks.HEAD, b"\0")
    if head.startswith(b".snd"):
        return _au(file, head, end)
    if head.startswith(_SPHERE):
        return _sphere(file, end)
    if head.startswith(flac.MARK):
        return _flac(file, end)
    if head.startswith(ogg.MARK):
        return Length(None, end, 1, False, doubt=ogg.lacking(file, end))
    if head.startswith((b"ID3", b"\xff")):
        return _mpeg(file)
    if head.startswith(voc.MARK):
        return _voc(file, end)
    if matlab.is_one(head):
        claimed = matlab.claimed(file, end)
        cut = shortage(claimed, end, "bytes") if claimed is not None and claimed > end else None
        return None if claimed is None else Length(None, end, 1, False, doubt=cut)
    layout = chunks.layout(head)
    return None if layout is None else _chunked(file, head, end, layout)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """A file, and where in it a container begins: players put tags of MP3 in front of others too."""
    with path.open("rb") as file:
        if file.read(3) == b"ID3":
            file.seek(0)
            content = file.read()
            begin = mpeg.behind_tags(content)
            head = content[begin : begin + chunks.HEAD].ljust(chunks.HEAD, b"\0")
            if head.startswith((b".snd", _SPHERE, flac.MARK, ogg.MARK)) or chunks.layout(head):
                yield io.BytesIO(content[begin:]), begin
                return
        yield file, 0


def before_damage(path: Path) -> Iterator[Length]:
    """Where a FLAC file that does not decode may be taken to end: at its last frames, from the last on backwards."""
    with _opened(path) as (file, begin):
        end = file.seek(0, io.SEEK_END)
        file.seek(0)
        head = file.read(flac.HEAD)
        said = flac.info(head)
        if said is None:
            return
        for frame in itertools.islice(flac.last_frames(file, end, whole=True), _LAST_FRAMES):
            for samples, stop in ((frame.stop, None), (frame.start, frame.at)):
                cut = shortage(said.samples, samples) if said.samples else f"is truncated: {samples} samples are there"
                if samples:
                    patches = flac.with_samples(head, samples)
                    yield Length(None, samples, 1, True, patches, begin, stop, doubt=cut)


def _mpeg(file: BinaryIO) -> Length | None:
    """What walking over an MP3 file shows; where nothing says how many frames there are, the decoder is told."""
    file.seek(0)
    content = file.read()
    found = mpeg.walk(content)
    if found is None:
        return None
    said = Length(None, len(content), 1, False, on_disk=True, doubt=found.doubt)
    if found.said is None or found.said.frames is None:
        first = content[found.begin : found.begin + mpeg.HEAD]
        return replace(said, begin=found.begin, lead=mpeg.counting(first, found.frames))
    claimed, there = found.said.frames, found.frames
    if claimed == there + 1 and found.whole:  # some writers count the frame that says so
        claimed = there
    elif claimed != there and not found.doubt:
        said = replace(said, doubt=(shortage if claimed > there else surplus)(claimed, there, "frames"))
    right = {found.said.at: mpeg.with_frames(there)}
    return replace(said, patches=right) if there not in (found.said.frames, 0) and claimed <= there else said


def _voc(file: BinaryIO, end: int) -> Length | None:
    found = voc.sound(file, end)
    further = "holds several blocks of sound or silence, of which only the first is read"
    return found and Length(*found[:3], True, doubt=further if found.further else None)


def _flac(file: BinaryIO, end: int) -> Length | None:
    """What the header says, and whether the last frame lies beyond it: then all are read."""
    file.seek(0)
    head = file.read(flac.HEAD)
    said = flac.info(head)
    if said is None:
        return None
    if not said.samples:
        return Length(None, end, 1, False)
    if flac.is_followed_by_another(file):
        doubt = "holds several FLAC streams one after another, of which only the first is read"
        return Length(said.samples, said.samples, 1, True, doubt=doubt)
    last = next(flac.last_frames(file, end), None)
    further = last is not None and last.stop > said.samples
    return Length(said.samples, said.samples, 1, True, flac.with_samples(head, 0) if further else {}, to_end=further)


def _chunked(file: BinaryIO, head: bytes, end: int, layout: Layout) -> Length | None:
    """What the chunks of a file say."""
    form, ds64 = None, None
    for chunk in layout.chunks(file, layout.first, end):
        if chunk.name == b"ds64":
            ds64 = chunk
        elif chunk.name in formats.NAMES:
            file.seek(chunk.body)
            form = formats.of_chunk(chunk.name, file.read(min(chunk.size, formats.LONGEST)), layout.order)
        elif chunk.name == layout.data:
            return _samples(file, head, end, layout, chunk, ds64, form) if form and form.block else None
    return None


def _samples(
    file: BinaryIO, head: bytes, end: int, layout: Layout, chunk: Chunk, ds64: Chunk | None, form: formats.Format
) -> Length:
    """What the chunk of the samples says."""
    claimed, begin, size = chunk.size - layout.lead, chunk.body + layout.lead, None
    patches = {0: b"RF64"} if head.startswith(b"BW64") else {}
    if ds64 is not None:
        file.seek(ds64.body + 8)
        (size,) = struct.unpack("<Q", file.read(8))
        claimed = size if chunk.size == _IN_DS64 else claimed
    facts = form.block, form.framed
    if 0 < claimed <= end - begin or (claimed <= 0 and chunks.alone(file, chunk.body, end, layout)):
        if size not in (None, claimed):  # the decoder believes ds64 whatever the chunk itself says
            patches |= _true_length(layout, claimed, chunk.size_at, ds64, end)
        more = chunks.samples_behind(file, begin + claimed, end, layout) if claimed > 0 else 0
        return Length(max(0, claimed), max(0, claimed) + more, *facts, patches, contradiction=form.contradiction)
    there = chunks.first_behind(file, begin, end, layout) - begin
    unknown = claimed <= 0 or _placeholder(claimed)
    if unknown or begin + there < end:
        patches |= _true_length(layout, there, chunk.size_at, ds64, end)
    return Length(None if unknown else claimed, there, *facts, patches, contradiction=form.contradiction)


def _true_length(layout: Layout, there: int, size_at: int, ds64: Chunk | None, end: int) -> dict[int, bytes]:
    """Patches that give a file the length that it has."""
    if ds64 is not None:
        in_ds64 = struct.pack(layout.order + "I", _IN_DS64)
        return {ds64.body: struct.pack("<QQQ", end - 8, there, 0), size_at: in_ds64}
    own = struct.calcsize(layout.size) + layout.name if layout.inclusive else 0
    most = (1 << 8 * struct.calcsize(layout.size)) - 1
    patches = {size_at: struct.pack(layout.order + layout.size, min(there + layout.lead + own, most))}
    if layout.size == "I":
        return patches | {4: struct.pack(layout.order + "I", min(end - 8, most))}
    return patches | ({16: struct.pack("<Q", end)} if layout.inclusive else {})


def _au(file: BinaryIO, head: bytes, end: int) -> Length | None:
    start, claimed, encoding, _, channels = struct.unpack_from(">5I", head, 4)
    framed, there = encoding in formats.AU_BYTES, max(0, end - start)
    block = formats.AU_BYTES[encoding] * channels if framed else 1
    if not block or not start:
        return None
    if (claimed > there and _placeholder(claimed)) or (not claimed and there):
        return Length(None, there, block, framed, {8: struct.pack(">I", min(there, 0xFFFFFFFE))})
    more = chunks.samples_behind(file, start + claimed, end, None) if claimed < there else 0
    return Length(claimed, claimed + more if claimed <= there else there, block, framed)


def _sphere(file: BinaryIO, end: int) -> Length | None:
    """What the head of a NIST SPHERE file says: lines of text, the second of them its own length in bytes."""
    file.seek(len(_SPHERE))
    start = file.read(8).strip()
    if not start.isdigit():
        return None
    file.seek(0)
    text = file.read(int(start))
    counts = (
        re.search(rb"\n%s -\w+ (\d+)" % name, text) for name in (b"sample_count", b"channel_count", b"sample_n_bytes")
    )
    samples, channels, size = (int(found[1]) if found else 0 for found in counts)
    block, there = channels * size, end - len(text)
    if not samples or not block:
        return None
    claimed = samples * block
    more = chunks.samples_behind(file, len(text) + claimed, end, None) if claimed < there else 0
    return Length(claimed, claimed + more if claimed <= there else there, block, True)


def _placeholder(claimed: int) -> bool:
    return claimed >= _NO_FILE or any(abs(claimed - at) <= _NEAR for at in _PLACEHOLDERS)
