"""From one corpus to another: train on the source's train split, test on the target's tests and the source's own.

Out-of-domain and in-domain scores of the same fit thus stand side by side. Labels are normal or abnormal: the finest
space in which every class of both corpora has a place. A pair of tasks in ``PAIRS`` makes a card.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import Finding, TaskCard
from tasks import icbhi, sprsound
from tasks._labels import BINARY, TO_BINARY, recount, relabel

if TYPE_CHECKING:
    import pandas as pd

FAMILIES = {"icbhi": icbhi, "sprsound": sprsound}
PAIRS = (("icbhi.cycles2", "sprsound.events2"), ("sprsound.events2", "icbhi.cycles2"))


def _member(id: str) -> TaskCard:
    return next(card for card in FAMILIES[_corpus(id)].CARDS if card.id == id)


def _corpus(id: str) -> str:
    return id.partition(".")[0]


def _split(split: str, role: str) -> str:
    """A member's split among the transfer's: the source's train stays, tests become ``test_<role>…``."""
    return split if role == "source" and not split.startswith("test") else split.replace("test", f"test_{role}", 1)


def _card(source: TaskCard, target: TaskCard) -> TaskCard:
    names = _corpus(source.id), _corpus(target.id)
    tests = {name: tuple(_split(split, "target") for split in splits) for name, splits in target.tests.items()}
    tests |= {f"source_{name}": tuple(_split(s, "source") for s in splits) for name, splits in source.tests.items()}
    counts = {
        _split(split, role): recount(part, card.classes, TO_BINARY, BINARY)
        for role, card in (("source", source), ("target", target))
        for split, part in card.counts.items()
        if role == "source" or split.startswith("test")
    }
    return TaskCard(
        id=f"transfer.{names[0]}-{names[1]}",
        version=1,
        classes=BINARY,
        main_metric="icbhi.Score",
        metrics=("icbhi.Score", "icbhi.Sp", "icbhi.Se", "sprsound.Score", "auroc", "uar", "macro_f1"),
        tests=tests,
        url=f"{source.url} and {target.url}",
        licence=f"{names[0]}: {source.licence}; {names[1]}: {target.licence}",
        citation=f"{source.citation}; {target.citation}",
        domain="corpus/device",
        adventitious=(1,),
        counts=counts,
        known_overlap=tuple(f"{names[0]}:{group}" for group in source.known_overlap),
        within_patient=tuple(_split(split, "source") for split in source.within_patient),
        corpora=tuple(dict.fromkeys((*source.corpora, *target.corpora))),
        notes=f"Train: {source.id}. Tests: {target.id}, then the source's own. Rhonchi and stridor are abnormal.",
    )


CARDS = tuple(_card(_member(source), _member(target)) for source, target in PAIRS)
_MEMBERS = {card.id: pair for card, pair in zip(CARDS, PAIRS)}


def manifest(card: TaskCard, root: Path, findings: list[Finding]) -> pd.DataFrame:
    """The source's rows and the target's test rows. ``root`` holds both corpora; raises ``BadInput`` where it lacks
    one."""
    import pandas as pd

    source, target = map(_member, _MEMBERS[card.id])
    return pd.concat(
        [_rows(source, "source", root, findings), _rows(target, "target", root, findings)], ignore_index=True
    )


def _rows(card: TaskCard, role: str, root: Path, findings: list[Finding]) -> pd.DataFrame:
    """A member's rows in the transfer's terms; its findings likewise."""
    corpus, own = _corpus(card.id), []
    frame = FAMILIES[corpus].manifest(card, root, own)
    if role == "target":
        frame = frame[frame["split"].str.startswith("test")]
        own = [finding for finding in own if finding.code != "known-overlap"]  # its train half is not used
    findings += [replace(finding, clips=tuple(f"{corpus}:{clip}" for clip in finding.clips)) for finding in own]
    labels = frame["label"].map(relabel(card.classes, TO_BINARY))
    frame = frame.assign(label=labels)[labels.notna()]
    return frame.assign(
        clip_id=corpus + ":" + frame["clip_id"],
        label=frame["label"].astype(int),
        split=[_split(split, role) for split in frame["split"]],
        group=corpus + ":" + frame["group"],
        domain=corpus + "/" + frame["domain"],
    )
