"""Hybrid supervised contrastive learning: contrast and cross-entropy train the encoder together."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.finetune.methods._base import LABEL, Batch, Facts, Method, Model, groups
from bench.finetune.methods._limits import limits, number, word
from bench.finetune.methods._projector import projector
from bench.finetune.methods.ce import cross_entropy
from bench.finetune.methods.supcon import PROJECTED, sup_con


class HybridSupCon(Method):
    """``alpha``: the contrast's share; ``positives``: ``label``, or a column of metadata."""

    name = "scl-hybrid"
    formula = "L = alpha SC(proj(f(view 1)), proj(f(view 2)); g, t) + (1 - alpha) CE over both views"
    source = "Moummad & Farrugia, WASPAA 2023 (arXiv:2210.16192) and its released code"
    ours = "unweighted cross-entropy"
    limits = limits(alpha=number(0, 1), temperature=number(0, above=True), positives=word())

    def __init__(self, facts: Facts, alpha: float = 0.5, temperature: float = 0.06, positives: str = LABEL):
        super().__init__(facts, alpha=alpha, temperature=temperature, positives=positives)
        self._groups(positives)
        self.alpha, self.temperature, self.positives = alpha, temperature, positives
        self.projector = projector(facts.width, PROJECTED, norm=False)

    def loss(self, model: Model, batch: Batch) -> Tensor:
        """``Method.loss``."""
        seen = torch.cat([model.features(batch, view=view) for view in (0, 1)])
        views = self.projector(seen).unflatten(0, (2, -1))
        contrast = sup_con(views, groups(batch, self.positives), self.temperature)
        return self.alpha * contrast + (1 - self.alpha) * cross_entropy(model.logits(seen), batch.label.repeat(2))
