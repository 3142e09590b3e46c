"""Domain-adversarial training: features from which the class can be predicted, but not the recording device."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.base.settings import NAME, TRUTH, number, one_of, rules
from bench.finetune.methods.shared.base import Method, MicroBatch, TrainableModel, TrainingFacts
from bench.finetune.methods.shared.cross_entropy import cross_entropy

RAMP, FULL = "ramp", "full"
STRENGTH = one_of(RAMP, FULL)


class _GradientReversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradient, None


def reversed_gradient(x: Tensor, strength: float) -> Tensor:
    """Return ``x``; the gradient that passes through it is multiplied by −strength."""
    return _GradientReversal.apply(x, strength)


def reversal_strength(progress: float, steepness: float) -> float:
    """Compute 2 / (1 + exp(−steepness · progress)) − 1: from 0 at the start of training towards 1.

    References
    ----------
    Ganin et al., JMLR 17(59), 2016, section 5.2.2 (arXiv:1505.07818).
    """
    return 2 / (1 + math.exp(-steepness * progress)) - 1


def strength_at(strength: str, progress: float, steepness: float) -> float:
    """Compute the strength of the reversal: ``reversal_strength`` for ``ramp``, 1 for ``full``."""
    return 1.0 if strength == FULL else reversal_strength(progress, steepness)


def domain_loss(logits: Tensor, domain: Tensor) -> Tensor:
    """Compute cross-entropy averaged over the clips of known domain; 0 where there is none.

    Parameters
    ----------
    logits
        (B, number of domains).
    domain
        (B,) int64 codes, −1 where unknown.

    Returns
    -------
    Tensor
        A scalar.
    """
    return F.cross_entropy(logits, domain, ignore_index=-1, reduction="sum") / (domain >= 0).sum().clamp_min(1)


class DomainAdversarial(Method):
    """Cross-entropy, and a domain classifier behind a reversed gradient.

    ``column``: metadata that features should not predict; ``alpha``: weight of the domain classifier's loss.
    ``strength``: of the reversal, a ``ramp`` from 0 to 1 of that ``steepness``, or ``full`` throughout.
    ``domain_norm``: layer normalisation before the domain classifier.
    """

    name = "dat"
    formula = (
        "L = CE(f, y) + alpha CE(linear(R(f)), d);  R: identity, gradient times -l, l = 2 / (1 + exp(-k progress)) - 1"
    )
    source = "Ganin et al., JMLR 17(59), 2016 (arXiv:1505.07818); Kim et al., ICASSP 2024 (arXiv:2312.09603)"
    ours = (
        "progress is the share of optimiser steps done, as in Ganin et al.; clips of unknown domain take no part in "
        "the second term. Kim et al.'s released code: strength = full, because an operator's precedence makes progress "
        "more than 10 from the first step on ICBHI, and domain_norm = true"
    )
    limits = rules(column=NAME, alpha=number(), steepness=number(), strength=STRENGTH, domain_norm=TRUTH)

    def __init__(
        self,
        facts: TrainingFacts,
        column: str = "domain",
        alpha: float = 1.0,
        steepness: float = 10.0,
        strength: str = RAMP,
        domain_norm: bool = False,
    ):
        super().__init__(
            facts, column=column, alpha=alpha, steepness=steepness, strength=strength, domain_norm=domain_norm
        )
        self.column, self.alpha, self.steepness, self.strength = column, alpha, steepness, strength
        self.norm = nn.LayerNorm(facts.width) if domain_norm else nn.Identity()
        self.domains = nn.Linear(facts.width, self.require_column(column))

    def loss(self, model: TrainableModel, batch: MicroBatch) -> Tensor:
        """Compute the cross-entropy of classes plus ``alpha`` times that of domains."""
        features = model.features(batch)
        turned = reversed_gradient(features, strength_at(self.strength, batch.progress, self.steepness))
        adversarial = domain_loss(self.domains(self.norm(turned)), batch.meta[self.column])
        return cross_entropy(model.logits(features), batch.label) + self.alpha * adversarial
