import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.base.optional_imports import import_torchaudio
from bench.encoders.batches import embed
from bench.encoders.contract import check_encoder
from bench.encoders.load import load_encoder
from model_zoo._adapters.frame_statistics import PERCENTILES, STATISTICS
from model_zoo.mfcc import COEFFICIENTS, cepstral_matrix
from model_zoo.mfcc import STATISTICS as STATED


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("mfcc.stats")


def _clips(*sizes, seed=0):
    rng = np.random.default_rng(seed)
    return [(0.1 * rng.standard_normal(n)).astype(np.float32) for n in sizes]


def test_equals_torchaudio_clip_by_clip_in_a_ragged_batch(encoder):
    import_torchaudio()
    from torchaudio.compliance.kaldi import mfcc

    clips = _clips(400, 5000, 16123)  # of noise, above the floor in every band
    batch = torch.zeros(3, 16123)
    for row, clip in zip(batch, clips, strict=True):
        row[: len(clip)] = torch.from_numpy(clip)
    for row, clip in zip(encoder.frontend(batch), clips, strict=True):
        theirs = mfcc(torch.from_numpy(clip)[None] * 2.0**15)  # its defaults, without dither since dither is 0
        assert len(theirs) == encoder.frontend.frames(len(clip))
        torch.testing.assert_close(row[: len(theirs)], theirs, atol=2e-4, rtol=2e-4)


def test_silence_is_the_cepstrum_of_the_floor(encoder):
    found = encoder.frontend(torch.zeros(1, 800))[0]
    expected = encoder.frontend.floor.log() @ cepstral_matrix()
    torch.testing.assert_close(found, expected.expand_as(found), atol=1e-4, rtol=0)


@given(n=st.integers(400, 4000), more=st.integers(0, 700))
@settings(max_examples=20, deadline=None)
def test_statistics_equal_numpy_whatever_shares_the_batch(n, more):
    encoder = load_encoder("mfcc.stats")
    clips = _clips(n, n + more, seed=n)
    vector = embed(encoder, clips, "published")[0].reshape(STATISTICS, COEFFICIENTS)
    frames = encoder.frontend(torch.from_numpy(clips[0])[None])[0].numpy()
    percentiles = np.percentile(frames, PERCENTILES, axis=0)
    np.testing.assert_allclose(vector, [frames.mean(0), frames.std(0), *percentiles], rtol=1e-4, atol=1e-3)


def test_fits_the_contract(encoder):
    assert encoder.card.dims["published"] == STATED * COEFFICIENTS == STATISTICS * COEFFICIENTS
    assert check_encoder(encoder) == []


def test_very_short_and_silent_clips_are_finite(encoder):
    assert np.isfinite(embed(encoder, [np.ones(3, np.float32), np.zeros(9000, np.float32)], "published")).all()


def test_half_precision_leaves_cepstra_alone(encoder):
    wave, length = torch.from_numpy(_clips(8000)[0])[None], torch.tensor([8000])
    with torch.autocast("cpu", torch.bfloat16):
        halved = encoder.frames(wave, length)
    assert torch.equal(halved, encoder.frames(wave, length))
