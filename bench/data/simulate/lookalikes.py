"""Simulated recordings and their files, laid out as ICBHI 2017 and SPRSound 2022 are.

Each corpus has a function that plans its recordings and one that writes them and returns what a loader must count.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import soundfile

from bench.data.simulate.patients import (
    Patient,
    Phenotype,
    classes,
    cohort,
    generator,
    mislabelled,
    runs,
    spans_s,
    spread,
)
from bench.data.simulate.sounds import DEVICES, Breath, render

ICBHI, SPRSOUND = "ICBHI", "SPRSound"
ICBHI_DEVICES = ("AKGC417L", "LittC2SE", "Meditron", "Litt3200")
ICBHI_CLASSES = ("normal", "crackle", "wheeze", "both")
ICBHI_LOCATIONS = ("Tc", "Al", "Ar", "Pl", "Pr", "Ll", "Lr")
ICBHI_PHENOTYPES = (
    Phenotype(0.46, (0.95, 0.02, 0.02, 0.01), ("Healthy", "Healthy", "URTI")),
    Phenotype(0.24, (0.18, 0.70, 0.05, 0.07), ("COPD", "Bronchiectasis", "Pneumonia")),
    Phenotype(0.16, (0.22, 0.07, 0.62, 0.09), ("COPD", "Asthma")),
    Phenotype(0.14, (0.20, 0.22, 0.22, 0.36), ("COPD",)),
)
DEVICE_RATES = ((0.0, 0.55, 0.30, 0.15), (1.0, 0.0, 0.0, 0.0))  # under a full shortcut: abnormal, normal devices
ICBHI_TRAIN_SHARE = 0.6

SPR_EVENTS = ("Normal", "Rhonchi", "Wheeze", "Stridor", "Coarse Crackle", "Fine Crackle", "Wheeze+Crackle")
SPR_RECORDS = ("Normal", "CAS", "DAS", "CAS & DAS", "Poor Quality")
SPR_SOUNDS = ((), ("rhonchus",), ("wheeze",), ("stridor",), ("coarse",), ("fine",), ("wheeze", "fine"))
SPR_PHENOTYPES = (  # rates in the order of SPR_EVENTS
    Phenotype(0.46, (0.95, 0.0, 0.02, 0.0, 0.0, 0.03, 0.0)),
    Phenotype(0.18, (0.30, 0.0, 0.04, 0.0, 0.03, 0.63, 0.0)),
    Phenotype(0.15, (0.34, 0.04, 0.56, 0.0, 0.0, 0.03, 0.03)),
    Phenotype(0.07, (0.34, 0.0, 0.18, 0.0, 0.0, 0.18, 0.30)),
    Phenotype(0.07, (0.34, 0.0, 0.0, 0.0, 0.30, 0.36, 0.0)),
    Phenotype(0.07, (0.30, 0.30, 0.06, 0.34, 0.0, 0.0, 0.0)),
)
CAS, DAS = {1, 2, 3, 6}, {4, 5, 6}  # indices of SPR_EVENTS: continuous and discontinuous adventitious sounds
SPR_TRAIN_SHARE, SPR_INTRA_SHARE = 0.7, 0.6  # of patients; of train patients
SPOILT_SHARE, UNSORTED_SHARE = 0.09, 0.4  # of recordings; SPRSound 2022 has 187 and 1,124 of 2,683


@dataclass(frozen=True)
class Recording:
    """One sound file to be: its name and side, where the clips lie, what is true of them and what is written."""

    stem: str
    patient: Patient
    split: str
    location: str
    spans_s: tuple[tuple[float, float], ...]
    duration_s: float
    truth: tuple[int, ...]
    labels: tuple[int, ...]
    sounds: tuple[tuple[str, ...], ...]  # heard in a clip of each class
    contact_db: float = 0.0
    spoilt: bool = False


def icbhi_recordings(
    seed: int,
    *,
    patients: int,
    recordings_per_patient: int,
    cycles: int,
    clips: int | None,
    cycle_s: float,
    devices: Sequence[str],
    shortcut: float,
    leak: float,
    label_noise: float,
) -> list[Recording]:
    """The recordings of an ICBHI look-alike, by patient; parameters as in ``bench.data.simulate.generate.icbhi``."""
    draw = partial(generator, seed, ICBHI)
    people = cohort(
        draw,
        ICBHI_PHENOTYPES,
        patients=patients,
        train_share=ICBHI_TRAIN_SHARE,
        leak=leak,
        devices=devices,
        child_share=0.2,
    )
    total = patients * recordings_per_patient
    counts = [cycles] * total if clips is None else [clips // total + (k < clips % total) for k in range(total)]
    truth = []
    for person, own_counts in zip(people, runs(counts, [recordings_per_patient] * patients)):
        by_device = DEVICE_RATES[devices.index(person.device) >= len(devices) / 2]
        rates = [(1 - shortcut) * own + shortcut * of for own, of in zip(person.phenotype.rates, by_device)]
        truth += classes(draw("classes", person.number), rates, sum(own_counts))
    labels = mislabelled(draw("mislabelled"), truth, label_noise, (1, 1, 1, 2, 2, 3))
    recordings = []
    for k, (true, written) in enumerate(zip(runs(truth, counts), runs(labels, counts))):
        person, index = people[k // recordings_per_patient], k % recordings_per_patient
        crackle = "fine" if draw("crackle", person.number).random() < 0.6 else "coarse"
        rng = draw("recording", person.number, index)
        location, lead_s, contact_db = str(rng.choice(ICBHI_LOCATIONS)), rng.uniform(0.0, 0.3), rng.normal(0.0, 0.5)
        spans = spans_s(rng, len(true), median_s=cycle_s * person.body.breath_factor, lead_s=lead_s, gap_s=0.0)
        mode = "mc" if person.device == "AKGC417L" else "sc"
        recordings.append(
            Recording(
                stem=f"{301 + person.number}_{index + 1}b1_{location}_{mode}_{person.device}",
                patient=person,
                split="test" if person.test and not _moved(person, index, recordings_per_patient) else "train",
                location=location,
                spans_s=spans,
                duration_s=spans[-1][1] + 0.1,
                truth=true,
                labels=written,
                sounds=((), (crackle,), ("wheeze",), (crackle, "wheeze")),
                contact_db=contact_db,
            )
        )
    return recordings


def sprsound_recordings(
    seed: int, *, patients: int, recordings_per_patient: int, leak: float, label_noise: float
) -> list[Recording]:
    """The recordings of an SPRSound look-alike, by patient; parameters as in ``bench.simulate.sprsound``."""
    draw = partial(generator, seed, SPRSOUND)
    people = cohort(
        draw,
        SPR_PHENOTYPES,
        patients=patients,
        train_share=SPR_TRAIN_SHARE,
        leak=leak,
        devices=("Yunting",),
        child_share=1.0,
    )
    intra, spoilt = _intra_patients(people), _spoilt(draw, people, recordings_per_patient)
    each = [(person, index) for person in people for index in range(recordings_per_patient)]
    counts = [0 if (p.number, k) in spoilt else int(draw("events", p.number, k).integers(3, 8)) for p, k in each]
    truth = []
    for person, own_counts in zip(people, runs(counts, [recordings_per_patient] * patients)):
        truth += classes(draw("classes", person.number), person.phenotype.rates, sum(own_counts))
    labels = mislabelled(draw("mislabelled"), truth, label_noise, (5, 5, 5, 2, 2))
    numbers = draw("recording numbers").permutation(len(each)) + 1001
    recordings = []
    for (person, index), number, true, written in zip(each, numbers, runs(truth, counts), runs(labels, counts)):
        rng = draw("recording", person.number, index)
        location, lead_s, contact_db = f"p{rng.integers(1, 5)}", rng.uniform(0.1, 0.6), rng.normal(0.0, 2.0)
        spans = spans_s(rng, len(true), median_s=1.25 * person.body.breath_factor, lead_s=lead_s, gap_s=0.25)
        if person.test:
            split = "train" if _moved(person, index, recordings_per_patient) else "inter"
        else:
            split = "intra" if person.number in intra and index == recordings_per_patient - 1 else "train"
        who = draw("age and gender", person.number)
        recordings.append(
            Recording(
                stem=f"{90000001 + person.number}_{who.uniform(0.2, 16.0):.1f}_{who.integers(2)}_{location}_{number}",
                patient=person,
                split=split,
                location=location,
                spans_s=spans,
                duration_s=spans[-1][1] + 0.3 if spans else 6.0,
                truth=true,
                labels=written,
                sounds=SPR_SOUNDS,
                contact_db=contact_db,
                spoilt=not true,
            )
        )
    return recordings


def _moved(person: Patient, index: int, recordings: int) -> bool:
    """Whether a leak puts this recording of a test patient into train: the first half of them, at least one."""
    return person.leaked and index < (recordings + 1) // 2


def _intra_patients(people: Sequence[Patient]) -> set[int]:
    """Numbers of the train patients whose last recording is the intra test, over all phenotypes."""
    train = sorted((p for p in people if not p.test), key=lambda p: SPR_PHENOTYPES.index(p.phenotype))
    return {p.number for p, chosen in zip(train, spread(round(SPR_INTRA_SHARE * len(train)), len(train))) if chosen}


def _spoilt(draw: partial, people: Sequence[Patient], recordings: int) -> set[tuple[int, int]]:
    """(patient number, index) of the recordings of poor quality.

    Five or more in train where it is large enough; never of patients with rare sounds, and in train never a patient's
    last, which may be the intra test.
    """
    chosen = set()
    for test, fewest in ((False, 5), (True, 1)):
        side = [p for p in people if p.test == test]
        common = [p.number for p in side if p.phenotype.share > 0.1]
        eligible = [(number, index) for number in common for index in range(recordings - (not test))]
        count = min(len(eligible) // 2, max(fewest, round(SPOILT_SHARE * len(side) * recordings)))
        chosen |= {eligible[k] for k in draw("spoilt", test).permutation(len(eligible))[:count]}
    return chosen


# --------------------------------------------------------------------------- files


def write_icbhi(folder: Path, recordings: Sequence[Recording], seed: int, snr_db: float, audio_format: str) -> dict:
    """{"counts": {split: …}, "leaked_patients", "mislabelled"} after writing the layout of ICBHI 2017."""
    database = folder / "ICBHI_final_database"
    database.mkdir()
    for recording in recordings:
        write_audio(database, recording, ICBHI, seed, snr_db, audio_format)
        rows = (
            f"{start_s:.3f}\t{end_s:.3f}\t{int(label in (1, 3))}\t{int(label in (2, 3))}\n"
            for (start_s, end_s), label in zip(recording.spans_s, recording.labels)
        )
        _write_text(database / f"{recording.stem}.txt", rows)
    people = {recording.patient.number: recording.patient for recording in recordings}
    by_stem = sorted(recordings, key=lambda recording: recording.stem)
    _write_text(folder / "ICBHI_challenge_train_test.txt", (f"{r.stem}\t{r.split}\n" for r in by_stem))
    diagnoses, demographics = [], []
    for number, person in sorted(people.items()):
        rng = generator(seed, ICBHI, "demographics", number)
        diagnoses.append(f"{301 + number}\t{rng.choice(person.phenotype.diagnoses)}\n")
        age = rng.uniform(1.0, 17.0) if person.child else rng.uniform(45.0, 90.0)
        sex = "MF"[rng.integers(2)]
        demographics.append(f"{301 + number}\t{age:.0f}.0\t{sex}\tNA\tNA\tNA\n")
    _write_text(folder / "ICBHI_Challenge_diagnosis.txt", diagnoses)
    _write_text(folder / "ICBHI_Challenge_demographic_information.txt", demographics)
    return _facts(recordings, 301, _icbhi_counts)


def write_sprsound(folder: Path, recordings: Sequence[Recording], seed: int, snr_db: float, audio_format: str) -> dict:
    """{"counts": {split: …}, "leaked_patients", "mislabelled"} after writing the 2022 layout of SPRSound."""
    places = {"train": "train_json", "inter": "test_json/inter_test_json", "intra": "test_json/intra_test_json"}
    for name in (*places.values(), "train_wav", "test_wav"):
        (folder / name).mkdir(parents=True)
    shuffled = _unsorted(recordings, seed)
    for recording in recordings:
        sounds = folder / ("train_wav" if recording.split == "train" else "test_wav")
        write_audio(sounds, recording, SPRSOUND, seed, snr_db, audio_format)
        events = [
            {"start": str(round(1000 * start_s)), "end": str(round(1000 * end_s)), "type": SPR_EVENTS[label]}
            for (start_s, end_s), label in zip(recording.spans_s, recording.labels)
        ]
        if recording.stem in shuffled:
            order = generator(seed, SPRSOUND, "order", recording.stem).permutation(len(events)).tolist()
            events = [events[k] for k in (order[::-1] if order == sorted(order) else order)]
        content = {"record_annotation": _record_label(recording), "event_annotation": events}
        _write_text(folder / places[recording.split] / f"{recording.stem}.json", [json.dumps(content)])
    return _facts(recordings, 90000001, _sprsound_counts)


def write_audio(folder: Path, recording: Recording, corpus: str, seed: int, snr_db: float, audio_format: str) -> None:
    """Renders a recording into a sound file of 16-bit samples at its device's rate."""
    device = DEVICES[recording.patient.device]
    wave = render(
        [Breath(*span, recording.sounds[label]) for span, label in zip(recording.spans_s, recording.truth)],
        recording.patient.body,
        device,
        partial(generator, seed, corpus, "audio", recording.stem),
        location=recording.location,
        duration_s=recording.duration_s,
        snr_db=snr_db,
        contact_db_per_octave=recording.contact_db,
        spoilt=recording.spoilt,
    )
    soundfile.write(folder / f"{recording.stem}.{audio_format}", wave, device.rate, subtype="PCM_16")


