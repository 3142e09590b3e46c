"""PAFA: clips of a patient are drawn together and patients apart, while their centres stay near each other."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from bench.base.errors import BadInput
from bench.base.settings import NAME, TRUTH, number, rules
from bench.finetune.methods.shared.base import Method, MicroBatch, TrainableModel, TrainingFacts
from bench.finetune.methods.shared.cross_entropy import cross_entropy
from bench.finetune.methods.shared.projector import build_projector
from bench.finetune.methods.shared.vectors import at_least_float32

FLOOR = 1e-6  # added to the squared distances of patients


class PatientLosses(NamedTuple):
    """Both losses of patients, scalars.

    Attributes
    ----------
    cohesion
        Patient cohesion-separation: spread of clips about their patients, relative to the distances of patients.
    alignment
        Global patient alignment: spread of patients about their centre.
    """

    cohesion: Tensor
    alignment: Tensor


def patient_losses(x: Tensor, patient: Tensor) -> PatientLosses:
    """Compute Σ_i |x_i − c_p(i)|² / (Σ_{p<q} |c_p − c_q|² + 1e-6), and mean_p |c_p − c|².

    c_p is the mean of the clips of patient p, c the mean of the c_p. For P patients the squared distances of all pairs
    add up to P Σ_p |c_p − c|², so pairs are not formed.

    Parameters
    ----------
    x
        (B, D) projected features.
    patient
        (B,) int64 codes. Clips of patient −1 (unknown) are left out.

    Returns
    -------
    PatientLosses
        Both 0 for a batch of fewer than two patients.

    References
    ----------
    Jeong and Kim, Interspeech 2025 (arXiv:2505.23834), as in the released code.
    """
    known = patient >= 0
    x, member = at_least_float32(x[known]), torch.unique(patient[known], return_inverse=True)[1]
    patients = int(member.max()) + 1 if len(member) else 0
    if patients < 2:
        return PatientLosses(x.sum() * 0, x.sum() * 0)
    sums = x.new_zeros(patients, x.shape[1]).index_add(0, member, x)
    centres = sums / torch.bincount(member, minlength=patients)[:, None]
    within = (x - centres[member]).square().sum()
    spread = (centres - centres.mean(0)).square().sum()
    return PatientLosses(within / (patients * spread + FLOOR), spread / patients)


class AttentivePooling(nn.Module):
    """Average of tokens x weighted by softmax(a · x), the softmax over the tokens of a clip."""

    def __init__(self, width: int):
        super().__init__()
        self.match = nn.Linear(width, 1)

    def forward(self, tokens: Tensor, counted: Tensor) -> Tensor:
        """Average tokens (B, N, W), of which those ``counted`` (B, N) take part: (B, W)."""
        weight = self.match(tokens).masked_fill(~counted[..., None], -torch.inf).softmax(dim=1)
        return (weight * tokens).sum(dim=1)


class PatientAwareAlignment(Method):
    """Cross-entropy, patient cohesion-separation and global patient alignment.

    ``cohesion`` and ``alignment`` weigh the latter two, which read a projection: of the tokens' average under learned
    ``attention``, or of the features that the head reads. ``column``: whose clips belong together.
    """

    name = "pafa"
    formula = (
        "L = CE(f, y) + cohesion W / (S + 1e-6) + alignment G;  W = sum_i |x_i - c_p(i)|^2, S = sum_p<q |c_p - c_q|^2, "
        "G = mean_p |c_p - mean c|^2;  x = proj(attention(tokens)), c_p: mean x of the batch's clips of patient p"
    )
    source = "Jeong and Kim, Interspeech 2025 (arXiv:2505.23834) and its released code"
    ours = (
        "defaults are the released script's for BEATs; those for AST and CNN6 are cohesion = 5, alignment = 0.005, "
        "attention = false. Where the paper's text and the released code should differ, the code is followed: its text "
        "was not at hand"
    )
    limits = rules(cohesion=number(), alignment=number(), attention=TRUTH, column=NAME)

    def __init__(
        self,
        facts: TrainingFacts,
        cohesion: float = 50.0,
        alignment: float = 0.0005,
        attention: bool = True,
        column: str = "patient",
    ):
        super().__init__(facts, cohesion=cohesion, alignment=alignment, attention=attention, column=column)
        self.require_column(column)
        if attention and not facts.token:
            problem = "attention reads tokens, and this encoder gives whole clips alone"
            raise BadInput(self.name, problem, "take the option attention = false")
        self.cohesion, self.alignment, self.column = cohesion, alignment, column
        self.pooling = AttentivePooling(facts.token) if attention else None
        width = facts.token if attention else facts.width
        self.projector = build_projector(width, width, norm=nn.LayerNorm)

    def loss(self, model: TrainableModel, batch: MicroBatch) -> Tensor:
        """Compute the three losses of one pass."""
        if self.pooling is None:
            features = pooled = model.features(batch)
        else:
            features, tokens, counted = model.reading(batch)
            pooled = self.pooling(tokens, counted)
        of_patients = patient_losses(self.projector(pooled), batch.meta[self.column])
        return (
            cross_entropy(model.logits(features), batch.label)
            + self.cohesion * of_patients.cohesion
            + self.alignment * of_patients.alignment
        )
