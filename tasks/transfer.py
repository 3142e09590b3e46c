"""From one corpus to another: train on the source's train split, test on the target's tests and the source's own.

Out-of-domain and in-domain scores of the same fit thus stand side by side; with the two corpora exchanged, the same
target clips are scored by a probe of their own corpus (``reverse``).

* ``transfer.icbhi-sprsound``, ``transfer.sprsound-icbhi``: lung sounds, normal or abnormal; ``….4``: ICBHI's four
  classes; ``….bits``: crackle and wheeze, each present or not. Variants say what becomes of rhonchi and stridor.
* ``transfer.<source>-to-<target>``: any two tasks that share a label space, as in
  ``transfer.coughvid.sex-to-coswara.sex`` (OPERA's T6 to T9); a ``-to-`` because a shell reads ``>`` as its own.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.base import registry
from bench.base.errors import BadInput
from bench.types import Finding, TaskCard
from tasks._shared.labels import LabelMap, relabel, spellings
from tasks._shared.transfer_spaces import LUNG_SOUNDS, NORMAL, Space, counts_in, rule, shared

if TYPE_CHECKING:
    import pandas as pd

_TO = "-to-"
OPEN = "transfer.<task>-to-<task>: trained on one, tested on another, any two tasks that share a label space"
_LUNG = {"icbhi": "icbhi.cycles4", "sprsound": "sprsound.events7"}
_NAMED = {
    f"transfer.{source}-{target}" + (f".{space.name}" if space.name else ""): (_LUNG[source], _LUNG[target], space)
    for space in LUNG_SOUNDS
    for source, target in (("icbhi", "sprsound"), ("sprsound", "icbhi"))
}
_LISTED = (
    "transfer.coughvid.sex-to-coswara.sex",
    "transfer.icbhi.disease2-to-kauh.obstructive",
    "transfer.covid19_cough.call_centre-to-covid19_cough.messaging_app",
)
ALIASES = {f"transfer.{a}{_TO}{b}": id for id, (a, b, space) in _NAMED.items() if space is NORMAL}


def pair(source: str, target: str) -> str:
    """The id of the transfer between two tasks."""
    id = f"transfer.{source}{_TO}{target}"
    return ALIASES.get(id, id)


def reverse(id: str) -> str:
    """The transfer with source and target exchanged, of the same variant.

    Its test ``source_<t>`` holds the clips of the test ``<t>`` of ``id``, scored by a probe of their own corpus.
    """
    base, at, variant = id.partition("@")
    if base in _NAMED:
        source, target, space = _NAMED[base]
        other = next(name for name, member in _NAMED.items() if member == (target, source, space))
        return other + at + variant
    source, _, target = base.removeprefix("transfer.").partition(_TO)
    return pair(target, source) + at + variant


def ends(id: str) -> tuple[str, str]:
    """The tasks that a transfer trains on and is tested on."""
    source, target, _ = _members(id)
    return source.id, target.id


def card(id: str) -> TaskCard:
    """The card of ``transfer.<source>-to-<target>``.

    Raises ``KeyError`` for another form, ``UnknownId`` for an unknown task, ``BadInput`` for two that share no label
    space or a source without a training split.
    """
    if _TO not in id:
        raise KeyError(id)
    source, target, space = _members(id)
    return _card(f"transfer.{source.id}{_TO}{target.id}", source, target, space)


def variant(card: TaskCard, name: str) -> TaskCard:
    """The card under another map of the classes that have no equal."""
    return replace(_card(card.id.partition("@")[0], *_members(card.id), name), id=card.id, variant=name)


def _members(id: str) -> tuple[TaskCard, TaskCard, Space]:
    """Source, target and the label space in which they meet."""
    base = id.partition("@")[0]
    if base in _NAMED:
        source, target, space = _NAMED[base]
        return registry.task_card(source), registry.task_card(target), space
    source, target = map(registry.task_card, base.removeprefix("transfer.").split(_TO, 1))
    if source.leave_one_out or source.id == target.id:
        raise BadInput(id, f"{source.id} has no training split apart from its tests", "choose another source")
    if (space := shared(source, target)) is None:
        classes = f"{', '.join(source.classes)} and {', '.join(target.classes)}"
        raise BadInput(id, f"its tasks share no label space ({classes})", "choose tasks of like classes")
    return source, target, space


def _corpus(card: TaskCard) -> str:
    return card.id.partition(".")[0]


def _split(split: str, role: str) -> str:
    """A member's split among the transfer's: the source's train stays, tests become ``test_<role>…``."""
    return split if role == "source" and not split.startswith("test") else split.replace("test", f"test_{role}", 1)


