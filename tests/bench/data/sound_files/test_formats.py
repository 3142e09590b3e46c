import io
import struct

import numpy as np
import pytest
import soundfile

from bench.base.errors import BadInput
from bench.data import audio
from bench.data.sound_files import formats

WAVE = np.random.default_rng(0).integers(-2000, 2000, (800, 2))
GUID = bytes.fromhex("000000001000800000aa00389b71")


def wav(
    block: int, bits: int, kind: str, channels: int = 2, rate: int = 8000, tag: int = 1, more: bytes = b""
) -> bytes:
    fmt = struct.pack("<HHIIHH", tag, channels, rate, (rate * block) & 0xFFFFFFFF, block, bits) + more
    data = WAVE.astype(kind).tobytes()
    body = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def read(folder, content: bytes) -> np.ndarray:
    (folder / "a.wav").write_bytes(content)
    return audio.samples(folder / "a.wav")[0]


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ({"rate": 0}, "claims 0 samples per second, which no recorder of sound takes"),
        ({"rate": 2**32 - 1}, "claims 4294967295 samples per second"),
        ({"rate": 2**31}, "claims 2147483648 samples per second"),
        ({"channels": 0}, "claims 0 channels"),
        ({"channels": 65535}, "claims 65535 channels"),
        ({"bits": 0}, "claims 0 bits for a sample"),
        ({"tag": 3}, "claims floats of 16 bits"),
    ],
)
def test_a_header_that_no_sound_can_have_is_told_by_what_it_claims(tmp_path, field, said):
    with pytest.raises(BadInput, match=rf"a\.wav: {said}.*; write it again"):
        read(tmp_path, wav(**{"block": 4, "bits": 16, "kind": "<i2"} | field))


@pytest.mark.parametrize("format", ["WAVEX", "CAF", "W64", "AU", "RF64"])
def test_a_rate_of_0_is_told_in_every_container(tmp_path, format):
    content = io.BytesIO()
    soundfile.write(content, WAVE.astype(np.int16), 8000, format=format)
    rate = {"CAF": struct.pack(">d", 8000), "AU": struct.pack(">I", 8000)}
    pattern = rate.get(format, struct.pack("<I", 8000))
    assert content.getvalue().count(pattern) == 1
    with pytest.raises(BadInput, match="claims 0 samples per second"):
        read(tmp_path, content.getvalue().replace(pattern, bytes(len(pattern))))


def test_it_is_told_in_flac(tmp_path):
    content = io.BytesIO()
    soundfile.write(content, WAVE.astype(np.int16), 8000, format="FLAC")
    with pytest.raises(BadInput, match=r"a\.wav: claims 0 samples per second"):
        read(tmp_path, content.getvalue()[:18] + bytes([0, 0, content.getvalue()[20] & 0x0F]) + content.getvalue()[21:])


@pytest.mark.parametrize(
    ("block", "bits", "kind"),
    [(8, 24, "<i4"), (4, 7, "<i2"), (8, 16, "<i4"), (2, 16, "<i2"), (4, 8, "<i2"), (8, 20, "<i4")],
)
def test_samples_of_another_size_than_the_header_gives_them_are_refused(tmp_path, block, bits, kind):
    """Decoders would take them for others than they are, or for another number of them."""
    with pytest.raises(BadInput, match=rf"contradicts itself: .* {block} bytes .* and 2 x {bits} bits"):
        read(tmp_path, wav(block, bits, kind))


@pytest.mark.parametrize(("block", "bits", "scale"), [(4, 16, 2**15), (4, 12, 2**15), (0, 16, 2**15)])
def test_samples_that_are_filled_up_to_bytes_are_read(tmp_path, block, bits, scale):
    np.testing.assert_array_equal(read(tmp_path, wav(block, bits, "<i2")) * scale, WAVE)


@pytest.mark.parametrize(("tag", "bits"), [(1, 32), (3, 32)])
def test_the_extensible_format_is_read_as_what_it_extends(tmp_path, tag, bits):
    more = struct.pack("<HHIH", 22, 24, 3, tag) + GUID  # 24 of 32 bits are valid
    wave = read(tmp_path, wav(8, bits, "<i4" if tag == 1 else "<f4", tag=0xFFFE, more=more))
    np.testing.assert_array_equal(wave * (2**31 if tag == 1 else 1), WAVE)


@pytest.mark.parametrize("tag", [6, 7])
def test_logarithmic_samples_are_bytes_whatever_their_bits_are_said_to_be(tmp_path, tag):
    assert len(read(tmp_path, wav(2, 16, "<i1", tag=tag))) == len(WAVE)


def test_a_file_without_a_header_says_nothing(tmp_path):
    for content in (b"", b"RIFF", b"RIFF\0\0\0\0WAVE", b"text"):
        (tmp_path / "a.wav").write_bytes(content)
        assert formats.of_file(tmp_path / "a.wav") is None
