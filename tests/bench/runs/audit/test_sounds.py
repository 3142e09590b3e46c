import numpy as np
import pytest
import soundfile

from bench.data.recordings import inspect
from bench.runs.audit import sounds

RATE = 8000


def analysed(wave):
    return sounds.analyse(np.asarray(wave, np.float32).reshape(len(wave), -1), RATE)


@pytest.mark.parametrize("bits", [8, 12, 16, 24])
def test_effective_bits_are_those_that_move(bits):
    steps = np.random.default_rng(0).integers(-(2 ** (bits - 1)), 2 ** (bits - 1), 500)
    assert analysed(steps / 2.0 ** (bits - 1)).bits == bits
    assert analysed(np.zeros(500)).bits == 0


def test_stretches_that_stand_still():
    noise = np.random.default_rng(0).normal(0, 0.1, RATE)
    sound = analysed(np.concatenate([np.zeros(800), noise, np.ones(1600), noise, np.zeros(300)]))
    np.testing.assert_allclose(sound.stuck, [[0.0, 0.1, 0.0], [1.1, 1.3, 1.0]])
    assert sound.clipped == pytest.approx(1600 / (2 * RATE + 2700))
    assert sound.stuck_s(0.05, 1.2, silence=True) == pytest.approx(0.05)
    assert sound.stuck_s(0.05, 1.2, silence=False) == pytest.approx(0.1)


def test_a_channel_that_moves_keeps_the_recording_moving():
    noise = np.random.default_rng(0).normal(0, 0.1, RATE)
    assert not len(analysed(np.stack([noise, np.zeros(RATE)], axis=1)).stuck)


def test_a_recording_is_analysed_once(tmp_path, monkeypatch):
    for name in ("a.wav", "copy of a.wav"):
        soundfile.write(tmp_path / name, np.random.default_rng(5).normal(0, 0.1, RATE), RATE)
    (tmp_path / "b.wav").write_bytes(b"no sound")
    recordings = inspect(tmp_path, ["a.wav", "copy of a.wav", "b.wav"])
    first = sounds.analyse_recordings(tmp_path, recordings)
    assert list(first) == ["a.wav", "copy of a.wav"]
    monkeypatch.setattr(sounds, "analyse", None)
    again = sounds.analyse_recordings(tmp_path, recordings)
    assert again["a.wav"].bits == first["a.wav"].bits
    np.testing.assert_array_equal(again["a.wav"].words, first["a.wav"].words)
    sounds.cache_file(recordings["a.wav"].digest).write_bytes(b"damaged")
    with pytest.raises(TypeError):
        sounds.analyse_recordings(tmp_path, recordings)
