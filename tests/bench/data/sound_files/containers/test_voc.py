import io
import struct

import numpy as np
import pytest
import soundfile

from bench.data import audio
from bench.data.sound_files.containers import voc

WAVE = np.random.default_rng(0).integers(-20000, 20000, 8000).astype(np.int16)


def encoded(subtype: str) -> bytes:
    content = io.BytesIO()
    soundfile.write(content, WAVE, 8000, format="VOC", subtype=subtype)
    return content.getvalue()


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_U8", "ULAW", "ALAW"])
def test_a_whole_file_lacks_nothing(tmp_path, subtype):
    (tmp_path / "a.wav").write_bytes(encoded(subtype))
    found = audio.decoded(tmp_path / "a.wav")
    assert found.shortage is None
    assert len(found.wave) - 8000 in (0, 1)  # the writer counts the byte that ends a file among the samples


def test_blocks_behind_the_first_are_told(tmp_path):
    content = encoded("PCM_16")
    silence = b"\x03\x03\x00\x00" + struct.pack("<HB", 4000, 131)
    for further in (content[26:], silence + b"\0", b"\x02\x04\x00\x00abcd\0"):
        stream = io.BytesIO(content[:-1] + further)
        assert voc.sound(stream, len(stream.getvalue())).further
    marker = b"\x04\x02\x00\x00\x01\x00"
    stream = io.BytesIO(content[:-1] + marker + b"\0")
    assert not voc.sound(stream, len(stream.getvalue())).further


@pytest.mark.parametrize("content", [voc.MARK, voc.MARK + b"\x1a\0\x14\1\x1f\x11", voc.MARK + bytes(40)])
def test_a_file_without_sound_says_nothing(content):
    assert voc.sound(io.BytesIO(content), len(content)) is None
