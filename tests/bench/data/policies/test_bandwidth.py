import numpy as np
import pytest
import scipy.signal

from bench.data import audio
from bench.data.policies import bandwidth, dither

CUTS = (2000, 4000)


def filtered(wave, rate, cut_hz):
    """The clip without the dither that is added last."""
    return bandwidth.low_passed(wave, rate, "a clip", cut_hz) - dither.noise(len(wave), "a clip")


def tone(hertz, rate, seconds=1.0):
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 16000, 32000, 44100])
@pytest.mark.parametrize("cut_hz", CUTS)
def test_the_band_passes_and_what_is_above_the_cut_does_not(rate, cut_hz):
    """A Kaiser window of 120 dB ripples by 1e-6; float32 rounds a sum near 1 to 6e-8."""
    inside = slice(rate // 4, -rate // 4)
    for hertz in (100, cut_hz / 2, cut_hz * 7 / 8):
        wave = tone(hertz, rate)
        np.testing.assert_allclose(filtered(wave, rate, cut_hz)[inside], wave[inside], atol=2e-6)
    if cut_hz < rate / 2:
        for hertz in (cut_hz, 0.99 * rate / 2):
            assert np.abs(filtered(tone(hertz, rate), rate, cut_hz)[inside]).max() < 2e-6


def test_recordings_of_any_rate_are_alike_above_the_cut():
    """Above the cut every clip holds the dither: 1/6 of a step squared, evenly; five standard errors of its power."""
    for native in (4000, 8000, 44100):
        wave = (0.02 * np.random.default_rng(0).standard_normal(20 * native)).astype(np.float32)
        out = bandwidth.low_passed(audio.resample(wave, native, 16000), 16000, f"{native}", 2000)
        hertz, power = scipy.signal.welch(out.astype(np.float64), 16000, nperseg=1024, window="blackmanharris")
        density = power[hertz > 2200].mean() / (dither.STEP**2 / 6 / 8000)
        assert density == pytest.approx(1, abs=5 * (20 * 16000 * 5800 / 8000) ** -0.5 * 2**0.5)


def test_a_rate_below_the_cut_keeps_its_band_and_gets_dither_alone():
    wave = tone(300, 4000)
    np.testing.assert_array_equal(bandwidth.low_passed(wave, 4000, "a clip", 4000), dither.dithered(wave, "a clip"))


@pytest.mark.parametrize("size", [0, 1, 50])
def test_clips_shorter_than_the_filter_keep_their_length(size):
    out = bandwidth.low_passed(np.ones(size, np.float32), 16000, "a clip", 2000)
    assert len(out) == size and out.dtype == np.float32 and np.isfinite(out).all()


def test_there_is_no_delay():
    wave = np.zeros(4001, np.float32)
    wave[2000] = 1
    out = filtered(wave, 16000, 2000)
    assert out.argmax() == 2000
    np.testing.assert_allclose(out, out[::-1], atol=1e-7)
