"""Methods of fine-tuning: one file each, with its formula, its source and its hyper-parameters."""

from __future__ import annotations

import inspect
from typing import Any

from bench.base.errors import UnknownId
from bench.finetune.methods.aam import AAM
from bench.finetune.methods.am_softmax import AMSoftmax
from bench.finetune.methods.arcface import ArcFace
from bench.finetune.methods.ce import CrossEntropy
from bench.finetune.methods.ce_center import CrossEntropyCenter
from bench.finetune.methods.ce_weighted import WeightedCrossEntropy
from bench.finetune.methods.dat import DomainAdversarial
from bench.finetune.methods.focal import Focal
from bench.finetune.methods.label_smoothing import LabelSmoothing
from bench.finetune.methods.log_margin import LogMargin
from bench.finetune.methods.lungmix import LungMix
from bench.finetune.methods.mixup import Mixup
from bench.finetune.methods.patchmix import PatchMix
from bench.finetune.methods.patchmix_cl import PatchMixContrastive
from bench.finetune.methods.quality_margin import QualityMargin
from bench.finetune.methods.repaugment import RepAugment
from bench.finetune.methods.scl_hybrid import HybridSupCon
from bench.finetune.methods.shared.base import LABEL_COLUMN, Method, MicroBatch, TrainableModel, TrainingFacts
from bench.finetune.methods.supcon import SupCon
from bench.finetune.methods.supcon_dat import SupConDomainAdversarial

__all__ = [
    "LABEL_COLUMN",
    "METHODS",
    "Method",
    "MicroBatch",
    "TrainableModel",
    "TrainingFacts",
    "defaults",
    "describe",
    "method",
]

METHODS: dict[str, type[Method]] = {
    kind.name: kind
    for kind in (
        CrossEntropy,
        WeightedCrossEntropy,
        Focal,
        LabelSmoothing,
        CrossEntropyCenter,
        PatchMix,
        PatchMixContrastive,
        SupCon,
        HybridSupCon,
        DomainAdversarial,
        SupConDomainAdversarial,
        AMSoftmax,
        ArcFace,
        AAM,
        LogMargin,
        QualityMargin,
        Mixup,
        LungMix,
        RepAugment,
    )
}


def method(name: str, facts: TrainingFacts, **hyper: Any) -> Method:
    """The method of that name; hyper-parameters that are not given have their published values. Raises ``UnknownId``
    for a name of a method, a hyper-parameter or a column that does not exist, ``BadInput`` for a value that cannot
    be."""
    known = defaults(name)
    for key in hyper:
        if key not in known:
            raise UnknownId(f"hyper-parameter of {name}", key, known)
    return METHODS[name](facts, **hyper)


def defaults(name: str) -> dict[str, Any]:
    """{hyper-parameter: value}. Raises ``UnknownId``."""
    if name not in METHODS:
        raise UnknownId("method", name, METHODS)
    parameters = inspect.signature(METHODS[name].__init__).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}


def describe(name: str) -> dict[str, Any]:
    """``name``, ``formula`` in words, ``source``, ``ours`` (what the source leaves open; empty where nothing),
    ``defaults`` and ``limits`` {hyper-parameter: what it may be}. Raises ``UnknownId``."""
    given = defaults(name)
    kind = METHODS[name]
    limits = {key: kind.limits[key].words for key in given}
    return {
        "name": name,
        "formula": kind.formula,
        "source": kind.source,
        "ours": kind.ours,
        "defaults": given,
        "limits": limits,
    }
