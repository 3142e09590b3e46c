"""Label spaces that corpora share, and what becomes of a task's classes and counts in them.

Two of SPRSound's event types have no equal in ICBHI, whose annotators had two flags, crackle and wheeze: a rhonchus may
lie in any of its classes, and stridor comes from the upper airway. Where sounds are told apart both are left out; where
the question is normal or not, both are abnormal. ``cas_to_wheeze`` is the literature's rule, ``drop_rhonchi_stridor``
leaves them out everywhere. On SPRSound's test ``inter``, which holds neither, all rules agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.types import TaskCard
from tasks._shared.labels import BINARY, BITS, CAS_TO_WHEEZE, FLAGS, ICBHI4, SHARED4, TO_BINARY, LabelMap

CAS, DROP = "cas_to_wheeze", "drop_rhonchi_stridor"

_FOUR = {"": {**FLAGS, **SHARED4}, CAS: {**FLAGS, **CAS_TO_WHEEZE}, DROP: {**FLAGS, **SHARED4}}
_SCORES = ("icbhi.Score", "icbhi.Sp", "icbhi.Se")


@dataclass(frozen=True)
class Space:
    """``maps``: {variant: label of every class name in this space}, the headline's under ``""``."""

    name: str
    classes: tuple[str, ...]
    main_metric: str
    metrics: tuple[str, ...]
    maps: Mapping[str, LabelMap] = field(repr=False)
    kind: str = "multiclass"
    adventitious: tuple[int, ...] = ()
    notes: str = ""


NORMAL = Space(
    "",
    BINARY,
    "icbhi.Score",
    (*_SCORES, "sprsound.Score", "auroc", "uar", "macro_f1"),
    {"": TO_BINARY, DROP: {**TO_BINARY, "Rhonchi": None, "Stridor": None}},
    adventitious=(1,),
    notes="Rhonchi and stridor are abnormal.",
)
FOUR = Space(
    "4",
    ICBHI4,
    "icbhi.Score",
    (*_SCORES, "icbhi.Score2", "icbhi.Se2", "sprsound.Score", "auroc.normal", "uar"),
    _FOUR,
    adventitious=(1, 2, 3),
    notes="Four classes, for comparison with the literature alone: inter has one clip of both and three coarse "
    "crackles. Rhonchi and stridor are left out.",
)
PRESENT = Space(
    "bits",
    BITS,
    "auroc.bits",
    ("auroc.bits", "ap.bits", "f1.bits"),
    _FOUR,
    kind="multilabel",
    notes="Crackle and wheeze, each present or not. Rhonchi and stridor are left out.",
)
OBSTRUCTIVE = Space(
    "disease",
    ("healthy", "obstructive"),
    "auroc",
    ("auroc", "uar", "macro_f1"),
    {"": {"healthy": 0, "Healthy": 0, "COPD": 1, "obstructive": 1}},
    adventitious=(1,),
    notes="COPD in one corpus is asthma or COPD in another.",
)
LUNG_SOUNDS = (NORMAL, FOUR, PRESENT)

_RULES = {
    CAS: "Rhonchi and stridor count as wheeze (QLung, arXiv:2606.11915; BTS-CARD, arXiv:2510.22263; Lungmix, "
    "arXiv:2501.00064).",
    DROP: "Rhonchi and stridor are left out.",
}

# Recordings and patients of the splits in which some have no clip left without rhonchi and stridor.
_LEFT = {("sprsound.events7", "train"): (1768, 243), ("sprsound.events7", "test_intra"): (374, 159)}


def rule(space: Space, variant: str) -> str:
    """One sentence on what became of the classes that have no equal."""
    return _RULES[variant] if variant else space.notes


def shared(source: TaskCard, target: TaskCard) -> Space | None:
    """The finest space in which every class of both tasks has a place: their own where they are alike; else None."""
    if (source.classes, source.kind) == (target.classes, target.kind):
        identity = {name: index for index, name in enumerate(source.classes)}
        metrics = source.main_metric, source.metrics
        return Space("", source.classes, *metrics, {"": identity}, source.kind, source.adventitious)
    if source.kind == target.kind == "multiclass":
        names = {*source.classes, *target.classes}
        return next((space for space in (OBSTRUCTIVE, NORMAL) if names <= set(space.maps[""])), None)
    return None


def counts_in(space: Space, to: LabelMap, card: TaskCard, split: str) -> dict[str, int]:
    """Expected counts of a task's split in the space; empty where how many recordings remain is not known."""
    counts = card.counts[split]
    if space.kind == "regression" or (card.kind == space.kind == "multilabel"):
        return dict(counts)  # such tasks share a space only with their like
    labels = {name: to[name] for name in card.classes}
    sizes = {name: counts[name] for name in ("recordings", "patients") if name in counts}
    if any(labels[name] is None and counts[name] for name in card.classes):
        if (card.id, split) not in _LEFT:
            return {}
        sizes = dict(zip(("recordings", "patients"), _LEFT[card.id, split]))
    kept = {name: label for name, label in labels.items() if label is not None}
    for k, shared_name in enumerate(space.classes):
        sizes[shared_name] = sum(counts[name] for name, label in kept.items() if _has(space, label, k))
    return sizes


def _has(space: Space, label: int, k: int) -> bool:
    """Whether a label of the space holds its class k."""
    return bool(label >> k & 1) if space.kind == "multilabel" else label == k
