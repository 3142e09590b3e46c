"""Focal loss: clips that are already classified well have less weight."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.base.settings import number, rules
from bench.finetune.methods.ce_weighted import EVEN, WEIGHTS, class_weights
from bench.finetune.methods.shared.base import Method, MicroBatch, TrainableModel, TrainingFacts


def focal_loss(logits: Tensor, label: Tensor, gamma: float, weight: Tensor | None = None) -> Tensor:
    """Compute −w_label (1 − p)^gamma log p with p = softmax(logits)_label, averaged over the batch.

    Parameters
    ----------
    logits
        (B, K).
    label
        (B,) int64.
    gamma
        At least 0; 0 is cross-entropy.
    weight
        (K,) class weights w, not divided by their sum; None: all 1.

    Returns
    -------
    Tensor
        A scalar.

    References
    ----------
    Lin et al., ICCV 2017 (arXiv:1708.02002), eq. 5.
    """
    log_p = -F.cross_entropy(logits, label, reduction="none")
    missed = -torch.expm1(log_p)  # 1 − p, exact where p is near 1
    each = -(missed.clamp_min(torch.finfo(missed.dtype).tiny) ** gamma) * log_p
    return (each if weight is None else weight[label] * each).mean()


class Focal(Method):
    """Focal loss of the head's logits.

    ``gamma`` 0 is cross-entropy; ``weights`` as for ``ce-weighted``, not divided by their sum over the batch.
    """

    name = "focal"
    formula = "L = -mean w_y (1 - p_y)^gamma log p_y"
    source = "Lin et al., ICCV 2017 (arXiv:1708.02002), eq. 5"
    ours = "class weights are off; the source's 0.25 is for two classes"
    limits = rules(gamma=number(), weights=WEIGHTS)

    def __init__(self, facts: TrainingFacts, gamma: float = 2.0, weights: str | Sequence[float] = EVEN):
        super().__init__(facts, gamma=gamma, weights=weights)
        self.gamma = gamma
        self.register_buffer("weight", class_weights(self.name, weights, facts))

    def loss(self, model: TrainableModel, batch: MicroBatch) -> Tensor:
        """Compute the focal loss."""
        return focal_loss(model.logits(model.features(batch)), batch.label, self.gamma, self.weight)
