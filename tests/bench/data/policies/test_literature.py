import numpy as np
import pytest
import torch

from bench.base.optional_imports import import_torchaudio
from bench.data.policies import literature

POLICIES = {
    each.__name__: each
    for each in (
        literature.native,
        literature.tile8,
        literature.tile5,
        literature.tile10,
        literature.opera8,
        literature.respirenet,
    )
}


def noise(seconds, rate, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * rate)).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 48000])
@pytest.mark.parametrize("seconds", [0.01, 0.3, 2.7, 8.0, 11.3])
def test_policies_of_eight_seconds_give_eight_seconds(rate, seconds):
    wave = noise(seconds, rate)
    before = wave.copy()
    for name, shape in POLICIES.items():
        out = shape(wave, rate)
        lengths = {"native": len(wave), "opera8": max(len(wave), 8 * rate), "tile5": 5 * rate, "tile10": 10 * rate}
        expected = lengths.get(name, 8 * rate)
        assert len(out) == expected and out.dtype == np.float32 and np.isfinite(out).all(), name
    np.testing.assert_array_equal(wave, before)


@pytest.mark.parametrize("name", POLICIES)
def test_silence_and_a_single_sample_are_legal(name):
    for wave in (np.zeros(5000, np.float32), np.ones(1, np.float32)):
        assert np.isfinite(POLICIES[name](wave, 16000)).all()


def test_native_is_the_clip():
    wave = noise(0.5, 8000)
    assert POLICIES["native"](wave, 8000) is wave


def test_tile8_by_hand():
    """At 32 Hz a fade has two samples, 0 and 1; three copies of 100 samples are cut to 256."""
    out = POLICIES["tile8"](np.full(100, 2, np.float32), 32)
    expected = np.tile([0, *[2] * 98, 0], 3)[:256]
    expected[-2:] = [2, 0]
    np.testing.assert_array_equal(out, expected)
    out = POLICIES["tile8"](np.full(300, 2, np.float32), 32)
    np.testing.assert_array_equal(out, [0, *[2] * 255])


def test_tile5_and_tile10_are_tile8_of_another_length():
    long, short = np.full(300, 2, np.float32), np.full(100, 2, np.float32)
    np.testing.assert_array_equal(POLICIES["tile5"](long, 32), POLICIES["tile8"](long, 32)[:160])
    cut, whole = POLICIES["tile5"](short, 32), POLICIES["tile8"](short, 32)
    assert len(cut) == 160 and np.array_equal(cut[:158], whole[:158]) and cut[-1] == 0
    grown = POLICIES["tile10"](short, 32)
    assert (
        len(grown) == 320 and np.array_equal(grown[:254], whole[:254]) and np.array_equal(grown[200:300], grown[:100])
    )


@pytest.mark.parametrize("seconds", [0.7, 3.1, 8.0, 9.5])
def test_tile8_is_fade_tile_cut_fade_as_published(seconds):
    rate = 16000
    fade = import_torchaudio()[0].transforms.Fade
    wave = noise(seconds, rate)
    faded = fade(rate // 16, rate // 16, "linear")(torch.from_numpy(wave))
    if len(faded) <= 8 * rate:
        copies = -(-8 * rate // len(faded))
        faded = fade(0, rate // 16, "linear")(faded.repeat(copies)[: 8 * rate])
    np.testing.assert_allclose(POLICIES["tile8"](wave, rate), faded[: 8 * rate].numpy(), atol=1e-7)


def test_opera8_trims_both_ends_and_repeats_in_front():
    rate = 16000
    sound = noise(2.0, rate)
    quiet = 1e-4 * noise(1.0, rate, seed=1)  # 74 dB below
    out = POLICIES["opera8"](np.concatenate([quiet, sound, quiet]), rate)
    kept = np.concatenate([sound, quiet[: rate // 20]])  # the last frame to hear it is centred on its end
    np.testing.assert_array_equal(out[-len(kept) :], kept)
    np.testing.assert_array_equal(out, np.tile(kept, 5)[-8 * rate :])


def test_opera8_leaves_silence_and_long_clips_as_long():
    rate = 16000
    assert POLICIES["opera8"](np.zeros(9 * rate, np.float32), rate).shape == (9 * rate,)
    wave = noise(12.0, rate)
    np.testing.assert_array_equal(POLICIES["opera8"](wave, rate), wave)


def test_respirenet_holds_nothing_above_2_khz_and_copies_on_both_sides():
    rate = 16000
    seconds = np.arange(2 * rate) / rate
    low, high = (np.sin(2 * np.pi * hertz * seconds).astype(np.float32) for hertz in (440, 3000))
    out = POLICIES["respirenet"](low + high, rate)
    spectrum = np.abs(np.fft.rfft(out))
    assert spectrum[8 * 2200 :].max() < 1e-3 * spectrum.max() and spectrum.argmax() == 8 * 440
    middle = out[3 * rate : 5 * rate]  # 3 s of copies, the clip, 3 s of copies
    np.testing.assert_allclose(middle[800:-800], low[800:-800], atol=2e-3)
    np.testing.assert_allclose(out[rate + 800 : 3 * rate - 800], low[800:-800], atol=2e-3)


def test_respirenet_hears_the_first_eight_seconds_of_a_longer_clip():
    rate = 4000
    wave = noise(13.0, rate)
    np.testing.assert_array_equal(POLICIES["respirenet"](wave, rate), wave[: 8 * rate])
