"""AM-Softmax: the label's cosine has to exceed the others by a margin."""

from __future__ import annotations

from torch import Tensor

from bench.base.settings import number, rules
from bench.finetune.methods.shared.base import MicroBatch, TrainingFacts
from bench.finetune.methods.shared.margin import SCALE, MarginMethod, am_softmax


class AMSoftmax(MarginMethod):
    """Softmax of cosines; ``margin`` is subtracted from the label's cosine."""

    name = "am-softmax"
    formula = "L = CE(z, y);  z_y = s (cos th_y - m), z_j = s cos th_j"
    source = "Wang et al., IEEE Signal Processing Letters 25(7), 2018 (arXiv:1801.05599); s, m: RSC-Toolkit's code"
    limits = rules(margin=number(0, 2), scale=SCALE)

    def __init__(self, facts: TrainingFacts, margin: float = 0.4, scale: float = 30.0):
        super().__init__(facts, margin=margin, scale=scale)
        self.margin = margin

    def margined(self, cosine: Tensor, batch: MicroBatch) -> Tensor:
        """Apply ``am_softmax`` to cosines (B, K)."""
        return am_softmax(cosine, batch.label, self.margin, self.scale)
