"""ICBHI 2017: respiratory cycles of 126 patients, four recording devices, official 60/40 split.

Source: Rocha et al., "An open access database for the evaluation of respiratory sound classification algorithms",
Physiological Measurement 40(3), 2019. A recording is named ``patient_index_location_mode_device`` and has a text file
beside it with a line per cycle: start, end, crackle (0/1), wheeze (0/1).

The first four fields of a name are unique; the device is not part of the identity, because old releases name another
device for 91 recordings. Patients 156 and 218 are in both halves of the official split: their 120 test cycles are the
split ``test_overlap``, so that the test ``corrected`` (2,636 cycles) is free of known patients and ``official`` is
the literature's (2,756).
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import Finding, TaskCard
from tasks import _layout
from tasks._labels import BINARY, ICBHI4, TO_BINARY, recount

if TYPE_CHECKING:
    import pandas as pd

SPLIT_FILE = "ICBHI_challenge_train_test.txt"

_NAME = re.compile(r"(\d{3})_([^_]+)_(Tc|Al|Ar|Pl|Pr|Ll|Lr)_(sc|mc)_([^_.]+)")
_OURS = re.compile(r"\d{3}_")  # the corpus folder also holds text files that annotate no recording
_EXPECTED = "a folder of recordings with a text file beside each (101_1b1_Al_sc_Meditron.wav and .txt)"

_COUNTS = {
    "train": {"recordings": 539, "patients": 79, "normal": 2063, "crackle": 1215, "wheeze": 501, "both": 363},
    "test": {"recordings": 369, "patients": 47, "normal": 1560, "crackle": 617, "wheeze": 373, "both": 86},
    "test_overlap": {"recordings": 12, "patients": 2, "normal": 19, "crackle": 32, "wheeze": 12, "both": 57},
}


def _card(id: str, classes: tuple[str, ...], metrics: tuple[str, ...], counts: dict) -> TaskCard:
    return TaskCard(
        id=id,
        version=1,
        classes=classes,
        main_metric="icbhi.Score",
        metrics=metrics,
        tests={"corrected": ("test",), "official": ("test", "test_overlap")},
        url="https://bhichallenge.med.auth.gr",
        licence="free for research",
        citation="Rocha et al., Physiological Measurement 40(3):035001, 2019",
        adventitious=tuple(range(1, len(classes))),
        counts=counts,
        known_overlap=("156", "218"),
        corpora=("icbhi",),
        notes="The test split has no LittC2SE, and 461 of its cycles but 41 of train's are Litt3200.",
    )


CARDS = (
    _card(
        "icbhi.cycles4",
        ICBHI4,
        ("icbhi.Score", "icbhi.Sp", "icbhi.Se", "icbhi.Score2", "icbhi.Se2", "uar", "macro_f1", "auroc"),
        _COUNTS,
    ),
    _card(
        "icbhi.cycles2",
        BINARY,
        ("icbhi.Score", "icbhi.Sp", "icbhi.Se", "uar", "macro_f1", "auroc"),
        {split: recount(counts, ICBHI4, TO_BINARY, BINARY) for split, counts in _COUNTS.items()},
    ),
)


def manifest(card: TaskCard, root: Path, findings: list[Finding]) -> pd.DataFrame:
    """One row per respiratory cycle. Raises ``BadInput`` where there is no copy below ``root``, or several."""
    import pandas as pd

    holds = {folder: files for folder, files in _layout.walk(root) if any(map(_is_annotation, files))}
    folder = _layout.only(card, root, list(holds), _EXPECTED)
    simulated = _layout.simulated(folder, root)
    findings += [simulated] if simulated else []

    annotations = _annotations(folder, holds[folder], root, findings)
    ours = [name for name in holds[folder] if _layout.is_audio(name) and _OURS.match(name)]
    audio = _layout.index_audio(((_key(Path(name).stem), folder / name) for name in ours), root, findings)
    findings += [_layout.without_annotation(card, audio[key], root) for key in sorted(set(audio) - set(annotations))]
    absent = sorted(set(annotations) - set(audio))
    if absent:
        where = _layout.relative(folder, root)
        findings.append(_layout.missing_audio(card, where, absent, len(annotations)))

    shipped = {_key(row["recording"]): row for row in _layout.shipped("icbhi.csv")}
    split = {key: row["split"] for key, row in shipped.items()}
    split |= _copy_split(card, folder, root, None if simulated else dict(split), findings)
    split = _apart(card, split)
    overlap = sum(split.get(key) == "test_overlap" for key in annotations)
    if overlap:
        problem = f"patients {' and '.join(card.known_overlap)} are in both halves of the official split"
        remedy = f"their {overlap} test recordings count in the official test alone"
        findings.append(Finding("note", "known-overlap", SPLIT_FILE, problem, remedy))

    rows = []
    for key, path in annotations.items():
        if key not in split:
            remedy = f"add it to {SPLIT_FILE}, or remove it"
            findings.append(Finding("error", "no-split", _layout.relative(path, root), "recording in no split", remedy))
            continue
        try:
            cycles = _cycles(path)
        except ValueError as error:
            findings.append(_layout.bad_annotation(card, path, root, str(error)))
            continue
        patient, _, location, mode, device = _fields(path.stem)
        if key in shipped and not simulated:
            device = _fields(shipped[key]["recording"])[-1]
        shared = {
            "path": _layout.relative(audio.get(key, path.with_suffix(".wav")), root),
            "split": split[key],
            "group": patient,
            "domain": device,
            "available": key in audio,
            "meta_location": location,
            "meta_mode": mode,
        }
        for index, (start_s, end_s, crackle, wheeze) in enumerate(cycles):
            label = crackle + 2 * wheeze
            label = label if card.classes == ICBHI4 else int(label > 0)
            clip = {"clip_id": f"{key}#c{index:03d}", "start_s": start_s, "end_s": end_s, "label": label}
            rows.append(clip | shared)
    columns = ["clip_id", "path", "start_s", "end_s", "label", "split", "group", "domain", "available"]
    return pd.DataFrame(rows, columns=[*columns, "meta_location", "meta_mode"])


def _is_annotation(name: str) -> bool:
    return name.lower().endswith(".txt") and _NAME.fullmatch(name[:-4]) is not None


def _fields(stem: str) -> tuple[str, ...]:
    """Patient, index, location, mode, device."""
    return tuple(stem.split("_"))


def _key(stem: str) -> str:
    """What identifies a recording: its name without the device."""
    return "_".join(stem.split("_")[:4])


def _annotations(folder: Path, names: list[str], root: Path, findings: list[Finding]) -> dict[str, Path]:
    """{recording: annotation file}; the second of two for one recording is an error."""
    index: dict[str, Path] = {}
    for name in names:
        if not (_OURS.match(name) and name.lower().endswith(".txt")):
            continue
        path, key = folder / name, _key(Path(name).stem)
        if not _is_annotation(name):
            problem, remedy = "not a name of the form patient_index_location_mode_device", "rename or remove the file"
            findings.append(Finding("error", "name", _layout.relative(path, root), problem, remedy))
        elif key in index:
            problem = f"annotates the same recording as {index[key].name}"
            remedy = "remove the one that does not belong to the recording"
            findings.append(Finding("error", "duplicate-annotation", _layout.relative(path, root), problem, remedy))
        else:
            index[key] = path
    return index


def _cycles(path: Path) -> list[tuple[float, float, int, int]]:
    """(start, end, crackle, wheeze) of every cycle, by start. Raises ``ValueError`` that says what is wrong where."""
    cycles = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.strip():
            continue
        fields = line.split()
        if len(fields) != 4 or not {fields[2], fields[3]} <= {"0", "1"}:
            raise ValueError(f"line {number} is not 'start, end, crackle 0/1, wheeze 0/1': {line!r}")
        try:
            start_s, end_s = float(fields[0]), float(fields[1])
        except ValueError:
            start_s = end_s = math.nan
        if not (math.isfinite(start_s) and math.isfinite(end_s)):
            raise ValueError(f"line {number} has a start or end that is not a number: {line!r}")
        cycles.append((start_s, end_s, int(fields[2]), int(fields[3])))
    if not cycles:
        raise ValueError("holds no cycle")
    return sorted(cycles)


def _copy_split(
    card: TaskCard, folder: Path, root: Path, known: dict[str, str] | None, findings: list[Finding]
) -> dict[str, str]:
    """{recording: train or test} of the copy's own split file, empty without one; errors where it contradicts itself
    or ``known``. Released variants differ in line ends and by one line for a recording that does not exist."""
    path = next((place / SPLIT_FILE for place in _layout.up_to(folder, root) if (place / SPLIT_FILE).is_file()), None)
    if path is None:
        return {}
    where, remedy = _layout.relative(path, root), f"restore the file from {card.url}"
    split: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        name, _, half = line.strip().replace("\t", " ").rpartition(" ")
        key = _key(name.strip())
        official = (known or {}).get(key, half)
        if half not in ("train", "test") or not _NAME.fullmatch(name.strip()):
            findings.append(Finding("error", "split-file", where, f"line {number} is malformed: {line!r}", remedy))
        elif half != split.setdefault(key, half) or half != official:
            problem = f"line {number} puts {name.strip()} in {half}, the official split does not"
            findings.append(Finding("error", "split-file", where, problem, remedy))
    return split


def _apart(card: TaskCard, split: dict[str, str]) -> dict[str, str]:
    """The split with the test recordings of known overlap patients in ``test_overlap``."""
    train = {key[:3] for key, half in split.items() if half == "train"}
    both = train & set(card.known_overlap)
    return {key: "test_overlap" if half == "test" and key[:3] in both else half for key, half in split.items()}
