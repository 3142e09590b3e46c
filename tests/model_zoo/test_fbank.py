import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.encoders.batches import embed
from bench.encoders.contract import check_encoder
from bench.encoders.load import load_encoder


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("fbank.stats")


def _clips(*sizes, seed=0):
    rng = np.random.default_rng(seed)
    return [(0.1 * rng.standard_normal(n)).astype(np.float32) for n in sizes]


@given(n=st.integers(400, 4000), more=st.integers(0, 700))
@settings(max_examples=20, deadline=None)
def test_statistics_equal_numpy_whatever_shares_the_batch(n, more):
    encoder = load_encoder("fbank.stats")
    clips = _clips(n, n + more, seed=n)
    vector = embed(encoder, clips, "published")[0].reshape(7, 128)
    with torch.inference_mode():
        frames = encoder.frontend(torch.from_numpy(clips[0])[None])[0].numpy()
    percentiles = np.percentile(frames, (5, 25, 50, 75, 95), axis=0)
    np.testing.assert_allclose(vector, [frames.mean(0), frames.std(0), *percentiles], rtol=1e-4, atol=1e-3)


def test_fits_the_contract(encoder):
    assert check_encoder(encoder) == []


def test_very_short_and_silent_clips_are_finite(encoder):
    assert np.isfinite(embed(encoder, [np.ones(3, np.float32), np.zeros(9000, np.float32)], "published")).all()
