import math

import numpy as np
import pytest

from bench.base.errors import BadInput, UnknownId
from bench.finetune.data.quality import SILENCE, ClipMeasures, QualityScale, measure_clip, spectral_entropy

RATE = 8000


def tone(hertz=400, seconds=2.0, rate=RATE):
    return 0.1 * np.sin(2 * math.pi * hertz * np.arange(int(seconds * rate)) / rate)


def noise(seconds=2.0, seed=0):
    return 0.1 * np.random.default_rng(seed).standard_normal(int(seconds * RATE))


def slow_entropy(wave, rate):
    """Welch's method by plain sums: mean-free windows, Hann, half overlapping, discrete Fourier transform, and the
    power of negative frequencies, which the highest bin has not."""
    size = round(0.032 * rate)
    window = 0.5 - 0.5 * np.cos(2 * math.pi * np.arange(size) / size)
    starts = range(0, len(wave) - size + 1, size - size // 2)
    bins = [k for k in range(size // 2 + 1) if 50 <= k * rate / size <= 2000]
    power = np.zeros(len(bins))
    for start in starts:
        part = wave[start : start + size]
        part = (part - part.mean()) * window
        for b, k in enumerate(bins):
            turn = np.exp(-2j * math.pi * k * np.arange(size) / size)
            power[b] += abs((part * turn).sum()) ** 2 * (1 if 2 * k == size else 2)
    p = power / power.sum()
    return -sum(x * math.log(x) for x in p if x > 0) / math.log(len(p))


@pytest.mark.parametrize("rate", [4000, 8000, 11025])
def test_entropy_is_the_plain_formula(rate):
    wave = np.random.default_rng(1).standard_normal(1500).cumsum()
    assert spectral_entropy(wave, rate) == pytest.approx(slow_entropy(wave, rate), abs=1e-10)


def test_a_tone_has_structure_and_noise_has_none():
    assert measure_clip(tone(), RATE).entropy < 0.3
    assert measure_clip(noise(), RATE).entropy > 0.98


def test_level_is_that_of_the_waveform_without_its_mean():
    assert measure_clip(tone(), RATE).level_db == pytest.approx(20 * math.log10(0.1 / math.sqrt(2)), abs=0.01)
    assert measure_clip(tone() + 0.5, RATE).level_db == pytest.approx(measure_clip(tone(), RATE).level_db, abs=1e-6)


def test_entropy_does_not_depend_on_level():
    assert measure_clip(tone() * 7, RATE).entropy == pytest.approx(measure_clip(tone(), RATE).entropy, abs=1e-9)


@pytest.mark.parametrize(
    "wave",
    [np.zeros(1000), np.full(1000, 0.5), 1e-7 * noise(), np.zeros(1), np.zeros(5)],
)
def test_silence_has_the_lowest_quality(wave):
    measured = measure_clip(wave, RATE)
    assert measured == SILENCE and measured.silent
    scale = QualityScale({"d": (-60.0, -20.0)})
    assert scale.quality(measured, "d") == 0
    assert QualityScale({"d": (-120.0, -120.0)}).quality(measured, "d") == 0


def test_added_noise_raises_entropy_and_at_the_same_level_lowers_quality():
    scale = QualityScale({"d": (-60.0, 0.0)})
    entropies, qualities, louder = [], [], []
    for snr in (40, 30, 20, 10, 0, -10):
        mixed = tone() + noise() * 10 ** (-snr / 20) / math.sqrt(2)
        entropies.append(measure_clip(mixed, RATE).entropy)
        qualities.append(scale.quality(measure_clip(mixed * tone().std() / mixed.std(), RATE), "d"))
        louder.append(scale.loudness(measure_clip(mixed, RATE), "d"))
    assert (np.diff(entropies) > 0).all() and (np.diff(qualities) < 0).all()
    assert (np.diff(louder) > 0).all()  # noise on top makes the clip louder, which the definition rewards


def test_silence_in_place_of_sound_lowers_quality():
    scale = QualityScale({"d": (-60.0, 0.0)})
    qualities = []
    for share in (0.0, 0.3, 0.6, 0.9, 0.99, 1.0):
        wave = tone()
        wave[: int(share * len(wave))] = 0
        qualities.append(scale.quality(measure_clip(wave, RATE), "d"))
    assert (np.diff(qualities) < 0).all() and qualities[-1] == 0


def test_quality_by_hand():
    scale = QualityScale({"a": (-40.0, -20.0), "b": (-30.0, -30.0)})
    assert scale.quality(ClipMeasures(0.25, -25.0), "a") == pytest.approx(0.4 * 0.75 + 0.6 * 0.75)
    assert scale.quality(ClipMeasures(0.25, -25.0), "a", structure=1.0) == pytest.approx(0.75)
    assert scale.loudness(ClipMeasures(0.5, -50.0), "a") == 0 and scale.loudness(ClipMeasures(0.5, 0.0), "a") == 1
    assert [scale.loudness(ClipMeasures(0.5, level), "b") for level in (-31.0, -30.0, -29.0)] == [0, 0.5, 1]
    with pytest.raises(UnknownId, match="dataset of training clips 'c'"):
        scale.loudness(ClipMeasures(0.5, -25.0), "c")


def test_percentiles_are_those_of_each_dataset_without_silence():
    levels = np.linspace(-50, -10, 41)
    sounds = [ClipMeasures(0.5, level) for level in levels] + [SILENCE, ClipMeasures(0.5, -33.0), SILENCE]
    scale = QualityScale.fitted(sounds, ["a"] * 42 + ["b", "c"])
    assert scale.bounds["a"] == pytest.approx((-48.0, -12.0))
    assert scale.bounds["b"] == (-33.0, -33.0)
    assert scale.quality(SILENCE, "c") == 0
    with pytest.raises(ValueError):
        QualityScale.fitted(sounds, ["a"])


def test_short_clips_are_measured():
    measured = measure_clip(tone(seconds=0.01), RATE)
    assert 0 < measured.entropy < 1 and measured.level_db > -30
    assert measure_clip(np.array([0.5, -0.5]), RATE).entropy <= 1


@pytest.mark.parametrize("wave", [np.array([]), np.zeros((2, 10)), np.array([0.0, math.nan])])
def test_waveforms_that_cannot_be_measured_are_refused(wave):
    with pytest.raises(BadInput, match="quality"):
        measure_clip(wave, RATE)


@pytest.mark.parametrize("rate", [100, 10])
def test_rates_without_a_band_are_refused(rate):
    with pytest.raises(BadInput, match="sampling rate"):
        measure_clip(noise(), rate)
