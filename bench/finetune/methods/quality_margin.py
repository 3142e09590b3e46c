"""Angular margin that adapts to a clip's quality and to the rarity of its class: this benchmark's own definition.

The published method with margins of both kinds is ``qlung``.
"""

from __future__ import annotations

from torch import Tensor

from bench.base.settings import number, rules
from bench.finetune.methods.log_margin import class_margins
from bench.finetune.methods.shared.base import MicroBatch, TrainingFacts
from bench.finetune.methods.shared.margin import ANGLE, SCALE, MarginMethod, arc_face


def quality_margins(quality: Tensor, target: float, kappa: float) -> Tensor:
    """Compute margins target · (1 + kappa · (2 q − 1)) in radians (B,), for qualities q (B,) in [0, 1]."""
    return target * (1 + kappa * (2 * quality - 1))


class QualityMargin(MarginMethod):
    """ArcFace whose margin depends on the clip's quality and the rarity of its class.

    ``target``: margin of the rarest class and of a clip of medium quality; ``kappa``: how much quality changes it;
    ``gamma``: share of the margin by quality, the rest is the margin by class.
    """

    name = "quality-margin"
    formula = (
        "ArcFace with m = gamma m_q + (1 - gamma) m_c(y);  m_q = m_t (1 + kappa (2q - 1)), "
        "m_c(k) = m_t log(N/n_k) / max_j log(N/n_j), q by bench.finetune.data.quality"
    )
    source = "this benchmark"
    ours = "the whole definition, of the margins as of the quality; no publication's results are comparable"
    limits = rules(target=ANGLE, kappa=number(0, 1), gamma=number(0, 1), scale=SCALE)
    needs = frozenset({"quality"})

    def __init__(
        self, facts: TrainingFacts, target: float = 0.2, kappa: float = 0.5, gamma: float = 0.5, scale: float = 37.0
    ):
        super().__init__(facts, target=target, kappa=kappa, gamma=gamma, scale=scale)
        self.target, self.kappa, self.gamma = target, kappa, gamma
        self.register_buffer("margins", class_margins(facts.counts, target))

    def margined(self, cosine: Tensor, batch: MicroBatch) -> Tensor:
        """Apply ``arc_face`` with each clip's margin."""
        by_quality = quality_margins(batch.quality, self.target, self.kappa)
        margin = self.gamma * by_quality + (1 - self.gamma) * self.margins[batch.label]
        return arc_face(cosine, batch.label, margin, self.scale)
