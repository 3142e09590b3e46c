"""What a file is whatever its name says, told from its first bytes, and what makes a readable recording of it.

A recording that a browser or a telephone saved as ``.wav`` is often another container; a download that failed, a web
page. Only what the decoder could not open is looked at here.
"""

from __future__ import annotations

import re
import shlex
import struct
from collections.abc import Iterable
from dataclasses import dataclass

HEAD = 4096  # bytes that are looked at
REPLACE = "replace it by a fresh copy from the corpus's source"
_ANEW = "download it again; where a page came in its place, sign in or follow its link first"
_DECODED_TAGS = {1, 2, 3, 6, 7, 0x11, 0x31, 0x40, 0x55, 0xFFFE}  # codecs of WAV files that the decoder knows

_BRANDS = (  # of the ISO base media format, by the start of their names
    (b"M4A", "MPEG-4 audio (M4A)"),
    (b"M4B", "MPEG-4 audio (M4B)"),
    (b"3g", "3GP"),
    (b"qt", "QuickTime"),
    (b"", "MPEG-4"),
)
_PICTURE_BRANDS = (b"heic", b"heix", b"mif1", b"avif")
_SOUND = (  # pattern at the start, what it is
    (rb"#!AMR-WB\n", "AMR-WB"),
    (rb"#!AMR", "AMR"),
    (rb".?#!SILK", "SILK"),
    (rb"OggS.{0,80}Speex", "Ogg Speex"),
    (rb"RIFF....AVI ", "AVI"),
    (rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media (WMA)"),
    (rb"....(?:moov|mdat|wide|free|skip)", "QuickTime"),
    (rb"MAC ", "Monkey's Audio (APE)"),
    (rb"wvpk", "WavPack"),
    (rb"TTA[12]", "True Audio (TTA)"),
    (rb"MPCK|MP\+", "Musepack"),
    (rb"DSD |FRM8", "DSD"),
    (rb"\.RMF|\.ra\xfd", "RealMedia"),
    (rb"FLV\x01", "Flash video"),
    (rb"\x0b\x77", "AC-3"),
    (rb"ADIF", "AAC (ADIF)"),
    (rb"\xff[\xf0\xf1\xf8\xf9]", "AAC (ADTS)"),
    (rb"\x00\x00\x01\xba", "MPEG video"),
    (rb"G.{187}G.{187}G", "MPEG transport stream"),
)
_DECODED = (  # the same of containers that the decoder knows
    (rb"caff", "CAF (Core Audio)"),
    (rb"OggS", "Ogg"),
    (rb"FORM....AIF", "AIFF"),
    (rb"FORM....(?:8SVX|16SV)", "SVX"),
    (rb"BW64", "BW64"),
    (rb"ID3|\xff[\xe2-\xef\xf2-\xf7\xfa-\xff]", "MPEG audio (MP3)"),
)
_OTHER = (  # pattern at the start, what it is, what to do
    (rb"version https://git-lfs", "a Git LFS pointer", "fetch the recording that it stands for: git lfs pull"),
    (rb"(?:\.\./)*(?:\.git/annex|/annex)/objects", "a git-annex pointer", "fetch the recording: git annex get"),
    (
        rb"\x00\x05\x16[\x00\x07]",
        "the side file in which macOS keeps attributes (AppleDouble)",
        "name the recording itself: the file without ._ in front",
    ),
    (rb"\s*<(?:!doctype\s+html|html|head|body)", "a web page", _ANEW),
    (rb"\s*<\?xml|\s*<[a-z]", "an XML or HTML document", _ANEW),
    (rb"\s*[{\[]\s*[\"{\[}\]]", "a JSON document", _ANEW),
    (rb"PK\x03\x04|PK\x05\x06", "a zip archive", "unpack it"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd", "a compressed file (gzip, bzip2, xz or zstd)", "unpack it"),
    (rb"7z\xbc\xaf|Rar!", "a 7z or RAR archive", "unpack it"),
    (rb".{257}ustar", "a tar archive", "unpack it"),
    (rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF....WEBP|BM.{4}\x00{4}", "a picture", REPLACE),
    (rb"\xff\xfe(?:[\t-~]\x00){4}", "text in UTF-16", REPLACE),
    (rb"%PDF", "a PDF document", REPLACE),
    (rb"MThd", "MIDI, which holds notes and no sound", REPLACE),
    (rb"\x93NUMPY", "a NumPy array", "write it as .wav with its sampling rate"),
    (rb"MATLAB 5", "a MATLAB file", "write its samples as .wav with their sampling rate (audiowrite)"),
    (rb"\x89HDF", "an HDF5 file", "write its samples as .wav with their sampling rate"),
    (rb"0 {7}|\xffBIOSEMI", "EDF or BDF (signals of many channels)", "write the channel of the sound as .wav"),
)


@dataclass(frozen=True)
class Content:
    """What a file is (``what``: "is …") and what to do about it.

    ``decodes`` where the decoder knows the container, so that the file may only be damaged.
    """

    what: str
    remedy: str
    decodes: bool = False


def ffmpeg(name: str, options: str = "", mark: str = "converted") -> str:
    """The line that writes a file of this name as WAV, beside it."""
    name = f"./{name}" if name.startswith("-") else name
    stem = name.rpartition(".")[0] or name
    return f"ffmpeg -i {shlex.quote(name)} {options}{shlex.quote(f'{stem}.{mark}.wav')}"


def describe(head: bytes, name: str) -> Content | None:
    """What a file with this beginning is; None where nothing is known of it.

    Parameters
    ----------
    head
        Its first ``HEAD`` bytes.
    name
        The file's own name, without folders, for the command that converts it.
    """
    text = head[3:] if head.startswith(b"\xef\xbb\xbf") else head  # a byte-order mark of UTF-8
    for pattern, what, remedy in _OTHER:
        if re.match(pattern, text, re.DOTALL | re.IGNORECASE):
            return Content(what, remedy)
    if head and not head.strip(b"\0"):
        return Content("nothing but zero bytes, at least at its beginning", REPLACE)
    convert = f"convert it and put the result in its place: {ffmpeg(name)}"
    for finder in (_iso_media, _matroska, _wav_codec, _sound):
        if (sound := finder(head)) is not None:
            return Content(sound, convert)
    if (sound := _of_list(head, _DECODED)) is not None:
        what = f"{sound} that is damaged, or in a codec that is not read here"
        return Content(what, f"{REPLACE}; if it plays elsewhere, {convert}", decodes=True)
    if _is_text(head):
        return Content(f"text: {head.decode('utf-8', 'replace').splitlines()[0][:40].strip()!r}", REPLACE)
    return None


def _iso_media(head: bytes) -> str | None:
    brand = head[8:12]
    if head[4:8] != b"ftyp" or brand in _PICTURE_BRANDS:
        return None
    return next(what for start, what in _BRANDS if brand.startswith(start))


def _matroska(head: bytes) -> str | None:
    if not head.startswith(b"\x1a\x45\xdf\xa3"):
        return None
    return "WebM" if b"webm" in head[:64] else "Matroska"


def _wav_codec(head: bytes) -> str | None:
    """A WAV file whose codec the decoder does not know."""
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE" or (at := head.find(b"fmt ", 12)) < 0 or at + 10 > len(head):
        return None
    (tag,) = struct.unpack_from("<H", head, at + 8)
    return None if tag in _DECODED_TAGS else f"WAV in a codec that is not read here (format tag 0x{tag:04X})"


def _sound(head: bytes) -> str | None:
    return _of_list(head, _SOUND)


def _of_list(head: bytes, known: Iterable[tuple[bytes, str]]) -> str | None:
    return next((what for pattern, what in known if re.match(pattern, head, re.DOTALL)), None)


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if len(head) < HEAD or error.start < HEAD - 4:  # else the last character was cut
            return False
        text = head[: error.start].decode("utf-8")
    return bool(text.strip()) and all(c.isprintable() or c in "\r\n\t" for c in text)
