"""Logits from angles between features and class prototypes, with a margin for the labelled class."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from bench.base.settings import number, rules
from bench.finetune.methods.shared.base import Method, MicroBatch, TrainableModel, TrainingFacts
from bench.finetune.methods.shared.cross_entropy import cross_entropy
from bench.finetune.methods.shared.vectors import cosines

SCALE = number(0, above=True)
ANGLE = number(0, math.pi / 2)


def _replace_label_column(cosine: Tensor, label: Tensor, own: Tensor) -> Tensor:
    """``cosine`` (B, K) with the value at each clip's label replaced with ``own`` (B,)."""
    return torch.where(nn.functional.one_hot(label, cosine.shape[1]).bool(), own[:, None], cosine)


def am_softmax(cosine: Tensor, label: Tensor, margin: float, scale: float) -> Tensor:
    """Compute AM-Softmax logits: scale · cos θ_j, and scale · (cos θ_y − margin) for the label y.

    Parameters
    ----------
    cosine
        (B, K) cos θ_j.
    label
        (B,) int64.
    margin, scale
        Of the cosine.

    Returns
    -------
    Tensor
        (B, K) logits.

    References
    ----------
    Wang et al., IEEE Signal Processing Letters 25(7), 2018 (arXiv:1801.05599).
    """
    own = cosine.gather(1, label[:, None])[:, 0]
    return scale * _replace_label_column(cosine, label, own - margin)


def arc_face(cosine: Tensor, label: Tensor, margin: Tensor | float, scale: float) -> Tensor:
    """Compute ArcFace logits: scale · cos θ_j, and scale · cos(θ_y + margin) for the label y.

    Where θ_y + margin exceeds π, the label's logit is scale · (cos θ_y − margin · sin margin), which keeps falling.

    Parameters
    ----------
    cosine
        (B, K) cos θ_j.
    label
        (B,) int64.
    margin
        In radians: a number, or (B,) one for each clip.
    scale
        Of the cosine.

    Returns
    -------
    Tensor
        (B, K) logits.

    References
    ----------
    Deng et al., CVPR 2019 (arXiv:1801.07698).
    """
    own = cosine.gather(1, label[:, None])[:, 0]
    margin = torch.as_tensor(margin, dtype=own.dtype, device=own.device)
    turned = torch.where(own > -margin.cos(), _turned(own, margin), own - margin * margin.sin())
    return scale * _replace_label_column(cosine, label, turned)


def cosine_of_wider_angle(cosine: Tensor, label: Tensor, margin: Tensor | float, scale: float) -> Tensor:
    """Compute the logits scale · cos θ_j, and scale · cos(θ_y + margin) for the label y, for every angle alike.

    Unlike ``arc_face`` it has no branch for θ_y + margin beyond π, where the label's logit rises again.

    Parameters
    ----------
    cosine
        (B, K) cos θ_j.
    label
        (B,) int64.
    margin
        In radians: a number, or (B,) one for each clip.
    scale
        Of the cosine.

    Returns
    -------
    Tensor
        (B, K) logits.
    """
    own = cosine.gather(1, label[:, None])[:, 0]
    margin = torch.as_tensor(margin, dtype=own.dtype, device=own.device)
    return scale * _replace_label_column(cosine, label, _turned(own, margin))


def _turned(cosine: Tensor, angle: Tensor) -> Tensor:
    """cos(arccos(cosine) + angle) (B,), with a finite gradient at ±1."""
    sine = (1 - cosine.square()).clamp_min(torch.finfo(cosine.dtype).eps).sqrt()
    return cosine * angle.cos() - sine * angle.sin()


class MarginMethod(Method):
    """Base of methods with class prototypes in place of the head: ``scores`` are scale · cos θ, without a margin."""

    limits = rules(margin=ANGLE, scale=SCALE)

    def __init__(self, facts: TrainingFacts, scale: float, **hyper: Any):
        super().__init__(facts, scale=scale, **hyper)
        self.scale = scale
        self.prototypes = nn.Parameter(nn.init.xavier_normal_(torch.empty(facts.classes, facts.width)))

    @abstractmethod
    def margined(self, cosine: Tensor, batch: MicroBatch) -> Tensor:
        """Compute logits (B, K) in training, from cosines (B, K)."""

    def loss(self, model: TrainableModel, batch: MicroBatch) -> Tensor:
        """Compute cross-entropy of the logits with margins."""
        return cross_entropy(self.margined(cosines(model.features(batch), self.prototypes), batch), batch.label)

    def scores(self, model: TrainableModel, features: Tensor, row: Tensor) -> Tensor:
        """Return scale · cos θ (B, K)."""
        return self.scale * cosines(features, self.prototypes)
