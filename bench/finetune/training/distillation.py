"""The loss on soft labels, beside that of any method (knowledge distillation)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import kl_div

from bench.finetune.methods.shared.base import PATCHES, Method, MicroBatch, Reading, TrainableModel
from bench.finetune.recipe import Distillation


def soft_label_loss(logits: Tensor, soft_label: Tensor, temperature: float) -> Tensor:
    """Compute T² · mean over clips of KL(q ‖ softmax(z / T)).

    The factor keeps gradients of the size that they have at T = 1.

    Parameters
    ----------
    logits
        (B, K) z of the student.
    soft_label
        (B, K) q, the teachers' probabilities at the same temperature.
    temperature
        T, above 0.

    Returns
    -------
    Tensor
        A scalar.

    References
    ----------
    Hinton et al., Distilling the knowledge in a neural network, 2015 (arXiv:1503.02531), section 2.
    """
    student = torch.log_softmax(logits / temperature, dim=1)
    return temperature**2 * kl_div(student, soft_label.to(student), reduction="batchmean")


def distilled_loss(method: Method, model: TrainableModel, batch: MicroBatch, settings: Distillation) -> Tensor:
    """Compute (1 − w) · the method's loss + w · ``soft_label_loss`` of the clips as the first view has them.

    The student's logits are the method's scores, as at prediction. Where the method reads that view unmixed, its
    features are used; else the batch goes through the encoder once more.

    Parameters
    ----------
    method, model
        What is trained.
    batch
        With soft labels.
    settings
        w and T of the recipe.
    """
    heard = _Heard(model, batch)
    loss = method.loss(heard, batch)
    features = model.features(batch) if heard.first is None else heard.first
    soft = soft_label_loss(method.scores(model, features, batch.row), batch.soft_label, settings.temperature)
    return (1 - settings.weight) * loss + settings.weight * soft


class _Heard:
    """A model that keeps the features of a batch's first view, once a method has asked for them unmixed."""

    def __init__(self, model: TrainableModel, batch: MicroBatch):
        self.model, self.batch = model, batch
        self.first: Tensor | None = None

    def features(
        self,
        batch: MicroBatch,
        *,
        view: int = 0,
        mix: Callable[[Tensor], Tensor] | None = None,
        mixed: str = PATCHES,
    ) -> Tensor:
        """As ``TrainableModel.features``."""
        out = self.model.features(batch, view=view, mix=mix, mixed=mixed)
        if batch is self.batch and view == 0 and mix is None:
            self.first = out
        return out

    def reading(self, batch: MicroBatch, *, view: int = 0) -> Reading:
        """As ``TrainableModel.reading``."""
        out = self.model.reading(batch, view=view)
        if batch is self.batch and view == 0:
            self.first = out.features
        return out

    def logits(self, features: Tensor) -> Tensor:
        """As ``TrainableModel.logits``."""
        return self.model.logits(features)
