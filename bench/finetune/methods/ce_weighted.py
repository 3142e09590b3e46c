"""Cross-entropy in which rare classes have more weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bench.base.errors import BadInput
from bench.base.settings import Rule, number, rules
from bench.finetune.methods.shared.base import Method, MicroBatch, TrainableModel, TrainingFacts
from bench.finetune.methods.shared.cross_entropy import cross_entropy

INVERSE, PUBLISHED, EVEN = "inverse", "published", "none"
ICBHI4 = (0.0800, 0.1358, 0.3295, 0.4547)  # normal, crackle, wheeze, both: as printed for Patch-Mix's baseline


def _usable(value: Any) -> bool:
    if isinstance(value, str):
        return value in (INVERSE, PUBLISHED, EVEN)
    each = number()
    return isinstance(value, Sequence) and all(each.holds(weight) for weight in value) and any(value)


WEIGHTS = Rule(_usable, f"{INVERSE}, {PUBLISHED}, {EVEN}, or a list of one weight of at least 0 for each class")


def inverse_weights(counts: Sequence[int]) -> Tensor:
    """Compute class weights (K,) float32: 1 / n_k of counts n, scaled to a sum of 1; 0 for a class without clips."""
    inverse = torch.tensor([1 / count if count else 0.0 for count in counts], dtype=torch.float64)
    return (inverse / inverse.sum()).float()


def class_weights(where: str, weights: str | Sequence[float], facts: TrainingFacts) -> Tensor | None:
    """Resolve the hyper-parameter ``weights`` to class weights.

    Parameters
    ----------
    where
        What an error names: the method.
    weights
        ``inverse``, ``published``, ``none``, or one weight for each class.
    facts
        About the training clips.

    Returns
    -------
    Tensor or None
        (K,) float32; None where all classes have the same weight.

    Raises
    ------
    BadInput
        Where there is not one weight for each class.
    """
    if weights == EVEN:
        return None
    if weights == INVERSE:
        return inverse_weights(facts.counts)
    values = ICBHI4 if weights == PUBLISHED else tuple(weights)
    if len(values) != facts.classes:
        raise BadInput(where, f"{len(values)} weights for {facts.classes} classes", f"use weights = {INVERSE!r}")
    return torch.tensor(values, dtype=torch.float32)


class WeightedCrossEntropy(Method):
    """Cross-entropy with class weights.

    ``weights``: ``inverse`` to the number of training clips, the ``published`` ones of ICBHI's four classes, or one
    for each class.
    """

    name = "ce-weighted"
    formula = "L = sum_i w_(y_i) CE_i / sum_i w_(y_i);  w_k = (1/n_k) / sum_j (1/n_j)"
    source = "Bae et al., Interspeech 2023 (arXiv:2305.14032), released code"
    ours = "a class without training clips has the weight 0"
    limits = rules(weights=WEIGHTS)

    def __init__(self, facts: TrainingFacts, weights: str | Sequence[float] = INVERSE):
        super().__init__(facts, weights=weights)
        self.register_buffer("weight", class_weights(self.name, weights, facts))

    def loss(self, model: TrainableModel, batch: MicroBatch) -> Tensor:
        """Compute the weighted cross-entropy of the head's logits."""
        return cross_entropy(model.logits(model.features(batch)), batch.label, self.weight)
