"""MMLung: lung function from a deep breath or a sustained vowel, on request (OPERA T13 to T18).

Source: Mosuily et al., "MMLung: Moving Closer to Practical Lung Health Estimation using Smartphones", Interspeech 2023.
The target is the spirometer's FVC, FEV1 or FEV1/FVC; one recording of every subject, each predicted from all others.
Recordings are ``<subject>_deepbreaths.wav`` and ``<subject>_vowelo.wav`` in the delivered folder of phone recordings;
OPERA's script gathers the spirometry files into ``All_path.xlsx``, with the columns ``Spirometry_file``,
``Deep_Breath_file``, ``O_Single_file``, ``FVC``, ``FEV1`` and ``FEV1/FVC``. That table is read, as .csv or as .xlsx.
"""

from __future__ import annotations

import math
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING

from bench.base.errors import BadInput
from bench.types import Finding, TaskCard
from tasks._shared import layout
from tasks._shared import table as tabular

if TYPE_CHECKING:
    import pandas as pd

TABLES = ("All_path.csv", "All_path.xlsx")

_SOUNDS = {"deepbreath": "Deep_Breath_file", "vowel": "O_Single_file"}
_TARGETS = {"fvc": "FVC", "fev1": "FEV1", "ratio": "FEV1/FVC"}
_EXPECTED = f"{' or '.join(TABLES)}, made by OPERA's extract_mmlung.py, with the folder of phone recordings"


def _card(sound: str, target: str) -> TaskCard:
    return TaskCard(
        id=f"mmlung.{sound}_{target}",
        version=1,
        classes=(_TARGETS[target],),
        main_metric="mae",
        metrics=("mae", "mape"),
        tests={"test": ("test",)},
        url="https://github.com/MohammedMosuily/mmlung",
        licence="its own agreement, for research",
        citation=f"Mosuily et al., Interspeech 2023; {tabular.OPERA}",
        kind="regression",
        leave_one_out=True,
        access="on request to the address in https://github.com/evelyn0414/OPERA/tree/main/datasets/mmlung",
        group="subject",
        domain="device",
        counts={"test": {"recordings": 40, "patients": 40}},
        corpora=("mmlung",),
        variants=(tabular.LITERATURE,),
        probe_settings={tabular.LITERATURE: {"keep": 3, "patience": 5, "delta": 0.001, "validation_folds": 9}},
        notes="Forty subjects, one recording each; the target is in the unit of the spirometry files.",
    )


CARDS = tuple(_card(sound, target) for sound in _SOUNDS for target in _TARGETS)


def variant(card: TaskCard, name: str) -> TaskCard:
    """The card of ``literature/opera``, which leaves one subject out as the headline does."""
    return card


def manifest(card: TaskCard, root: Path, findings: list[Finding]) -> pd.DataFrame:
    """One row per subject with a recording.

    Raises ``BadInput`` where the delivered table is absent, there several times, without a column, or in a format that
    cannot be read here.
    """
    sound, target = card.id.partition("@")[0].partition(".")[2].split("_")
    files, value = _SOUNDS[sound], _TARGETS[target]
    path = tabular.on_application(card, root, _tables(root), _EXPECTED)
    table = _read(path)
    if missing := [name for name in (files, value) if name not in table]:
        raise BadInput(path, f"lacks the columns {', '.join(missing)}", "make it anew with OPERA's extract_mmlung.py")

    where, clips, without = layout.relative(path, root), {}, 0
    for number, (file, measured) in enumerate(zip(table[files], table[value]), 2):
        if not isinstance(file, str) or not file.strip():
            without += 1
            continue
        name = PureWindowsPath(file.strip()).stem  # splits at both kinds of slash
        subject, litres = name.partition("_")[0], _number(measured)
        if name in clips or not math.isfinite(litres):
            problem = f"row {number} names {name} a second time" if name in clips else f"row {number} has no {value}"
            findings.append(Finding("error", "annotation", where, problem, "restore the spirometry files' values"))
            continue
        clips[name] = {"clip_id": name, "label": litres, "split": "test", "group": subject, "domain": "phone"}
    if without:
        problem = f"{without} subjects have spirometry and no {sound} recording"
        findings.append(Finding("warning", "no-recording", where, problem, "they are left out"))
    return tabular.manifest(card, root, findings, clips, tabular.audio(root, clips))


def _tables(root: Path) -> list[Path]:
    """The delivered table of every folder that holds one, the .csv where it is there in both formats."""
    tables = [(folder, [name for name in TABLES if name in files]) for folder, files in layout.walk(root)]
    return [folder / names[0] for folder, names in tables if names]


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd

    if path.suffix == ".csv":
        return pd.read_csv(path, encoding="utf-8-sig")
    try:
        return pd.read_excel(path)
    except ImportError as error:
        remedy = f"save the sheet as {TABLES[0]} beside it, or install openpyxl"
        raise BadInput(path, "cannot be read without a reader of spreadsheets", remedy) from error


def _number(value: object) -> float:
    """A measured value; NaN where it is none. Spirometers mark values with an asterisk."""
    try:
        return float(str(value).replace("*", ""))
    except ValueError:
        return math.nan
