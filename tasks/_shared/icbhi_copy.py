"""What a copy of ICBHI 2017 holds: recordings, annotations, the split file, and what is known of the patients.

The first four fields of a recording's name are unique; the device is not part of its identity, because old releases
name another device for 91 recordings. Diagnoses and demographics come from the copy's own files and from nowhere else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.base.errors import BadInput
from bench.types import Finding, TaskCard
from tasks._shared import completeness, layout

SPLIT_FILE = "ICBHI_challenge_train_test.txt"
DIAGNOSES = ("ICBHI_Challenge_diagnosis.txt", "patient_diagnosis.txt", "patient_diagnosis.csv")
DEMOGRAPHICS = ("ICBHI_Challenge_demographic_information.txt", "demographic_info.txt")
CHILD_BELOW = 18.0  # years
UNKNOWN = "unknown"

_NAME = re.compile(r"(\d{3})_([^_]+)_(Tc|Al|Ar|Pl|Pr|Ll|Lr)_(sc|mc)_([^_.]+)")
_OURS = re.compile(r"\d{3}_")  # the corpus folder also holds text files that annotate no recording
_EXPECTED = "a folder of recordings with a text file beside each (101_1b1_Al_sc_Meditron.wav and .txt)"


@dataclass(frozen=True)
class Recording:
    """An annotated recording. ``key`` is its name without the device; paths are relative to the data folder."""

    key: str
    patient: str
    location: str
    mode: str
    device: str
    annotation_path: str
    path: str
    available: bool


@dataclass(frozen=True)
class Copy:
    """A copy of the corpus: its recordings in the order of their names."""

    card: TaskCard
    root: Path
    folder: Path
    simulated: bool
    recordings: tuple[Recording, ...]

    def cycles(self, recording: Recording) -> list[tuple[float, float, int, int]]:
        """(start_s, end_s, crackle, wheeze) of every cycle, by start. Raises ``ValueError`` that says what is wrong."""
        cycles = []
        text = (self.root / recording.annotation_path).read_text(encoding="utf-8-sig")
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            fields = line.split()
            if len(fields) != 4 or not {fields[2], fields[3]} <= {"0", "1"}:
                raise ValueError(f"line {number} is not 'start, end, crackle 0/1, wheeze 0/1': {line!r}")
            start_s, end_s = _number(fields[0]), _number(fields[1])
            if not (math.isfinite(start_s) and math.isfinite(end_s)):
                raise ValueError(f"line {number} has a start or end that is not a number: {line!r}")
            cycles.append((start_s, end_s, int(fields[2]), int(fields[3])))
        if not cycles:
            raise ValueError("holds no cycle")
        return sorted(cycles)

    def split_file(self, known: Mapping[str, str] | None, findings: list[Finding]) -> dict[str, str]:
        """{recording: train or test} of the copy's own split file, empty without one.

        Adds errors where it contradicts itself or ``known``. Released variants differ in line ends and by one line for
        a recording that does not exist.
        """
        path = self._file((SPLIT_FILE,))
        if path is None:
            return {}
        where, remedy = layout.relative(path, self.root), f"restore the file from {self.card.url}"
        split: dict[str, str] = {}
        for number, line in _lines(path):
            name, _, half = line.strip().replace("\t", " ").rpartition(" ")
            key = key_of(name.strip())
            official = (known or {}).get(key, half)
            if half not in ("train", "test") or not _NAME.fullmatch(name.strip()):
                findings.append(Finding("error", "split-file", where, f"line {number} is malformed: {line!r}", remedy))
            elif half != split.setdefault(key, half) or half != official:
                problem = f"line {number} puts {name.strip()} in {half}, the official split does not"
                findings.append(Finding("error", "split-file", where, problem, remedy))
        return split

    def diagnoses(self, known: Mapping[str, object], findings: list[Finding]) -> dict[str, str]:
        """{patient: diagnosis} of those who have a recording.

        Adds errors for patients without one and for one that is not ``known``. Raises ``BadInput`` where the copy has
        no file of diagnoses.
        """
        path = self._file(DIAGNOSES)
        if path is None:
            remedy = f"get {DIAGNOSES[0]} from {self.card.url} into the corpus's folder, or the one above"
            raise BadInput(self._where, f"has no file of diagnoses, which {self.card.id} needs", remedy)
        where, remedy = layout.relative(path, self.root), f"restore the file from {self.card.url}"
        diagnoses: dict[str, str] = {}
        for number, line in _lines(path):
            patient, *diagnosis = _fields(line)
            if len(diagnosis) != 1 or diagnosis[0] not in known:
                problem = f"line {number} is not a patient and one of {', '.join(sorted(known))}: {line!r}"
                findings.append(Finding("error", "diagnosis", where, problem, remedy))
            else:
                diagnoses[patient] = diagnosis[0]
        patients = {recording.patient for recording in self.recordings}
        if without := sorted(patients - set(diagnoses)):
            problem = f"{len(without)} patients with recordings have no diagnosis (the first is {without[0]})"
            findings.append(Finding("error", "diagnosis", where, problem, remedy))
        return {patient: name for patient, name in diagnoses.items() if patient in patients}

    def persons(self, findings: list[Finding]) -> dict[str, tuple[str, str]]:
        """{patient: (sex, age group)}; empty without a file.

        The sex is ``M`` or ``F``, the age group ``child`` or ``adult``, each ``unknown`` where the copy's file does not
        say.
        """
        path = self._file(DEMOGRAPHICS)
        if path is None:
            remedy = f"{DEMOGRAPHICS[0]} of {self.card.url} tells them"
            findings.append(Finding("note", "demographics", self._where, "sex and age group are unknown", remedy))
            return {}
        persons = {}
        for _, line in _lines(path):
            patient, age, sex, *_ = [*_fields(line), "", ""]
            years = _number(age)
            group = UNKNOWN if math.isnan(years) else "child" if years < CHILD_BELOW else "adult"
            persons[patient] = (sex if sex in ("M", "F") else UNKNOWN, group)
        return persons

    @property
    def _where(self) -> str:
        return layout.relative(self.folder, self.root)

    def _file(self, names: tuple[str, ...]) -> Path | None:
        """The file of one of these names that is nearest to the recordings, in their folder or above."""
        places = layout.up_to(self.folder, self.root)
        return next((place / name for place in places for name in names if (place / name).is_file()), None)


def key_of(stem: str) -> str:
    """What identifies a recording: its name without the device."""
    return "_".join(stem.split("_")[:4])


def find_copy(card: TaskCard, root: Path, findings: list[Finding]) -> Copy:
    """The copy below ``root``. Raises ``BadInput`` where there is none, or several."""
    holds = {folder: files for folder, files in layout.walk(root) if any(map(_is_annotation, files))}
    folder = layout.only(card, root, list(holds), _EXPECTED)
    simulated = layout.simulated(folder, root)
    findings += [simulated] if simulated else []
    annotations = _annotations(folder, holds[folder], root, findings)
    ours = [name for name in holds[folder] if layout.is_audio(name) and _OURS.match(name)]
    audio = layout.index_audio(((key_of(Path(name).stem), folder / name) for name in ours), root, findings)
    findings += [layout.without_annotation(card, audio[key], root) for key in sorted(set(audio) - set(annotations))]
    where = layout.relative(folder, root)
    absent = sorted(set(annotations) - set(audio))
    if absent:
        findings.append(layout.missing_audio(card, where, absent, len(annotations)))
    names = {} if simulated else {key_of(row["recording"]): row["recording"] for row in layout.shipped("icbhi.csv")}
    findings += completeness.missing_annotations(card, where, names, annotations)
    recordings = []
    for key, path in annotations.items():
        patient, _, location, mode, device = path.stem.split("_")
        device = names[key].split("_")[-1] if key in names else device
        sound = layout.relative(audio.get(key, path.with_suffix(".wav")), root)
        written = layout.relative(path, root)
        recordings.append(Recording(key, patient, location, mode, device, written, sound, key in audio))
    return Copy(card, root, folder, simulated is not None, tuple(recordings))


def _annotations(folder: Path, names: list[str], root: Path, findings: list[Finding]) -> dict[str, Path]:
    """{recording: annotation file}; the second of two for one recording is an error."""
    index: dict[str, Path] = {}
    for name in names:
        if not (_OURS.match(name) and name.lower().endswith(".txt")):
            continue
        path, key = folder / name, key_of(Path(name).stem)
        if not _is_annotation(name):
            problem, remedy = "not a name of the form patient_index_location_mode_device", "rename or remove the file"
            findings.append(Finding("error", "name", layout.relative(path, root), problem, remedy))
        elif key in index:
            problem = f"annotates the same recording as {index[key].name}"
            remedy = "remove the one that does not belong to the recording"
            findings.append(Finding("error", "duplicate-annotation", layout.relative(path, root), problem, remedy))
        else:
            index[key] = path
    return index


def _is_annotation(name: str) -> bool:
    return name.lower().endswith(".txt") and _NAME.fullmatch(name[:-4]) is not None


def _lines(path: Path) -> list[tuple[int, str]]:
    """The numbered lines of a text file that hold anything."""
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    return [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def _fields(line: str) -> list[str]:
    """The fields of a line separated by tabs, commas or blanks, whichever it has first of these."""
    separator = next((mark for mark in "\t," if mark in line), None)
    return [field.strip() for field in line.strip().split(separator)]


def _number(text: str) -> float:
    """The number that a field states; NaN where it states none."""
    try:
        return float(text)
    except ValueError:
        return math.nan
