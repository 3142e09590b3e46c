"""AAM-Softmax: ArcFace at the scale and margin usual in speaker recognition."""

from __future__ import annotations

from bench.finetune.methods.arcface import ArcFace
from bench.finetune.methods.shared.base import TrainingFacts


class AAM(ArcFace):
    """ArcFace with other defaults; ``margin`` is added to the angle, in radians."""

    name = "aam"
    formula = "as arcface"
    source = "Deng et al., CVPR 2019 (arXiv:1801.07698), as used for speakers; s, m: RSC-Toolkit's code"

    def __init__(self, facts: TrainingFacts, margin: float = 0.3, scale: float = 15.0):
        super().__init__(facts, margin=margin, scale=scale)
