"""Corpora with known answers, written in the on-disk layouts of ICBHI 2017 and SPRSound 2022.

Every draw comes from a generator named after what it decides (seed, corpus, patient, recording, ingredient), so the
same call writes the same bytes with the same library versions, and turning one knob leaves every other draw as it
was: two corpora that differ in ``leak`` hold the same recordings on different sides of the split.

The knobs, and what an honest benchmark must report:

* ``snr_db``: level of adventitious sounds over breath sounds. Scores rise with it and fall to chance far below 0.
* ``shortcut`` in [0, 1], ICBHI only: how far the device decides whether a patient's cycles are abnormal, in train
  and test alike (1: AKGC417L and LittC2SE always, Meditron and Litt3200 never). Scores rise in-domain and fall on
  SPRSound, where one device with a random chestpiece tilt serves all.
* ``leak``: fraction of test (SPRSound: inter) patients with the first half of their recordings in train. Patients
  differ in acoustics and in how often they are abnormal, so knowing one helps.
* ``label_noise``: fraction of clips whose label is wrong, normal written as abnormal or the reverse, in every split.
  The audio follows the true label: no binary accuracy above ``1 - label_noise`` is to be expected.

``SIMULATED.json`` beside the files holds the parameters and what must be found: counts per split and class, the
leaked patients, the mislabelled clips.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.base.errors import BadInput, UnknownId
from bench.data.simulate.lookalikes import (
    ICBHI,
    ICBHI_DEVICES,
    SPRSOUND,
    icbhi_recordings,
    sprsound_recordings,
    write_icbhi,
    write_sprsound,
)

VERSION = 1  # raised whenever the bytes change
MARKER = "SIMULATED.json"
FORMATS = ("wav", "flac")
KNOBS = ("snr_db", "shortcut", "leak", "label_noise", "audio_format")
SIZES: dict[str, dict[str, dict[str, Any]]] = {
    "small": {ICBHI: {}, SPRSOUND: {}},
    "medium": {
        ICBHI: {"patients": 60, "recordings_per_patient": 4, "cycles": 8},
        SPRSOUND: {"patients": 80},
    },
}


def corpora(folder: Path, *, seed: int = 0, size: str = "small", **knobs: Any) -> dict[str, dict]:
    """{"ICBHI": facts, "SPRSound": facts} of both corpora under ``folder``, written unless they are there already.

    ``size`` is a key of ``SIZES``; ``knobs`` are those of ``icbhi`` named in ``KNOBS``, given to both corpora
    (``shortcut`` to ICBHI alone). Raises as ``icbhi`` does, and ``UnknownId`` for an unknown size or knob.
    """
    if size not in SIZES:
        raise UnknownId("size", size, SIZES)
    for name in knobs:
        if name not in KNOBS:
            raise UnknownId("knob", name, KNOBS)
    shared = {name: value for name, value in knobs.items() if name != "shortcut"}
    return {
        ICBHI: icbhi(Path(folder) / ICBHI, seed=seed, **SIZES[size][ICBHI], **knobs),
        SPRSOUND: sprsound(Path(folder) / SPRSOUND, seed=seed, **SIZES[size][SPRSOUND], **shared),
    }


def clips(folder: Path, count: int, *, clip_s: float = 0.5, seed: int = 0) -> dict:
    """Facts of an ICBHI look-alike of exactly ``count`` (40 or more) short cycles at 4 kHz.

    It is cheap, for tests of memory and speed. Raises as ``icbhi`` does.
    """
    return icbhi(folder, patients=20, clips=count, cycle_s=clip_s, devices=("Litt3200",), seed=seed)


def icbhi(
    folder: Path,
    *,
    patients: int = 24,
    recordings_per_patient: int = 2,
    cycles: int = 6,
    seed: int = 0,
    snr_db: float = 12.0,
    shortcut: float = 0.0,
    leak: float = 0.0,
    label_noise: float = 0.0,
    audio_format: str = "wav",
    clips: int | None = None,
    cycle_s: float = 2.5,
    devices: Sequence[str] = ICBHI_DEVICES,
) -> dict:
    """Facts (the content of ``SIMULATED.json``) of an ICBHI 2017 look-alike in ``folder``.

    ``cycles`` per recording, or ``clips`` in all; ``cycle_s`` is their median length. 60 % of patients are train.
    Writes nothing where ``folder`` holds this very corpus; else the folder must be absent or empty. It appears
    complete or not at all. Raises ``BadInput`` for a folder in use or a knob out of range, ``UnknownId`` for an
    unknown device or audio format.
    """
    plan: dict[str, Any] = {
        "patients": patients,
        "recordings_per_patient": recordings_per_patient,
        "cycles": cycles,
        "clips": clips,
        "cycle_s": cycle_s,
        "devices": list(devices),
        "shortcut": shortcut,
        "leak": leak,
        "label_noise": label_noise,
    }
    parameters = plan | {"seed": seed, "snr_db": snr_db, "audio_format": audio_format}
    _check(ICBHI, parameters, fewest_patients=10, most_patients=600)
    if cycles < 1 or cycle_s <= 0 or (clips is not None and clips < patients * recordings_per_patient):
        raise BadInput(ICBHI, "a recording would have no cycle", "ask for at least one per recording, of cycle_s > 0")
    for device in devices:
        if device not in ICBHI_DEVICES:
            raise UnknownId("device", device, ICBHI_DEVICES)
    return _publish(
        Path(folder),
        ICBHI,
        parameters,
        lambda staging: write_icbhi(staging, icbhi_recordings(seed, **plan), seed, snr_db, audio_format),
    )


def sprsound(
    folder: Path,
    *,
    patients: int = 24,
    recordings_per_patient: int = 4,
    seed: int = 0,
    snr_db: float = 12.0,
    leak: float = 0.0,
    label_noise: float = 0.0,
    audio_format: str = "wav",
) -> dict:
    """Facts (the content of ``SIMULATED.json``) of an SPRSound 2022 look-alike in ``folder``.

    30 % of patients are the inter test; the last recording of 60 % of the others is the intra test. Recordings
    have 3 to 7 events, those of Poor Quality none. Writes and raises as ``icbhi`` does.
    """
    plan: dict[str, Any] = {
        "patients": patients,
        "recordings_per_patient": recordings_per_patient,
        "leak": leak,
        "label_noise": label_noise,
    }
    parameters = plan | {"seed": seed, "snr_db": snr_db, "audio_format": audio_format}
    _check(SPRSOUND, parameters, fewest_patients=18, most_patients=5000)
    if recordings_per_patient < 2:
        raise BadInput(SPRSOUND, "one recording per patient leaves no intra test", "ask for two or more")
    return _publish(
        Path(folder),
        SPRSOUND,
        parameters,
        lambda staging: write_sprsound(staging, sprsound_recordings(seed, **plan), seed, snr_db, audio_format),
    )


def _check(corpus: str, parameters: Mapping[str, Any], *, fewest_patients: int, most_patients: int) -> None:
    for name in ("shortcut", "leak", "label_noise"):
        if not 0 <= parameters.get(name, 0) <= 1:
            raise BadInput(corpus, f"{name}={parameters[name]} is not a fraction", "give a number from 0 to 1")
    if not math.isfinite(parameters["snr_db"]):
        raise BadInput(corpus, f"snr_db={parameters['snr_db']} is not a level", "give a finite number of decibels")
    if not fewest_patients <= parameters["patients"] <= most_patients:
        problem = f"cannot simulate {parameters['patients']} patients"
        raise BadInput(corpus, problem, f"ask for {fewest_patients} to {most_patients}")
    if parameters["leak"] and parameters["recordings_per_patient"] < 2:
        raise BadInput(corpus, "a patient with one recording cannot be on both sides", "ask for two or more recordings")
    if parameters["audio_format"] not in FORMATS:
        raise UnknownId("audio format", parameters["audio_format"], FORMATS)


def _publish(folder: Path, corpus: str, parameters: dict, write: Callable[[Path], dict]) -> dict:
    """The facts of the corpus in ``folder``: read where they are there, else made aside and renamed into place."""
    made_with = {"corpus": corpus, "generator": VERSION, "parameters": parameters}
    if (present := _present_facts(folder, made_with)) is not None:
        return present
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as aside:
        staging = Path(aside) / corpus
        staging.mkdir()
        facts = made_with | write(staging)
        (staging / MARKER).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        try:
            staging.rename(folder)
        except OSError:  # another process was faster
            if _present_facts(folder, made_with) is None:
                raise
    return facts


def _present_facts(folder: Path, made_with: dict) -> dict | None:
    """The facts of this very corpus in ``folder``, None where the folder is absent or empty."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return None
    marker = folder / MARKER
    if not marker.is_file():
        raise BadInput(folder, "the folder holds other files", "choose another folder")
    facts = json.loads(marker.read_text(encoding="utf-8"))
    if {name: facts.get(name) for name in made_with} != made_with:
        raise BadInput(folder, "the folder holds another simulation", "choose another folder or delete this one")
    return facts
