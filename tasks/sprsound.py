"""SPRSound: paediatric lung sounds of 292 patients, one device, events and recordings labelled; release of 2022.

Source: Zhang et al., "SPRSound: Open-Source SJTU Paediatric Respiratory Sound Database", IEEE Transactions on
Biomedical Circuits and Systems 16(5), 2022. A recording is named ``patient_age_gender_location_number`` and has a JSON
file with its label and its events in milliseconds.

The repository has laid out the release in three ways: ``train_json`` and ``test_json/inter_test_json``;
``Classification/<split>_classification_json/2022``; ``BioCAS2022/train2022_json``. Recordings are found by name in any
of them, their split by the folder of the JSON file. Patients of the test ``inter`` are new; those of ``intra`` are in
train by design.

The variant ``2023`` adds the test of the challenge of 2023 (Zhang et al., BioCAS 2023: 871 recordings, the same tasks
and training data), whose files are told by the year in their folder. Patients of it whom training knows, 64634665 by
the organisers' summary, are the split ``test_2023_overlap``, and some of its recordings name no patient. Files of
later years, made for other tasks, are left alone.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.base.errors import BadInput
from bench.base.paths import parse_json
from bench.types import Corpus, Finding, RemoteFile, TaskCard
from tasks._shared import completeness, layout
from tasks._shared.labels import ALIASES, EVENTS2, EVENTS7, RECORDS3, RECORDS5, recount

if TYPE_CHECKING:
    import pandas as pd

DEVICE = "Yunting II"

_NAME = re.compile(r"(?P<patient>[^_]*)_(?P<age>[\d.]+)_(?P<gender>[01])_(?P<location>p\d+)_(?P<number>\d+)")
_STRUCTURE = re.compile(r"(train|valid|test|inter|intra|classification|biocas|json|wav|20\d\d)", re.IGNORECASE)
_YEAR = re.compile(r"20[12]\d")
_OTHER_TRACKS = re.compile(r"detection|compression", re.IGNORECASE)  # the same recordings again, cut differently
_FIRST, _LATER = "2022", "2023"  # years in the folders' names; the later is the variant's name too
LATER_RECORDINGS = 871
_FOLDER_SPLITS = {"train": "train", "inter": "test_inter", "intra": "test_intra"}
_EXPECTED = "folders train_json, train_wav, test_json/inter_test_json, test_json/intra_test_json, test_wav"

_TO_EVENTS2 = {name: int(name != "Normal") for name in EVENTS7}
_TO_RECORDS3 = {"Normal": 0, "Poor Quality": 1, "CAS": 2, "DAS": 2, "CAS & DAS": 2}

_LABELS = {
    "sprsound.events2": _TO_EVENTS2,
    "sprsound.events7": {name: index for index, name in enumerate(EVENTS7)},
    "sprsound.records3": _TO_RECORDS3,
    "sprsound.records5": {name: index for index, name in enumerate(RECORDS5)},
}

# Recordings and patients of the event tasks are those with events: 187 recordings of poor quality have none.
_EVENTS = {
    "train": ((1772, 243), (5159, 39, 452, 15, 49, 912, 30)),
    "test_inter": ((347, 41), (1040, 0, 305, 0, 3, 80, 1)),
    "test_intra": ((377, 160), (688, 14, 108, 2, 14, 175, 3)),
}
_RECORDS = {
    "train": ((1949, 251), (1303, 177, 126, 248, 95)),
    "test_inter": ((355, 41), (241, 8, 65, 24, 17)),
    "test_intra": ((379, 162), (241, 2, 42, 75, 19)),
}


def _counts(table: dict, classes: tuple[str, ...]) -> dict[str, dict[str, int]]:
    return {
        split: {"recordings": sizes[0], "patients": sizes[1], **dict(zip(classes, labels))}
        for split, (sizes, labels) in table.items()
    }


def _merged(counts: dict, classes: tuple[str, ...], to: dict[str, int], merged: tuple[str, ...]) -> dict:
    return {split: recount(part, classes, to, merged) for split, part in counts.items()}


def _card(id: str, classes: tuple[str, ...], adventitious: tuple[int, ...], counts: dict) -> TaskCard:
    scores = ("sprsound.Score", "sprsound.SE", "sprsound.SP", "sprsound.AS", "sprsound.HS")
    return TaskCard(
        id=id,
        version=1,
        classes=classes,
        main_metric="sprsound.Score",
        metrics=(*scores, "uar", "macro_f1", "auroc"),
        tests={"inter": ("test_inter",), "intra": ("test_intra",)},
        url="https://github.com/SJTU-YONGFU-RESEARCH-GRP/SPRSound",
        licence="GPL-3.0 text in the repository, CC BY on the challenge page",
        citation="Zhang et al., IEEE Transactions on Biomedical Circuits and Systems 16(5):867-881, 2022",
        adventitious=adventitious,
        counts=counts,
        within_patient=("test_intra",),
        corpora=("sprsound",),
        variants=(_LATER,),
        notes="Tasks 1-1, 1-2, 2-1 and 2-2 of the BioCAS 2022 challenge.",
        spellings=_LABELS[id],
    )


_EVENT_COUNTS, _RECORD_COUNTS = _counts(_EVENTS, EVENTS7), _counts(_RECORDS, RECORDS5)
CARDS = (
    _card("sprsound.events2", EVENTS2, (1,), _merged(_EVENT_COUNTS, EVENTS7, _TO_EVENTS2, EVENTS2)),
    _card("sprsound.events7", EVENTS7, (1, 2, 3, 4, 5, 6), _EVENT_COUNTS),
    _card("sprsound.records3", RECORDS3, (2,), _merged(_RECORD_COUNTS, RECORDS5, _TO_RECORDS3, RECORDS3)),
    _card("sprsound.records5", RECORDS5, (2, 3, 4), _RECORD_COUNTS),
)

_COMMIT = "174500e401f4ebf54061414c2fe082c7dccfb9d2"  # stands for a checksum: the archive is made anew each time
CORPUS = Corpus(
    "sprsound",
    "SPRSound",
    (RemoteFile("sprsound.zip", (f"https://github.com/SJTU-YONGFU-RESEARCH-GRP/SPRSound/archive/{_COMMIT}.zip",)),),
)


def variant(card: TaskCard, name: str) -> TaskCard:
    """The card with the test of 2023 as its headline; how many clips that has is not published."""
    tests = {"2023": ("test_2023",), "2023_official": ("test_2023", "test_2023_overlap")}
    notes = f"{card.notes} Test 2023: the challenge of 2023, without patients of the training data."
    return replace(card, tests=tests | dict(card.tests), known_overlap=("64634665",), notes=notes)


def manifest(card: TaskCard, root: Path, findings: list[Finding]) -> pd.DataFrame:
    """One row per event or per recording.

    Raises ``BadInput`` where there is no copy below ``root``, or several, and where the copy lacks the year that the
    card is about.
    """
    import pandas as pd

    annotated, sounds, ignored = _files(root, card.variant)
    year = {folder: _year(folder, root) for folder in {path.parent for path in annotated}}
    corpora = sorted({_corpus(folder, root) for folder in year})
    corpus = layout.only(card, root, corpora, _EXPECTED)
    simulated = layout.simulated(corpus, root)
    where = layout.relative(corpus, root)
    findings += [*([simulated] if simulated else []), *_other_years(card, where, ignored)]
    annotations = _unique(annotated, root)
    audio = layout.index_audio(((path.stem, path) for path in sounds), root, findings)
    findings += [layout.without_annotation(card, audio[name], root) for name in sorted(set(audio) - set(annotations))]
    absent = sorted(set(annotations) - set(audio))
    if absent:
        findings.append(layout.missing_audio(card, where, absent, len(annotations)))

    table = {} if simulated else {row["recording"]: row["split"] for row in layout.shipped("sprsound2022.csv")}
    findings += completeness.missing_annotations(card, where, table, annotations)
    if card.variant:
        findings += _later(card, where, sum(year[path.parent] == _LATER for path in annotations.values()))
    rows, unlabelled, unsorted = [], [], []
    for name, path in annotations.items():
        try:
            folders = path.relative_to(corpus).parts[:-1]
            split = "test_2023" if year[path.parent] == _LATER else _split(folders, table.get(name))
            label, events = _annotation(path)
            clips = _clips(card, name, label, sorted(events))
        except ValueError as error:
            findings.append(layout.bad_annotation(card, path, root, str(error)))
            continue
        if clips is None:
            unlabelled.append(path)
            continue
        fields = _NAME.fullmatch(name)
        shared = {
            "path": layout.relative(audio.get(name, path.with_suffix(".wav")), root),
            "split": split,
            "group": fields["patient"] or name,
            "domain": DEVICE,
            "available": name in audio,
            "meta_location": fields["location"],
        }
        rows += [clip | shared for clip in clips]
        if _is_of_events(card) and events != sorted(events):
            unsorted.append(path)
    if unlabelled:
        problem = f"has no record_annotation, like {len(unlabelled) - 1} more files"
        remedy = "use the release of 2022, or an event task"
        findings.append(Finding("error", "annotation", layout.relative(unlabelled[0], root), problem, remedy))
    if unsorted:
        problem = f"{len(unsorted)} of {len(annotations)} files list their events in another order than that of time"
        remedy = "clips are numbered by their start"
        first = layout.relative(unsorted[0], root)
        findings.append(Finding("note", "unsorted", first, problem, remedy))
    findings += _nameless(where, annotations)
    columns = ["clip_id", "path", "start_s", "end_s", "label", "split", "group", "domain", "available"]
    return _apart(card, pd.DataFrame(rows, columns=[*columns, "meta_location"]))


def _other_years(card: TaskCard, where: str, ignored: Counter) -> list[Finding]:
    """A note on annotations of years that the card is not about."""
    if not ignored:
        return []
    counted = ", ".join(f"{n} of {year}" for year, n in sorted(ignored.items()))
    base = card.id.partition("@")[0]
    remedy = f"{card.id} is defined on 2022 and 2023" if card.variant else f"{base}@{_LATER} tests on {_LATER} too"
    return [Finding("note", "other-years", where, f"annotations of other years are not used: {counted}", remedy)]


def _nameless(where: str, names: Iterable[str]) -> list[Finding]:
    """A warning where recordings name no patient."""
    nameless = sorted(name for name in names if name.startswith("_"))
    if not nameless:
        return []
    problem = f"{len(nameless)} recordings name no patient (first: {nameless[0]})"
    remedy = "each counts as a patient of its own, which makes intervals too narrow"
    return [Finding("warning", "no-patient", where, problem, remedy)]


def _later(card: TaskCard, where: str, there: int) -> list[Finding]:
    """A warning where the copy has some recordings of 2023, not all. Raises ``BadInput`` where it has none."""
    if not there:
        remedy = f"get BioCAS2023/test2023_json and test2023_wav from {card.url}"
        raise BadInput(where, f"holds no recording of the test of {_LATER}", remedy)
    if there == LATER_RECORDINGS:
        return []
    problem = f"{there} of the {LATER_RECORDINGS} recordings of the test of {_LATER} are annotated here"
    return [Finding("warning", "missing-annotations", where, problem, f"the whole test is at {card.url}")]


def _apart(card: TaskCard, frame: pd.DataFrame) -> pd.DataFrame:
    """The manifest with the clips of 2023 of known overlap patients in a split of their own."""
    known = set(frame.loc[frame["split"] == "train", "group"]) & set(card.known_overlap)
    overlap = (frame["split"] == "test_2023") & frame["group"].isin(known)
    return frame.assign(split=frame["split"].mask(overlap, "test_2023_overlap"))


def _files(root: Path, variant: str) -> tuple[list[Path], list[Path], Counter]:
    """Annotation files, sound files, and the number of annotation files of every year that is not used."""
    annotated, sounds, ignored = [], [], Counter()
    for folder, names in layout.walk(root):
        if _OTHER_TRACKS.search(layout.relative(folder, root)):
            continue
        ours = [folder / name for name in names if _NAME.fullmatch(Path(name).stem)]
        jsons = [path for path in ours if path.suffix.lower() == ".json"]
        year = _year(folder, root)
        if jsons and year not in (_FIRST, variant):
            ignored[year] += len(jsons)
        if year in (_FIRST, variant):
            annotated += jsons
            sounds += [path for path in ours if layout.is_audio(path.name)]
    return annotated, sounds, ignored


def _year(folder: Path, root: Path) -> str:
    """The year of the release that a folder belongs to: 2022 where its name, and those above, tell none."""
    structure = folder.relative_to(_corpus(folder, root)).parts
    return [_FIRST, *(year for part in structure for year in _YEAR.findall(part))][-1]


def _corpus(folder: Path, root: Path) -> Path:
    """The folder that the release was unpacked into: the nearest one above whose name is not the release's own."""
    return next((place for place in layout.up_to(folder, root) if not _STRUCTURE.match(place.name)), root)


