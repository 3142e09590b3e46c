"""RespiratoryDatabase@TR: severity of COPD, five classes, from twelve chest positions of 42 patients (OPERA T11).

Source: Altan et al., "Multimedia Respiratory Database (RespiratoryDatabase@TR): Auscultation Sounds and Chest X-rays",
Natural and Engineering Sciences 2(3), 2017. Recordings are ``RespiratoryDatabase@TR/H002_L1.wav``: patient, side,
position. The severity is the patient's; COPD0 is one of the corpus's classes. OPERA's split keeps patients apart.

Where a copy has the corpus's ``Labels.csv`` (with a byte order mark, and a comma at the end of every row), it is held
against the table.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import Corpus, Finding, RemoteFile, TaskCard
from tasks._shared import layout, table

if TYPE_CHECKING:
    import pandas as pd

LABELS = "Labels.csv"

_CLASSES = ("COPD0", "COPD1", "COPD2", "COPD3", "COPD4")
_HEADER = ("Patient ID", "Diagnosis")
_PATIENT = re.compile(r"H\d{3}")

CARDS = (
    TaskCard(
        id="copd.severity",
        version=1,
        classes=_CLASSES,
        main_metric="auroc",
        metrics=table.METRICS,
        tests={"test": ("test",)},
        url="https://data.mendeley.com/datasets/p9z4h98s6j/1",
        licence="CC BY 4.0",
        citation=f"Altan et al., Natural and Engineering Sciences 2(3):59-72, 2017; {table.OPERA}",
        domain="chest position",
        adventitious=(1, 2, 3, 4),
        counts=table.counted(
            _CLASSES,
            {"train": (48, 36, 60, 48, 120), "val": (12, 12, 12, 12, 36), "test": (12, 12, 12, 24, 48)},
            {"train": 26, "val": 7, "test": 9},
        ),
        corpora=("copd",),
        variants=(table.LITERATURE,),
        probe_settings={table.LITERATURE: {"batch": 32}},
        notes="Nine test patients, one each of COPD0, COPD1 and COPD2: one patient decides a class's recall.",
    ),
)

CORPUS = Corpus(
    "copd",
    "COPD",
    (RemoteFile("copd.zip", ("https://data.mendeley.com/public-api/zip/p9z4h98s6j/download/1",)),),
    inner=True,
)


def variant(card: TaskCard, name: str) -> TaskCard:
    """The card of ``literature/opera``, which is the headline split."""
    return table.as_run(card)


def manifest(card: TaskCard, root: Path, findings: list[Finding]) -> pd.DataFrame:
    """One row per recording of the table."""
    clips = {
        row["recording"]: {
            "clip_id": row["recording"],
            "label": int(row["label"]),
            "split": row["split"],
            "group": row["participant"],
            "domain": row["recording"].partition("_")[2],
        }
        for row in table.rows(card)
    }
    findings += _contradicted(root, clips)
    return table.manifest(card, root, findings, clips, table.audio(root, clips))


def _contradicted(root: Path, clips: dict[str, dict]) -> list[Finding]:
    """Errors for the lines of the copy's own ``Labels.csv`` that cannot be read or differ from the table."""
    known: dict[str, list[dict]] = {}
    for clip in clips.values():
        known.setdefault(clip["group"], []).append(clip)
    findings = []
    for path in (folder / LABELS for folder, files in layout.walk(root) if LABELS in files):
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file))
        if not lines or tuple(name.strip() for name in lines[0][:2]) != _HEADER:
            continue  # another corpus's
        where, remedy = layout.relative(path, root), f"restore the file from {CARDS[0].url}"
        for number, line in enumerate(lines[1:], 2):
            patient, severity = [*(field.strip() for field in line), "", ""][:2]
            if not patient and not severity:
                continue
            if not _PATIENT.fullmatch(patient) or severity not in _CLASSES:
                problem = f"line {number} is not 'patient, COPD0 … COPD4': {','.join(line)!r}"
                findings.append(Finding("error", "labels", where, problem, remedy))
            elif patient in known and severity != (published := _CLASSES[known[patient][0]["label"]]):
                problem = f"line {number} gives {patient} {severity}, published as {published}"
                concerned = tuple(clip["clip_id"] for clip in known[patient])
                findings.append(Finding("error", "labels", where, problem, remedy, concerned))
    return findings
