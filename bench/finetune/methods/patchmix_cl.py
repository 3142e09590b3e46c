"""Patch-Mix contrastive learning: a mixed clip is pulled to its two sources in proportion to their patches."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.base.settings import number, one_of, rules
from bench.finetune.methods.patchmix import PatchMixing
from bench.finetune.methods.shared.base import PATCHES, Method, MicroBatch, TrainableModel, TrainingFacts
from bench.finetune.methods.shared.cross_entropy import cross_entropy
from bench.finetune.methods.shared.projector import BatchNorm, build_projector
from bench.finetune.methods.shared.vectors import cosines

ALL, DIFF_LABEL = "all", "diff_label"


def patch_mix_contrast(
    mixed: Tensor, clean: Tensor, partner: Tensor, share: float, temperature: float, label: Tensor | None = None
) -> Tensor:
    """Compute −mean_i [share · log p(i | i) + (1 − share) · log p(partner_i | i)].

    p(j | i) is the softmax over j of cos(mixed_i, clean_j) / temperature.

    Parameters
    ----------
    mixed, clean
        (B, D) projected features of mixed clips, and features of clean ones.
    partner
        (B,) int64 index of the clip that each was mixed with.
    share
        Of its own patches that a mixed clip kept.
    temperature
        Above 0.
    label
        (B,) int64. With it the softmax of clip i runs over i, its partner and the clips of other labels than its own;
        without, over the whole batch.

    Returns
    -------
    Tensor
        A scalar.

    References
    ----------
    Bae et al., Interspeech 2023 (arXiv:2305.14032) and its released code.
    """
    similarity = cosines(mixed, clean) / temperature
    rows = torch.arange(len(similarity), device=similarity.device)
    if label is not None:
        compared = label[:, None] != label[None]
        compared[rows, rows] = compared[rows, partner] = True
        similarity = similarity.masked_fill(~compared, float("-inf"))
    log_p = similarity - similarity.logsumexp(1, keepdim=True)
    return -(share * log_p[rows, rows] + (1 - share) * log_p[rows, partner]).mean()


class PatchMixContrastive(Method):
    """Cross-entropy of clean clips, and contrast of mixed with clean ones.

    ``alpha``: weight of the contrast; ``negatives``: ``all`` clips of the batch or those of a ``diff_label``.
    """

    name = "patchmix-cl"
    formula = (
        "L = CE(f(clean), y) + alpha C;  C = -mean_i [s log p(i|i) + (1 - s) log p(partner_i|i)], "
        "p(j|i) = softmax_j cos(proj(f(mixed))_i, stop(f(clean))_j) / t;  mixing as patchmix"
    )
    source = "Bae et al., Interspeech 2023 (arXiv:2305.14032) and its released code"
    limits = rules(
        alpha=number(),
        temperature=number(0, above=True),
        beta=number(0, above=True),
        negatives=one_of(ALL, DIFF_LABEL),
    )
    needs = frozenset({PATCHES})

    def __init__(
        self,
        facts: TrainingFacts,
        alpha: float = 1.0,
        temperature: float = 0.06,
        beta: float = 1.0,
        negatives: str = ALL,
    ):
        super().__init__(facts, alpha=alpha, temperature=temperature, beta=beta, negatives=negatives)
        self.alpha, self.temperature, self.beta, self.negatives = alpha, temperature, beta, negatives
        self.projector = build_projector(facts.width, facts.width, norm=BatchNorm)

    def loss(self, model: TrainableModel, batch: MicroBatch) -> Tensor:
        """Compute both losses; both passes have the same augmentation, as in the released code."""
        clean = model.features(batch)
        mixing = PatchMixing(batch, self.beta)
        mixed = self.projector(model.features(batch, mix=mixing))
        label = batch.label if self.negatives == DIFF_LABEL else None
        contrast = patch_mix_contrast(mixed, clean.detach(), mixing.partner, mixing.share, self.temperature, label)
        return cross_entropy(model.logits(clean), batch.label) + self.alpha * contrast