def _one(source: str, target: str) -> str:
    return source if source == target else f"{source} or {target}"


def _card(id: str, source: TaskCard, target: TaskCard, space: Space, variant: str = "") -> TaskCard:
    names, to = (_corpus(source), _corpus(target)), space.maps[variant]
    tests = {name: tuple(_split(split, "target") for split in splits) for name, splits in target.tests.items()}
    tests |= {f"source_{name}": tuple(_split(s, "source") for s in splits) for name, splits in source.tests.items()}
    counts = {
        _split(split, role): counts_in(space, to, card, split)
        for role, card in (("source", source), ("target", target))
        for split in card.counts
        if role == "source" or split.startswith("test")
    }
    notes = [f"Train: {source.id}. Tests: {target.id}, then the source's own.", rule(space, variant)]
    if id not in _NAMED:
        notes += [source.notes, target.notes]
    return TaskCard(
        id=id,
        version=1 + sum(card.version - 1 for card in (source, target)),  # another member, other numbers
        classes=space.classes,
        main_metric=space.main_metric,
        metrics=space.metrics,
        tests=tests,
        url=" and ".join(dict.fromkeys((source.url, target.url))),
        licence="; ".join(dict.fromkeys(f"{_corpus(card)}: {card.licence}" for card in (source, target))),
        citation="; ".join(dict.fromkeys((source.citation, target.citation))),
        kind=space.kind,
        demonstration=source.demonstration or target.demonstration,
        access="; ".join(dict.fromkeys(card.access for card in (source, target) if card.access != "open")) or "open",
        group=_one(source.group, target.group),
        domain=f"corpus/{_one(source.domain, target.domain)}",
        adventitious=space.adventitious,
        counts={split: part for split, part in counts.items() if part},
        known_overlap=tuple(f"{names[0]}:{group}" for group in source.known_overlap),
        within_patient=tuple(_split(split, "source") for split in source.within_patient),
        corpora=tuple(dict.fromkeys((*source.corpora, *target.corpora))),
        variants=tuple(name for name in space.maps if name),
        notes=" ".join(filter(None, dict.fromkeys(notes))),
        spellings=spellings(to),
    )


CARDS = tuple(_card(id, *_members(id)) for id in (*_NAMED, *_LISTED))


def manifest(card: TaskCard, root: Path, findings: list[Finding]) -> pd.DataFrame:
    """The source's rows and the target's test rows.

    ``root`` holds both corpora; raises ``BadInput`` where it lacks one.
    """
    import pandas as pd

    source, target, space = _members(card.id)
    to = space.maps[card.variant]
    return pd.concat(
        [_rows(source, "source", to, root, findings), _rows(target, "target", to, root, findings)], ignore_index=True
    )


def _rows(card: TaskCard, role: str, to: LabelMap, root: Path, findings: list[Finding]) -> pd.DataFrame:
    """A member's rows in the transfer's terms; its findings likewise."""
    corpus, own = _corpus(card), []
    frame = registry.family(registry.TASKS, card.id).manifest(card, root, own)
    if role == "target":
        frame = frame[frame["split"].str.startswith("test")]
        own = [finding for finding in own if finding.code != "known-overlap"]  # its train half is not used
    findings += [replace(finding, clips=tuple(f"{corpus}:{clip}" for clip in finding.clips)) for finding in own]
    if card.kind == "multiclass":
        labels = frame["label"].map(relabel(card.classes, to))
        frame = frame.assign(label=labels)[labels.notna()].astype({"label": int})
    return frame.assign(
        clip_id=corpus + ":" + frame["clip_id"],
        split=[_split(split, role) for split in frame["split"]],
        group=corpus + ":" + frame["group"],
        domain=corpus + "/" + frame["domain"],
    )
