"""Cross-entropy and centre loss: features of a class are pulled to their common centre."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.base.settings import number, rules
from bench.finetune.methods.shared.base import Method, MicroBatch, TrainableModel, TrainingFacts
from bench.finetune.methods.shared.cross_entropy import cross_entropy
from bench.finetune.methods.shared.vectors import at_least_float32


def center_loss(features: Tensor, label: Tensor, centers: Tensor) -> Tensor:
    """Compute ½ · mean over clips and over the D features of (x − c_label)².

    Parameters
    ----------
    features
        (B, D) x.
    label
        (B,) int64.
    centers
        (K, D) c.

    Returns
    -------
    Tensor
        A scalar.

    References
    ----------
    Wen et al., ECCV 2016, eq. 2, which sums over features where this averages.
    """
    return 0.5 * (at_least_float32(features) - centers[label]).square().mean()


def moved_centers(features: Tensor, label: Tensor, centers: Tensor, rate: float) -> Tensor:
    """Compute the centres after a batch: c_k − rate · Σ_{label = k} (c_k − x) / (1 + n_k).

    Parameters
    ----------
    features
        (B, D) x.
    label
        (B,) int64, n_k of class k.
    centers
        (K, D) c.
    rate
        In [0, 1].

    Returns
    -------
    Tensor
        (K, D).

    References
    ----------
    Wen et al., ECCV 2016, eqs. 3-5.
    """
    pull = torch.zeros_like(centers).index_add(0, label, centers[label] - at_least_float32(features).to(centers.dtype))
    count = torch.bincount(label, minlength=len(centers))
    return centers - rate * pull / (1 + count)[:, None]


class CrossEntropyCenter(Method):
    """Cross-entropy and centre loss; centres start at 0 and are moved after each micro-batch, not trained."""

    name = "ce-center"
    formula = (
        "L = CE + weight * mean_i |x_i - c_(y_i)|^2 / (2 D);  c_k <- c_k - rate sum_(y_i = k) (c_k - x_i) / (1 + n_k)"
    )
    source = "Wen et al., ECCV 2016, eqs. 2-5"
    ours = "the squared distance is averaged over the D features, so that a weight means the same at every width"
    limits = rules(weight=number(), rate=number(0, 1))

    def __init__(self, facts: TrainingFacts, weight: float = 0.5, rate: float = 0.5):
        super().__init__(facts, weight=weight, rate=rate)
        self.weight, self.rate = weight, rate
        self.register_buffer("centers", torch.zeros(facts.classes, facts.width))

    def loss(self, model: TrainableModel, batch: MicroBatch) -> Tensor:
        """Compute both losses, and move the centres if the method is in training mode."""
        features = model.features(batch)
        loss = cross_entropy(model.logits(features), batch.label)
        loss = loss + self.weight * center_loss(features, batch.label, self.centers)
        if self.training:
            self.centers.copy_(moved_centers(features.detach(), batch.label, self.centers, self.rate))
        return loss
