"""CoughVID, first release: COVID-19 status or sex, both self-reported, from a crowdsourced cough (OPERA T5, T6).

Source: Orlandic, Teijeiro and Atienza, "The COUGHVID crowdsourcing dataset", Scientific Data 8, 2021, Zenodo record
4048312; later releases differ. Recordings are submissions named by a uuid, as .webm or .ogg; OPERA takes those whose
``cough_detected`` is 0.8 or more. No participant is known, so a recording is its own group and people who submitted
twice cannot be kept on one side.

OPERA's conversion to .wav cuts the last character off the name of an .ogg file, so recordings are recognised by the
first 35 of 36 characters; the container in the table is inferred from that. The test of ``covid`` is the sex task's,
restricted to recordings with a status. OPERA also ships a list of COVID-19 test recordings that it never uses: those
in it are the split ``test_covid_list``, the other 98 are ``test``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import Corpus, Finding, RemoteFile, TaskCard
from tasks._shared import table

if TYPE_CHECKING:
    import pandas as pd

_COVID, _SEX = ("healthy", "COVID-19"), ("male", "female")
_KEY_LENGTH = 35  # of a uuid's 36 characters


def _card(target: str, classes: tuple[str, ...], tests: dict, labels: dict[str, tuple[int, int]]) -> TaskCard:
    return TaskCard(
        id=f"coughvid.{target}",
        version=1,
        classes=classes,
        main_metric="auroc",
        metrics=table.METRICS,
        tests=tests,
        url="https://zenodo.org/records/4048312",
        licence="CC BY 4.0",
        citation=f"Orlandic et al., Scientific Data 8:156, 2021; {table.OPERA}",
        group="recording",
        domain="container",
        adventitious=(1,) if target == "covid" else (),
        counts=table.counted(classes, labels),
        corpora=("coughvid",),
        variants=(table.LITERATURE,),
        notes="No participant ids: intervals resample recordings, and one person may be in train and in test.",
    )


CARDS = (
    _card(
        "covid",
        _COVID,
        {"all": ("test", "test_covid_list"), "covid_list": ("test_covid_list",)},
        {"train": (2501, 248), "val": (826, 93), "test": (64, 34), "test_covid_list": (2237, 172)},
    ),
    _card("sex", _SEX, {"test": ("test",)}, {"train": (2154, 1064), "val": (717, 373), "test": (1924, 1031)}),
)

CORPUS = Corpus(
    "coughvid",
    "coughvid",
    (
        RemoteFile(
            "public_dataset.zip",
            ("https://zenodo.org/records/4048312/files/public_dataset.zip?download=1",),
            digest="md5:5c30a8b00c8bb7783a2c15a48cb8ea9e",
        ),
    ),
)


def variant(card: TaskCard, name: str) -> TaskCard:
    """The card of ``literature/opera``: one test of all recordings."""
    return table.as_run(card)


def manifest(card: TaskCard, root: Path, findings: list[Finding]) -> pd.DataFrame:
    """One row per recording of the table."""
    clips = {}
    for row in table.rows(card):
        listed = row.get("in_covid_test_list") == "1" and card.variant != table.LITERATURE
        clips[row["recording"][:_KEY_LENGTH]] = {
            "clip_id": row["recording"],
            "label": int(row["label"]),
            "split": "test_covid_list" if listed else row["split"],
            "group": row["recording"],
            "domain": row["container"],
        }
    return table.manifest(card, root, findings, clips, table.audio(root, clips, _key))


def _key(path: Path) -> str | None:
    return path.stem[:_KEY_LENGTH] if len(path.stem) - _KEY_LENGTH in (0, 1) else None
