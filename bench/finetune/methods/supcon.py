"""Supervised contrastive learning: clips of a group, and the two views of a clip, are pulled together."""

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
from bench.finetune.methods.shared.projector import build_projector
from bench.finetune.methods.shared.vectors import cosines

PROJECTED = 128  # number of features that are contrasted


def sup_con(views: Tensor, group: Tensor, temperature: float) -> Tensor:
    """Compute −mean over anchors a of the mean over positives p of log softmax_{j ≠ a}(cos(a, j) / temperature)_p.

    Each view of a clip is an anchor; its positives are the other views of clips of its group.

    Parameters
    ----------
    views
        (V, B, D) projected features of V views of B clips.
    group
        (B,) int64 codes. Clips of group −1 (unknown) are left out.
    temperature
        Above 0.

    Returns
    -------
    Tensor
        A scalar. An anchor without positives is left out of the mean; 0 where none is left.

    References
    ----------
    Khosla et al., NeurIPS 2020 (arXiv:2004.11362), eq. 2.
    """
    known = group >= 0
    flat = views[:, known].flatten(0, 1)
    code = group[known].repeat(len(views))
    similarity = cosines(flat, flat) / temperature
    itself = torch.eye(len(similarity), dtype=torch.bool, device=similarity.device)
    positive = (code[:, None] == code[None]) & ~itself
    log_p = similarity - similarity.masked_fill(itself, float("-inf")).logsumexp(1, keepdim=True)
    count = positive.sum(1)
    anchor = torch.where(positive, log_p, 0.0).sum(1)[count > 0] / count[count > 0]
    return -anchor.sum() / max(len(anchor), 1)


class SupCon(Method):
    """Contrast of two views, and a classifier on features that pass no gradient.

    ``positives``: ``label``, or a column of metadata.
    """

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
        self.projector = build_projector(facts.width, PROJECTED, norm=None)

    def loss(self, model: TrainableModel, batch: MicroBatch) -> Tensor:
        """Compute the sum of both losses."""
        features = torch.cat([model.features(batch, view=view) for view in (0, 1)])
        views = self.projector(features).unflatten(0, (2, -1))
        contrast = sup_con(views, group_codes(batch, self.positives), self.temperature)
        return contrast + cross_entropy(model.logits(features.detach()), batch.label.repeat(2))
