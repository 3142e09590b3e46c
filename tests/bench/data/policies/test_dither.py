import numpy as np
import pytest

from bench.data.policies import dither

N = 200_000


def test_the_dither_of_a_clip_is_a_known_sequence_of_whole_multiples():
    """The first values as every machine must draw them: whole multiples of 2^-24 steps."""
    found = dither.noise(3, dither.clip_identity("0" * 64, 0, 8000)) / dither.STEP * 2**24
    np.testing.assert_array_equal(found, found.round())
    assert found.tolist() == [9597938, -2520060, -15159782]


def test_it_is_triangular_over_one_step_to_either_side_and_white():
    """Variance 1/6, kurtosis 2.4, within five standard errors: 0.26 % and under 0.5 % for N values."""
    noise = dither.noise(N, "a clip") / dither.STEP
    assert -1 < noise.min() < -0.99 and 0.99 < noise.max() < 1
    assert noise.var() == pytest.approx(1 / 6, rel=5 * np.sqrt(1.4 / N))
    assert np.mean(noise**4) / noise.var() ** 2 == pytest.approx(2.4, rel=0.025)
    assert abs(noise.mean()) < 5 * np.sqrt(1 / 6 / N)
    np.testing.assert_allclose(np.histogram(noise, 4, (-1, 1))[0] / N, [1 / 8, 3 / 8, 3 / 8, 1 / 8], atol=5.5e-3)
    for lag in (1, 2, 7):
        assert abs(np.mean(noise[lag:] * noise[:-lag]) * 6) < 5 / np.sqrt(N)


def test_it_depends_on_the_clip_and_the_salt_alone():
    one, same = dither.noise(100, "a clip"), dither.noise(50, "a clip")
    np.testing.assert_array_equal(one[:50], same)
    others = [dither.noise(100, "another"), dither.noise(100, "a clip", salt="1")]
    assert all(not np.array_equal(one, other) for other in others)
    names = {dither.clip_identity(*each) for each in [("a", 0, 11), ("a", 1, 1), ("a", 0, 1), ("b", 0, 1)]}
    assert len(names) == 4


def test_adding_it_rounds_once():
    wave = np.linspace(-1, 1, 1000, dtype=np.float32)
    out = dither.dithered(wave, "a clip")
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, (wave.astype(np.float64) + dither.noise(1000, "a clip")).astype(np.float32))
    assert len(dither.dithered(wave[:0], "a clip")) == 0
