"""RepAugment-style augmentation: features are masked and disturbed before the head, whatever the encoder's input."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.base.settings import number, one_of, rules
from bench.finetune.methods.shared.base import Method, MicroBatch, TrainableModel, TrainingFacts
from bench.finetune.methods.shared.cross_entropy import cross_entropy

BATCH, CLIP, ZERO = "batch", "clip", "zero"


def mask_features(features: Tensor, kept: Tensor, fill: str) -> Tensor:
    """Replace features (B, D) where ``kept`` (B, D) is False.

    ``fill`` is the mean of that feature over the ``batch``, of the ``clip``'s own features, or ``zero``.
    """
    filled = {BATCH: lambda: features.mean(0, keepdim=True), CLIP: lambda: features.mean(1, keepdim=True)}
    return torch.where(kept, features, filled[fill]() if fill in filled else 0.0)


def disturb_features(features: Tensor, noise: Tensor, strength: float) -> Tensor:
    """Compute features + strength · sd · noise (B, D), sd the standard deviation over a clip's own features.

    No gradient passes through sd.
    """
    return features + strength * features.detach().std(1, keepdim=True, correction=0) * noise


class RepAugment(Method):
    """Cross-entropy of features and of augmented features.

    ``mask``: probability that a feature is replaced with what ``fill`` names (``mask_features``); ``noise``: standard
    deviation of the disturbance, relative to that of the clip's features; ``weight``: share of the augmented features'
    loss.
    """

    name = "repaugment-style"
    formula = (
        "L = (1 - w) CE(head(h), y) + w CE(head(k * h' + (1 - k) * mean), y);  h' = h + noise sd(h) e, "
        "k ~ Bernoulli(1 - mask), e ~ N(0, 1)"
    )
    source = "after RepAugment, Kim et al., EMBC 2024 (arXiv:2405.02996)"
    ours = (
        "the paper masks representations (Rep-Mask) and generates others (Rep-Gen); its text was not at hand. By "
        "public accounts what is masked is filled with a mean, of the batch (default) or of the clip's features (fill "
        "= clip); shares, noise and the two in one are ours"
    )
    limits = rules(mask=number(0, 1), noise=number(), weight=number(0, 1), fill=one_of(BATCH, CLIP, ZERO))

    def __init__(
        self, facts: TrainingFacts, mask: float = 0.2, noise: float = 0.1, weight: float = 0.5, fill: str = BATCH
    ):
        super().__init__(facts, mask=mask, noise=noise, weight=weight, fill=fill)
        self.mask, self.noise, self.weight, self.fill = mask, noise, weight, fill

    def loss(self, model: TrainableModel, batch: MicroBatch) -> Tensor:
        """Compute the weighted sum of both cross-entropies."""
        features = model.features(batch)
        kept = torch.rand(features.shape, generator=batch.generator) >= self.mask
        noise = torch.randn(features.shape, generator=batch.generator).to(features)
        augmented = mask_features(disturb_features(features, noise, self.noise), kept.to(features.device), self.fill)
        plain = cross_entropy(model.logits(features), batch.label)
        return (1 - self.weight) * plain + self.weight * cross_entropy(model.logits(augmented), batch.label)
