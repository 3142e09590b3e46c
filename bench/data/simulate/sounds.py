"""Waveforms of breathing, crackles, wheezes and heart sounds, cheap enough for hundreds of times real time.

Breath sound is noise whose amplitude follows the flow and whose spectrum falls by about 12 dB per octave above
a few hundred hertz, higher over the trachea, softer and lower in expiration (Pasterkamp et al., AJRCCM 156, 1997).
Adventitious sounds follow the CORSA definitions (Sovijärvi et al., Eur Respir Rev 10, 2000) with the typical values
of Bohadana et al. (NEJM 370, 2014) and Sarkar et al. (Ann Thorac Med 10, 2015): fine crackle about 650 Hz and 5 ms,
coarse crackle about 350 Hz and 15 ms, wheeze a tone above 100 Hz (typically 400 Hz) of more than 80 to 100 ms,
rhonchus below 200 Hz, stridor loud, inspiratory, above 500 Hz. These are caricatures for testing a benchmark, not
models of disease.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft

Stream = Callable[..., np.random.Generator]  # one independent generator per name

BREATH_RMS = 0.05  # of full scale, while air flows
LOCATION_HZ = {"Tc": 700.0, "Al": 330.0, "Ar": 330.0, "Ll": 280.0, "Lr": 280.0, "Pl": 240.0, "Pr": 240.0}
LOCATION_HZ |= {"p1": 260.0, "p2": 330.0, "p3": 260.0, "p4": 330.0}
LEVEL_SPREAD_DB = 4.0  # between the adventitious sounds of one patient


@dataclass(frozen=True)
class Device:
    """A stethoscope: native rate, tilt about 400 Hz, one resonance, and noise floor relative to the breath sound."""

    rate: int
    tilt_db_per_octave: float
    peak_hz: float
    peak_db: float
    floor_db: float


DEVICES = {
    "AKGC417L": Device(16000, 3.0, 900.0, 6.0, -24.0),
    "LittC2SE": Device(10000, 2.5, 700.0, 6.0, -27.0),
    "Meditron": Device(8000, -2.5, 180.0, 6.0, -38.0),
    "Litt3200": Device(4000, -3.0, 130.0, 6.0, -40.0),
    "Yunting": Device(8000, 0.0, 300.0, 3.0, -32.0),
}


@dataclass(frozen=True)
class Chest:
    """What is a patient's own: resonances (Hz, dB, octaves), breathing, pitch of crackles and wheezes, heart rate."""

    resonances: tuple[tuple[float, float, float], ...]
    breath_factor: float
    inspired: float
    expiration_db: float
    spectrum_factor: float
    crackle_factor: float
    wheeze_hz: float
    heart_hz: float
    heart_db: float


@dataclass(frozen=True)
class Breath:
    """One breath from ``start_s`` to ``end_s`` and the adventitious sounds in it (keys of ``SOUNDS``)."""

    start_s: float
    end_s: float
    sounds: tuple[str, ...] = ()


def chest(rng: np.random.Generator, *, child: bool) -> Chest:
    """A patient's acoustics; children breathe and beat faster and wheeze higher."""
    bands_hz = (100.0, 170.0, 280.0, 470.0, 780.0, 1300.0, 2200.0)
    return Chest(
        resonances=tuple(
            (hz * 2.0 ** rng.uniform(-0.35, 0.35), rng.normal(0.0, 8.0), rng.uniform(0.2, 0.35)) for hz in bands_hz
        ),
        breath_factor=float(np.exp(rng.normal(0.0, 0.15))),
        inspired=rng.uniform(0.36, 0.48),
        expiration_db=rng.uniform(-10.0, -4.0),
        spectrum_factor=float(np.exp(rng.normal(0.0, 0.15))),
        crackle_factor=float(np.exp(rng.normal(0.0, 0.15))),
        wheeze_hz=float(np.clip((450.0 if child else 380.0) * np.exp(rng.normal(0.0, 0.3)), 180.0, 900.0)),
        heart_hz=rng.uniform(85, 130) / 60 if child else rng.uniform(60, 100) / 60,
        heart_db=rng.uniform(-12.0, 0.0),
    )


