import math

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from bench.base.errors import BadInput
from bench.data import audio

RATE = 8000
WAVE = (0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)).astype(np.float32)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_every_sample_format_reads_alike(tmp_path, subtype):
    path = tmp_path / "a.wav"
    soundfile.write(path, WAVE, RATE, subtype=subtype)
    wave, rate = audio.read(path)
    assert rate == RATE and wave.dtype == np.float32 and wave.shape == WAVE.shape
    np.testing.assert_allclose(wave, WAVE, atol=2**-15)


@pytest.mark.parametrize("rate", [4000, 10000, 44100])
def test_rates_and_containers(tmp_path, rate):
    exact = (WAVE * 2**23).astype(np.int32) * 256  # 24 bits, so that writing rounds nothing
    for name in ("a.wav", "a.flac"):
        soundfile.write(tmp_path / name, exact, rate, subtype="PCM_24")
    np.testing.assert_array_equal(audio.decode(tmp_path / "a.wav")[0], audio.decode(tmp_path / "a.flac")[0])


def test_mono_is_the_mean_of_the_channels(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.stack([WAVE, np.zeros_like(WAVE)], axis=1), RATE, subtype="FLOAT")
    np.testing.assert_allclose(audio.read(tmp_path / "a.wav")[0], WAVE / 2, atol=1e-7)


@given(st.floats(0, 1.9), st.floats(0.01, 3))
def test_a_crop_starts_and_ends_at_the_nearest_sample(start_s, length_s):
    clip = audio.crop(WAVE, RATE, start_s, start_s + length_s)
    expected = min(len(WAVE), round((start_s + length_s) * RATE)) - round(start_s * RATE)
    assert len(clip) == expected
    assert clip[0] == WAVE[round(start_s * RATE)]


def test_an_open_end_reaches_the_end_of_the_file(tmp_path):
    soundfile.write(tmp_path / "a.wav", WAVE, RATE)
    for end_s in (None, math.nan):
        assert len(audio.read(tmp_path / "a.wav", 0.5, end_s)[0]) == 1.5 * RATE
    with pytest.raises(BadInput, match=r"a\.wav: has no samples between 2\.5 and 3"):
        audio.read(tmp_path / "a.wav", 2.5, 3.0)


def test_a_resampled_tone_keeps_pitch_level_and_length():
    out = audio.resample(WAVE, RATE, 16000)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(4 * RATE) / 16000)
    assert len(out) == len(expected) and out.dtype == np.float32
    np.testing.assert_allclose(out[2000:-2000], expected[2000:-2000], atol=1e-3)
    assert audio.resample(WAVE, RATE, RATE) is WAVE


