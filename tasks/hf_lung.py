"""HF_Lung_V1: lung sounds of adults in 15 s pieces, events annotated; release of 2021.

Source: Hsu et al., "Benchmarking of eight recurrent neural network variants for breath phase and adventitious sound
detection on a self-developed open-access lung sound database — HF_Lung_V1", PLOS ONE 16(7), 2021. Folders ``train``
and ``test``; a recording is ``steth_20190821_12_00_25`` (electronic stethoscope: date, time) or
``trunc_2019-08-21-10-35-06-L1_1`` (multichannel recorder: date, time, channel, piece). ``<recording>_label.txt`` has a
line per event: ``I``, ``E`` (breath phases), ``D`` (discontinuous adventitious sound: crackles), ``Wheeze``,
``Stridor`` or ``Rhonchi`` (continuous), then start and end as ``hours:minutes:seconds``. An empty file: no event.

The paper detects events in time; here a recording is a clip, labelled with the adventitious sounds that occur in it,
so that no published number can be compared. Patients are not named: the group is the recording's date, which keeps
channels, pieces and neighbouring recordings of one visit together, and may join several patients.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import Corpus, Finding, RemoteFile, TaskCard
from tasks._shared import layout

if TYPE_CHECKING:
    import pandas as pd

RECORDINGS = 9765  # by the paper's abstract

_SUFFIX = "_label.txt"
_SPLITS = ("train", "test")
_NAME = re.compile(
    r"steth_(?P<day>\d{8})(?:_\d+)+|trunc_(?P<date>\d{4}-\d{2}-\d{2})(?:-\d+)*-(?P<channel>L\d+)_\d+", re.ASCII
)
_TIME = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)", re.ASCII)
_PHASES = ("I", "E")
_EXPECTED = f"folders train and test of recordings with a {_SUFFIX} each"

# {class: words of the annotation}, in label order.
_CLASSES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "hf_lung.adventitious": {"CAS": ("Wheeze", "Stridor", "Rhonchi"), "DAS": ("D",)},
    "hf_lung.sounds": {"wheeze": ("Wheeze",), "stridor": ("Stridor",), "rhonchi": ("Rhonchi",), "crackle": ("D",)},
}
_WORDS = {*_PHASES, *(word for classes in _CLASSES.values() for words in classes.values() for word in words)}


def _card(id: str) -> TaskCard:
    return TaskCard(
        id=id,
        version=1,
        classes=tuple(_CLASSES[id]),
        main_metric="auroc.bits",
        metrics=("auroc.bits", "ap.bits", "f1.bits"),
        tests={"test": ("test",)},
        url="https://gitlab.com/techsupportHF/HF_Lung_V1",
        licence="CC BY 4.0, as others who use it state; read the repository's own",
        citation="Hsu et al., PLOS ONE 16(7):e0254134, 2021",
        kind="multilabel",
        group="recording date",
        within_patient=("test",),
        corpora=("hf_lung",),
        notes="A recording's sounds, not their times. No patient is named, so that patients on both sides of the "
        "split cannot be ruled out; dates are resampled instead. Not held against a real copy: counts per split and "
        "class are not verified.",
    )


CARDS = tuple(map(_card, _CLASSES))


@dataclass(frozen=True)
class _Copy:
    """Files by recording: annotations, sounds; and the splits that each is in."""

    folder: Path
    annotated: Mapping[str, Path]
    sounds: Mapping[str, Path]


CORPUS = Corpus(
    "hf_lung",
    "HF_Lung_V1",
    (
        RemoteFile(
            "hf_lung.zip", ("https://gitlab.com/techsupportHF/HF_Lung_V1/-/archive/master/HF_Lung_V1-master.zip",)
        ),
    ),
    inner=True,
)


def manifest(card: TaskCard, root: Path, findings: list[Finding]) -> pd.DataFrame:
    """One row per recording. Raises ``BadInput`` where there is no copy below ``root``, or several."""
    import pandas as pd

    copy = _found(card, root, findings)
    where = layout.relative(copy.folder, root)
    simulated = layout.simulated(copy.folder, root)
    findings += [simulated] if simulated else []
    alone = sorted(set(copy.sounds) - set(copy.annotated))
    findings += [layout.without_annotation(card, copy.sounds[name], root) for name in alone]
    if absent := sorted(set(copy.annotated) - set(copy.sounds)):
        findings.append(layout.missing_audio(card, where, absent, len(copy.annotated)))
    if len(copy.annotated) != RECORDINGS and not simulated:
        problem = f"{len(copy.annotated)} annotated recordings, the paper tells of {RECORDINGS}"
        remedy = f"the whole corpus is at {card.url}"
        findings.append(Finding("warning", "recordings", where, problem, remedy))
    rows = []
    for name, path in sorted(copy.annotated.items()):
        try:
            rows.append(_row(card, root, name, path, copy.sounds.get(name)))
        except ValueError as error:
            findings.append(layout.bad_annotation(card, path, root, str(error)))
    columns = ["clip_id", "path", "start_s", "end_s", "label", "split", "group", "domain", "available", "meta_channel"]
    frame = pd.DataFrame(rows, columns=columns)
    findings += _shared_dates(where, frame)
    return frame


def _found(card: TaskCard, root: Path, findings: list[Finding]) -> _Copy:
    corpora, annotated, sounds = set(), {}, []
    for folder, names in layout.walk(root):
        if folder.name.lower() not in _SPLITS:
            continue
        for name in names:
            recording = name.removesuffix(_SUFFIX) if name.endswith(_SUFFIX) else Path(name).stem
            if not recording.startswith(("steth_", "trunc_")):
                continue
            place = next(p for p in layout.up_to(folder, root) if p.name.lower() not in _SPLITS or p == root)
            if name.endswith(_SUFFIX):
                corpora.add(place)
                if other := annotated.get(recording):
                    problem = f"the recording is annotated in {layout.relative(other, root)} too, which is used"
                    where = layout.relative(folder / name, root)
                    findings.append(Finding("error", "annotated-twice", where, problem, "remove one of the two"))
                annotated.setdefault(recording, folder / name)
            elif layout.is_audio(name):
                sounds.append((recording, folder / name))
    corpus = layout.only(card, root, sorted(corpora), _EXPECTED)
    return _Copy(corpus, annotated, layout.index_audio(iter(sounds), root, findings))


def _row(card: TaskCard, root: Path, name: str, annotation: Path, sound: Path | None) -> dict:
    """Raises ``ValueError`` for a name or an annotation of another form."""
    parts = _NAME.fullmatch(name)
    if not parts:
        raise ValueError(f"{name} is neither steth_<date>_<time> nor trunc_<date and time>-<channel>_<piece>")
    words = _words(annotation)
    label = sum(1 << k for k, sounds in enumerate(_CLASSES[card.id].values()) if words & set(sounds))
    return {
        "clip_id": name,
        "path": layout.relative(sound or annotation.with_name(f"{name}.wav"), root),
        "start_s": 0.0,
        "end_s": float("nan"),
        "label": label,
        "split": annotation.parent.name.lower(),
        "group": (parts["day"] or parts["date"]).replace("-", ""),
        "domain": "stethoscope" if parts["day"] else "multichannel recorder",
        "available": sound is not None,
        "meta_channel": parts["channel"] or "",
    }


def _words(path: Path) -> set[str]:
    """The kinds of event in an annotation file. Raises ``ValueError`` naming the line that is of another form."""
    words = set()
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 3 or not all(map(_TIME.fullmatch, fields[1:])):
            raise ValueError(f"line {number} is not 'event h:m:s h:m:s': {line!r}")
        if fields[0] not in _WORDS:
            raise ValueError(f"line {number} has the unknown event {fields[0]!r}; known: {', '.join(sorted(_WORDS))}")
        if _seconds(fields[2]) < _seconds(fields[1]):
            raise ValueError(f"line {number} ends before it starts: {line!r}")
        words.add(fields[0])
    return words


def _seconds(text: str) -> float:
    hours, minutes, seconds = _TIME.fullmatch(text).groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _shared_dates(where: str, frame: pd.DataFrame) -> list[Finding]:
    """A warning for dates on both sides of the split, which may be of the same patients."""
    test = frame["split"] == "test"
    shared = set(frame.loc[test, "group"]) & set(frame.loc[~test, "group"])
    if not shared:
        return []
    clips = int((test & frame["group"].isin(shared)).sum())
    problem = f"{len(shared)} dates are in train and in test, with {clips} of {int(test.sum())} test recordings"
    remedy = "whether they are of the same patients cannot be told from the corpus"
    return [Finding("warning", "shared-dates", where, problem, remedy)]
