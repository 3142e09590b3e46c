"""QLung's audio quality score under its two normalisations."""

import math

import numpy as np
import pytest

from bench.base.errors import UnknownId
from bench.finetune.data.audio_quality import grading, measure_tiled
from bench.finetune.data.quality import SILENCE

RATE, WEIGHTS = 4000, {"entropy": 0.7, "energy": 0.3}


def noise(level, seconds=1.0, seed=0):
    return level * np.random.default_rng(seed).standard_normal(int(seconds * RATE))


def slow_entropy(wave):
    """Hann windows of 25 ms every 10 ms of the clip repeated to 8 s, their powers added up bin by bin."""
    tiled = np.array([wave[i % len(wave)] for i in range(8 * RATE)])
    size, hop = RATE * 25 // 1000, RATE * 10 // 1000
    window = 0.5 - 0.5 * np.cos(2 * math.pi * np.arange(size) / size)
    power = np.zeros(size // 2 + 1)
    for start in range(0, len(tiled) - size + 1, hop):
        part = np.abs(np.fft.rfft(tiled[start : start + size] * window)) ** 2
        power += part * np.where((np.arange(len(part)) == 0) | (2 * np.arange(len(part)) == size), 1, 2)
    p = power / power.sum()
    return -sum(x * math.log(x) for x in p if x > 0) / math.log(len(p))


def test_absolute_measures_are_the_plain_formula():
    wave = noise(0.1).cumsum() / 20 + 0.01
    measured = measure_tiled(wave, RATE)
    assert measured.entropy == pytest.approx(slow_entropy(wave), abs=1e-10)
    assert 10 ** (measured.level_db / 20) == pytest.approx(math.sqrt(np.mean(np.resize(wave, 8 * RATE) ** 2)))
    assert measure_tiled(np.zeros(100), RATE) == SILENCE


def test_absolute_scores_are_of_a_clip_alone_and_training_scores_of_its_place():
    waves = [noise(level, seed=i) for i, level in enumerate((0.01, 0.03, 0.1, 0.3))]
    for name in ("aqs-absolute", "aqs-training"):
        by = grading(name, WEIGHTS)
        measures = [by.measure(wave, RATE) for wave in waves]
        scores = by.qualities(measures, "corpus")
        assert all(0 <= q <= 1 for q in scores) and scores == sorted(scores)  # all noise: louder is better
        alone = by.qualities(measures[:1], "corpus")
        assert (alone[0] == scores[0]) == (name == "aqs-absolute")
    by = grading("aqs-absolute", WEIGHTS)
    measured = by.measure(waves[2], RATE)
    expected = 1 - 0.7 * measured.entropy + 0.3 * 10 ** (measured.level_db / 20)
    assert by.qualities([measured], "corpus") == [pytest.approx(expected)]


def test_a_definition_that_does_not_exist_is_refused():
    with pytest.raises(UnknownId, match="aqs-absolute"):
        grading("aqs-absolut", {})
