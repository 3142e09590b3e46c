"""Corpora for testing claims about fine-tuning, whose best possible answers are known.

A clip is noise like a breath's, with a band of noise in it whose pitch alone tells the class: normally distributed
about the class's own place on a scale of octaves, with a part that the patient's clips share. Classes overlap, so the
best rule is known, and ``attainable`` gives what it reaches. Devices colour all that a patient's recording holds by a
tilt of the spectrum, which says nothing about the class but what a split plants. Beside each corpus in which something
is planted stands its control, drawn alike without it.

Every number here was fixed before the runs that are reported.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from scipy.stats import multivariate_normal, norm

from bench.data.simulate.patients import classes as class_sequence
from bench.data.simulate.patients import generator

RATE, CLIP_S = 4000, 0.64
CLIPS = 12  # of a patient
MIDDLE_HZ, BAND_OCTAVES, SNR_DB = 400.0, 0.15, 6.0
PITCH_SD, PATIENT_SD = 0.24, 0.07  # octaves: of clips of a patient, of patients
TILT_DB = {"A": 2.0, "B": -2.0}  # by octave, of a device; each patient's differs from it
TILT_SD_DB, RESONANCE_SD_DB, GAIN_SD_DB = 1.5, 3.0, 3.0
LEVEL = 0.05  # RMS of full scale
WORN_SNR_DB = -12.0  # of white noise in worn clips, which keep their level
SIGNATURE_SD_DB = 9.0  # in place of RESONANCE_SD_DB where patients have a signature
PATIENT = "patient"  # what the table calls the class where patients are to be told apart


@dataclass(frozen=True)
class Split:
    """``shares`` {device: share of each class}: patients are dealt out to the devices in turn."""

    patients: int
    shares: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Corpus:
    """``places`` {class: octaves from the middle, of each of its bands}; ``label`` names what the table calls the
    class: the sound's, the device or the patient, half of whose clips are then in each split. ``stream`` names the
    draws (empty: as the corpus); ``worn`` is the share of clips with noise, ``resonance_db`` the SD of what a patient's
    chest does to all of its clips."""

    name: str
    places: Mapping[str, tuple[float, ...]]
    splits: Mapping[str, Split]
    label: str = "class"
    stream: str = ""
    worn: float = 0.0
    resonance_db: float = RESONANCE_SD_DB


_PITCHES = {"normal": (0.0,), "b": (0.5,), "c": (1.0,), "d": (-0.5,)}  # the rarest beside the most frequent
_QUARTERS = (0.25,) * 4
LONG_TAIL = Corpus(
    "long_tail",
    _PITCHES,
    {"train": Split(100, {"A": (0.60, 0.25, 0.10, 0.05)}), "test": Split(40, {"A": _QUARTERS})},
)
_EVEN_SPLITS = {"train": Split(50, {"A": _QUARTERS}), "test": Split(40, {"A": _QUARTERS})}
EVEN = Corpus("even", _PITCHES, _EVEN_SPLITS)
WORN = Corpus("worn", _PITCHES, _EVEN_SPLITS, stream="even", worn=0.5)
AGREEMENT = 0.8  # share of a device's clips that are of the class that goes with it
_WITH, _AGAINST = (AGREEMENT, 1 - AGREEMENT), (1 - AGREEMENT, AGREEMENT)
_PLANTED, _HALVES = {"A": _WITH, "B": _AGAINST}, {"A": (0.5, 0.5), "B": (0.5, 0.5)}
SHORTCUT = Corpus(
    "shortcut",
    {"normal": (-0.25,), "wheeze": (0.25,)},
    {"train": Split(60, _PLANTED), "test": Split(24, _PLANTED), "test_ood": Split(24, {"A": _AGAINST, "B": _WITH})},
)
NO_SHORTCUT = Corpus(
    "no_shortcut",
    SHORTCUT.places,
    {name: Split(split.patients, _HALVES) for name, split in SHORTCUT.splits.items()},
    stream="shortcut",
)
DEVICES = Corpus("devices", SHORTCUT.places, {"train": Split(40, _HALVES), "test": Split(40, _HALVES)}, "device")
_FINDINGS = {"normal": (-1.05, 0.95), "crackle": (-0.55, 0.95), "wheeze": (-1.05, 1.45), "both": (-0.55, 1.45)}
OFTEN = 0.55  # share of a patient's clips that are of the class it has most
_LOPSIDED = {
    kind: tuple(OFTEN if kind == each else (1 - OFTEN) / (len(_FINDINGS) - 1) for each in _FINDINGS)
    for kind in _FINDINGS
}
_PATIENT_SPLITS = {"train": Split(32, _LOPSIDED), "test": Split(32, _LOPSIDED)}
PATIENTS = Corpus("patients", _FINDINGS, _PATIENT_SPLITS, resonance_db=SIGNATURE_SD_DB)
NO_SIGNATURE = Corpus("no_signature", _FINDINGS, _PATIENT_SPLITS, stream="patients")
IDENTITIES = Corpus(
    "identities", _FINDINGS, {"known": Split(24, {"A": _QUARTERS})}, PATIENT, resonance_db=SIGNATURE_SD_DB
)
CORPORA = {
    corpus.name: corpus
    for corpus in (LONG_TAIL, EVEN, WORN, SHORTCUT, NO_SHORTCUT, DEVICES, PATIENTS, NO_SIGNATURE, IDENTITIES)
}
CONTROLS = {  # {corpus: the same without what is planted}
    LONG_TAIL.name: EVEN.name,
    WORN.name: EVEN.name,
    SHORTCUT.name: NO_SHORTCUT.name,
    PATIENTS.name: NO_SIGNATURE.name,
}
PROBES = {  # {corpus: what encoders trained on it are probed on}
    SHORTCUT.name: DEVICES.name,
    NO_SHORTCUT.name: DEVICES.name,
    PATIENTS.name: IDENTITIES.name,
    NO_SIGNATURE.name: IDENTITIES.name,
}


def written(corpus: Corpus, folder: Path, seed: int, patients: int | None = None) -> Path:
    """The table of the corpus in ``folder``, a recording of 16 bits for each patient beside it; ``patients`` of every
    split in place of its own number."""
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / f"{corpus.name}.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["path", "start", "end", "label", "group", "split", "domain"])
        for name, split in corpus.splits.items():
            for number in range(patients or split.patients):
                group, clips = f"{name}-{number:02d}", CLIPS * (2 if corpus.label == PATIENT else 1)
                device = list(split.shares)[number % len(split.shares)]
                key = (seed, corpus.stream or corpus.name, group)
                kinds = class_sequence(generator(*key, "kinds"), split.shares[device], clips)
                waves = _recording(corpus, kinds, device, generator(*key, "sound"))
                waves = _worn(waves, corpus.worn, generator(*key, "wear"))
                soundfile.write(folder / f"{group}.wav", np.concatenate(waves), RATE, subtype="PCM_16")
                for i, kind in enumerate(kinds):
                    told = {"class": list(corpus.places)[kind], "device": device, PATIENT: group}[corpus.label]
                    side, owner = name, group
                    if corpus.label == PATIENT:
                        side = "train" if i < CLIPS else "test"
                        owner = f"{group}-{side}"
                    span = (f"{i * CLIP_S:.2f}", f"{(i + 1) * CLIP_S:.2f}")
                    out.writerow([f"{group}.wav", *span, told, owner, side, device])
    return table


def _recording(corpus: Corpus, kinds: list[int], device: str, rng: np.random.Generator) -> list[np.ndarray]:
    """The clips of a patient."""
    places, own = list(corpus.places.values()), rng.normal(0, PATIENT_SD)
    tilt_db = TILT_DB.get(device, 0.0) + rng.normal(0, TILT_SD_DB)
    n = round(CLIP_S * RATE)
    octave = np.log2(np.maximum(np.fft.rfftfreq(n, 1 / RATE), 60.0) / MIDDLE_HZ)
    chest_db = sum(
        rng.normal(0, corpus.resonance_db) * np.exp(-0.5 * ((octave - rng.uniform(-2, 2)) / 0.5) ** 2) for _ in range(3)
    )
    heard = 10 ** ((tilt_db * np.clip(octave, -3, 3) + chest_db) / 20)
    clips = []
    for kind in kinds:
        bands = [place + own + rng.normal(0, PITCH_SD) for place in places[kind]]
        breath = _shaped(rng, 2.0**-octave, n)
        sound = sum(_shaped(rng, np.exp(-0.5 * ((octave - band) / BAND_OCTAVES) ** 2), n) for band in bands)
        start, length = rng.integers(0, n // 2 + 1), n // 2  # the sound lasts for half of the clip
        window = np.zeros(n)
        window[start : start + length] = np.hanning(length)
        wave = np.fft.irfft(np.fft.rfft(breath + 10 ** (SNR_DB / 20) * window * sound) * heard, n)
        level = LEVEL * 10 ** (rng.normal(0, GAIN_SD_DB) / 20)
        clips.append(np.clip(level * wave / np.sqrt(np.mean(wave**2)), -1, 1))
    return clips


def _worn(clips: list[np.ndarray], share: float, rng: np.random.Generator) -> list[np.ndarray]:
    """The clips, a share of them, whichever, with white noise at ``WORN_SNR_DB`` and the level that they had."""
    chosen = set(rng.permutation(len(clips))[: round(share * len(clips))].tolist())
    return [_noisy(clip, rng) if i in chosen else clip for i, clip in enumerate(clips)]


def _noisy(clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    level = np.sqrt(np.mean(clip**2))
    noise = rng.standard_normal(len(clip))
    mixed = clip + 10 ** (-WORN_SNR_DB / 20) * level * noise / np.sqrt(np.mean(noise**2))
    return np.clip(level * mixed / np.sqrt(np.mean(mixed**2)), -1, 1)


def _shaped(rng: np.random.Generator, gain: np.ndarray, n: int) -> np.ndarray:
    """Noise (n,) of that spectrum at RMS 1."""
    wave = np.fft.irfft(np.fft.rfft(rng.standard_normal(n)) * gain, n)
    return wave / np.sqrt(np.mean(wave**2))


def attainable(corpus: Corpus, split: str, prior: str) -> dict[str, float]:
    """{class: recall} in a split of the best rule that knows a clip's pitch and, under the prior ``device``, how often
    the device goes with each class in training; under ``train`` how often classes occur in training, under ``even``
    nothing. By integration over the pitch of each band, exact where a class is told by pitch and device alone."""
    density, cell = _densities(list(corpus.places.values()))
    trained, tested = corpus.splits["train"].shares, corpus.splits[split].shares
    overall = np.mean(list(trained.values()), axis=0)
    right, clips = np.zeros(len(density)), np.zeros(len(density))
    for device, shares in tested.items():
        known = {"device": np.array(trained[device]), "train": overall, "even": np.ones(len(density))}[prior]
        said = (known[:, None] * density).argmax(axis=0)
        for k, share in enumerate(shares):
            right[k] += share * float((density[k] * (said == k)).sum() * cell)
            clips[k] += share
    return dict(zip(corpus.places, (right / clips).tolist(), strict=True))


def _densities(places: list[tuple[float, ...]]) -> tuple[np.ndarray, float]:
    """(classes, points) density of the bands' pitches on a grid, and the size of its cells."""
    if len(places[0]) == 1:
        grid = np.linspace(-3, 3, 6001)
        spread = np.hypot(PITCH_SD, PATIENT_SD)
        return np.stack([norm.pdf(grid, place, spread) for (place,) in places]), float(grid[1] - grid[0])
    grid = np.linspace(-3, 3, 601)[:-1] + 0.005  # no point is on the border of two classes
    points = np.stack(np.meshgrid(*[grid] * len(places[0])), axis=-1).reshape(-1, len(places[0]))
    covariance = PITCH_SD**2 * np.eye(len(places[0])) + PATIENT_SD**2  # the patient's part is that of all its bands
    density = np.stack([multivariate_normal.pdf(points, place, covariance) for place in places])
    return density, float((grid[1] - grid[0]) ** len(places[0]))
