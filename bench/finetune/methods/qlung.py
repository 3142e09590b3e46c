"""QLung: cross-entropy of an angular classifier, and a second one whose margin adapts to quality and class."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.base.settings import number, one_of, rules
from bench.finetune.methods.shared.base import Method, MicroBatch, QualityWanted, TrainableModel, TrainingFacts
from bench.finetune.methods.shared.cross_entropy import cross_entropy
from bench.finetune.methods.shared.margin import ANGLE, SCALE, cosine_of_wider_angle
from bench.finetune.methods.shared.vectors import cosines

ANGULAR, LINEAR = "angular", "linear"
FIXED, QUALITY, BOTH = "fixed", "quality", "quality and class"
TRAINING, ABSOLUTE = "training", "absolute"


def prior_margins(counts: Sequence[int], target: float) -> Tensor:
    """Compute class margins −target · log(n_k / N) / log K in radians, for counts n of K classes, N in all.

    A class of the even share 1 / K has the margin ``target``, a rarer one more. A class without clips, which no clip
    of training has, is given 0.

    Parameters
    ----------
    counts
        (K,) training clips of each class; K is 2 or more.
    target
        In radians.

    Returns
    -------
    Tensor
        (K,) float32.

    References
    ----------
    Kim et al., Interspeech 2026 (arXiv:2606.11915).
    """
    total, scale = sum(counts), target / math.log(max(len(counts), 2))
    return torch.tensor([scale * math.log(total / count) if count else 0.0 for count in counts])


class QLung(Method):
    """QLung: an angular classifier, and a margin by the clip's quality and the rarity of its class.

    ``classifier``: ``angular``, or ``linear`` as the paper's ablation has it; ``margin``: ``fixed`` at ``target``, by
    ``quality`` alone, or by ``quality and class``. ``scale`` is the classifier's, ``margin_scale`` that of the second
    term; ``target`` and ``kappa`` are the class margin at an even share and the quality margin of a perfect clip,
    ``gamma`` the share of the latter, ``weight`` that of the second term. ``entropy`` and ``energy`` weigh the audio
    quality score, ``normalisation`` says how its parts come to [0, 1].
    """

    name = "qlung"
    formula = (
        "L = CE(z, y) + weight CE(z', y);  z_k = s cos th_k; z'_y = s' cos(th_y + m), z'_j = s' cos th_j;  "
        "m = gamma kappa AQS + (1 - gamma) target (-log n_y/N) / log K;  "
        "AQS = clip(1 - entropy H + energy R, 0, 1), H spectral entropy, R RMS energy"
    )
    source = "Kim et al., Quality adaptive angular margin learning, Interspeech 2026 (arXiv:2606.11915)"
    ours = (
        "how H and R are normalised is not published; under training (default) each clip as it was recorded, H by "
        "Welch's method on 50-2000 Hz over log K, R the level in dB between the 5th and 95th percentile of training "
        "clips; under absolute each clip repeated to 8 s, H over the whole band in windows of 25 ms every 10 ms, R the "
        "RMS of full scale. The fixed margin of the ablation is not published: it is target. With the linear "
        "classifier the margin's angles are those to its weights. Formulas are from two summaries that agree, not from "
        "the paper's text"
    )
    limits = rules(
        classifier=one_of(ANGULAR, LINEAR),
        margin=one_of(FIXED, QUALITY, BOTH),
        scale=SCALE,
        margin_scale=SCALE,
        target=ANGLE,
        kappa=ANGLE,
        gamma=number(0, 1),
        weight=number(),
        entropy=number(),
        energy=number(),
        normalisation=one_of(TRAINING, ABSOLUTE),
    )

    def __init__(
        self,
        facts: TrainingFacts,
        classifier: str = ANGULAR,
        margin: str = BOTH,
        scale: float = 37.0,
        margin_scale: float = 15.0,
        target: float = 0.2,
        kappa: float = 0.5,
        gamma: float = 0.5,
        weight: float = 0.4,
        entropy: float = 0.7,
        energy: float = 0.3,
        normalisation: str = TRAINING,
    ):
        super().__init__(
            facts,
            classifier=classifier,
            margin=margin,
            scale=scale,
            margin_scale=margin_scale,
            target=target,
            kappa=kappa,
            gamma=gamma,
            weight=weight,
            entropy=entropy,
            energy=energy,
            normalisation=normalisation,
        )
        self.margin, self.scale, self.margin_scale = margin, scale, margin_scale
        self.target, self.kappa, self.gamma, self.weight = target, kappa, gamma, weight
        self.prototypes = nn.Parameter(nn.init.xavier_normal_(torch.empty(facts.classes, facts.width)))
        self.bias = nn.Parameter(torch.zeros(facts.classes)) if classifier == LINEAR else None
        self.register_buffer("margins", prior_margins(facts.counts, target))
        if margin != FIXED:
            self.needs = frozenset({"quality"})
            self.quality = QualityWanted(f"aqs-{normalisation}", {"entropy": entropy, "energy": energy})

    def label_margin(self, batch: MicroBatch) -> Tensor | float:
        """Compute the margin of each clip's label in radians, (B,) or one for all."""
        if self.margin == FIXED:
            return self.target
        by_quality = self.kappa * batch.quality
        if self.margin == QUALITY:
            return by_quality
        return self.gamma * by_quality + (1 - self.gamma) * self.margins[batch.label]

    def loss(self, model: TrainableModel, batch: MicroBatch) -> Tensor:
        """Compute the cross-entropy of the classifier plus ``weight`` times that with a margin."""
        features = model.features(batch)
        near = cosines(features, self.prototypes)
        wider = cosine_of_wider_angle(near, batch.label, self.label_margin(batch), self.margin_scale)
        plain = cross_entropy(self.scores(model, features, batch.row), batch.label)
        return plain + self.weight * cross_entropy(wider, batch.label)

    def scores(self, model: TrainableModel, features: Tensor, row: Tensor) -> Tensor:
        """Return scale · cos θ (B, K), or the linear classifier's logits."""
        if self.bias is None:
            return self.scale * cosines(features, self.prototypes)
        return F.linear(features, self.prototypes, self.bias)
