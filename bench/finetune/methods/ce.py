"""Cross-entropy: the baseline that every other method is compared with."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.finetune.methods._base import Batch, Method, Model


def cross_entropy(logits: Tensor, label: Tensor, weight: Tensor | None = None) -> Tensor:
    """−log softmax(logits)_label, averaged over the batch; with class weights (K,), Σ w_label · loss / Σ w_label, and
    0 for a batch that has no weight. ``logits`` (B, K), ``label`` (B,)."""
    if weight is None:
        return F.cross_entropy(logits, label)
    own = weight[label]
    each = F.cross_entropy(logits, label, reduction="none")
    return (own * each).sum() / own.sum().clamp_min(torch.finfo(own.dtype).tiny)


def mixed_cross_entropy(logits: Tensor, label: Tensor, other: Tensor, share: Tensor | float) -> Tensor:
    """share · CE(label) + (1 − share) · CE(other), averaged; ``share`` a number, or (B,) one for each clip."""
    first = F.cross_entropy(logits, label, reduction="none")
    second = F.cross_entropy(logits, other, reduction="none")
    return (share * first + (1 - share) * second).mean()


class CrossEntropy(Method):
    """All clips count the same."""

    name = "ce"
    formula = "L = -mean log softmax(logits)_y"
    source = "Bridle, Neurocomputing, NATO ASI Series F 68, 1990"

    def loss(self, model: Model, batch: Batch) -> Tensor:
        """``Method.loss``."""
        return cross_entropy(model.logits(model.features(batch)), batch.label)
