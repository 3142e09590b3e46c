"""Angular margin that grows with the logarithm of a class's rarity."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from bench.base.settings import number, rules
from bench.finetune.methods.shared.base import MicroBatch, TrainingFacts
from bench.finetune.methods.shared.margin import ANGLE, SCALE, MarginMethod, arc_face


def class_margins(counts: Sequence[int], target: float) -> Tensor:
    """Compute class margins target · log(N / n_k) / max_j log(N / n_j), the maximum over classes with clips.

    Parameters
    ----------
    counts
        (K,) training clips n of each class, N in all.
    target
        The rarest class's margin in radians. A class without clips has it too; a class that has all clips has 0.

    Returns
    -------
    Tensor
        (K,) float32 radians.
    """
    total = sum(counts)
    rarity = [math.log(total / count) if count else math.inf for count in counts]
    rarest = max(value for value in rarity if value < math.inf)
    return torch.tensor([target if r == math.inf else target * r / rarest if rarest else 0.0 for r in rarity])


class LogMargin(MarginMethod):
    """ArcFace whose margin grows with the rarity of the class.

    ``target`` is the rarest class's margin; ``gamma``, the share of a margin of ``target`` for every class: at
    ``quality-margin``'s share the two methods differ in the quality only.
    """

    name = "log-margin"
    formula = "ArcFace with m = gamma m_t + (1 - gamma) m_c(y);  m_c(k) = m_t log(N/n_k) / max_j log(N/n_j)"
    source = "the class part of quality-margin"
    ours = "the whole definition"
    limits = rules(target=ANGLE, gamma=number(0, 1), scale=SCALE)

    def __init__(self, facts: TrainingFacts, target: float = 0.2, gamma: float = 0.0, scale: float = 37.0):
        super().__init__(facts, target=target, gamma=gamma, scale=scale)
        self.register_buffer("margins", gamma * target + (1 - gamma) * class_margins(facts.counts, target))

    def margined(self, cosine: Tensor, batch: MicroBatch) -> Tensor:
        """Apply ``arc_face`` with the margin of each clip's class."""
        return arc_face(cosine, batch.label, self.margins[batch.label], self.scale)
