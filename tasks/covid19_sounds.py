"""COVID-19 Sounds: respiratory symptoms from a breath or a cough, on application (OPERA T3, T4).

Source: Xia et al., "COVID-19 Sounds: A Large-Scale Audio Dataset for Digital Respiratory Screening", NeurIPS Datasets
and Benchmarks 2021, its first task. Delivered are ``data_0426_en_task1.csv`` (fields apart by semicolons; ``split`` 0
train, 1 validation, 2 test; ``label`` 1 with symptoms) and the folder ``0426_EN_used_task1`` of
``<participant>/<folder>/<file>``. Participants of the web form are named by the time of their submission and lie in
``form-app-users``. As in OPERA, every fifth training row is kept.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING

from bench.base.errors import BadInput
from bench.types import Finding, TaskCard
from tasks._shared import layout, table

if TYPE_CHECKING:
    import pandas as pd

TABLE = "data_0426_en_task1.csv"
EVERY = 5  # training rows

_SPLITS = {"0": "train", "1": "val", "2": "test"}
_WEB = re.compile(r"202\d-.*")
_WEB_FOLDER = "form-app-users"
_EXPECTED = f"{TABLE} and the folder 0426_EN_used_task1"


def _card(sound: str) -> TaskCard:
    return TaskCard(
        id=f"covid19_sounds.{sound}",
        version=1,
        classes=("no symptoms", "symptoms"),
        main_metric="auroc",
        metrics=table.METRICS,
        tests={"test": ("test",)},
        url="https://covid-19-sounds.org/blog/neurips_dataset",
        licence="its own data transfer agreement, for academic research",
        citation=f"Xia et al., NeurIPS Datasets and Benchmarks 2021; {table.OPERA}",
        access="on application at https://covid-19-sounds.org/blog/neurips_dataset, with a data transfer agreement",
        group="participant",
        domain="platform",
        adventitious=(1,),
        corpora=("covid19_sounds",),
        variants=(table.LITERATURE,),
        notes=f"Training keeps every fifth row. A participant of the web form is one submission to {_WEB_FOLDER}.",
    )


CARDS = (_card("breath"), _card("cough"))


def variant(card: TaskCard, name: str) -> TaskCard:
    """The card of ``literature/opera``, which is the headline split."""
    return card


def manifest(card: TaskCard, root: Path, findings: list[Finding]) -> pd.DataFrame:
    """One row per recording of the delivered table.

    Raises ``BadInput`` where that is absent, there twice, or without a column.
    """
    tables = [folder / TABLE for folder, files in layout.walk(root) if TABLE in files]
    path = table.on_application(card, root, tables, _EXPECTED)
    column = f"{card.id.partition('@')[0].partition('.')[2].capitalize()} filename"
    needed = ("Uid", "Folder Name", column, "split", "label")
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter=";")
        if missing := [name for name in needed if name not in (reader.fieldnames or ())]:
            remedy = "restore the file as it was delivered, with semicolons between fields"
            raise BadInput(path, f"lacks the columns {', '.join(missing)}", remedy)
        delivered = [tuple((row[name] or "").strip() for name in needed) for row in reader]

    where, clips, seen_in_training, left_out = layout.relative(path, root), {}, 0, 0
    for number, (participant, folder, name, split, label) in enumerate(delivered, 2):
        if split not in _SPLITS or label not in ("0", "1") or not (participant and folder and name):
            problem = f"row {number} lacks a participant, folder, {column}, split 0 … 2 or label 0 … 1"
            findings.append(Finding("error", "annotation", where, problem, "restore the file as it was delivered"))
            continue
        if _SPLITS[split] == "train":
            seen_in_training += 1
            if (seen_in_training - 1) % EVERY:
                left_out += 1
                continue
        web = _WEB.fullmatch(participant) is not None
        key = "/".join((_WEB_FOLDER if web else participant, folder, Path(name).stem))
        if key in clips:
            problem = f"row {number} names {key} a second time"
            findings.append(Finding("error", "duplicate-annotation", where, problem, "keep one of the two rows"))
            continue
        clips[key] = {
            "clip_id": key,
            "label": int(label),
            "split": _SPLITS[split],
            "group": participant,
            "domain": "web" if web else "app",
        }
    if left_out:
        problem = f"{left_out} of {seen_in_training} training recordings are not used"
        findings.append(Finding("note", "every-fifth", where, problem, "as in OPERA, every fifth is kept"))
    return table.manifest(card, root, findings, clips, table.audio(root, clips, table.last_three))
