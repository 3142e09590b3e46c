import numpy as np
import pytest

from bench.data import audio
from bench.encoders.batches import embed
from bench.encoders.contract import check_encoder
from bench.encoders.load import load_encoder
from model_zoo import meta


def measured(id, *waves):
    return embed(load_encoder(id), [np.asarray(wave, np.float32) for wave in waves], None)


def tone(hertz, seconds=1.0, rate=8000, peak=0.5):
    return peak * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def test_is_the_logarithm_of_the_duration_in_seconds():
    waves = [np.zeros(n) for n in (8000, 80, 24000)]
    np.testing.assert_allclose(measured("meta.duration", *waves)[:, 0], np.log([1.0, 0.01, 3.0]), atol=1e-6)


def test_level_is_in_decibels_of_full_scale():
    full, half, silent = measured("meta.level", tone(200, peak=1.0), tone(200), np.zeros(100))
    np.testing.assert_allclose(full, [-3.01, 0.0], atol=0.01)
    np.testing.assert_allclose(half - full, -6.02, atol=0.01)
    np.testing.assert_allclose(silent, -120.0)


def test_silence_counts_frames():
    quarter = np.concatenate([np.zeros(2000), tone(200, 0.75)])
    quiet = np.concatenate([tone(200, 0.5), tone(200, 0.5, peak=0.5e-3)])
    rows = measured("meta.silence", quarter, quiet, np.zeros(8000), np.ones(30))
    np.testing.assert_allclose(rows, [[0.24, 0.24], [0.0, 0.5], [1.0, 0.0], [0.0, 0.0]], atol=0.011)


def test_bandwidth_shows_the_rate_that_a_recording_was_made_at():
    noise = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    narrow = audio.resample(audio.resample(noise, 16000, 4000), 4000, 16000)
    wide, cut = measured("meta.bandwidth", noise, narrow)
    assert np.exp(wide[0]) == pytest.approx(0.99 * 8000, rel=0.01) and np.exp(cut[0]) < 2000
    np.testing.assert_allclose(wide[1:], [10 * np.log10(0.75), 10 * np.log10(0.5)], atol=0.2)
    assert (cut[1:] < wide[1:] - 20).all()


@pytest.mark.parametrize("card", meta.CARDS, ids=lambda card: card.id)
def test_fits_the_contract(card):
    assert check_encoder(load_encoder(card.id)) == []
