"""covid19-cough: coughs on request over a call centre or through a messaging app, COVID-19 or healthy; CC0.

Source: github.com/covid19-cough/dataset, the release of 420 recordings (others cut the same calls differently). A
recording is ``raw/<uuid>.mp3``; ``metadata.json`` has its label and channel. A demonstration of transfer between two
channels that anybody may redo, and never a headline: it is small, people have no ids, so one may be in train and in
test, and most positives of the messaging app are by word of mouth.

36 groups of recordings are byte-identical, and 34 of them hold both labels. All copies of those are left out, the two
recordings that do not decode among them, and one copy of the others is kept. One more recording is a stretch of another
that has the other label; both are left out: 345 recordings. The split is this
project's: within channel and label, the first half by the SHA-256 of the recording's name is the test.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import Finding, TaskCard
from tasks._shared import layout, table

if TYPE_CHECKING:
    import pandas as pd

METADATA = "metadata.json"
TABLE = "covid19_cough.csv"

_CLASSES = ("healthy", "COVID-19")


def _card(channel: str, labels: dict[str, tuple[int, int]]) -> TaskCard:
    return TaskCard(
        id=f"covid19_cough.{channel}",
        version=2,
        classes=_CLASSES,
        main_metric="auroc",
        metrics=table.METRICS,
        tests={"demonstration": ("test",)},
        url="https://github.com/covid19-cough/dataset",
        licence="CC0 1.0",
        citation="covid19-cough/dataset, github.com/covid19-cough/dataset, 2020",
        group="recording",
        domain="channel",
        adventitious=(1,),
        counts=table.counted(_CLASSES, labels),
        corpora=("covid19_cough",),
        demonstration=True,
        notes="A demonstration, never a headline: no person ids, 345 recordings, labels partly by word of mouth. "
        "MP3 is decoded by libsndfile, so the data's digest may differ between its builds.",
    )


CARDS = (
    _card("call_centre", {"train": (47, 47), "test": (47, 47)}),
    _card("messaging_app", {"train": (40, 39), "test": (40, 38)}),
)


def manifest(card: TaskCard, root: Path, findings: list[Finding]) -> pd.DataFrame:
    """One row per recording of the card's channel."""
    rows = {row["recording"]: row for row in layout.shipped(TABLE)}
    channel = card.id.partition(".")[2]
    clips = {
        name: {
            "clip_id": name,
            "label": int(row["label"]),
            "split": row["split"],
            "group": name,
            "domain": channel,
        }
        for name, row in rows.items()
        if row["channel"] == channel and row["split"]
    }
    sounds = _with_mp3(table.audio(root, rows))
    findings += _notes(card, rows, channel)
    findings += _contradicted(root, clips, sounds)
    return table.manifest(card, root, findings, clips, _of(sounds, clips))


def _with_mp3(sounds: table.Audio) -> table.Audio:
    """The same with .mp3 among the formats that are read: libsndfile decodes it."""
    readable = {key: path for key, path in sounds.foreign.items() if path.suffix.lower() == ".mp3"}
    foreign = {key: path for key, path in sounds.foreign.items() if key not in readable}
    return replace(sounds, files={**readable, **sounds.files}, foreign=foreign)


def _of(sounds: table.Audio, clips: dict[str, dict]) -> table.Audio:
    """The part that belongs to ``clips``; recordings of the other channel lie in the same folder."""
    return replace(
        sounds,
        files={key: path for key, path in sounds.files.items() if key in clips},
        foreign={key: path for key, path in sounds.foreign.items() if key in clips},
    )


def _notes(card: TaskCard, rows: dict[str, dict[str, str]], channel: str) -> list[Finding]:
    """What a reader must know before the numbers."""
    labels = defaultdict(set)
    for row in rows.values():
        labels[row["file_sha256"]].add(row["label"])
    files = [row["file_sha256"] for row in rows.values()]
    left = [row["file_sha256"] for row in rows.values() if row["channel"] == channel and not row["split"]]
    both = sum(len(labels[file]) > 1 for file in left)
    parts = sum(files.count(file) == 1 for file in left)
    problem = f"{both} byte-identical copies with contradictory labels and {len(left) - both - parts} spare ones are "
    problem += "left out" + f", and {parts} that contradict a stretch of another" * (parts > 0)
    return [
        Finding("warning", "demonstration", card.id, "a demonstration, never a headline: people have no ids in it"),
        Finding("note", "duplicates", card.id, problem, f"they have no split in tasks/splits/{TABLE}"),
    ]


def _contradicted(root: Path, clips: dict[str, dict], sounds: table.Audio) -> list[Finding]:
    """An error for recordings whose label in the copy's own metadata is not the table's."""
    places = {folder for path in sounds.files.values() for folder in layout.up_to(path.parent, root)}
    path = next((folder / METADATA for folder in sorted(places) if (folder / METADATA).is_file()), None)
    if path is None:
        return []
    where, remedy = layout.relative(path, root), "get the release of 420 recordings"
    try:
        published = {
            Path(entry["filename"]).stem: int(entry["covid19"]) for entry in json.loads(path.read_text("utf-8"))
        }
    except (ValueError, KeyError, TypeError) as error:
        return [Finding("warning", "metadata", where, f"is not a list of recordings ({error!r})", remedy)]
    wrong = tuple(name for name, clip in clips.items() if published.get(name, clip["label"]) != clip["label"])
    problem = f"{len(wrong)} recordings have another label here than in tasks/splits/{TABLE}"
    return [Finding("error", "label", where, problem, remedy, wrong)] if wrong else []
