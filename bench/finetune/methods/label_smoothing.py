"""Cross-entropy against smoothed labels."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from bench.base.settings import number, rules
from bench.finetune.methods.shared.base import Method, MicroBatch, TrainableModel, TrainingFacts


def smoothed_cross_entropy(logits: Tensor, label: Tensor, smoothing: float) -> Tensor:
    """Compute cross-entropy against (1 − smoothing) · one-hot + smoothing / K, averaged over the batch.

    ``logits`` are (B, K), ``label`` (B,) int64; the result is a scalar.
    """
    return F.cross_entropy(logits, label, label_smoothing=smoothing)


class LabelSmoothing(Method):
    """Cross-entropy in which a share ``smoothing`` of the label is spread evenly over all classes."""

    name = "label-smoothing"
    formula = "L = -mean sum_k ((1 - e) [k = y] + e/K) log softmax(logits)_k"
    source = "Szegedy et al., CVPR 2016 (arXiv:1512.00567), section 7"
    limits = rules(smoothing=number(0, 1))

    def __init__(self, facts: TrainingFacts, smoothing: float = 0.1):
        super().__init__(facts, smoothing=smoothing)
        self.smoothing = smoothing

    def loss(self, model: TrainableModel, batch: MicroBatch) -> Tensor:
        """Compute the cross-entropy against smoothed labels."""
        return smoothed_cross_entropy(model.logits(model.features(batch)), batch.label, self.smoothing)
