"""Patch-Mix: patches of a clip are replaced with another clip's inside the encoder, and labels mixed in proportion."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.base.errors import BadInput
from bench.base.settings import number, rules
from bench.finetune.methods.shared.base import PATCHES, Method, MicroBatch, TrainableModel, TrainingFacts
from bench.finetune.methods.shared.cross_entropy import mixed_cross_entropy
from bench.finetune.methods.shared.mixing import draw_partners, draw_shares


def mixed_patches(patches: Tensor, partner: Tensor, positions: Tensor) -> Tensor:
    """Replace the patches (B, P, D) at ``positions`` (n,) with those of the clip at ``partner`` (B,)."""
    taken = torch.zeros(patches.shape[1], dtype=torch.bool, device=patches.device)
    taken[positions] = True
    return torch.where(taken[None, :, None], patches[partner], patches)


class PatchMixing:
    """Mixes a batch's patches when called; afterwards ``share`` is the share of its own patches that a clip kept.

    Of P patches ⌊P (1 − λ)⌋, at random positions that are the same for the whole batch, come from the clip at
    ``partner`` (B,); λ is drawn from Beta(beta, beta). Called again, as gradient checkpointing does, it mixes as
    before.

    References
    ----------
    Bae et al., Interspeech 2023 (arXiv:2305.14032) and its released code.
    """

    def __init__(self, batch: MicroBatch, beta: float):
        self.lam = float(draw_shares(batch, beta))
        self.partner = draw_partners(batch)
        self._generator = batch.generator
        self._order: Tensor | None = None

    def __call__(self, patches: Tensor) -> Tensor:
        """Mix patches (B, P, D). Raises ``BadInput`` for patches that are not those of the whole batch at once."""
        if self._order is None:
            self._order = torch.randperm(patches.shape[1], generator=self._generator)
        if patches.shape[:2] != (len(self.partner), len(self._order)):
            problem = f"patches {tuple(patches.shape[:2])} for {len(self.partner)} clips of {len(self._order)} patches"
            raise BadInput("patch mixing", problem, "crop clips to the length that the encoder takes in one piece")
        return mixed_patches(patches, self.partner, self._order[: self._replaced].to(patches.device))

    @property
    def _replaced(self) -> int:
        return int(len(self._order) * (1 - self.lam))

    @property
    def share(self) -> float:
        """1 − n / P for n replaced patches. Raises ``BadInput`` where the encoder called for no mixing."""
        if self._order is None:
            raise BadInput("patch mixing", "the encoder has no patches to mix", "name an encoder that offers patches")
        return 1 - self._replaced / len(self._order)


class PatchMix(Method):
    """Cross-entropy of clips with mixed patches; λ is drawn from Beta(beta, beta) for each batch."""

    name = "patchmix"
    formula = (
        "L = s CE(f(mixed), y) + (1 - s) CE(f(mixed), y_partner);  n = floor(P (1 - l)), s = 1 - n/P, l ~ Beta(b, b)"
    )
    source = "Bae et al., Interspeech 2023 (arXiv:2305.14032) and its released code"
    limits = rules(beta=number(0, above=True))
    needs = frozenset({PATCHES})

    def __init__(self, facts: TrainingFacts, beta: float = 1.0):
        super().__init__(facts, beta=beta)
        self.beta = beta

    def loss(self, model: TrainableModel, batch: MicroBatch) -> Tensor:
        """Mix the patches and compute the cross-entropy of both labels."""
        mixing = PatchMixing(batch, self.beta)
        logits = model.logits(model.features(batch, mix=mixing))
        return mixed_cross_entropy(logits, batch.label, batch.label[mixing.partner], mixing.share)
