"""KAUH: asthma or COPD against healthy lungs, from an electronic stethoscope (OPERA T10).

Source: Fraiwan et al., "A dataset of lung sounds recorded from the chest wall using an electronic stethoscope", Data in
Brief 35, 2021, version 3. A recording is named ``BP47_asthma,E W,P L M,60,M``: filter of the stethoscope (bell,
diaphragm, extended) and patient, diagnosis, sound, chest position, age, sex. Every patient has one recording per
filter, the same sound thrice, so ``BP47`` identifies a recording; it is all that the table holds of a name.

The split keeps patients apart: train and test are those of an array that OPERA ships and does not use, 6 of the 52
training patients are its validation. What OPERA runs, ``literature/opera``, has 49 of 78 patients on both sides and is
there to be compared with published numbers alone. OPERA's rule for the diagnosis is case-sensitive and passes over a
patient whose diagnosis is written ``copd``; heart failure with COPD counts as COPD, lung fibrosis with asthma as
asthma.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import Corpus, Finding, RemoteFile, TaskCard
from tasks._shared import layout
from tasks._shared import table as tabular

if TYPE_CHECKING:
    import pandas as pd

_CLASSES = ("healthy", "obstructive")
NAME = re.compile(r"(?P<recording>[BDE]P\d+)_(?P<diagnosis>[^,]+)(?P<fields>(?:,[^,]*)*)")
_FILTERS = {"B": "bell", "D": "diaphragm", "E": "extended"}
_FIELDS = ("diagnosis", "sound", "position", "age", "sex")
_META = ("position", "age", "sex")  # the others are what the label says, or a listener's judgement of the recording

CARDS = (
    TaskCard(
        id="kauh.obstructive",
        version=1,
        classes=_CLASSES,
        main_metric="auroc",
        metrics=tabular.METRICS,
        tests={"test": ("test",)},
        url="https://data.mendeley.com/datasets/jwyy9np4gv/3",
        licence="CC BY 4.0",
        citation=f"Fraiwan et al., Data in Brief 35:106913, 2021; {tabular.OPERA}",
        domain="stethoscope filter",
        adventitious=(1,),
        counts=tabular.counted(
            _CLASSES, {"train": (57, 81), "val": (6, 12), "test": (42, 36)}, {"train": 46, "val": 6, "test": 26}
        ),
        corpora=("kauh",),
        variants=(tabular.LITERATURE,),
        probe_settings={tabular.LITERATURE: {"batch": 32, "epochs": 50, "keep": 5}},
        notes="Three recordings a patient, one per filter: they are not independent.",
    ),
)

CORPUS = Corpus(
    "kauh",
    "KAUH",
    (RemoteFile("kauh.zip", ("https://data.mendeley.com/public-api/zip/jwyy9np4gv/download/3",)),),
    inner=True,
)


def variant(card: TaskCard, name: str) -> TaskCard:
    """The card of ``literature/opera``, whose test shares patients with training."""
    labels, patients = {"train": (67, 78), "val": (8, 9), "test": (30, 42)}, {"train": 75, "val": 15, "test": 52}
    return replace(
        card,
        counts=tabular.counted(_CLASSES, labels, patients),
        within_patient=("test",),
        notes="49 of 78 patients are in train and in test: to be compared with published numbers alone.",
    )


def manifest(card: TaskCard, root: Path, findings: list[Finding]) -> pd.DataFrame:
    """One row per recording of the table; what file names alone tell is in ``meta_*``, empty without the file."""
    column = "split_opera" if card.variant == tabular.LITERATURE else "split"
    table = {row["recording"]: row for row in tabular.rows(card)}
    sounds = tabular.audio(root, table, _recording)
    details = {name: _details(path) for name, path in sounds.files.items()}
    clips = {
        name: {
            "clip_id": name,
            "label": int(row["label"]),
            "split": row[column],
            "group": row["participant"],
            "domain": _FILTERS[name[0]],
            **{f"meta_{field}": details.get(name, {}).get(field, "") for field in _META},
        }
        for name, row in table.items()
    }
    findings += [*_contradicted(clips, sounds, root), *_lower_case(card, sounds, root)]
    return tabular.manifest(card, root, findings, clips, sounds)


def _recording(path: Path) -> str | None:
    """Filter and patient, which identify a recording."""
    name = NAME.fullmatch(path.stem)
    return name["recording"] if name else None


def _details(path: Path) -> dict[str, str]:
    """What a file's name tells, by field; empty for a name of another form."""
    name = NAME.fullmatch(path.stem)
    return dict(zip(_FIELDS, map(str.strip, f"{name['diagnosis']}{name['fields']}".split(",")))) if name else {}


def _contradicted(clips: dict[str, dict], sounds: tabular.Audio, root: Path) -> list[Finding]:
    """Errors for files whose name tells another diagnosis than the table."""
    findings = []
    for name, path in sounds.files.items():
        diagnosis = _details(path)["diagnosis"]
        label = 0 if diagnosis == "N" else int(any(word in diagnosis for word in ("asthma", "Asthma", "COPD"))) or None
        if label != clips[name]["label"]:
            problem = f"the diagnosis {diagnosis!r} of its name is not {_CLASSES[clips[name]['label']]}, as published"
            remedy = "restore the name that the recording has in version 3 of the corpus"
            findings.append(Finding("error", "label", layout.relative(path, root), problem, remedy, (name,)))
    return findings


def _lower_case(card: TaskCard, sounds: tabular.Audio, root: Path) -> list[Finding]:
    """A note on recordings left out for the way in which their diagnosis is written."""
    passed = [path for path in sounds.others if "copd" in _details(path).get("diagnosis", "")]
    if not passed:
        return []
    problem = f"{len(passed)} recordings whose diagnosis is written copd, in lower case, are not part of {card.id}"
    return [Finding("note", "lower-case", layout.relative(passed[0], root), problem, "they have no published split")]
