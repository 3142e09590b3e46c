"""The ingredients of simulated recordings have the published pitches, durations and levels."""

from functools import partial

import numpy as np
import pytest

from bench.data.simulate.patients import generator
from bench.data.simulate.sounds import DEVICES, SOUNDS, Breath, chest, render

RATE = 8000
BREATH = Breath(0.0, 3.0)


def spectrum_peak_hz(wave, rate=RATE):
    power = np.abs(np.fft.rfft(wave, 1 << 16)) ** 2
    return np.fft.rfftfreq(1 << 16, 1 / rate)[np.argmax(power)]


def some(kind, seeds=range(8), breath=BREATH):
    for seed in seeds:
        body = chest(generator(seed, "chest"), child=False)
        yield body, *SOUNDS[kind](generator(seed, "sound"), breath, body, RATE)


@pytest.mark.parametrize(("kind", "low_hz", "high_hz"), [("rhonchus", 100, 200), ("stridor", 500, 1100)])
def test_pitch(kind, low_hz, high_hz):
    assert all(low_hz < spectrum_peak_hz(wave) < high_hz for _, _, wave in some(kind))


def test_wheeze_has_the_patients_pitch():
    for body, _, wave in some("wheeze"):
        assert spectrum_peak_hz(wave) > 100 and spectrum_peak_hz(wave) == pytest.approx(body.wheeze_hz, rel=0.5)


@pytest.mark.parametrize("kind", ["wheeze", "rhonchus", "stridor"])
def test_tones_last_longer_than_100_ms(kind):
    assert all(len(wave) > 0.1 * RATE for _, _, wave in some(kind))


def test_tones_stay_inside_the_breath_and_stridor_in_inspiration():
    for kind in ("wheeze", "rhonchus", "stridor"):
        for body, at_s, wave in some(kind):
            last_s = BREATH.end_s * (body.inspired if kind == "stridor" else 1.0)
            assert at_s >= 0 and at_s + len(wave) / RATE <= last_s + 1e-3


def test_fine_crackles_are_shorter_and_higher_than_coarse_ones():
    centre_hz, active_s = {}, {}
    for kind in ("fine", "coarse"):
        waves = [wave for _, _, wave in some(kind)]
        power = sum(np.abs(np.fft.rfft(wave, 1 << 15)) ** 2 for wave in waves)
        centre_hz[kind] = np.average(np.fft.rfftfreq(1 << 15, 1 / RATE), weights=power)
        active_s[kind] = np.mean([np.sum(np.abs(w) > 0.1 * np.abs(w).max()) / RATE for w in waves])
    assert 500 < centre_hz["fine"] < 900 and 250 < centre_hz["coarse"] < 500
    assert active_s["fine"] < active_s["coarse"] < 0.15 * BREATH.end_s


@pytest.mark.parametrize("kind", sorted(SOUNDS))
def test_level_follows_snr(kind):
    """The part that a sound adds grows by 20 dB with 20 dB, and what else is heard stays the same."""
    body = chest(generator(0, "chest"), child=False)
    make = partial(
        render, chest=body, device=DEVICES["Meditron"], stream=partial(generator, 0), location="Pl", duration_s=3.2
    )
    normal = make([BREATH], snr_db=0.0).astype(float)
    parts = [make([Breath(0.0, 3.0, (kind,))], snr_db=db).astype(float) - normal for db in (-20.0, 0.0)]
    ratio_db = 10 * np.log10(np.mean(parts[1] ** 2) / np.mean(parts[0] ** 2))
    assert ratio_db == pytest.approx(20.0, abs=0.5)


def test_no_sample_clips_however_loud():
    body = chest(generator(0, "chest"), child=True)
    wave = render(
        [Breath(0.0, 2.0, ("wheeze", "fine"))],
        body,
        DEVICES["Yunting"],
        partial(generator, 0),
        location="p1",
        duration_s=2.5,
        snr_db=60.0,
        spoilt=True,
    )
    assert wave.dtype == np.int16 and len(wave) == 20000 and 30000 < np.abs(wave.astype(int)).max() < 32767


def test_low_rate_devices_hear_short_breaths():
    body = chest(generator(1, "chest"), child=False)
    for kind in SOUNDS:
        wave = render(
            [Breath(0.0, 0.05, (kind,))],
            body,
            DEVICES["Litt3200"],
            partial(generator, 1),
            location="Tc",
            duration_s=0.1,
            snr_db=12.0,
        )
        assert len(wave) == 400 and np.abs(wave).max() > 0
