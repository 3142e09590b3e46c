import io
import struct

import numpy as np
import pytest
import soundfile

from bench.base.errors import BadInput
from bench.data import audio
from bench.data.sound_files import lengths

RATE = 8000
WAVE = np.random.default_rng(0).integers(-20000, 20000, 8000).astype(np.int16)
RF64_SIZES, W64_HEAD = 20, 24  # offset of the sizes in a ds64 chunk, bytes of a chunk's head in Wave64
PLACEHOLDERS = (0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFDB, 0xFFFFFFFF, 0x7FFFF024)


def encoded(format: str, subtype: str = "PCM_16", **options) -> bytearray:
    content = io.BytesIO()
    soundfile.write(content, WAVE, RATE, format=format, subtype=subtype, **options)
    return bytearray(content.getvalue())


def wav(claimed: int, riff: int | None = None, order: str = "<", before: bytes = b"", after: bytes = b"") -> bytes:
    fmt = struct.pack(order + "IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    body = b"WAVE" + before + b"fmt " + fmt + b"data" + struct.pack(order + "I", claimed)
    body += WAVE.astype(order + "i2").tobytes() + after
    name = b"RIFF" if order == "<" else b"RIFX"
    return name + struct.pack(order + "I", len(body) if riff is None else riff) + body


def read(folder, content: bytes) -> np.ndarray:
    path = folder / "a.wav"
    path.write_bytes(content)
    return audio.samples(path)[0]


def is_whole(wave: np.ndarray) -> bool:
    return wave.shape == (len(WAVE), 1) and bool((wave[:, 0] * 32768 == WAVE).all())


@pytest.mark.parametrize("claimed", PLACEHOLDERS)
@pytest.mark.parametrize("riff", [None, 0, 36, 0xFFFFFFFF])
def test_a_length_that_nobody_knew_means_to_the_end(tmp_path, claimed, riff):
    assert is_whole(read(tmp_path, wav(claimed, riff)))


@pytest.mark.parametrize("claimed", [0, 0x7FFFFFFF, 0xFFFFFFFF])
@pytest.mark.parametrize(
    "extra", [{"order": ">"}, {"before": b"LIST\x04\x00\x00\x00INFO"}, {"before": b"junk\x03\x00\x00\x00abc\x00"}]
)
def test_it_does_also_in_other_byte_orders_and_behind_other_chunks(tmp_path, claimed, extra):
    assert is_whole(read(tmp_path, wav(claimed, **extra)))


@pytest.mark.parametrize("size", [0, 2**64 - 1, 2**63 - 1])
@pytest.mark.parametrize("name", [b"RF64", b"BW64"])
def test_it_does_also_where_lengths_have_64_bits(tmp_path, size, name):
    content = encoded("RF64")
    content[:4] = name
    content[RF64_SIZES : RF64_SIZES + 16] = struct.pack("<QQ", size, size)
    assert is_whole(read(tmp_path, content))


def test_bw64_of_known_length_is_read(tmp_path):
    content = encoded("RF64")
    content[:4] = b"BW64"
    assert is_whole(read(tmp_path, content))


@pytest.mark.parametrize("size", [0, W64_HEAD, 2**64 - 1, 2**63 - 1])
def test_it_does_also_in_wave64(tmp_path, size):
    content = encoded("W64")
    at = content.index(b"data") + 16
    content[at : at + 8] = struct.pack("<Q", size)
    content[16:24] = struct.pack("<Q", size)
    assert is_whole(read(tmp_path, content))


@pytest.mark.parametrize(
    ("format", "at", "unknown"),
    [
        ("AIFF", b"SSND", (">I", 0x7F000000)),
        ("AIFF", b"SSND", (">I", 0xFFFFFFFF)),
        ("CAF", b"data", (">Q", 2**64 - 1)),
        ("AU", b".snd", (">I", 0xFFFFFFFF)),
    ],
)
def test_it_does_also_in_other_containers(tmp_path, format, at, unknown):
    content = encoded(format)
    start = content.index(at) + (8 if format == "AU" else 4)
    content[start : start + struct.calcsize(unknown[0])] = struct.pack(*unknown)
    assert is_whole(read(tmp_path, content))


def test_an_empty_data_chunk_before_other_chunks_is_empty(tmp_path):
    head = wav(0)[: -2 * len(WAVE)]
    for after in (b"", b"LIST\x04\x00\x00\x00INFO", b"LIST\x04\x00\x00\x00INFOid3 \x02\x00\x00\x00ab"):
        with pytest.raises(BadInput, match="holds no samples"):
            read(tmp_path, head + after)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "ULAW", "IMA_ADPCM", "MS_ADPCM", "GSM610", "G721_32"])
