"""Every change that a fingerprint promises to survive, at the strength stated; and nothing else matches."""

import numpy as np
import pytest
import soundfile
from scipy.signal import butter, sosfilt

from bench.data import audio
from bench.runs.audit import fingerprint
from toy_sounds import RATE, breathing


def at_rate(wave, rate):
    return audio.resample(wave, RATE, rate), rate


def with_noise(wave, db):
    level = np.sqrt(np.mean(wave**2)) * 10 ** (-db / 20)
    return wave + np.random.default_rng(99).normal(0, level, len(wave)).astype(np.float32), RATE


def filtered(wave):
    return sosfilt(butter(2, [150, 450], "band", fs=RATE, output="sos"), wave).astype(np.float32), RATE


def sixteen_bits(wave):
    return (np.round(wave * 32768) / 32768).astype(np.float32)


CHANGES = {
    "the same": lambda wave: (wave, RATE),
    "20 dB lower in 16 bits": lambda wave: (sixteen_bits(0.1 * wave), RATE),
    "inverted, 6 dB higher": lambda wave: (-2 * wave, RATE),
    "at 4 kHz": lambda wave: at_rate(wave, 4000),
    "at 44.1 kHz": lambda wave: at_rate(wave, 44100),
    "half a second later": lambda wave: (wave[RATE // 2 :], RATE),
    "half a second and half a hop later": lambda wave: (wave[RATE // 2 + 64 :], RATE),
    "with a second of something else before": lambda wave: (np.concatenate([breathing(77, 1.0), wave]), RATE),
    "in noise 20 dB below": lambda wave: with_noise(wave, 20),
    "filtered": filtered,
}


def matches(*sounds):
    return fingerprint.matches([fingerprint.words(wave, rate) for wave, rate in sounds])


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found_among_others(change):
    originals = [(breathing(seed), RATE) for seed in range(6)]
    found = matches(*originals, CHANGES[change](originals[2][0]))
    assert [(match.a, match.b) for match in found] == [(2, 6)]
    assert found[0].seconds > 5 and found[0].errors <= fingerprint.MOST_ERRORS


def test_says_where_the_sound_is():
    wave = breathing(0)
    (later,) = matches((wave, RATE), (wave[RATE // 2 :], RATE))
    assert later.a_s - later.b_s == pytest.approx(0.5, abs=fingerprint.WORD_S)
    (stretch,) = matches((wave, RATE), (np.concatenate([breathing(1), wave[3 * RATE : 6 * RATE]]), RATE))
    assert stretch.a_s == pytest.approx(3.0, abs=0.3) and stretch.b_s == pytest.approx(8.0, abs=0.3)
    assert stretch.seconds == pytest.approx(3.0, abs=0.4)


def test_containers_do_not_matter(tmp_path):
    wave = sixteen_bits(breathing(0))
    soundfile.write(tmp_path / "a.wav", wave, RATE, subtype="PCM_16")
    soundfile.write(tmp_path / "a.flac", wave, RATE)
    (match,) = matches(audio.decode(tmp_path / "a.wav"), audio.decode(tmp_path / "a.flac"))
    assert match.errors == 0


def test_patients_do_not_match(simulated):
    """No pair of the simulated recordings of both corpora, some 13,000 pairs."""
    files = sorted(simulated.rglob("*.wav"))
    assert matches(*map(audio.decode, files)) == []


def test_hum_silence_and_saturation_do_not_match():
    t = np.arange(6 * RATE) / RATE
    hum = 0.2 * np.sin(2 * np.pi * 100 * t).astype(np.float32)
    stuck = np.concatenate([breathing(3, 1.0), np.ones(4 * RATE, np.float32)])
    other = np.concatenate([breathing(4, 1.0), np.ones(4 * RATE, np.float32)])
    sounds = [hum + 0.02 * breathing(1, 6.0), hum + 0.02 * breathing(2, 6.0), stuck, other]
    silence = [np.zeros(6 * RATE, np.float32)] * 2
    assert matches(*((wave.astype(np.float32), RATE) for wave in [*sounds, *silence])) == []


def test_what_is_too_short_has_no_words():
    words, told = fingerprint.words(np.ones(RATE // 4, np.float32), RATE)
    assert len(words) == len(told) == 0
    assert fingerprint.matches([(words, told)] * 3) == []
