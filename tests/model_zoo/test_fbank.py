import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.encoder_contract import check_encoder
from bench.encoders import embed, load_encoder
from model_zoo._compat import import_torchaudio
from model_zoo._frontend import KaldiFbank, reflected


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("fbank.stats")


def _clips(*sizes, seed=0):
    rng = np.random.default_rng(seed)
    return [(0.1 * rng.standard_normal(n)).astype(np.float32) for n in sizes]


@pytest.mark.parametrize("window", ["povey", "hanning"])
def test_equals_torchaudio_clip_by_clip_in_a_ragged_batch(window):
    import_torchaudio()
    from torchaudio.compliance.kaldi import fbank

    clips = _clips(400, 5000, 16123)
    batch = torch.zeros(3, 16123)
    for row, clip in zip(batch, clips, strict=True):
        row[: len(clip)] = torch.from_numpy(clip)
    frontend = KaldiFbank(16000, 128, window, scale=2.0**15)
    ours = frontend(batch)
    for row, clip in zip(ours, clips, strict=True):
        wave = torch.from_numpy(clip)[None] * 2.0**15
        theirs = fbank(wave, htk_compat=True, use_energy=False, window_type=window, num_mel_bins=128, dither=0.0)
        assert len(theirs) == frontend.frames(len(clip))
        torch.testing.assert_close(row[: len(theirs)], theirs, atol=2e-4, rtol=2e-4)


@given(n=st.integers(400, 4000), more=st.integers(0, 700))
@settings(max_examples=20, deadline=None)
def test_statistics_equal_numpy_whatever_shares_the_batch(n, more):
    encoder = load_encoder("fbank.stats")
    clips = _clips(n, n + more, seed=n)
    vector = embed(encoder, clips, "published")[0].reshape(7, 128)
    with torch.inference_mode():
        frames = encoder.fbank(torch.from_numpy(clips[0])[None])[0].numpy()
    percentiles = np.percentile(frames, (5, 25, 50, 75, 95), axis=0)
    np.testing.assert_allclose(vector, [frames.mean(0), frames.std(0), *percentiles], rtol=1e-4, atol=1e-3)


def test_fits_the_contract(encoder):
    assert check_encoder(encoder) == []


def test_very_short_and_silent_clips_are_finite(encoder):
    assert np.isfinite(embed(encoder, [np.ones(3, np.float32), np.zeros(9000, np.float32)], "published")).all()


def test_reflection_equals_torch_for_each_clip():
    clips = [torch.from_numpy(c) for c in _clips(40, 60, 55)]
    batch = torch.zeros(3, 60)
    for row, clip in zip(batch, clips, strict=True):
        row[: len(clip)] = clip
    ours = reflected(batch, torch.tensor([40, 60, 55]), 16)
    for row, clip in zip(ours, clips, strict=True):
        theirs = torch.nn.functional.pad(clip[None], (16, 16), mode="reflect")[0]
        assert torch.equal(row[: len(theirs)], theirs)