def _unique(paths: list[Path], root: Path) -> dict[str, Path]:
    """{recording: annotation file}. Raises ``BadInput`` for a recording that is annotated twice."""
    index: dict[str, Path] = {}
    for path in paths:
        other = index.setdefault(path.stem, path)
        if other is not path:
            problem = f"annotates the same recording as {layout.relative(other, root)}"
            raise BadInput(layout.relative(path, root), problem, "keep one copy of the release, or name one of them")
    return index


def _split(folders: tuple[str, ...], official: str | None) -> str:
    """The split by the innermost folder that tells, else the official one.

    Raises ``ValueError`` for a contradiction and where neither tells.
    """
    by_folder = [split for name in folders for start, split in _FOLDER_SPLITS.items() if name.lower().startswith(start)]
    if not by_folder and official is None:
        raise ValueError("neither its folder nor the official split of 2022 says whether it is train or test")
    split = by_folder[-1] if by_folder else official
    if official not in (None, split):
        raise ValueError(f"lies in a folder of {split}, the official split has it in {official}")
    return split


def _annotation(path: Path) -> tuple[str | None, list[tuple[float, float, str]]]:
    """The recording's label (None in releases without one) and its (start_s, end_s, type), in the file's order.

    Raises ``ValueError`` that says what is wrong.
    """
    try:
        content = parse_json(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"is not JSON ({error})") from error
    events = content.get("event_annotation") if isinstance(content, dict) else None
    if not isinstance(events, list):
        raise ValueError("has no list event_annotation")
    out = []
    for index, event in enumerate(events):
        try:
            start_ms, end_ms, kind = float(event["start"]), float(event["end"]), str(event["type"])
        except (KeyError, TypeError, ValueError):
            start_ms = end_ms = math.nan
        if not (math.isfinite(start_ms) and math.isfinite(end_ms)):
            raise ValueError(f"event {index} lacks a start, end (milliseconds) or type: {event!r}")
        out.append((start_ms / 1000, end_ms / 1000, kind))
    label = content.get("record_annotation", content.get("recording_annotation"))  # as the README spells it
    return None if label is None else str(label), out


def _is_of_events(card: TaskCard) -> bool:
    return card.id.startswith("sprsound.events")


def _clips(card: TaskCard, name: str, label: str | None, events: list) -> list[dict] | None:
    """Clip id, start, end and label of each clip; None where a recording's label is asked for and not given.

    Raises ``ValueError`` for a label that the task does not know.
    """
    labels = _LABELS[card.id.partition("@")[0]]
    if _is_of_events(card):
        rows = [(f"{name}#e{index:03d}", *event) for index, event in enumerate(events)]
    elif label is None:
        return None
    else:
        rows = [(name, 0.0, float("nan"), label)]
    known = [(*clip, ALIASES.get(kind, kind)) for *clip, kind in rows]
    unknown = sorted({kind for *_, kind in known} - set(labels))
    if unknown:
        raise ValueError(f"unknown label {unknown[0]!r}; known: {', '.join(labels)}")
    return [{"clip_id": id, "start_s": start, "end_s": end, "label": labels[kind]} for id, start, end, kind in known]
