"""UK COVID-19 Vocal Audio Dataset, open access edition: PCR result from an exhalation or a cough (OPERA T1, T2).

Source: Budd et al., "A large-scale and PCR-referenced vocal audio dataset for COVID-19", Scientific Data 11, 2024;
OPERA's sub-sample of the official split, 2,500 recordings a task. Recordings are named ``62-12-<hex>`` and
``71-12-<hex>`` (``-13-`` for coughs) after the recruitment channel, or ``<integer>_<16 characters>``.

The channel gives much of the label away: in training every ``62-`` recording is positive and every ``71-`` negative.
Test recordings named by an integer therefore are a split of their own, ``test_integer``: the test ``all`` pools both,
``integer_named`` has these alone, among which the number in the name still tells the label. Participants are derived
from the order of the official lists, in which each has one recording; where a copy holds ``audio_metadata.csv``, its
identifiers are held against that.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import Corpus, Finding, RemoteFile, TaskCard
from tasks._shared import layout, table

if TYPE_CHECKING:
    import pandas as pd

METADATA = "audio_metadata.csv"

_CLASSES = ("PCR negative", "PCR positive")
_CHANNELS = ("62", "71")
_ONE = "every participant should have one recording: leave the further ones out"


def _card(sound: str, by_prefix: str, by_number: str, labels: dict[str, tuple[int, int]]) -> TaskCard:
    """``by_prefix``, ``by_number``: test AUROC of parts of the file name alone, by the audit."""
    return TaskCard(
        id=f"covid_uk.{sound}",
        version=1,
        classes=_CLASSES,
        main_metric="auroc",
        metrics=table.METRICS,
        tests={"all": ("test", "test_integer"), "integer_named": ("test_integer",)},
        url="https://zenodo.org/records/10043978",
        licence="OGL 3.0 (attribution required)",
        citation=f"Budd et al., Scientific Data 11, 2024, doi:10.1038/s41597-024-03492-w; {table.OPERA}",
        group="participant",
        domain="recruitment channel",
        adventitious=(1,),
        counts=table.counted(_CLASSES, labels),
        corpora=("covid_uk",),
        variants=(table.LITERATURE,),
        notes="The prefix of the file name, which is the channel of recruitment, alone reaches an AUROC of "
        f"{by_prefix} on the test all. integer_named holds it constant and is not free of recruitment: the number in "
        f"those names alone reaches {by_number} there. A score on either may tell how people were recruited.",
    )


CARDS = (
    _card(
        "exhalation",
        "0.74",
        "0.78",
        {"train": (652, 348), "val": (327, 173), "test": (201, 96), "test_integer": (480, 223)},
    ),
    _card(
        "cough",
        "0.75",
        "0.79",
        {"train": (634, 366), "val": (296, 204), "test": (206, 107), "test_integer": (480, 207)},
    ),
)

CORPUS = Corpus(
    "covid_uk",
    "covid_uk",
    (RemoteFile("covid_data.zip"),),
    by_hand="the archive at https://zenodo.org/records/10043978 is cut into parts (covid_data.zip, covid_data.z01, "
    "…): download them all and join them by `zip -s 0 covid_data.zip --out whole.zip`",
)


def variant(card: TaskCard, name: str) -> TaskCard:
    """The card of ``literature/opera``: one test of all recordings."""
    return table.as_run(card)


def manifest(card: TaskCard, root: Path, findings: list[Finding]) -> pd.DataFrame:
    """One row per recording of the table."""
    clips = {}
    for row in table.rows(card):
        channel = row["recording"].partition("-")[0]
        channel = channel if channel in _CHANNELS else "integer"
        apart = row["split"] == "test" and channel == "integer" and card.variant != table.LITERATURE
        clips[row["recording"]] = {
            "clip_id": row["recording"],
            "label": int(row["label"]),
            "split": "test_integer" if apart else row["split"],
            "group": row["participant"],
            "domain": channel,
            "meta_prefix": channel,
        }
    findings += _contradicted(card, root, clips)
    return table.manifest(card, root, findings, clips, table.audio(root, clips))


def _contradicted(card: TaskCard, root: Path, clips: dict[str, dict]) -> list[Finding]:
    """Errors for participants with several recordings by the copy's own metadata."""
    path = next((folder / METADATA for folder, files in layout.walk(root) if METADATA in files), None)
    if path is None:
        return []
    where, column = layout.relative(path, root), f"{card.id.partition('@')[0].partition('.')[2]}_file_name"
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        if not {"participant_identifier", column} <= set(rows.fieldnames or ()):
            problem = f"lacks the column participant_identifier or {column}"
            return [Finding("warning", "metadata", where, problem, "participants are taken from the shipped table")]
        owned = defaultdict(list)
        for row in rows:
            name = Path(row[column] or "").stem
            if name in clips:
                owned[row["participant_identifier"]].append(name)
    return [
        Finding("error", "participant", where, f"{' and '.join(names)} are of one participant", _ONE, names[1:])
        for names in map(tuple, owned.values())
        if len(names) > 1
    ]
