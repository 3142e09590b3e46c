"""Coswara: smoking or sex, self-reported, from a shallow cough (OPERA T8, T9).

Source: Sharma et al., "Coswara - A Database of Breathing, Cough, and Voice Sounds for COVID-19 Diagnosis", Interspeech
2020. Recordings are ``<date>/<participant>/cough-shallow.wav`` below ``Extracted_data``; the table has the one of every
participant whose heavy and shallow coughs are both of quality 1 or 2. Three participants whose recordings are absent
or unreadable are not in it.

Smoking is confounded with the date: nobody recorded before 18 June 2021 is a non-smoker. Test recordings since then
are the split ``test_since_20210618``; the test ``all`` pools them with the earlier ones. The variant ``google`` is the
other split that OPERA ships, meant to match the size of HeAR's test, and never hands on to its probe.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import Corpus, Finding, RemoteFile, TaskCard
from tasks._shared import table

if TYPE_CHECKING:
    import pandas as pd

GOOGLE = "google"
SINCE = "20210618"

_SINCE = f"test_since_{SINCE}"
_TESTS = {
    "coswara.smoker": {"all": ("test", _SINCE), f"since_{SINCE}": (_SINCE,)},
    "coswara.sex": {"test": ("test",)},
}
_CLASSES = {"coswara.smoker": ("non-smoker", "smoker"), "coswara.sex": ("male", "female")}
_LABELS = {
    "coswara.smoker": {"train": (477, 129), "val": (120, 32), "test": (0, 23), _SINCE: (150, 17)},
    "coswara.sex": {"train": (1111, 485), "val": (278, 122), "test": (348, 152)},
}
_GOOGLE_LABELS = {
    "coswara.smoker": {"train": (551, 126), "val": (138, 32), "test": (0, 26), _SINCE: (58, 17)},
    "coswara.sex": {"train": (1007, 468), "val": (252, 117), "test": (478, 174)},
}


def _card(id: str, notes: str) -> TaskCard:
    return TaskCard(
        id=id,
        version=1,
        classes=_CLASSES[id],
        main_metric="auroc",
        metrics=table.METRICS,
        tests=_TESTS[id],
        url="https://github.com/iiscleap/Coswara-Data",
        licence="CC BY 4.0",
        citation=f"Sharma et al., Interspeech 2020, doi:10.21437/Interspeech.2020-2768; {table.OPERA}",
        group="participant",
        domain="year of collection",
        adventitious=(1,) if id == "coswara.smoker" else (),
        counts=table.counted(_CLASSES[id], _LABELS[id]),
        corpora=("coswara",),
        variants=(table.LITERATURE, GOOGLE),
        probe_settings={table.LITERATURE: {"batch": 32}},
        notes=notes,
    )


CARDS = (
    _card(
        "coswara.smoker",
        f"The date alone reaches a test AUROC of 0.77: no non-smoker was recorded before {SINCE}; read since_{SINCE}.",
    ),
    _card("coswara.sex", "The date alone reaches a test AUROC of 0.60."),
)

_COMMIT = "bf300ae9dc47918be4a30de90436fe7563fafb45"  # stands for a checksum: the archive is made anew each time
CORPUS = Corpus(
    "coswara",
    "Coswara",
    (RemoteFile("coswara.zip", (f"https://github.com/iiscleap/Coswara-Data/archive/{_COMMIT}.zip",)),),
    inner=True,
)


def variant(card: TaskCard, name: str) -> TaskCard:
    """The card of ``literature/opera`` (one test of all recordings) or of ``google``."""
    if name == table.LITERATURE:
        return table.as_run(card)
    return replace(card, counts=table.counted(card.classes, _GOOGLE_LABELS[card.id.partition("@")[0]]))


def manifest(card: TaskCard, root: Path, findings: list[Finding]) -> pd.DataFrame:
    """One row per recording of the table."""
    column = "split_google" if card.variant == GOOGLE else "split"
    by_date = any(_SINCE in splits for splits in card.tests.values())
    clips = {}
    for row in table.rows(card):
        date = row["recording"].partition("/")[0]
        apart = by_date and row[column] == "test" and date >= SINCE
        clips[row["recording"]] = {
            "clip_id": row["recording"],
            "label": int(row["label"]),
            "split": _SINCE if apart else row[column],
            "group": row["participant"],
            "domain": date[:4],
            "meta_date": date,
        }
    return table.manifest(card, root, findings, clips, table.audio(root, clips, table.last_three))
