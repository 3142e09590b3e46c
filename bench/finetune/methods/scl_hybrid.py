"""Hybrid supervised contrastive learning: contrast and cross-entropy train the encoder together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bench.base.settings import NAME, number, rules
from bench.finetune.methods.ce_weighted import INVERSE, WEIGHTS, class_weights
from bench.finetune.methods.shared.base import (
    LABEL_COLUMN,
    Method,
    MicroBatch,
    TrainableModel,
    TrainingFacts,
    group_codes,
)
from bench.finetune.methods.shared.cross_entropy import cross_entropy
from bench.finetune.methods.shared.projector import build_projector
from bench.finetune.methods.supcon import PROJECTED, sup_con


class HybridSupCon(Method):
    """Contrast and cross-entropy of two views.

    ``alpha``: the contrast's share; ``positives``: ``label``, or a column of metadata; ``weights``: of the classes in
    the cross-entropy, as ``ce-weighted`` has them.
    """

    name = "scl-hybrid"
    formula = "L = alpha SC(proj(f(view 1)), proj(f(view 2)); g, t) + (1 - alpha) CE_w over both views"
    source = "Moummad & Farrugia, WASPAA 2023 (arXiv:2210.16192) and its released code"
    limits = rules(alpha=number(0, 1), temperature=number(0, above=True), positives=NAME, weights=WEIGHTS)

    def __init__(
        self,
        facts: TrainingFacts,
        alpha: float = 0.5,
        temperature: float = 0.06,
        positives: str = LABEL_COLUMN,
        weights: str | Sequence[float] = INVERSE,
    ):
        super().__init__(facts, alpha=alpha, temperature=temperature, positives=positives, weights=weights)
        self.register_buffer("weight", class_weights(self.name, weights, facts))
        self.require_groups(positives)
        self.alpha, self.temperature, self.positives = alpha, temperature, positives
        self.projector = build_projector(facts.width, PROJECTED, norm=None)

    def loss(self, model: TrainableModel, batch: MicroBatch) -> Tensor:
        """Compute the weighted sum of both losses."""
        features = torch.cat([model.features(batch, view=view) for view in (0, 1)])
        views = self.projector(features).unflatten(0, (2, -1))
        contrast = sup_con(views, group_codes(batch, self.positives), self.temperature)
        told = cross_entropy(model.logits(features), batch.label.repeat(2), self.weight)
        return self.alpha * contrast + (1 - self.alpha) * told