def _write_text(path: Path, lines: Iterable[str]) -> None:
    path.write_bytes("".join(lines).encode())


def _unsorted(recordings: Sequence[Recording], seed: int) -> set[str]:
    """Stems of the files whose events are not in order of time."""
    able = [recording.stem for recording in recordings if len(recording.labels) > 1]
    chosen = generator(seed, SPRSOUND, "unsorted").permutation(len(able))[: round(UNSORTED_SHARE * len(recordings))]
    return {able[k] for k in chosen}


def _record_label(recording: Recording) -> str:
    """The union of the events' kinds, as SPRSound's annotators have it; without events, Poor Quality."""
    if not recording.labels:
        return "Poor Quality"
    continuous, discontinuous = not CAS.isdisjoint(recording.labels), not DAS.isdisjoint(recording.labels)
    return ("CAS & DAS" if discontinuous else "CAS") if continuous else ("DAS" if discontinuous else "Normal")


def _facts(recordings: Sequence[Recording], first_patient: int, count: Callable[[Sequence[Recording]], dict]) -> dict:
    splits = sorted({recording.split for recording in recordings})
    return {
        "counts": {split: count([r for r in recordings if r.split == split]) for split in splits},
        "leaked_patients": sorted({str(first_patient + r.patient.number) for r in recordings if r.patient.leaked}),
        "mislabelled": [
            [recording.stem, index]  # in order of time
            for recording in recordings
            for index, (true, written) in enumerate(zip(recording.truth, recording.labels))
            if true != written
        ],
    }


def _icbhi_counts(recordings: Sequence[Recording]) -> dict:
    labels = Counter(label for recording in recordings for label in recording.labels)
    each = {name: labels[k] for k, name in enumerate(ICBHI_CLASSES)}
    return _sizes(recordings) | each | {"total": labels.total()}


def _sprsound_counts(recordings: Sequence[Recording]) -> dict:
    labels = Counter(label for recording in recordings for label in recording.labels)
    records = Counter(_record_label(recording) for recording in recordings)
    return _sizes(recordings) | {
        "events": labels.total(),
        "event_types": {name: labels[k] for k, name in enumerate(SPR_EVENTS)},
        "record_types": {name: records[name] for name in SPR_RECORDS},
    }


def _sizes(recordings: Sequence[Recording]) -> dict[str, int]:
    return {"recordings": len(recordings), "patients": len({recording.patient.number for recording in recordings})}
