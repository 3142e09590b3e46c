"""SSBPR: sleep body position from a snore, five positions, on request (OPERA T12).

Source: Xiao et al., "A Snoring Sound Dataset for Body Position Recognition: Collection, Annotation, and Analysis",
Interspeech 2023: 7,570 recordings of six positions. They lie in folders ``female`` and ``male`` and are named
``A-B-C.wav``: A and B the patient, C the position; prone is left out as in OPERA. There are more recordings than
patients and positions, so B cannot name patients alone; all recordings of a patient agree in A, and the group is the
folder with A.

No split is published. Ours keeps patients apart: the first of five stratified folds of patients is the test, the
second the validation. ``literature/opera`` is OPERA's rule, 60/20/20 at random by recording with patients on both
sides; OPERA draws in the order in which its file system lists the files, here it is the order of names, so that the
rows of published numbers cannot be had.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.base.errors import BadInput
from bench.types import Finding, TaskCard
from tasks._shared import layout, table

if TYPE_CHECKING:
    import pandas as pd

RECORDINGS = 7570
PRONE = 5
SEED = 42

_FOLDS = 5
_SEXES = ("female", "male")
_NAME = re.compile(r"(?P<patient>[^-]+)-.+-(?P<position>[0-5])")
_EXPECTED = "folders female and male with recordings named A-B-C.wav"

CARDS = (
    TaskCard(
        id="ssbpr.position",
        version=1,
        classes=("supine", "supine (head left)", "supine (head right)", "left side", "right side"),
        main_metric="auroc",
        metrics=table.METRICS,
        tests={"test": ("test",)},
        url="https://github.com/xiaoli1996/SSBPR",
        licence="CC BY 4.0 by OPERA's table",
        citation=f"Xiao et al., Interspeech 2023, arXiv:2307.13346; {table.OPERA}",
        access="on request to the address in https://github.com/xiaoli1996/SSBPR",
        domain="sex",
        adventitious=(),
        corpora=("ssbpr",),
        variants=(table.LITERATURE,),
        probe_settings={table.LITERATURE: {"epochs": 32, "keep": 3}},
        notes="The split is RespBench's own: patients are kept apart, as no published split does.",
    ),
)


def variant(card: TaskCard, name: str) -> TaskCard:
    """The card of ``literature/opera``: random by recording, so that its test shares patients with training."""
    notes = "Random by recording: patients on both sides. Not exactly OPERA's rows, whose order is not published."
    return replace(card, within_patient=("test",), notes=notes)


def manifest(card: TaskCard, root: Path, findings: list[Finding]) -> pd.DataFrame:
    """One row per recording that is not prone.

    Raises ``BadInput`` where there is no copy, or several, or too few recordings to split.
    """
    by_corpus: dict[Path, list[Path]] = {}
    for folder, files in layout.walk(root):
        corpus = _corpus(folder, root)
        if corpus is not None:
            by_corpus.setdefault(corpus, []).extend(folder / name for name in files if _is_sound(name))
    corpora = [corpus for corpus, paths in by_corpus.items() if any(_NAME.fullmatch(path.stem) for path in paths)]
    corpus = table.on_application(card, root, corpora, _EXPECTED)

    clips, prone, total = {}, 0, set()
    for path in by_corpus[corpus]:
        name = _NAME.fullmatch(path.stem)
        if name is None:
            findings.append(table.unreadable_name(path, root, "A-B-C, C from 0 to 5"))
            continue
        key = _key(path, corpus)
        if key in total:
            continue
        total.add(key)
        if int(name["position"]) == PRONE:
            prone += 1
            continue
        sex = key.partition("/")[0].lower()
        clips[key] = {
            "clip_id": key,
            "label": int(name["position"]),
            "group": f"{sex}/{name['patient']}",
            "domain": sex,
        }
    where = layout.relative(corpus, root)
    if prone:
        problem = f"{prone} prone recordings are not part of {card.id}"
        findings.append(Finding("note", "prone", where, problem))
    if len(total) != RECORDINGS:
        problem = f"holds {len(total)} recordings, the paper counts {RECORDINGS}"
        findings.append(Finding("warning", "incomplete", where, problem, "the split depends on all: complete the copy"))
    ordered = {key: clips[key] for key in sorted(clips)}
    for clip, split in zip(ordered.values(), _splits(card, corpus, list(ordered.values()))):
        clip["split"] = split
    sounds = table.audio(corpus, ordered, lambda path: _key(path, corpus))
    return table.manifest(card, root, findings, ordered, sounds)


def _is_sound(name: str) -> bool:
    return name.lower().endswith(table.READABLE) and not name.startswith(".")


def _corpus(folder: Path, root: Path) -> Path | None:
    """The folder above the ``female`` or ``male`` that ``folder`` is or lies in."""
    chain = layout.up_to(folder, root)
    return next((place.parent for place in chain if place.name.lower() in _SEXES and place != root), None)


def _key(path: Path, corpus: Path) -> str:
    """A recording's name from the folder of the sex on, without its suffix."""
    return path.relative_to(corpus).with_suffix("").as_posix()


def _splits(card: TaskCard, corpus: Path, clips: list[dict]) -> list[str]:
    """The split of every clip, in their order."""
    import numpy as np
    from sklearn.model_selection import StratifiedGroupKFold, train_test_split

    labels = np.array([clip["label"] for clip in clips])
    groups = np.array([clip["group"] for clip in clips])
    split = np.full(len(clips), "train", dtype=object)
    if card.variant == table.LITERATURE:
        try:
            rest, test = train_test_split(np.arange(len(clips)), test_size=0.2, random_state=SEED, stratify=labels)
            _, val = train_test_split(rest, test_size=0.25, random_state=SEED, stratify=labels[rest])
        except ValueError as error:
            raise BadInput(corpus, f"holds too few recordings to split ({error})", "complete the copy") from error
    else:
        if len(set(groups)) < _FOLDS or not len(clips):
            problem = f"holds {len(set(groups))} patients, the split needs {_FOLDS}"
            raise BadInput(corpus, problem, "complete the copy")
        folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=SEED).split(labels, labels, groups)
        (_, test), (_, val), *_ = folds
    split[test], split[val] = "test", "val"
    return list(split)
