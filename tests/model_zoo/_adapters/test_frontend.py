import numpy as np
import pytest
import torch

from bench.base.optional_imports import import_torchaudio
from model_zoo._adapters.frontend import CACHED, KaldiFbank, MelSpectrogram, decibels, mel_bank, pad_reflected

RATE = 16000
SETTINGS = {"hanning": 1.0, "povey": 2.0**15}


def _noise(seconds, seed=0, below_hz=None):
    n = round(seconds * RATE)
    spectrum = np.fft.rfft(0.1 * np.random.default_rng(seed).standard_normal(n))
    if below_hz:
        spectrum[np.fft.rfftfreq(n, 1 / RATE) > below_hz] = 0
    return torch.from_numpy(np.fft.irfft(spectrum, n).astype(np.float32))


def _kaldi(wave, window):
    import_torchaudio()
    from torchaudio.compliance import kaldi

    options = {"htk_compat": True, "use_energy": False, "num_mel_bins": 128, "dither": 0.0, "sample_frequency": RATE}
    return kaldi.fbank((wave * SETTINGS[window])[None], window_type=window, **options)


@pytest.mark.parametrize("window", SETTINGS)
@pytest.mark.parametrize("below_hz", [None, 2000])
def test_kaldi_fbank_equals_torchaudio_even_where_there_is_no_energy(window, below_hz):
    fbank = KaldiFbank(RATE, 128, window, SETTINGS[window])
    waves = torch.stack([_noise(1.0, seed, below_hz) for seed in range(3)])
    ours = fbank(waves)
    for row, wave in zip(ours, waves, strict=True):
        torch.testing.assert_close(row, _kaldi(wave, window), atol=2e-4, rtol=0)


def test_kaldi_fbank_of_a_long_clip_goes_through_its_buffers_in_parts():
    fbank, wave = KaldiFbank(RATE, 128), _noise(0.01 * (CACHED + 300))
    torch.testing.assert_close(fbank(wave[None])[0], _kaldi(wave / 2.0**15, "povey"), atol=2e-4, rtol=0)


def test_kaldi_fbank_is_the_same_bit_for_bit_where_a_gradient_is_asked_for():
    fbank, wave = KaldiFbank(RATE, 80, "hanning"), torch.stack([_noise(0.5, seed) for seed in range(2)])
    asked = wave.clone().requires_grad_()
    found = fbank(asked)
    assert torch.equal(found, fbank(wave))
    found.sum().backward()
    assert asked.grad.isfinite().all()
    assert asked.grad.abs().sum() > 0


def test_padding_behind_a_clip_reaches_none_of_its_frames():
    fbank, wave = KaldiFbank(RATE), _noise(0.7)
    padded = torch.cat([wave, torch.ones(999)])
    frames = fbank.frames(len(wave))
    assert torch.equal(fbank(padded[None])[0, :frames], fbank(wave[None])[0])


def test_silence_meets_the_floor():
    assert torch.equal(KaldiFbank(RATE)(torch.zeros(1, 800)).unique(), torch.tensor([-15.9423847198486]))


@pytest.mark.parametrize(("scale", "norm"), [("slaney", "slaney"), ("htk", None)])
def test_mel_spectrogram_equals_torchaudio_for_every_clip_of_a_ragged_batch(scale, norm):
    import_torchaudio()
    from torchaudio.transforms import MelSpectrogram as Theirs

    ours = MelSpectrogram(RATE, 400, 160, 64, 60.0, 7800.0, scale=scale, norm=norm)
    theirs = Theirs(RATE, 400, 400, 160, 60.0, 7800.0, n_mels=64, mel_scale=scale, norm=norm)
    lengths = [16000, 16100, 16159]  # 101 frames each
    wave = torch.zeros(3, ours.samples(16000))
    for row, n in zip(wave, lengths, strict=True):
        row[:n] = _noise(n / RATE, seed=n)
    found = ours(wave, torch.tensor(lengths))
    assert found.shape == (3, 101, 64)
    for row, clip, n in zip(found, wave, lengths, strict=True):
        torch.testing.assert_close(decibels(row), decibels(theirs(clip[:n]).T), atol=5e-3, rtol=0)


def test_mel_spectrogram_takes_magnitude_and_a_stored_matrix():
    wave, length = _noise(0.2)[None], torch.tensor([3200])
    bank = torch.zeros(201, 2)
    bank[10, 0] = bank[20, 1] = 1
    power = MelSpectrogram(RATE, 400, 160, 2, 0.0, 8000.0, bank=bank)(wave, length)
    magnitude = MelSpectrogram(RATE, 400, 160, 2, 0.0, 8000.0, bank=bank, power=1)(wave, length)
    torch.testing.assert_close(magnitude.square(), power)


def test_mel_bank_is_slaney_normalised():
    bank = mel_bank(RATE, 400, 80, 50.0, 8000.0)
    assert bank.shape == (201, 80)
    width_hz = (bank > 0).sum(0) * RATE / 400
    assert bool((bank.sum(0) * RATE / 400 <= 1.3).all())
    assert width_hz[-1] > width_hz[20]


def test_clips_are_mirrored_about_their_own_ends():
    clips = [torch.rand(n) for n in (40, 60, 55)]
    batch = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)
    found = pad_reflected(batch, torch.tensor([40, 60, 55]), 16)
    for row, clip in zip(found, clips, strict=True):
        theirs = torch.nn.functional.pad(clip[None], (16, 16), mode="reflect")[0]
        assert torch.equal(row[: len(theirs)], theirs)
