"""Supervised contrastive domain adaptation: clips of a device are contrasted behind a reversed gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.base.settings import NAME, TRUTH, number, rules
from bench.finetune.methods.dat import RAMP, STRENGTH, reversed_gradient, strength_at
from bench.finetune.methods.shared.base import Method, MicroBatch, TrainableModel, TrainingFacts
from bench.finetune.methods.shared.cross_entropy import cross_entropy
from bench.finetune.methods.shared.projector import BatchNorm, build_projector
from bench.finetune.methods.supcon import sup_con


class SupConDomainAdversarial(Method):
    """Cross-entropy, and contrast of domains behind a reversed gradient.

    ``column``: the domain whose clips are positives; without ``reverse`` they are pulled together, not apart.
    ``strength``: of the reversal, a ``ramp`` from 0 to 1 of that ``steepness``, or ``full`` throughout. ``stopped``:
    the second view's projection passes no gradient.
    """

    name = "supcon-dat"
    formula = "L = CE(f(view 1), y) + alpha SC(proj(R(f(view 1))), proj(R(f(view 2))); d, t);  R as dat, SC as supcon"
    source = "Kim et al., ICASSP 2024 (arXiv:2312.09603)"
    ours = (
        "with reverse = true the contrast passes through the gradient reversal, as the paper says; clips of unknown "
        "domain take no part in it. The released script projects features from before the reversal (reverse = false: "
        "its strength does not matter) and stops the gradient of the second view's projection (stopped = true)"
    )
    limits = rules(
        column=NAME,
        alpha=number(),
        temperature=number(0, above=True),
        steepness=number(),
        reverse=TRUTH,
        strength=STRENGTH,
        stopped=TRUTH,
    )

    def __init__(
        self,
        facts: TrainingFacts,
        column: str = "domain",
        alpha: float = 1.0,
        temperature: float = 0.06,
        steepness: float = 10.0,
        reverse: bool = True,
        strength: str = RAMP,
        stopped: bool = False,
    ):
        super().__init__(
            facts,
            column=column,
            alpha=alpha,
            temperature=temperature,
            steepness=steepness,
            reverse=reverse,
            strength=strength,
            stopped=stopped,
        )
        self.require_column(column)
        self.column, self.alpha, self.temperature = column, alpha, temperature
        self.steepness, self.reverse, self.strength, self.stopped = steepness, reverse, strength, stopped
        self.projector = build_projector(facts.width, facts.width, norm=BatchNorm)

    def loss(self, model: TrainableModel, batch: MicroBatch) -> Tensor:
        """Compute both losses; each view has its own batch statistics in the projector."""
        features = [model.features(batch, view=view) for view in (0, 1)]
        strength = strength_at(self.strength, batch.progress, self.steepness)
        contrasted = [reversed_gradient(x, strength) if self.reverse else x for x in features]
        first, second = (self.projector(x) for x in contrasted)
        views = torch.stack([first, second.detach() if self.stopped else second])
        contrast = sup_con(views, batch.meta[self.column], self.temperature)
        return cross_entropy(model.logits(features[0]), batch.label) + self.alpha * contrast
