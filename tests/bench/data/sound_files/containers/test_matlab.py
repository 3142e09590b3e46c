import io
import struct

import numpy as np
import pytest
import scipy.io
import soundfile

from bench.data.sound_files.containers import matlab

WAVE = np.random.default_rng(0).integers(-20000, 20000, 8001).astype(np.int16)


def claimed(content: bytes) -> int:
    assert matlab.is_one(content[:40])
    return matlab.claimed(io.BytesIO(content), len(content))


@pytest.mark.parametrize("format", ["MAT4", "MAT5"])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("endian", ["LITTLE", "BIG"])
def test_a_file_claims_the_bytes_that_it_has(format, subtype, endian):
    stream = io.BytesIO()
    soundfile.write(stream, WAVE, 8000, format=format, subtype=subtype, endian=endian)
    content = stream.getvalue()
    last = claimed(content)
    assert last <= len(content) < last + 8  # variables are filled up to 8 bytes
    for cut in (len(content) // 2, last - 1):
        assert claimed(content[:cut]) > cut


@pytest.mark.parametrize("format", ["4", "5"])
def test_so_it_does_as_others_write_it(format):
    stream = io.BytesIO()
    scipy.io.savemat(stream, {"samplerate": np.array([[8000.0]]), "wavedata": WAVE[:, None]}, format=format)
    content = stream.getvalue()
    last = claimed(content)
    assert last <= len(content) < last + 8
    assert claimed(content[: last - 1]) > last - 1


def test_damage_is_left_to_the_decoder():
    content = struct.pack("<3I", 0, 1, 1) + bytes(100)  # as a file of level 4 begins
    assert claimed(content) >= 0
    assert matlab.claimed(io.BytesIO(content[:12] + bytes(8) + b"\xff" * 100), 120) is None
