"""Corpora for testing claims about fine-tuning, whose best possible answers are known.

A clip is noise like a breath's, with a band of noise in it whose pitch alone tells the class: normally distributed
about the class's own place on a scale of octaves, with a part that the patient's clips share. Classes overlap, so the
best rule is known, and ``attainable`` gives what it reaches. Devices colour all that a patient's recording holds by a
tilt of the spectrum, which says nothing about the class but what a split plants.

Every number here was fixed before the runs that are reported.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from scipy.stats import norm

from bench.data.simulate.patients import classes as class_sequence
from bench.data.simulate.patients import generator

RATE, CLIP_S = 4000, 0.64
CLIPS = 12  # of a patient
MIDDLE_HZ, BAND_OCTAVES, SNR_DB = 400.0, 0.15, 6.0
PITCH_SD, PATIENT_SD = 0.24, 0.07  # octaves: of clips of a patient, of patients
TILT_DB = {"A": 2.0, "B": -2.0}  # by octave, of a device; each patient's differs from it
TILT_SD_DB, RESONANCE_SD_DB, GAIN_SD_DB = 1.5, 3.0, 3.0
LEVEL = 0.05  # RMS of full scale


@dataclass(frozen=True)
class Split:
    """``shares`` {device: share of each class}: patients are dealt out to the devices in turn."""

    patients: int
    shares: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Corpus:
    """``places`` {class: octaves from the middle}; ``label`` names what the table calls the class: the sound's or the
    device."""

    name: str
    places: Mapping[str, float]
    splits: Mapping[str, Split]
    label: str = "class"


LONG_TAIL = Corpus(
    "long_tail",
    {"normal": 0.0, "b": 0.5, "c": 1.0, "d": -0.5},  # the rarest beside the most frequent
    {"train": Split(100, {"A": (0.60, 0.25, 0.10, 0.05)}), "test": Split(40, {"A": (0.25,) * 4})},
)
AGREEMENT = 0.8  # share of a device's clips that are of the class that goes with it
_WITH, _AGAINST = (AGREEMENT, 1 - AGREEMENT), (1 - AGREEMENT, AGREEMENT)
_PLANTED, _EVEN = {"A": _WITH, "B": _AGAINST}, {"A": (0.5, 0.5), "B": (0.5, 0.5)}
SHORTCUT = Corpus(
    "shortcut",
    {"normal": -0.25, "wheeze": 0.25},
    {"train": Split(60, _PLANTED), "test": Split(24, _PLANTED), "test_ood": Split(24, {"A": _AGAINST, "B": _WITH})},
)
DEVICES = Corpus("devices", SHORTCUT.places, {"train": Split(40, _EVEN), "test": Split(40, _EVEN)}, "device")


def written(corpus: Corpus, folder: Path, seed: int, patients: int | None = None) -> Path:
    """The table of the corpus in ``folder``, a recording of 16 bits for each patient beside it; ``patients`` of every
    split in place of its own number."""
    folder.mkdir(parents=True)
    table = folder / f"{corpus.name}.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["path", "start", "end", "label", "group", "split", "domain"])
        for name, split in corpus.splits.items():
            for number in range(patients or split.patients):
                group = f"{name}-{number:02d}"
                device = list(split.shares)[number % len(split.shares)]
                kinds = class_sequence(generator(seed, corpus.name, group, "kinds"), split.shares[device], CLIPS)
                waves = _recording(corpus, kinds, device, generator(seed, corpus.name, group, "sound"))
                soundfile.write(folder / f"{group}.wav", np.concatenate(waves), RATE, subtype="PCM_16")
                for i, kind in enumerate(kinds):
                    told = device if corpus.label == "device" else list(corpus.places)[kind]
                    span = (f"{i * CLIP_S:.2f}", f"{(i + 1) * CLIP_S:.2f}")
                    out.writerow([f"{group}.wav", *span, told, group, name, device])
    return table


def _recording(corpus: Corpus, kinds: list[int], device: str, rng: np.random.Generator) -> list[np.ndarray]:
    """The clips of a patient."""
    places, own = list(corpus.places.values()), rng.normal(0, PATIENT_SD)
    tilt_db = TILT_DB[device] + rng.normal(0, TILT_SD_DB)
    n = round(CLIP_S * RATE)
    octave = np.log2(np.maximum(np.fft.rfftfreq(n, 1 / RATE), 60.0) / MIDDLE_HZ)
    chest_db = sum(
        rng.normal(0, RESONANCE_SD_DB) * np.exp(-0.5 * ((octave - rng.uniform(-2, 2)) / 0.5) ** 2) for _ in range(3)
    )
    heard = 10 ** ((tilt_db * np.clip(octave, -3, 3) + chest_db) / 20)
    clips = []
    for kind in kinds:
        place = places[kind] + own + rng.normal(0, PITCH_SD)
        breath = _shaped(rng, 2.0**-octave, n)
        sound = _shaped(rng, np.exp(-0.5 * ((octave - place) / BAND_OCTAVES) ** 2), n)
        start, length = rng.integers(0, n // 2 + 1), n // 2  # the sound lasts for half of the clip
        window = np.zeros(n)
        window[start : start + length] = np.hanning(length)
        wave = np.fft.irfft(np.fft.rfft(breath + 10 ** (SNR_DB / 20) * window * sound) * heard, n)
        level = LEVEL * 10 ** (rng.normal(0, GAIN_SD_DB) / 20)
        clips.append(np.clip(level * wave / np.sqrt(np.mean(wave**2)), -1, 1))
    return clips


def _shaped(rng: np.random.Generator, gain: np.ndarray, n: int) -> np.ndarray:
    """Noise (n,) of that spectrum at RMS 1."""
    wave = np.fft.irfft(np.fft.rfft(rng.standard_normal(n)) * gain, n)
    return wave / np.sqrt(np.mean(wave**2))


def attainable(corpus: Corpus, split: str, prior: str) -> dict[str, float]:
    """{class: recall} in a split of the best rule that knows a clip's pitch and, under the prior ``device``, how often
    the device goes with each class in training; under ``train`` how often classes occur in training, under ``even``
    nothing. By integration over pitch, exact where a class is told by pitch and device alone."""
    grid = np.linspace(-3, 3, 6001)
    density = np.stack([norm.pdf(grid, place, np.hypot(PITCH_SD, PATIENT_SD)) for place in corpus.places.values()])
    trained, tested = corpus.splits["train"].shares, corpus.splits[split].shares
    overall = np.mean(list(trained.values()), axis=0)
    right, clips = np.zeros(len(density)), np.zeros(len(density))
    for device, shares in tested.items():
        known = {"device": np.array(trained[device]), "train": overall, "even": np.ones(len(density))}[prior]
        said = (known[:, None] * density).argmax(axis=0)
        for k, share in enumerate(shares):
            right[k] += share * float((density[k] * (said == k)).sum() * (grid[1] - grid[0]))
            clips[k] += share
    return dict(zip(corpus.places, (right / clips).tolist(), strict=True))