def test_resampling_down_removes_what_does_not_fit():
    high = np.sin(2 * np.pi * 3500 * np.arange(RATE) / RATE).astype(np.float32)
    assert np.abs(audio.resample(high, RATE, 4000)[200:-200]).max() < 1e-3


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_a_cut_file_is_refused(tmp_path, name):
    path = tmp_path / name
    soundfile.write(path, WAVE, RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(BadInput, match=rf"{name}: (is truncated|does not decode).*; replace it"):
        audio.read(path)


def test_a_damaged_flac_is_refused(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, WAVE, RATE)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 40] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"a\.flac"):
        audio.read(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_samples_are_refused(tmp_path, value):
    wave = WAVE.copy()
    wave[7] = value
    soundfile.write(tmp_path / "a.wav", wave, RATE, subtype="FLOAT")
    with pytest.raises(BadInput, match=r"NaN or infinity in 1 of 16000"):
        audio.read(tmp_path / "a.wav")


def test_files_that_hold_no_sound_are_refused(tmp_path):
    soundfile.write(tmp_path / "none.wav", WAVE[:0], RATE)
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("this is not a sound file")
    for name, said in (("none", "no samples"), ("empty", "is empty"), ("text", "not a readable"), ("gone", "no such")):
        with pytest.raises(BadInput, match=rf"{name}\.wav: .*{said}"):
            audio.read(tmp_path / f"{name}.wav")


def streaminfo(path, total: int) -> None:
    """Writes the number of samples into a FLAC file's header: 36 bits, 0 for unknown."""
    content = bytearray(path.read_bytes())
    content[21] = (content[21] & 0xF0) | total >> 32
    content[22:26] = (total & 0xFFFFFFFF).to_bytes(4, "big")
    path.write_bytes(content)


@pytest.fixture
def flac(tmp_path):
    soundfile.write(tmp_path / "a.flac", WAVE, RATE)
    return tmp_path / "a.flac"


@pytest.mark.parametrize("block", [100, 4096, 1 << 20])
def test_a_flac_of_unknown_length_is_read_to_its_end(flac, monkeypatch, block):
    whole = audio.read(flac)[0]
    streaminfo(flac, 0)
    monkeypatch.setattr(audio, "_BLOCK", block)
    np.testing.assert_array_equal(audio.read(flac)[0], whole)


@pytest.mark.parametrize("total", [len(WAVE) + 1, 2 * len(WAVE), 2**35, 2**36 - 1])
def test_a_flac_that_claims_more_takes_no_memory_for_it(flac, total):
    streaminfo(flac, total)
    with pytest.raises(BadInput, match=rf"a\.flac: is truncated: its header promises {total} samples, 16000 are there"):
        audio.read(flac)
    assert len(audio.samples(flac, known=16000)[0]) == 16000
    with pytest.raises(BadInput, match="is truncated"):
        audio.samples(flac, known=15999)


@pytest.mark.parametrize("subtype", ["GSM610", "G721_32", "NMS_ADPCM_32", "IMA_ADPCM", "ULAW"])
def test_codecs_of_telephones_are_read_to_their_end(tmp_path, subtype):
    soundfile.write(tmp_path / "a.wav", WAVE, RATE, subtype=subtype)
    wave, rate = audio.read(tmp_path / "a.wav")
    assert rate == RATE and 0 <= len(wave) - len(WAVE) < 512  # the last packet is filled up
    assert np.corrcoef(wave[: len(WAVE)], WAVE)[0, 1] > 0.9


def test_blocks_decode_as_the_whole_does(tmp_path, monkeypatch):
    for name, options in {"a.wav": {}, "g.wav": {"subtype": "GSM610"}, "a.flac": {"subtype": "PCM_24"}}.items():
        soundfile.write(tmp_path / name, WAVE, RATE, **options)
    whole = {path: audio.samples(path)[0] for path in tmp_path.iterdir()}
    for name, value in {"_AT_ONCE": 0, "_SAMPLES_PER_BYTE": 0, "_BLOCK": 777}.items():
        monkeypatch.setattr(audio, name, value)
    for path, wave in whole.items():
        np.testing.assert_array_equal(audio.samples(path)[0], wave)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "holds more samples than fit into memory"),
        (RuntimeError("odd"), r"cannot be decoded \(RuntimeError: odd\)"),
        (ValueError("odd"), r"cannot be decoded \(ValueError: odd\)"),
        (OSError(5, "Input/output error"), r"cannot be read \(Input/output error\)"),
        (soundfile.LibsndfileError(1), "does not decode to its end"),
    ],
)
def test_whatever_fails_while_a_file_is_read_names_the_file(flac, monkeypatch, error, said):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(soundfile.SoundFile, "read", fail)
    with pytest.raises(BadInput, match=rf"a\.flac: {said}"):
        audio.read(flac)


@pytest.mark.parametrize("seed", range(40))
def test_damage_anywhere_is_read_or_refused_and_never_raises_anything_else(tmp_path, seed):
    draw = np.random.default_rng(seed)
    name, options = [
        ("a.wav", {}),
        ("a.flac", {}),
        ("g.wav", {"subtype": "GSM610"}),
        ("i.wav", {"subtype": "IMA_ADPCM"}),
    ][seed % 4]
    soundfile.write(tmp_path / name, WAVE, RATE, **options)
    content = bytearray((tmp_path / name).read_bytes())
    for at in draw.integers(0, 80, 3):
        content[at] = draw.integers(256)
    (tmp_path / name).write_bytes(content)
    try:
        wave, _ = audio.samples(tmp_path / name)
    except BadInput as error:
        assert error.where == str(tmp_path / name) and error.remedy
    else:
        assert len(wave) and np.isfinite(wave).all()
