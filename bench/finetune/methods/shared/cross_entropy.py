"""Cross-entropy of logits, plain, weighted by class, and between two labels of a mixed clip."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def cross_entropy(logits: Tensor, label: Tensor, weight: Tensor | None = None) -> Tensor:
    """Compute −log softmax(logits)_label, averaged over the batch.

    Parameters
    ----------
    logits
        (B, K).
    label
        (B,) int64.
    weight
        (K,) class weights. The loss is then Σ w_label · loss / Σ w_label, and 0 for a batch without weight.

    Returns
    -------
    Tensor
        A scalar.
    """
    if weight is None:
        return F.cross_entropy(logits, label)
    own = weight[label]
    each = F.cross_entropy(logits, label, reduction="none")
    return (own * each).sum() / own.sum().clamp_min(torch.finfo(own.dtype).tiny)


def mixed_cross_entropy(logits: Tensor, label: Tensor, other: Tensor, share: Tensor | float) -> Tensor:
    """Compute share · CE(label) + (1 − share) · CE(other), averaged over the batch.

    Parameters
    ----------
    logits
        (B, K).
    label, other
        (B,) int64 labels of the clip and of its partner.
    share
        The weight of ``label``: a number, or (B,) one for each clip.

    Returns
    -------
    Tensor
        A scalar.
    """
    first = F.cross_entropy(logits, label, reduction="none")
    second = F.cross_entropy(logits, other, reduction="none")
    return (share * first + (1 - share) * second).mean()
