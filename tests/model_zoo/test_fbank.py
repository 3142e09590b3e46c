import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data import audio
from bench.data.policies.dither import dithered
from bench.encoders.batches import embed
from bench.encoders.contract import check_encoder
from bench.encoders.load import load_encoder
from model_zoo._adapters.frontend import KALDI_FLOOR, KaldiFbank
from model_zoo.fbank import FLOOR


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


def test_what_a_recording_at_8_khz_lacks_is_told_by_no_rounding(encoder):
    """Rounding of up to 1e-7 lies 56 dB below the floor: fourfold peaks change a band there by 2 x 4 x 0.2 %."""
    (wave,) = _clips(8000)
    low = audio.resample(0.02 * wave, 8000, 16000)  # as quiet as lung sounds: no side lobe reaches the upper bands
    moved = low + np.random.default_rng(1).uniform(-1e-7, 1e-7, len(low)).astype(np.float32)
    with torch.inference_mode():
        plain, other = (encoder.frontend(torch.from_numpy(each)[None])[0] for each in (low, moved))
    empty = plain[10:-10, -30:]  # above 5.5 kHz, away from the clip's ends
    assert torch.equal(empty, encoder.frontend.floor[-30:].log().expand_as(empty))
    assert torch.equal(other[10:-10, -30:], empty)
    assert torch.allclose(other, plain, atol=0.1)


def test_the_floor_is_the_mean_power_of_noise_of_four_16_bit_steps():
    """Over 12,000 half-overlapping frames, in bands as wide as several bins: standard error below 1.5 %."""
    noise = torch.randn(1, 120 * 16000, generator=torch.Generator().manual_seed(0)) * 4 * 2.0**-15
    power = KaldiFbank(16000, 128, scale=2.0**15)(noise).double().exp().mean(1)[0]
    floor = KaldiFbank(16000, 128, scale=2.0**15, noise=FLOOR).floor
    assert float(floor.min()) == KALDI_FLOOR  # of the one band so narrow that no bin lies in it
    torch.testing.assert_close(power[64:].float(), floor[64:], rtol=0.06, atol=0)


def test_dither_of_one_step_leaves_empty_bands_at_the_floor(encoder):
    """It has a ninety-sixth of the floor's power, and the same bits on every machine."""
    wave = dithered(np.zeros(16000, np.float32), "silence")
    with torch.inference_mode():
        frames = encoder.frontend(torch.from_numpy(wave)[None])[0]
    assert torch.equal(frames[:, -40:], encoder.frontend.floor[-40:].log().expand_as(frames[:, -40:]))


def test_statistics_of_a_band_at_its_floor_do_not_tell_how_long_a_clip_is(encoder):
    """In float32 the mean of equal numbers rounds by how many there are."""
    clips = embed(encoder, [np.zeros(160 * n + 400, np.float32) for n in (10, 77, 333, 1001)], "published")
    assert (clips == clips[0]).all()
