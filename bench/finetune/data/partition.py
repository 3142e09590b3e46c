"""Which clips are trained on, which choose the epoch, and which are only predicted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.base.errors import BadInput
from bench.data.manifest import TRAIN, Prepared
from bench.encoders.features.statistics import spaced
from bench.encoders.load import needs_statistics
from bench.probe.goal import assign_folds
from bench.probe.protocols import FINETUNE
from bench.types import Encoder, TaskCard

VALIDATION_FOLDS = 5  # of which one validates, where a task has no validation clips of its own


@dataclass(frozen=True)
class Partition:
    """Clips of a task by their part in a run, as positions in ``prepared.rows``.

    Attributes
    ----------
    training
        (n,) clips whose labels are trained on.
    validation
        (v,) clips of the patients who choose the epoch; none where all training rows are trained on.
    test
        (t,) clips that are only predicted.
    rule
        How the validation patients were found, in words; part of a record.
    """

    training: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    rule: str


def partition(card: TaskCard, prepared: Prepared, seed: int) -> Partition:
    """Split the clips of a task for one seed, with every patient on one side.

    The task's own validation clips validate where it has some whose patients are not trained on. Otherwise one of five
    folds by patient of all training clips does, drawn by the seed and stratified by class.

    Raises
    ------
    BadInput
        Where training or validation has fewer than two classes, for a task that is not multiclass or leaves one group
        out, and for a seed outside 0 … 2^32 − 1.
    """
    if not 0 <= seed < 2**32:
        raise BadInput(f"seed {seed}", "is out of range", "take a whole number from 0 to 4294967295")
    if card.kind != "multiclass" or card.leave_one_out:
        kind = "leaves one group out" if card.leave_one_out else f"is {card.kind}"
        raise BadInput(card.id, f"{kind}, and fine-tuning takes multiclass tasks", "take `respbench run`")
    rows = prepared.rows
    split, group, label = (rows[name].to_numpy() for name in ("split", "group", "label"))
    train = np.flatnonzero(np.isin(split, TRAIN))
    validates = split[train] == "val"
    disjoint = not set(group[train][validates]) & set(group[train][~validates])
    if validates.any() and (~validates).any() and disjoint:
        rule = f"the task's own validation {card.group}s"
    else:
        classes = np.unique(label[train], return_inverse=True)[1]
        folds, n_folds = assign_folds(classes, group[train], VALIDATION_FOLDS, seed)
        validates = folds == 0
        rule = f"one of {n_folds} folds by {card.group} of the training rows, drawn by the seed"
    for name, part in (("training", train[~validates]), ("validation", train[validates])):
        if len(np.unique(label[part])) < 2:
            problem = f"its {name} {card.group}s ({rule}) have one class only"
            raise BadInput(card.id, problem, "take another seed, or complete the corpus")
    return Partition(train[~validates], train[validates], np.flatnonzero(~np.isin(split, TRAIN)), rule)


def parts_of_run(card: TaskCard, prepared: Prepared, seed: int, protocol: str) -> Partition:
    """Split the clips of a task as the run of a protocol does.

    ``finetune`` withholds validation patients (``partition``); ``literature/best-test-epoch`` trains on all training
    rows, for the same tasks and seeds. Raises as ``partition``.
    """
    parts = partition(card, prepared, seed)
    if protocol == FINETUNE:
        return parts
    training = np.sort(np.concatenate([parts.training, parts.validation]))
    return Partition(training, training[:0], parts.test, "none: all training rows are trained on")


def statistics_rows(encoder: Encoder, parts: Partition) -> np.ndarray | None:
    """The training clips from which an encoder takes its statistics, evenly spaced; None where it needs none."""
    return parts.training[spaced(len(parts.training))] if needs_statistics(encoder) else None