def render(
    breaths: Sequence[Breath],
    chest: Chest,
    device: Device,
    stream: Stream,
    *,
    location: str,
    duration_s: float,
    snr_db: float,
    contact_db_per_octave: float = 0.0,
    spoilt: bool = False,
) -> np.ndarray:
    """A recording as int16 (T,) at ``device.rate``.

    ``snr_db`` is the RMS level of an adventitious sound over its own duration relative to that of the breath sound
    over the whole breath. ``contact_db_per_octave`` is the tilt that a chestpiece's pressure adds. ``spoilt`` buries
    all under rubbing and crying. Every ingredient draws from a stream of its own, so none moves another.
    """
    rate, n = device.rate, round(duration_s * device.rate)
    padded = fft.next_fast_len(n + rate // 4, real=True)
    hz = fft.rfftfreq(padded, 1 / rate).astype(np.float32)
    wave = _breathing(breaths, chest, stream("breath"), location, hz, padded, rate)
    rms = [_rms(wave[round(b.start_s * rate) : round(b.end_s * rate)]) for b in breaths]
    for index, (breath, level) in enumerate(zip(breaths, rms)):
        for kind in breath.sounds:
            rng = stream("sound", index, kind)
            gain_db = snr_db + rng.normal(0.0, LEVEL_SPREAD_DB)
            at_s, sound = SOUNDS[kind](rng, breath, chest, rate)
            _add(wave, round(at_s * rate), sound * np.float32(level * 10 ** (gain_db / 20)))
    _heart(wave, chest, stream("heart"), rate)
    if spoilt:
        _interference(wave, stream("spoilt"), rate)
    tilt = device.tilt_db_per_octave + contact_db_per_octave
    wave = fft.irfft(fft.rfft(wave) * _response(hz, chest, device, tilt), padded)[:n]
    floor = np.float32(10 ** ((device.floor_db + 3.0 * contact_db_per_octave) / 20))
    wave += floor * stream("floor").standard_normal(n, dtype=np.float32)
    wave *= np.float32(BREATH_RMS * 10 ** (stream("gain").normal(0.0, 2.0) / 20))
    wave *= np.float32(0.98 / max(0.98, float(np.abs(wave).max(initial=0.0))))
    return np.round(wave * 32767).astype(np.int16)


def _breathing(
    breaths: Sequence[Breath],
    chest: Chest,
    rng: np.random.Generator,
    location: str,
    hz: np.ndarray,
    n: int,
    rate: int,
) -> np.ndarray:
    """Noise shaped by flow and phase, RMS about 1 at full flow."""
    white = fft.rfft(rng.standard_normal(n, dtype=np.float32))
    corner = LOCATION_HZ[location] * chest.spectrum_factor
    flow = np.zeros((2, n), np.float32)  # inspiration, expiration
    for breath in breaths:
        start, end = round(breath.start_s * rate), round(breath.end_s * rate)
        turn = start + round((end - start) * chest.inspired)
        flow[0, start:turn] = np.sin(np.linspace(0, np.pi, turn - start, endpoint=False, dtype=np.float32))
        flow[1, turn:end] = np.sin(np.linspace(0, np.pi, end - turn, endpoint=False, dtype=np.float32))
    softer = np.float32(10 ** (chest.expiration_db / 20)) if location != "Tc" else np.float32(1.0)
    wave = np.full(n, 0.02, np.float32) * _shaped(white, hz, corner, n)
    for phase, (gain, factor) in enumerate(((np.float32(1.0), 1.0), (softer, 0.75))):
        wave += gain * flow[phase] * _shaped(white, hz, corner * factor, n)
    return wave


def _shaped(white: np.ndarray, hz: np.ndarray, corner_hz: float, n: int) -> np.ndarray:
    """The noise at RMS 1 with a high-pass at 70 Hz and -12 dB per octave above the corner."""
    gain = hz**2 / (hz**2 + np.float32(70.0**2)) / (1 + (hz / np.float32(corner_hz)) ** 2)
    return fft.irfft(white * (gain / np.sqrt(np.mean(gain**2))), n)


def _response(hz: np.ndarray, chest: Chest, device: Device, tilt_db: float) -> np.ndarray:
    """The amplitude response of chest wall and stethoscope at each frequency."""
    octaves = np.log2(np.maximum(hz, 30.0))
    db = np.float32(tilt_db) * np.clip(octaves - np.log2(400.0), -3.0, 3.0)
    for peak_hz, peak_db, width in (*chest.resonances, (device.peak_hz, device.peak_db, 0.5)):
        db = db + np.float32(peak_db) * np.exp(np.float32(-0.5) * ((octaves - np.log2(peak_hz)) / width) ** 2)
    return (10 ** (db / 20)).astype(np.float32)


def _crackles(
    rng: np.random.Generator,
    breath: Breath,
    chest: Chest,
    rate: int,
    *,
    hz: float,
    duration_s: float,
    count: tuple[int, int],
    place: tuple[float, float],
) -> tuple[float, np.ndarray]:
    """(start in s, wave): exponentially damped oscillations, each at RMS 1 over ``duration_s``."""
    number = rng.integers(*count)
    inspired_s = (breath.end_s - breath.start_s) * chest.inspired
    at_s = inspired_s * rng.beta(*place, size=number)
    pitch = hz * chest.crackle_factor * np.exp(rng.normal(0.0, 0.12, size=(number, 1)))
    decay_s = duration_s / 3 * np.exp(rng.normal(0.0, 0.1, size=(number, 1)))  # envelope at 5 % after duration_s
    t = np.arange(max(2, round(1.5 * duration_s * rate))) / rate
    each = np.exp(-t / decay_s) * np.sin(2 * np.pi * pitch * t)  # (number, samples)
    each *= rng.choice((-1.0, 1.0), size=(number, 1)) / np.sqrt(np.sum(each**2, axis=1, keepdims=True))
    each *= np.sqrt(duration_s * rate)
    wave = np.zeros(round(inspired_s * rate) + each.shape[1] + 1, np.float32)
    first = np.round(at_s * rate).astype(int)
    np.add.at(wave, first[:, None] + np.arange(each.shape[1]), each)
    return breath.start_s, wave


def _fine(rng: np.random.Generator, breath: Breath, chest: Chest, rate: int) -> tuple[float, np.ndarray]:
    return _crackles(rng, breath, chest, rate, hz=650.0, duration_s=0.005, count=(8, 18), place=(4.0, 2.0))


def _coarse(rng: np.random.Generator, breath: Breath, chest: Chest, rate: int) -> tuple[float, np.ndarray]:
    return _crackles(rng, breath, chest, rate, hz=350.0, duration_s=0.015, count=(4, 10), place=(1.5, 2.5))


def _tone(
    rng: np.random.Generator,
    breath: Breath,
    rate: int,
    *,
    hz: float,
    harmonics: tuple[float, ...],
    span: tuple[float, float],
    share: tuple[float, float],
) -> tuple[float, np.ndarray]:
    """(start in s, wave at RMS 1): harmonics with slow drift, vibrato and tremolo inside ``span`` of the breath."""
    length_s = breath.end_s - breath.start_s
    room_s = length_s * (span[1] - span[0])
    tone_s = min(room_s, max(0.1, room_s * rng.uniform(*share)))
    at_s = breath.start_s + length_s * span[0] + rng.uniform(0.0, 1.0) * (room_s - tone_s)
    t = np.arange(max(2, round(tone_s * rate))) / rate
    drift, vibrato, tremolo = rng.uniform(-0.1, 0.1), rng.uniform(2.0, 5.0), rng.uniform(3.0, 7.0)
    pitch = hz * (1 + drift * (t / tone_s - 0.5) + 0.015 * np.sin(2 * np.pi * vibrato * t))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    wave = sum(a * np.sin(k * phase) for k, a in enumerate(harmonics, 1) if k * hz * 1.1 < rate / 2)
    edge = np.minimum(1.0, np.minimum(t, t[::-1]) / 0.03)
    wave = wave * np.sin(np.pi / 2 * edge) ** 2 * (1 + 0.3 * np.sin(2 * np.pi * tremolo * t))
    return at_s, (wave / max(_rms(wave), 1e-9)).astype(np.float32)


def _wheeze(rng: np.random.Generator, breath: Breath, chest: Chest, rate: int) -> tuple[float, np.ndarray]:
    hz, span = chest.wheeze_hz * np.exp(rng.normal(0.0, 0.1)), (0.3, 1.0)
    return _tone(rng, breath, rate, hz=hz, harmonics=(1.0, 0.35, 0.12), span=span, share=(0.4, 0.9))


def _rhonchus(rng: np.random.Generator, breath: Breath, chest: Chest, rate: int) -> tuple[float, np.ndarray]:
    hz, span = rng.uniform(110.0, 190.0), (0.2, 1.0)
    return _tone(rng, breath, rate, hz=hz, harmonics=(1.0, 0.7, 0.5, 0.3, 0.2), span=span, share=(0.4, 0.9))


def _stridor(rng: np.random.Generator, breath: Breath, chest: Chest, rate: int) -> tuple[float, np.ndarray]:
    hz, span = rng.uniform(550.0, 1000.0), (0.0, chest.inspired)
    at_s, wave = _tone(rng, breath, rate, hz=hz, harmonics=(1.0, 0.5, 0.25), span=span, share=(0.7, 1.0))
    return at_s, wave * np.float32(2.0)  # heard without a stethoscope: 6 dB above a wheeze


SOUNDS = {"fine": _fine, "coarse": _coarse, "wheeze": _wheeze, "rhonchus": _rhonchus, "stridor": _stridor}


def _heart(wave: np.ndarray, chest: Chest, rng: np.random.Generator, rate: int) -> None:
    """Adds first and second heart sounds: damped bursts of 45 and 65 Hz, a third of a beat apart."""
    t = np.arange(round(0.1 * rate)) / rate
    gain = np.float32(10 ** (chest.heart_db / 20))
    beats_s = np.arange(rng.uniform(0.0, 1.0), len(wave) / rate * chest.heart_hz) / chest.heart_hz
    for hz, delay_s, level in ((45.0, 0.0, 2.0), (65.0, 0.33 / chest.heart_hz, 1.4)):
        burst = (level * np.exp(-t / 0.02) * np.sin(2 * np.pi * hz * t)).astype(np.float32)
        for beat_s in beats_s + delay_s + rng.normal(0.0, 0.01, len(beats_s)):
            _add(wave, max(0, round(beat_s * rate)), gain * burst)


def _interference(wave: np.ndarray, rng: np.random.Generator, rate: int) -> None:
    """Adds rubbing (bursts of noise) and crying (loud harmonics of 350 to 550 Hz), for Poor Quality."""
    length_s = len(wave) / rate
    for at_s in rng.uniform(0.0, length_s, max(2, round(length_s))):
        rub = rng.standard_normal(round(rng.uniform(0.1, 0.5) * rate), dtype=np.float32)
        _add(wave, round(at_s * rate), rub * np.float32(rng.uniform(2.0, 6.0)) * np.hanning(len(rub)).astype("f4"))
    for at_s in rng.uniform(0.0, length_s, max(1, round(length_s / 3))):
        cry = Breath(at_s, at_s + rng.uniform(0.5, 1.2))
        start_s, tone = _tone(
            rng,
            cry,
            rate,
            hz=rng.uniform(350.0, 550.0),
            harmonics=(1.0, 0.8, 0.6, 0.4),
            span=(0.0, 1.0),
            share=(0.8, 1.0),
        )
        _add(wave, round(start_s * rate), tone * np.float32(4.0))


def _add(wave: np.ndarray, start: int, sound: np.ndarray) -> None:
    """Adds a sound in place; what would pass the end is cut."""
    room = max(0, len(wave) - start)
    wave[start : start + len(sound)] += sound[:room]


def _rms(wave: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64)))) if len(wave) else 0.0