def test_a_cut_wav_is_refused_in_every_codec(tmp_path, subtype):
    content = encoded("WAV", subtype)
    assert abs(len(read(tmp_path, content)) - len(WAVE)) < 1024  # packets are filled up
    with pytest.raises(BadInput, match=r"is truncated: its header promises \d+ samples, \d+ are there"):
        read(tmp_path, content[: len(content) * 2 // 3])


@pytest.mark.parametrize("format", ["RF64", "W64", "WAVEX", "AIFF", "AU", "NIST"])
def test_a_cut_file_is_refused_in_every_container(tmp_path, format):
    content = encoded(format)
    assert is_whole(read(tmp_path, content))
    with pytest.raises(BadInput, match=r"is truncated: its header promises 8000 samples, 3\d\d\d are there"):
        read(tmp_path, content[: len(content) // 2])


@pytest.mark.parametrize(
    ("subtype", "said"),
    [
        ("PCM_16", r"8000 samples, \d+ are there"),
        ("ULAW", r"8000 samples, \d+ are there"),
        ("ALAC_16", r"\d+ bytes of samples, \d+ are there"),
    ],
)
def test_what_the_decoder_does_not_open_because_it_is_cut_is_called_truncated(tmp_path, subtype, said):
    content = encoded("CAF", subtype)
    assert abs(len(read(tmp_path, content)) - len(WAVE)) < 4096  # packets are filled up
    with pytest.raises(BadInput, match=f"is truncated: its header promises {said}; replace it"):
        read(tmp_path, content[: len(content) * 2 // 3])


UNWRITTEN = ("RAW", "SD2"), ("DWVW_12", "MPEG_LAYER_I", "MPEG_LAYER_II"), [("WAV", "MPEG_LAYER_III")]


def everything() -> list[tuple[str, str, str]]:
    """All that the decoder writes as one file that says what it is."""
    formats, subtypes, both = UNWRITTEN
    return [
        (format, subtype, endian)
        for format in soundfile.available_formats()
        for subtype in soundfile.available_subtypes(format)
        for endian in ("FILE", "LITTLE", "BIG")
        if soundfile.check_format(format, subtype, endian)
        and not (format in formats or subtype in subtypes or (format, subtype) in both)
    ]


@pytest.mark.parametrize(("format", "subtype", "endian"), everything())
def test_whatever_decodes_is_told_where_it_was_cut(tmp_path, format, subtype, endian):
    content = encoded(format, subtype, endian=endian)
    (tmp_path / "a.wav").write_bytes(content)
    shortage = audio.decoded(tmp_path / "a.wav").shortage
    assert shortage is None or shortage.startswith(f"may have been cut: nothing tells how long a {format} file")
    for kept in (len(content) // 2, len(content) * 9 // 10):
        with pytest.raises(BadInput):
            read(tmp_path, content[:kept])


def test_chunks_behind_the_samples_are_no_samples(tmp_path):
    content = wav(2 * len(WAVE), after=b"LIST\x04\x00\x00\x00INFO")
    assert is_whole(read(tmp_path, content))


def test_twice_the_length_is_no_placeholder(tmp_path):
    with pytest.raises(BadInput, match="promises 16000 samples, 8000 are there"):
        read(tmp_path, wav(4 * len(WAVE)))
    with pytest.raises(BadInput, match="is truncated"):  # three gigabytes may have been recorded
        read(tmp_path, wav(3 << 30))


@pytest.mark.parametrize("content", [b"RIFF", b"RIFF\x00\x00\x00\x00WAVE", b"", b"FORM\x00\x00\x00\x00AIFF", b".snd"])
def test_a_damaged_header_says_nothing(tmp_path, content):
    (tmp_path / "a.wav").write_bytes(content)
    assert lengths.length(tmp_path / "a.wav") is None


LIST = b"LIST" + struct.pack("<I", 26) + b"INFOISFT" + struct.pack("<I", 14) + b"Lavf58.29.100\0"


@pytest.mark.parametrize("claimed", [2, 8000, 15998])
@pytest.mark.parametrize("riff", [None, 36, "claimed"])
def test_a_header_that_promises_less_than_is_there_is_told(tmp_path, claimed, riff):
    content = wav(claimed, 36 + claimed if riff == "claimed" else riff)
    said = f"holds more than is read of it: its header promises {claimed // 2} samples, 8000 are there"
    with pytest.raises(BadInput, match=said):
        read(tmp_path, content)
    assert len(audio.samples(tmp_path / "a.wav", known=claimed // 2)[0]) == claimed // 2


@pytest.mark.parametrize(
    ("format", "at", "size"), [("AIFF", b"SSND", ">I"), ("W64", b"data", "<Q"), ("CAF", b"data", ">Q")]
)
def test_it_is_so_in_other_containers(tmp_path, format, at, size):
    content = encoded(format)
    place = content.index(at) + (16 if format == "W64" else 4)
    (stated,) = struct.unpack_from(size, content, place)
    struct.pack_into(size, content, place, stated - 8000)
    with pytest.raises(BadInput, match="its header promises 4000 samples, 8000 are there"):
        read(tmp_path, content)


def test_it_is_so_in_au_and_rf64(tmp_path):
    for content, place, order in ((encoded("AU"), 8, ">I"), (encoded("RF64"), RF64_SIZES + 8, "<Q")):
        struct.pack_into(order, content, place, 8000)
        with pytest.raises(BadInput, match="its header promises 4000 samples, 8000 are there"):
            read(tmp_path, content)


def test_it_is_so_in_nist_sphere(tmp_path):
    content = encoded("NIST")
    assert is_whole(read(tmp_path, content))
    with pytest.raises(BadInput, match="its header promises 4000 samples, 8000 are there"):
        read(tmp_path, content.replace(b"sample_count -i 8000", b"sample_count -i 4000"))


@pytest.mark.parametrize(
    "behind", [LIST, LIST + LIST, LIST[:-5], LIST + bytes(64), b"TAG" + bytes(125), bytes(3000), b"\r\n"]
)
def test_what_writers_put_behind_the_samples_is_none(tmp_path, behind):
    assert is_whole(read(tmp_path, wav(2 * len(WAVE), after=behind)))
    (tmp_path / "odd.wav").write_bytes(wav(2 * len(WAVE) - 1)[:-1] + behind)  # its size is odd, and not filled up
    assert audio.decoded(tmp_path / "odd.wav").shortage is None


def test_a_recording_behind_another_is_told(tmp_path):
    for second in (wav(2 * len(WAVE)), wav(2 * len(WAVE))[36:]):  # a second file, a second chunk of samples
        with pytest.raises(BadInput, match="holds more than is read of it"):
            read(tmp_path, wav(2 * len(WAVE)) + second)


@pytest.mark.parametrize("claimed", PLACEHOLDERS)
@pytest.mark.parametrize("behind", [LIST, LIST + b"id3 \x02\x00\x00\x00ab", b"bext\x04\x00\x00\x00abcd" + LIST])
@pytest.mark.parametrize("order", ["<", ">"])
def test_chunks_behind_samples_of_unknown_length_are_none(tmp_path, claimed, behind, order):
    if order == ">":
        behind = b"LIST\x00\x00\x00\x04INFO"
    assert is_whole(read(tmp_path, wav(claimed, after=behind, order=order)))


def test_chunks_behind_samples_that_were_cut_are_none(tmp_path):
    with pytest.raises(BadInput, match="promises 16000 samples, 8000 are there"):
        read(tmp_path, wav(4 * len(WAVE), after=LIST))
    assert is_whole(audio.samples(tmp_path / "a.wav", known=8000)[0])


@pytest.mark.parametrize("riff", [0, None])
def test_a_stated_length_counts_where_ds64_has_another(tmp_path, riff):
    content = encoded("RF64")
    struct.pack_into("<I", content, content.index(b"data") + 4, 2 * len(WAVE))
    if riff is not None:
        content[RF64_SIZES : RF64_SIZES + 16] = bytes(16)
    assert is_whole(read(tmp_path, content))
