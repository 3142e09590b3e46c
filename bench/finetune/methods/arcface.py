"""ArcFace: the label's angle has to be smaller than the others by a margin."""

from __future__ import annotations

from torch import Tensor

from bench.finetune.methods.shared.base import MicroBatch, TrainingFacts
from bench.finetune.methods.shared.margin import MarginMethod, arc_face


class ArcFace(MarginMethod):
    """Softmax of cosines; ``margin`` is added to the label's angle, in radians."""

    name = "arcface"
    formula = "L = CE(z, y);  z_y = s cos(th_y + m), or s (cos th_y - m sin m) where th_y + m > pi;  z_j = s cos th_j"
    source = "Deng et al., CVPR 2019 (arXiv:1801.07698); s, m: RSC-Toolkit's code"

    def __init__(self, facts: TrainingFacts, margin: float = 0.7, scale: float = 30.0):
        super().__init__(facts, margin=margin, scale=scale)
        self.margin = margin

    def margined(self, cosine: Tensor, batch: MicroBatch) -> Tensor:
        """Apply ``arc_face`` to cosines (B, K)."""
        return arc_face(cosine, batch.label, self.margin, self.scale)
