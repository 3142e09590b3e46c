import io

import numpy as np
import pytest
import soundfile

from bench.base.errors import BadInput
from bench.data import audio
from bench.data.sound_files.containers import ogg

RATE = 48000
WAVE = np.random.default_rng(0).normal(0, 0.1, 3 * RATE)
CODECS = ["VORBIS", "OPUS"]


def encoded(codec: str, wave: np.ndarray = WAVE) -> bytes:
    content = io.BytesIO()
    soundfile.write(content, wave, RATE, format="OGG", subtype=codec)
    return content.getvalue()


def lacking(content: bytes) -> str | None:
    return ogg.lacking(io.BytesIO(content), len(content))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("seconds", [0.01, 1, 3])
def test_a_whole_file_lacks_nothing(codec, channels, seconds):
    wave = np.stack([WAVE[: int(seconds * RATE)]] * channels, axis=1)
    assert lacking(encoded(codec, wave)) is None


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
@pytest.mark.parametrize("kept", [0.4, 0.7, 0.99, -1])
def test_a_cut_file_is_told_and_what_is_there_is_decoded(tmp_path, codec, name, kept):
    content = encoded(codec)
    (tmp_path / name).write_bytes(content[: kept if kept < 0 else int(kept * len(content))])
    found = audio.decoded(tmp_path / name)
    assert found.shortage.startswith("is truncated") and "the end of the sound is missing" in found.shortage
    assert 0 < len(found.wave) < len(WAVE)
    with pytest.raises(BadInput, match="is truncated"):
        audio.samples(tmp_path / name)
    assert len(audio.samples(tmp_path / name, known=len(found.wave))[0]) == len(found.wave)


@pytest.mark.parametrize("codec", CODECS)
def test_a_file_cut_between_two_pages_is_told(codec):
    content = encoded(codec)
    last = content.rindex(b"OggS")
    assert "no page closes its stream" in lacking(content[:last])
    assert "no page closes its stream" in lacking(content[:last] + bytes(len(content) - last))  # as some downloads are


@pytest.mark.parametrize("codec", CODECS)
def test_streams_one_after_another_are_told(codec):
    assert "several Ogg streams one after another" in lacking(encoded(codec) * 2)


def test_a_damaged_head_of_a_page_hides_no_later_page():
    content = bytearray(encoded("VORBIS"))
    pages = [at for at in range(len(content)) if content[at : at + 4] == b"OggS"]
    content[pages[len(pages) // 2]] = 0
    assert lacking(bytes(content)) is None  # the decoder tells how many samples are gone
    assert lacking(bytes(content[:-1])) is not None


@pytest.mark.parametrize("content", [b"", b"OggS", b"OggS" + bytes(60)])
def test_what_holds_no_sound_is_left_to_the_decoder(content):
    assert lacking(content) is None
