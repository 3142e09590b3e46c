"""PC-MCL: two breathing cycles in one clip, labels that may hold together, and whether both are of one patient."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.base.errors import BadInput
from bench.base.settings import NAME, number, rules
from bench.finetune.methods.shared.base import Method, MicroBatch, TrainableModel, TrainingFacts
from bench.finetune.methods.shared.cross_entropy import cross_entropy

FINDINGS = {"normal": (1, 0, 0), "crackle": (0, 1, 0), "wheeze": (0, 0, 1), "both": (0, 1, 1)}  # class: its labels
SAME = 0.5  # chance that a pair for the patients is of one patient


class Pairs(NamedTuple):
    """Clips of a batch in pairs: (P,) int64 positions ``first`` and ``second``."""

    first: Tensor
    second: Tensor

    def joined(self, x: Tensor) -> Tensor:
        """Join the starts of waves (B, T): half of the first, then half of the second; (P, T)."""
        half = x.shape[1] // 2
        return torch.cat([x[self.first, :half], x[self.second, : x.shape[1] - half]], dim=1)

    def either(self, x: Tensor) -> Tensor:
        """Labels (B, L) of 0 and 1 that hold for the first or the second, (P, L)."""
        return torch.maximum(x[self.first], x[self.second])


def draw_among(candidates: Tensor, generator: torch.Generator) -> Tensor:
    """Draw one candidate for each row of (B, B) bool, all alike likely: (B,) int64, −1 for a row without any."""
    drawn = torch.rand(candidates.shape, generator=generator).to(candidates.device)
    value, place = drawn.masked_fill(~candidates, -1.0).max(dim=1)
    return torch.where(value >= 0, place, -1)


def _pairs(chosen: Tensor, second: Tensor) -> Pairs:
    """Each clip ``chosen`` (B,) that has a ``second`` (B,), with it."""
    first = (chosen & (second >= 0)).nonzero()[:, 0]
    return Pairs(first, second[first])


def mixed_pairs(batch: MicroBatch, chance: float) -> Pairs:
    """Pair clips with any other clip of the batch, each of them with a chance."""
    clips = len(batch.label)
    other = ~torch.eye(clips, dtype=torch.bool, device=batch.label.device)
    chosen = torch.rand(clips, generator=batch.generator).to(other.device) < chance
    return _pairs(chosen, draw_among(other, batch.generator))


def patient_pairs(batch: MicroBatch, patient: Tensor, chance: float) -> tuple[Pairs, Tensor]:
    """Pair clips with another of their patient, or with one of another patient.

    Parameters
    ----------
    batch
        Its generator is the only source of chance.
    patient
        (B,) int64 codes; clips of patient −1 (unknown) are in no pair.
    chance
        Of each clip to be in a pair. Half of the pairs are drawn within the patient; a clip whose patient has no other
        in the batch is paired with another patient's.

    Returns
    -------
    pairs, same
        And (P,) int64, 1 for pairs of one patient.
    """
    clips, known = len(patient), patient >= 0
    both_known = known[:, None] & known[None]
    alike = patient[:, None] == patient[None]
    own = draw_among(both_known & alike & ~torch.eye(clips, dtype=torch.bool, device=patient.device), batch.generator)
    other = draw_among(both_known & ~alike, batch.generator)
    chosen, within = (torch.rand(2, clips, generator=batch.generator) < torch.tensor([[chance], [SAME]])).to(own.device)
    same = within & (own >= 0)
    pairs = _pairs(chosen, torch.where(same, own, other))
    return pairs, same[pairs.first].long()


def class_scores(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute log σ(±crackle) + log σ(±wheeze) of each class, the signs by its labels.

    The best class is that of the labels whose probability exceeds 0.5: normal where neither does.

    Parameters
    ----------
    logits
        (B, 3) of normal, crackle and wheeze.
    labels
        (K, 3) of 0 and 1.

    Returns
    -------
    Tensor
        (B, K) log-probabilities of the pair of labels, as if they were independent.
    """
    sign = 2 * labels[:, 1:].to(logits) - 1
    return F.logsigmoid(logits[:, None, 1:] * sign).sum(dim=2)


class PatientConsistentMultiCycle(Method):
    """Binary cross-entropy of normal, crackle and wheeze, in single and joined cycles, and patient matching.

    ``mixed`` and ``matched`` are the chances of a clip to be the first half of a pair of any two clips, and of a pair
    made for the patients; ``weight`` is that of patient matching, ``column`` says whose clips match.
    """

    name = "pc-mcl-style"
    formula = (
        "L = BCE(labels(f(x)), y) + weight CE(match(f(x_pairs)), same patient);  x: every clip, pairs of any two, "
        "pairs for the patients, half and half; y: [normal, crackle, wheeze], of a pair what holds for either;  "
        "classes by crackle and wheeze at 0.5"
    )
    source = "after PC-MCL, Jeong and Kim, ICASSP 2026 (arXiv:2601.17080)"
    ours = (
        "accounts of paper and released code were at hand, neither of them itself. Pairs are drawn within the batch; "
        "in the code among all training clips, by combinations of classes, and a pair of two patients among those of "
        "like findings. Labels of every pair enter the first term, and the weights add up as the paper has it "
        "(the code: 1 - w and w)"
    )
    limits = rules(weight=number(), mixed=number(0, 1), matched=number(0, 1), column=NAME)

    def __init__(
        self,
        facts: TrainingFacts,
        weight: float = 0.1,
        mixed: float = 0.5,
        matched: float = 0.3,
        column: str = "patient",
    ):
        super().__init__(facts, weight=weight, mixed=mixed, matched=matched, column=column)
        self.require_column(column)
        if set(facts.names) != set(FINDINGS):
            problem = f"the task's classes are {', '.join(facts.names)}, not {', '.join(FINDINGS)}"
            raise BadInput(self.name, problem, "take icbhi.cycles4")
        self.weight, self.mixed, self.matched, self.column = weight, mixed, matched, column
        self.labels, self.match = nn.Linear(facts.width, 3), nn.Linear(facts.width, 2)
        self.register_buffer("findings", torch.tensor([FINDINGS[name] for name in facts.names]))

    def loss(self, model: TrainableModel, batch: MicroBatch) -> Tensor:
        """Compute both losses in one pass of single clips and pairs."""
        label = self.findings[batch.label]
        mixed = mixed_pairs(batch, self.mixed)
        matched, same = patient_pairs(batch, batch.meta[self.column], self.matched)
        wave = torch.cat([batch.wave, mixed.joined(batch.wave), matched.joined(batch.wave)])
        length = torch.full((len(wave),), wave.shape[1], device=wave.device)
        features = model.features(batch._replace(wave=wave, length=length))
        logits = self.labels(features)
        target = torch.cat([label, mixed.either(label), matched.either(label)]).to(logits)
        loss = F.binary_cross_entropy_with_logits(logits, target)
        if len(same):
            loss = loss + self.weight * cross_entropy(self.match(features[-len(same) :]), same)
        return loss

    def scores(self, model: TrainableModel, features: Tensor, row: Tensor) -> Tensor:
        """Return log-probabilities (B, K) of the classes' labels."""
        return class_scores(self.labels(features), self.findings)
