"""ICBHI 2017: respiratory cycles of 126 patients, four recording devices.

Source: Rocha et al., "An open access database for the evaluation of respiratory sound classification algorithms",
Physiological Measurement 40(3), 2019. A recording is named ``patient_index_location_mode_device`` and has a text file
beside it with a line per cycle: start, end, crackle (0/1), wheeze (0/1). Diagnosis, sex and age are in files of their
own, a line per patient; nothing of a patient is shipped with this package.

The unit is the cycle (``cycles4``, ``cycles2``, ``bits``) or the recording (``disease2``, ``disease3``). Patients 156
and 218 are in both halves of the official split: their 120 test cycles are the split ``test_overlap``, so that the
test ``corrected`` (2,636 cycles) is free of known patients and ``official`` is the literature's (2,756). Other splits
of the cycles are variants (``icbhi.cycles4@fold0``, see ``tasks/_shared/icbhi_splits.py``).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import Corpus, Finding, RemoteFile, TaskCard
from tasks._shared import icbhi_copy, icbhi_splits, layout
from tasks._shared.icbhi_copy import SPLIT_FILE, Copy, Recording
from tasks._shared.icbhi_splits import DEVICES, FOLDS
from tasks._shared.labels import (
    BINARY,
    BITS,
    DISEASE2,
    DISEASE3,
    FLAGS,
    ICBHI4,
    TO_BINARY,
    TO_DISEASE2,
    TO_DISEASE3,
    LabelMap,
    spellings,
)
from tasks._shared.table import LITERATURE
from tasks._shared.table import METRICS as OPERA_METRICS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CARDS", "SPLIT_FILE", "manifest", "variant"]

_SCORES = ("icbhi.Score", "icbhi.Sp", "icbhi.Se")
_RATES = ("uar", "macro_f1", "auroc")
_DISEASES: dict[str, LabelMap] = {"icbhi.disease2": TO_DISEASE2, "icbhi.disease3": TO_DISEASE3}
_LABELS = {"icbhi.cycles4": FLAGS, "icbhi.cycles2": TO_BINARY, "icbhi.bits": FLAGS, **_DISEASES}
_DEVICES = "The test split has no LittC2SE, and 461 of its cycles but 41 of train's are Litt3200."


def _card(id: str, classes: tuple[str, ...], metrics: tuple[str, ...], notes: str, **other: object) -> TaskCard:
    return TaskCard(
        id=id,
        version=1,
        classes=classes,
        main_metric=metrics[0],
        metrics=metrics,
        tests={"corrected": ("test",), "official": ("test", "test_overlap")},
        url="https://bhichallenge.med.auth.gr",
        licence="free for research",
        citation="Rocha et al., Physiological Measurement 40(3):035001, 2019",
        counts=icbhi_splits.counts(id, classes),
        known_overlap=("156", "218"),
        corpora=("icbhi",),
        notes=notes,
        spellings=spellings(_LABELS[id]),
        **{"adventitious": tuple(range(1, len(classes))), "variants": (*FOLDS, *DEVICES)} | other,
    )


CARDS = (
    _card(
        "icbhi.cycles4",
        ICBHI4,
        (*_SCORES, "icbhi.Score2", "icbhi.Se2", *_RATES),
        f"{_DEVICES} icbhi.Score2 is the two-class score of the same four-class answers, normal or not; icbhi.cycles2 "
        "learns two classes and is another number.",
    ),
    _card("icbhi.cycles2", BINARY, (*_SCORES, *_RATES), _DEVICES),
    _card(
        "icbhi.bits",
        BITS,
        ("auroc.bits", "ap.bits", "f1.bits"),
        f"{_DEVICES} A cycle has a crackle, a wheeze, both or neither.",
        kind="multilabel",
        adventitious=(),
    ),
    _card(
        "icbhi.disease2",
        DISEASE2,
        OPERA_METRICS,
        "One clip per recording; other diagnoses are left out. The test has 17 recordings of 14 healthy patients. "
        "Diagnoses are read from the copy's own file.",
        variants=(LITERATURE,),
        probe_settings={LITERATURE: {"batch": 32}},
    ),
    _card(
        "icbhi.disease3",
        DISEASE3,
        (*_SCORES, *_RATES),
        "One clip per recording. Chronic: COPD, bronchiectasis, asthma; non-chronic: URTI, LRTI, pneumonia, "
        "bronchiolitis. All pneumonia is in train. Diagnoses are read from the copy's own file.",
        variants=(),
    ),
)

_PUBLISHED = "https://bhichallenge.med.auth.gr/sites/default/files/ICBHI_final_database"
CORPUS = Corpus(
    "icbhi",
    "ICBHI",
    (
        RemoteFile(
            "ICBHI_final_database.zip",
            (f"{_PUBLISHED}/ICBHI_final_database.zip",),
            digest="md5:f6a5d0ea40bbcd25e17754f9d5ddae48",
        ),
        *(
            RemoteFile(name, (f"{_PUBLISHED}/{name}",), optional=lacking)
            for name, lacking in (
                ("ICBHI_challenge_train_test.txt", "the split is taken from the shipped table"),
                ("ICBHI_Challenge_diagnosis.txt", "icbhi.disease2 and icbhi.disease3 cannot be run"),
                ("ICBHI_Challenge_demographic_information.txt", "sex and age group stay unknown"),
            )
        ),
    ),
    by_hand="download ICBHI_final_database.zip in a browser from https://bhichallenge.med.auth.gr, or from its "
    "copy at https://doi.org/10.7910/DVN/HT6PKI",
)


def variant(card: TaskCard, name: str) -> TaskCard:
    """The card of another split of the corpus; its one test is ``test``."""
    base = card.id.partition("@")[0]
    card = replace(card, tests={"test": ("test",)}, counts=icbhi_splits.counts(base, card.classes, name))
    if name == LITERATURE:
        notes = "As OPERA runs it, with 156 and 218 on both sides: to be compared with published numbers alone."
        return replace(card, notes=notes)
    if name in FOLDS:
        notes = "80/20 of patients, not of cycles: never to be compared with another fold or the official split."
    else:
        notes = f"Trained on the other devices, without patients recorded with {DEVICES[name]} too."
    return replace(card, known_overlap=(), notes=notes)


def manifest(card: TaskCard, root: Path, findings: list[Finding]) -> pd.DataFrame:
    """One row per respiratory cycle, or per recording.

    Raises ``BadInput`` where there is no copy below ``root``, or several, and where the copy lacks the diagnoses that
    the task is about.
    """
    import pandas as pd

    copy = icbhi_copy.find_copy(card, root, findings)
    split = icbhi_splits.assigned(card, copy, findings)
    labels = _labels_of_patients(card, copy, findings)
    persons = copy.persons(findings)
    rows = []
    for recording in copy.recordings:
        if recording.key not in split:
            continue
        try:
            clips = _cycles(card, copy, recording) if labels is None else _whole(recording, labels)
        except ValueError as error:
            findings.append(layout.bad_annotation(card, root / recording.annotation_path, root, str(error)))
            continue
        sex, age_group = persons.get(recording.patient, (icbhi_copy.UNKNOWN, icbhi_copy.UNKNOWN))
        shared = {
            "path": recording.path,
            "split": split[recording.key],
            "group": recording.patient,
            "domain": recording.device,
            "available": recording.available,
            "meta_location": recording.location,
            "meta_mode": recording.mode,
            "meta_sex": sex,
            "meta_age_group": age_group,
        }
        rows += [clip | shared for clip in clips]
    columns = ["clip_id", "path", "start_s", "end_s", "label", "split", "group", "domain", "available"]
    frame = pd.DataFrame(rows, columns=[*columns, "meta_location", "meta_mode", "meta_sex", "meta_age_group"])
    if card.variant in DEVICES:
        findings += icbhi_splits.too_little(card, frame)
    return frame


def _cycles(card: TaskCard, copy: Copy, recording: Recording) -> list[dict]:
    """A clip per cycle. Raises ``ValueError`` for a malformed annotation."""
    clips = []
    for index, (start_s, end_s, crackle, wheeze) in enumerate(copy.cycles(recording)):
        label = crackle + 2 * wheeze  # ICBHI's four classes in their order, and the bits of crackle and wheeze
        label = int(label > 0) if card.classes == BINARY else label
        clips.append({"clip_id": f"{recording.key}#c{index:03d}", "start_s": start_s, "end_s": end_s, "label": label})
    return clips


def _whole(recording: Recording, labels: dict[str, int]) -> list[dict]:
    """The recording as a clip; none where its patient has no label."""
    if recording.patient not in labels:
        return []
    span = {"start_s": 0.0, "end_s": float("nan")}
    return [{"clip_id": recording.key, **span, "label": labels[recording.patient]}]


def _labels_of_patients(card: TaskCard, copy: Copy, findings: list[Finding]) -> dict[str, int] | None:
    """{patient: label} by diagnosis, None for tasks about cycles; a note tells of diagnoses that have no label."""
    to = _DISEASES.get(card.id.partition("@")[0])
    if to is None:
        return None
    diagnoses = copy.diagnoses(to, findings)
    labels = {patient: to[name] for patient, name in diagnoses.items() if to[name] is not None}
    others = sorted({name for name in diagnoses.values() if to[name] is None})
    if others:
        out = sum(r.patient in diagnoses and r.patient not in labels for r in copy.recordings)
        problem = f"{out} recordings of patients with another diagnosis ({', '.join(others)}) are left out"
        findings.append(Finding("note", "left-out", layout.relative(copy.folder, copy.root), problem))
    return labels
