"""Cross-entropy: the baseline that other methods are compared with."""

from __future__ import annotations

from torch import Tensor

from bench.finetune.methods.shared.base import Method, MicroBatch, TrainableModel
from bench.finetune.methods.shared.cross_entropy import cross_entropy


class CrossEntropy(Method):
    """Cross-entropy in which all clips have the same weight."""

    name = "ce"
    formula = "L = -mean log softmax(logits)_y"
    source = "Bridle, Neurocomputing, NATO ASI Series F 68, 1990"

    def loss(self, model: TrainableModel, batch: MicroBatch) -> Tensor:
        """Compute the cross-entropy of the head's logits."""
        return cross_entropy(model.logits(model.features(batch)), batch.label)
