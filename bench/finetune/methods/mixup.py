"""Mixup: weighted sums of two clips and of their labels."""

from __future__ import annotations

from torch import Tensor

from bench.base.settings import number, one_of, rules
from bench.finetune.methods.shared.base import Method, MicroBatch, TrainableModel, TrainingFacts
from bench.finetune.methods.shared.cross_entropy import mixed_cross_entropy
from bench.finetune.methods.shared.mixing import draw_partners, draw_shares, overlay, pair_waves

WAVE, FEATURES = "wave", "features"


class Mixup(Method):
    """Cross-entropy of mixed clips, with one λ from Beta(alpha, alpha) for each batch.

    ``level``: ``wave`` mixes waveforms, the shorter one repeated to the longer one's length; ``features`` mixes what
    the head reads (manifold mixup at the last layer).
    """

    name = "mixup"
    formula = "L = l CE(f(l x + (1 - l) x'), y) + (1 - l) CE(f(...), y');  l ~ Beta(a, a)"
    source = "Zhang et al., ICLR 2018 (arXiv:1710.09412); level features: Verma et al., ICML 2019 (arXiv:1806.05236)"
    limits = rules(alpha=number(0, above=True), level=one_of(WAVE, FEATURES))

    def __init__(self, facts: TrainingFacts, alpha: float = 0.2, level: str = WAVE):
        super().__init__(facts, alpha=alpha, level=level)
        self.alpha, self.level = alpha, level

    def loss(self, model: TrainableModel, batch: MicroBatch) -> Tensor:
        """Mix at the chosen level and compute the cross-entropy of both labels."""
        share, partner = float(draw_shares(batch, self.alpha)), draw_partners(batch)
        if self.level == WAVE:
            pair = pair_waves(batch, partner)
            mask = pair.own.new_full((len(pair.own), 1), share)
            features = model.features(batch._replace(wave=overlay(pair, mask), length=pair.length))
        else:
            clean = model.features(batch)
            features = share * clean + (1 - share) * clean[partner]
        return mixed_cross_entropy(model.logits(features), batch.label, batch.label[partner], share)
