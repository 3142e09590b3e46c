"""Supervised contrastive learning: clips of a group, and the two views of a clip, are drawn together."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.base.settings import NAME, number, rules
from bench.finetune.methods.shared.base import (
    LABEL_COLUMN,
    Method,
    MicroBatch,
    TrainableModel,
    TrainingFacts,
    group_codes,
)
from bench.finetune.methods.shared.cross_entropy import cross_entropy
from bench.finetune.methods.shared.projector import projector
from bench.finetune.methods.shared.vectors import cosines

PROJECTED = 128  # features that are contrasted


def sup_con(views: Tensor, group: Tensor, temperature: float) -> Tensor:
    """−mean over anchors a of the mean over positives p of log softmax_{j ≠ a}(cos(a, j) / temperature)_p.

    ``views`` (V, B, D): V views of B clips, each view an anchor; ``group`` (B,): the positives of an anchor are the
    other views of clips of its group. Clips of group −1 (unknown) take no part; an anchor without positives is left
    out of the mean; 0 where none is left.
    """
    known = group >= 0
    flat = views[:, known].flatten(0, 1)
    code = group[known].repeat(len(views))
    near = cosines(flat, flat) / temperature
    itself = torch.eye(len(near), dtype=torch.bool, device=near.device)
    positive = (code[:, None] == code[None]) & ~itself
    log_p = near - near.masked_fill(itself, float("-inf")).logsumexp(1, keepdim=True)
    count = positive.sum(1)
    anchor = torch.where(positive, log_p, 0.0).sum(1)[count > 0] / count[count > 0]
    return -anchor.sum() / max(len(anchor), 1)


class SupCon(Method):
    """``positives``: ``label``, or a column of metadata."""

    name = "supcon"
    formula = (
        "L = SC(proj(f(view 1)), proj(f(view 2)); g, t) + CE(head(stop(f)), y);  SC: Khosla's L_out, CE over both views"
    )
    source = "Khosla et al., NeurIPS 2020 (arXiv:2004.11362), eq. 2; Moummad & Farrugia, WASPAA 2023 (arXiv:2210.16192)"
    ours = "the classifier is trained at the same time, on features that pass no gradient on, not in a stage of its own"
    limits = rules(temperature=number(0, above=True), positives=NAME)

    def __init__(self, facts: TrainingFacts, temperature: float = 0.06, positives: str = LABEL_COLUMN):
        super().__init__(facts, temperature=temperature, positives=positives)
        self.require_groups(positives)
        self.temperature, self.positives = temperature, positives
        self.projector = projector(facts.width, PROJECTED, norm=False)

    def loss(self, model: TrainableModel, batch: MicroBatch) -> Tensor:
        """``Method.loss``."""
        seen = torch.cat([model.features(batch, view=view) for view in (0, 1)])
        views = self.projector(seen).unflatten(0, (2, -1))
        contrast = sup_con(views, group_codes(batch, self.positives), self.temperature)
        return contrast + cross_entropy(model.logits(seen.detach()), batch.label.repeat(2))
