import io

import numpy as np
import pytest
import soundfile

from bench.base.errors import BadInput
from bench.data import audio
from bench.data.sound_files.containers import flac

RATE = 8000
WAVE = np.random.default_rng(0).integers(-20000, 20000, 40_000).astype(np.int16)
BLOCK = 4096  # of libFLAC at its default level, so that the last frame has 40000 - 9 * 4096 = 3136 samples


def encoded(wave: np.ndarray = WAVE, subtype: str = "PCM_16", rate: int = RATE) -> bytes:
    content = io.BytesIO()
    soundfile.write(content, wave, rate, format="FLAC", subtype=subtype)
    return content.getvalue()


def claiming(content: bytes, samples: int) -> bytes:
    out = bytearray(content)
    for at, new in flac.with_samples(content[: flac.HEAD], samples).items():
        out[at : at + len(new)] = new
    return bytes(out)


def decoded(folder, content: bytes) -> audio.Decoded:
    (folder / "a.flac").write_bytes(content)
    return audio.decoded(folder / "a.flac")


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("rate", [8000, 44100, 11025, 5001])
def test_frames_are_found_where_they_are(subtype, channels, rate):
    wave = np.stack([np.roll(WAVE, c) for c in range(channels)], axis=1)
    content = encoded(wave, subtype, rate)
    said = flac.info(content)
    assert said[2:] == (channels, {"PCM_S8": 8, "PCM_16": 16, "PCM_24": 24}[subtype], len(WAVE), rate)
    frames = list(flac.last_frames(io.BytesIO(content), len(content), whole=True))[::-1]
    assert [frame.start for frame in frames] == list(range(0, len(WAVE), said.block))
    assert [frame.stop for frame in frames[:-1]] == [frame.start for frame in frames[1:]]
    assert frames[-1].stop == len(WAVE)
    assert next(flac.last_frames(io.BytesIO(content), len(content))) == frames[-1]  # which lies near the end


@pytest.mark.parametrize("samples", [1, 20_000, BLOCK, 39_999])
def test_a_header_that_promises_less_than_is_there_is_told(tmp_path, samples):
    found = decoded(tmp_path, claiming(encoded(), samples))
    assert f"its header promises {samples} samples, 40000 are there" in found.shortage
    np.testing.assert_array_equal(found.wave[:, 0] * 32768, WAVE[:samples])
    with pytest.raises(BadInput, match="holds more than is read of it"):
        audio.samples(tmp_path / "a.flac")


@pytest.mark.parametrize("cut", [1, 2, 10, 100, 3000])
def test_of_a_file_that_is_cut_within_a_frame_all_frames_before_are_there(tmp_path, cut):
    found = decoded(tmp_path, encoded()[:-cut])
    assert found.shortage == f"is truncated: its header promises 40000 samples, {9 * BLOCK} are there"
    np.testing.assert_array_equal(found.wave[:, 0] * 32768, WAVE[: 9 * BLOCK])
    assert len(audio.samples(tmp_path / "a.flac", known=9 * BLOCK)[0]) == 9 * BLOCK
    unknown = decoded(tmp_path, claiming(encoded()[:-cut], 0))
    assert unknown.shortage == f"is truncated: {9 * BLOCK} samples are there" and len(unknown.wave) == 9 * BLOCK


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("filled", [False, True])
def test_it_is_so_wherever_it_is_cut_and_when_the_rest_is_zeros(tmp_path, share, filled):
    content = encoded()
    kept = int(len(content) * share)
    found = decoded(tmp_path, content[:kept] + (bytes(len(content) - kept) if filled else b""))
    assert "is truncated" in found.shortage and len(found.wave) % BLOCK == 0
    assert len(found.wave) >= share * len(WAVE) - 2 * BLOCK
    np.testing.assert_array_equal(found.wave[:, 0] * 32768, WAVE[: len(found.wave)])


def test_a_cut_right_behind_a_frame_loses_nothing_before_it(tmp_path):
    content = encoded()
    frames = list(flac.last_frames(io.BytesIO(content), len(content), whole=True))
    for further in (0, 3, 9):  # the head of the next frame, in part
        found = decoded(tmp_path, content[: frames[0].at + further])
        assert len(found.wave) == 9 * BLOCK and f"{9 * BLOCK} are there" in found.shortage


def test_damage_before_the_end_is_refused(tmp_path):
    content = bytearray(encoded())
    content[len(content) // 2 : len(content) // 2 + 300] = bytes(300)
    with pytest.raises(BadInput, match=r"a\.flac: does not decode to its end"):
        decoded(tmp_path, bytes(content))


def test_two_streams_in_one_file_are_told(tmp_path):
    assert "several FLAC streams" in decoded(tmp_path, encoded() + encoded()).shortage


@pytest.mark.parametrize("behind", [b"TAG" + bytes(125), bytes(5000), b"ID3\x04" + bytes(100)])
def test_tags_behind_the_last_frame_are_no_samples(tmp_path, behind):
    found = decoded(tmp_path, encoded() + behind)
    assert found.shortage is None and len(found.wave) == len(WAVE)


@pytest.mark.parametrize("content", [b"", b"fLaC", b"RIFF" + bytes(60), b"fLaC\x04" + bytes(60)])
def test_what_is_no_flac_has_no_frames(content):
    assert flac.info(content) is None
    assert list(flac.last_frames(io.BytesIO(content), len(content))) == []
