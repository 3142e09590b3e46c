import io
import struct

import numpy as np
import pytest
import soundfile

from bench.base.errors import BadInput
from bench.data import audio
from bench.data.recordings import examine, unusable
from bench.data.sound_files.containers import mpeg

NOISE = np.random.default_rng(0).normal(0, 0.1, (64000, 2))
ID3 = b"ID3\x04\0\0" + bytes([0, 0, 2, 0]) + bytes(256)
DELAY = 529  # samples that every decoder of layer III comes late, which ours leaves out


def encoded(samples: int, rate: int = 16000, channels: int = 1, mode: str = "VARIABLE") -> bytes:
    content = io.BytesIO()
    soundfile.write(content, NOISE[:samples, :channels], rate, format="MP3", bitrate_mode=mode)
    return content.getvalue()


def bare(content: bytes) -> bytes:
    """Without the frame that says how many follow."""
    return content[mpeg.head(content, 0).size :]


def claiming(content: bytes, frames: int) -> bytes:
    at = max(content.find(name) for name in (b"Xing", b"Info")) + 8
    return content[:at] + struct.pack(">I", frames) + content[at + 4 :]


def decoded(folder, content: bytes) -> audio.Decoded:
    (folder / "a.wav").write_bytes(content)
    return audio.decoded(folder / "a.wav")


FIRST, SECOND = encoded(16000), encoded(32000)
FRAMES = mpeg.walk(FIRST).frames


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("mode", ["CONSTANT", "AVERAGE", "VARIABLE"])
def test_a_whole_file_lacks_nothing(tmp_path, rate, channels, mode):
    content = encoded(20_000, rate, channels, mode)
    for whole in (content, ID3 + content, content + b"TAG" + bytes(125), ID3 * 2 + content + ID3, content + bytes(999)):
        found = decoded(tmp_path, whole)
        assert found.shortage is None
        assert found.wave.shape == (20_000, channels)
    walked = mpeg.walk(content)
    assert walked.frames == walked.said.frames


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_frames_are_all_read_where_nothing_says_how_many_there_are(tmp_path, rate, channels, mode):
    content = encoded(40_000, rate, channels, mode)
    found = decoded(tmp_path, bare(content))
    samples = mpeg.head(content, 0).samples
    assert found.shortage is None
    assert len(found.wave) == mpeg.walk(content).frames * samples - DELAY


@pytest.mark.parametrize("between", [b"", ID3, b"TAG" + bytes(125), b"APETAGEX" + bytes(125), bytes(64)])
@pytest.mark.parametrize("second", [SECOND, encoded(20_000, 44100), encoded(20_000, channels=2)])
def test_of_files_one_after_another_only_the_first_is_read_which_is_told(tmp_path, between, second):
    found = decoded(tmp_path, FIRST + between + second)
    assert "several MP3 streams one after another" in found.shortage
    assert len(found.wave) == 16000
    with pytest.raises(BadInput, match="several MP3 streams"):
        audio.samples(tmp_path / "a.wav")


def test_it_is_a_finding_that_can_be_accepted(tmp_path):
    (tmp_path / "a.mp3").write_bytes(FIRST + SECOND)
    recording = examine(tmp_path / "a.mp3")
    assert recording.short
    assert unusable("a.mp3", recording, ["a"]).level == "error"
    assert unusable("a.mp3", recording, ["a"], keep_short=True).level == "warning"


@pytest.mark.parametrize("between", [b"", ID3, b"TAG" + bytes(125)])
def test_frames_one_after_another_of_which_none_says_how_many_they_are_are_one_stream(tmp_path, between):
    found = decoded(tmp_path, bare(FIRST) + between + bare(SECOND))
    assert found.shortage is None
    assert len(found.wave) == (FRAMES + mpeg.walk(SECOND).frames) * 576 - DELAY


def test_another_rate_behind_such_frames_is_told(tmp_path):
    assert "several MP3 streams" in decoded(tmp_path, bare(FIRST) + bare(encoded(20_000, 44100))).shortage


@pytest.mark.parametrize("claimed", [1, 3, FRAMES - 1])
def test_more_frames_than_the_header_promises_are_told(tmp_path, claimed):
    said = f"its header promises {claimed} frames, {FRAMES} are there"
    assert said in decoded(tmp_path, claiming(FIRST, claimed)).shortage


@pytest.mark.parametrize("claimed", [FRAMES + 2, 2 * FRAMES, 10**6])
def test_fewer_frames_than_the_header_promises_are_told(tmp_path, claimed):
    assert decoded(tmp_path, claiming(FIRST, claimed)).shortage.startswith("is truncated")


def test_a_header_that_counts_itself_lacks_nothing(tmp_path):
    assert decoded(tmp_path, claiming(FIRST, FRAMES + 1)).shortage is None
    last = len(FIRST) - 200  # the bytes that it promises are not there
    assert decoded(tmp_path, claiming(FIRST, FRAMES + 1)[:last]).shortage.startswith("is truncated")


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("strip", [False, True])
def test_a_cut_file_is_told(tmp_path, share, strip):
    content = bare(SECOND) if strip else SECOND
    found = decoded(tmp_path, content[: int(share * len(content)) | 1])
    assert found.shortage.startswith("is truncated")
    assert 0 < len(found.wave) < 32000


def test_a_hole_is_told(tmp_path):
    for content in (FIRST, bare(FIRST)):
        middle = len(content) // 2
        assert decoded(tmp_path, content[:middle] + content[middle + 100 :]).shortage
        assert decoded(tmp_path, content[:middle] + ID3 + content[middle:]).shortage


def test_zeros_behind_frames_that_nobody_counted_are_told(tmp_path):
    assert "is damaged" in decoded(tmp_path, bare(FIRST) + bytes(3000)).shortage


def test_vbri_counts_frames_too():
    content = bytearray(FIRST)
    content[4:64] = bytes(60)
    content[36:40] = b"VBRI"
    struct.pack_into(">II", content, 46, len(content), FRAMES)
    assert mpeg.walk(bytes(content)).said.frames == FRAMES


def test_other_containers_behind_tags_of_mp3_are_looked_at(tmp_path):
    for format in ("WAV", "FLAC", "OGG", "AIFF", "AU"):
        content = io.BytesIO()
        soundfile.write(content, NOISE[:32000, 0], 16000, format=format)
        found = decoded(tmp_path, ID3 + content.getvalue())
        assert (len(found.wave), found.shortage) == (32000, None)
        with pytest.raises(BadInput):
            decoded(tmp_path, ID3 + content.getvalue()[:-9000])
            audio.samples(tmp_path / "a.wav")


@pytest.mark.parametrize("content", [b"", b"\xff", b"\xff\xfb", b"ID3", b"ID3\4\0\0\0\0\0\0", b"\xff\xf1" + bytes(90)])
def test_what_holds_no_frame_is_left_to_the_decoder(content):
    assert mpeg.walk(content) is None
