import numpy as np
import pytest
import scipy.signal
import torch

from model_zoo._networks.timefrequency import CLIPS, CYCLES, erb_spaced, gammatone, log_spaced, morlet

RATE, BANDS, SIZE, HOP = 8000, 24, 200, 80
RANGE = (RATE, BANDS, 50.0, 2000.0, SIZE, HOP)


@pytest.fixture(scope="module")
def wave():
    rng = np.random.default_rng(0)
    t = np.arange(3001) / RATE
    return np.stack([0.1 * rng.standard_normal(3001), 0.3 * np.sin(2 * np.pi * (100 + 800 * t) * t)]).astype(np.float32)


def framed(power, size, hop):
    """Mean power (bands, frames) of whole frames, one by one, in decibels."""
    starts = range(0, power.shape[1] - size + 1, hop)
    return 10 * np.log10(np.maximum([power[:, s : s + size].mean(axis=1) for s in starts], 1e-10)).T


def test_gammatone_filters_are_scipys():
    bank = gammatone(*RANGE)
    for kernel, centre in zip(bank.kernels.double().numpy(), erb_spaced(BANDS, 50.0, 2000.0).numpy(), strict=True):
        theirs, _ = scipy.signal.gammatone(centre, "fir", order=4, numtaps=len(kernel), fs=RATE)
        np.testing.assert_allclose(kernel, theirs, atol=2e-3 * np.abs(theirs).max())


def test_gammatone_has_gain_one_at_its_centre():
    centres = erb_spaced(BANDS, 50.0, 2000.0)
    t = torch.arange(RATE, dtype=torch.float64) / RATE
    waves = torch.sin(2 * np.pi * centres[4:, None] * t).float()  # below, a filter is as wide as its centre is high
    level = gammatone(*RANGE)(waves)[:, 40:]  # after the onset
    own = level[torch.arange(len(waves)), :, torch.arange(4, BANDS)]
    np.testing.assert_allclose(own, 10 * np.log10(0.5), atol=0.35)
    assert (level.mean(dim=1).argmax(dim=1) == torch.arange(4, BANDS)).all()


def test_erb_scale():
    found = erb_spaced(5, 50.0, 2000.0)
    assert found[0].item() == pytest.approx(50.0) and found[-1].item() == pytest.approx(2000.0)
    rate = 21.4 * np.log10(0.00437 * found.numpy() + 1)  # Glasberg and Moore's own rounding of the scale
    np.testing.assert_allclose(np.diff(rate), np.diff(rate).mean(), rtol=1e-4)


def test_gammatone_spectrogram_equals_direct_convolution(wave):
    bank = gammatone(*RANGE)
    found = bank(torch.from_numpy(wave))
    for row, clip in zip(found, wave.astype(np.float64), strict=True):
        answers = np.stack([np.convolve(clip, kernel)[: len(clip)] for kernel in bank.kernels.double().numpy()])
        np.testing.assert_allclose(row.T, framed(answers**2, SIZE, HOP), atol=2e-3)


def test_wavelet_spectrogram_equals_direct_convolution(wave):
    """With the analytic Morlet wavelet as its formula has it, on every other sample."""
    found = morlet(*RANGE)(torch.from_numpy(wave))
    t = np.arange(-1000, 1001) / RATE
    for row, clip in zip(found, wave.astype(np.float64), strict=True):
        answers = []
        for centre in log_spaced(BANDS, 50.0, 2000.0).numpy():
            s = CYCLES / (2 * np.pi * centre)
            wavelet = np.exp(1j * CYCLES * t / s - (t / s) ** 2 / 2) * 2 / (s * np.sqrt(2 * np.pi) * RATE)
            answers.append(np.convolve(clip, wavelet)[1000 : 1000 + len(clip)][::2])
        np.testing.assert_allclose(row.T, framed(np.abs(answers) ** 2, SIZE // 2, HOP // 2), atol=0.02)


@pytest.mark.parametrize("frequency", [60.0, 200.0, 440.0, 1500.0])
def test_a_tone_peaks_at_its_scale_with_its_amplitude(frequency):
    t = torch.arange(RATE, dtype=torch.float64) / RATE
    level = morlet(*RANGE)(0.5 * torch.sin(2 * np.pi * frequency * t).float()[None])[0, 20:-20]
    scales = log_spaced(BANDS, 50.0, 2000.0)
    nearest = int((scales / frequency).log().abs().argmin())
    assert (level.argmax(dim=1) == nearest).all()
    off = CYCLES * (frequency / float(scales[nearest]) - 1)  # in standard deviations of the filter
    expected = 20 * np.log10(0.5 * np.exp(-(off**2) / 2))
    np.testing.assert_allclose(level[:, nearest], expected, atol=0.02)


@pytest.mark.parametrize("kind", [gammatone, morlet])
def test_frames_are_whole_and_rows_do_not_depend_on_batch_mates(kind, wave):
    bank = kind(*RANGE)
    assert bank.frames(SIZE) == 1 and bank.samples(SIZE) == SIZE + HOP - 1 == bank.samples(SIZE + HOP - 1)
    for n in (SIZE, 1234, 1235, 3001):
        assert bank(torch.from_numpy(wave[:, :n])).shape == (2, bank.frames(n), BANDS)
    alone = bank(torch.from_numpy(wave[:1]))
    torch.testing.assert_close(bank(torch.from_numpy(wave))[:1], alone, atol=1e-3, rtol=0)
    assert (bank(torch.zeros(1, 1000)) == -100).all()


def test_clips_are_filtered_alike_in_any_company():
    bank = morlet(8000, 8, 50.0, 2000.0, 200, 80)
    wave = torch.from_numpy(np.random.default_rng(0).standard_normal((CLIPS + 2, 4000))).float()
    together = bank(wave)
    assert all(torch.equal(together[i : i + 1], bank(wave[i : i + 1])) for i in range(len(wave)))
