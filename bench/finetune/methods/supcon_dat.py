"""Supervised contrastive domain adaptation: clips of a device are contrasted behind a reversed gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.base.settings import NAME, TRUTH, number, rules
from bench.finetune.methods.dat import reversal_strength, reversed_gradient
from bench.finetune.methods.shared.base import Method, MicroBatch, TrainableModel, TrainingFacts
from bench.finetune.methods.shared.cross_entropy import cross_entropy
from bench.finetune.methods.shared.projector import build_projector
from bench.finetune.methods.supcon import sup_con


class SupConDomainAdversarial(Method):
    """Cross-entropy, and contrast of domains behind a reversed gradient.

    ``column``: the domain whose clips are positives; without ``reverse`` they are pulled together, not apart.
    """

    name = "supcon-dat"
    formula = "L = CE(f(view 1), y) + alpha SC(proj(R(f(view 1))), proj(R(f(view 2))); d, t);  R as dat, SC as supcon"
    source = "Kim et al., ICASSP 2024 (arXiv:2312.09603)"
    ours = (
        "with reverse = true the contrast passes through the gradient reversal, as the paper says; the released code's "
        "default projects features from before the reversal, which is reverse = false; clips of unknown domain take no "
        "part in the contrast"
    )
    limits = rules(
        column=NAME,
        alpha=number(),
        temperature=number(0, above=True),
        steepness=number(),
        reverse=TRUTH,
    )

    def __init__(
        self,
        facts: TrainingFacts,
        column: str = "domain",
        alpha: float = 1.0,
        temperature: float = 0.06,
        steepness: float = 10.0,
        reverse: bool = True,
    ):
        super().__init__(
            facts, column=column, alpha=alpha, temperature=temperature, steepness=steepness, reverse=reverse
        )
        self.require_column(column)
        self.column, self.alpha, self.temperature = column, alpha, temperature
        self.steepness, self.reverse = steepness, reverse
        self.projector = build_projector(facts.width, facts.width, norm=True)

    def loss(self, model: TrainableModel, batch: MicroBatch) -> Tensor:
        """Compute both losses; each view has its own batch statistics in the projector."""
        features = [model.features(batch, view=view) for view in (0, 1)]
        strength = reversal_strength(batch.progress, self.steepness)
        contrasted = [reversed_gradient(x, strength) if self.reverse else x for x in features]
        views = torch.stack([self.projector(x) for x in contrasted])
        contrast = sup_con(views, batch.meta[self.column], self.temperature)
        return cross_entropy(model.logits(features[0]), batch.label) + self.alpha * contrast
