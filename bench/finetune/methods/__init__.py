"""Methods of fine-tuning: one file each, with its formula, its source and its hyper-parameters."""

from __future__ import annotations

import inspect
from typing import Any

from bench.base.errors import UnknownId
from bench.finetune.methods.aam import AAM
from bench.finetune.methods.am_softmax import AMSoftmax
from bench.finetune.methods.arcface import ArcFace
from bench.finetune.methods.bts import BridgedTextAndSound
from bench.finetune.methods.ce import CrossEntropy
from bench.finetune.methods.ce_center import CrossEntropyCenter
from bench.finetune.methods.ce_weighted import WeightedCrossEntropy
from bench.finetune.methods.dat import DomainAdversarial
from bench.finetune.methods.dual_axis_patchmix import DualAxisPatchMix
from bench.finetune.methods.focal import Focal
from bench.finetune.methods.label_smoothing import LabelSmoothing
from bench.finetune.methods.log_margin import LogMargin
from bench.finetune.methods.lungmix import LungMix
from bench.finetune.methods.mixup import Mixup
from bench.finetune.methods.pafa import PatientAwareAlignment
from bench.finetune.methods.patchmix import PatchMix
from bench.finetune.methods.patchmix_cl import PatchMixContrastive
from bench.finetune.methods.pc_mcl import PatientConsistentMultiCycle
from bench.finetune.methods.qlung import QLung
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
    "create_method",
    "default_options",
    "describe",
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
        DualAxisPatchMix,
        SupCon,
        HybridSupCon,
        PatientAwareAlignment,
        PatientConsistentMultiCycle,
        DomainAdversarial,
        SupConDomainAdversarial,
        AMSoftmax,
        ArcFace,
        AAM,
        LogMargin,
        QualityMargin,
        QLung,
        BridgedTextAndSound,
        Mixup,
        LungMix,
        RepAugment,
    )
}


def create_method(name: str, facts: TrainingFacts, **hyper: Any) -> Method:
    """Create the method of a name.

    Parameters
    ----------
    name
        A key of ``METHODS``.
    facts
        About the training clips.
    **hyper
        Hyper-parameters; those that are not given have their published values.

    Raises
    ------
    UnknownId
        For a method, a hyper-parameter or a column of metadata that does not exist.
    BadInput
        For a value outside its limits.
    """
    known = default_options(name)
    for key in hyper:
        if key not in known:
            raise UnknownId(f"hyper-parameter of {name}", key, known)
    return METHODS[name](facts, **hyper)


def default_options(name: str) -> dict[str, Any]:
    """Return {hyper-parameter: default} of a method. Raises ``UnknownId``."""
    if name not in METHODS:
        raise UnknownId("method", name, METHODS)
    parameters = inspect.signature(METHODS[name].__init__).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}


def describe(name: str) -> dict[str, Any]:
    """Describe a method in words.

    Returns
    -------
    dict
        ``name``; ``formula``; ``source``; ``ours``, what the source leaves open or this benchmark defines otherwise
        (empty where nothing); ``defaults`` {hyper-parameter: value}; ``limits`` {hyper-parameter: what it may be}.

    Raises
    ------
    UnknownId
        For a method that does not exist.
    """
    options = default_options(name)
    kind = METHODS[name]
    limits = {key: kind.limits[key].words for key in options}
    return {
        "name": name,
        "formula": kind.formula,
        "source": kind.source,
        "ours": kind.ours,
        "defaults": options,
        "limits": limits,
    }
