"""Patch-Mix along an axis: a run of frames or bands is another clip's; clean clips are contrasted with mixed ones."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.base.errors import BadInput
from bench.base.settings import number, one_of, rules
from bench.finetune.methods.patchmix_cl import patch_mix_contrast
from bench.finetune.methods.shared.base import SPECTROGRAM, Method, MicroBatch, TrainableModel, TrainingFacts
from bench.finetune.methods.shared.cross_entropy import cross_entropy
from bench.finetune.methods.shared.mixing import draw_partners, draw_shares
from bench.finetune.methods.shared.projector import BatchNorm, build_projector

TIME, FREQUENCY, BOTH = "time", "frequency", "both"
DIMENSIONS = {TIME: 1, FREQUENCY: 2}  # of spectrograms (B, frames, bands)


class AxisMixing:
    """Mixes a batch's spectrograms along an axis when called; afterwards ``share`` is what a clip kept of itself.

    Of n frames (or bands) a run of ⌊n (1 − λ)⌋, at a random place that is the same for the whole batch, comes from the
    clip at ``partner`` (B,); λ is drawn from Beta(beta, beta). Called again, as gradient checkpointing does, it mixes
    as before.
    """

    def __init__(self, batch: MicroBatch, beta: float, axis: str):
        self.lam = float(draw_shares(batch, beta))
        self.partner = draw_partners(batch)
        self.dimension = DIMENSIONS[axis]
        self._place = float(torch.rand((), generator=batch.generator))
        self._share: float | None = None

    def __call__(self, spectrogram: Tensor) -> Tensor:
        """Mix spectrograms (B, frames, bands). Raises ``BadInput`` for those of a part of the batch."""
        if len(spectrogram) != len(self.partner):
            problem = f"{len(spectrogram)} spectrograms of {len(self.partner)} clips"
            raise BadInput("mixing of spectrograms", problem, "crop clips to the length that the encoder takes at once")
        size = spectrogram.shape[self.dimension]
        run = int(size * (1 - self.lam))
        first = int(self._place * (size - run + 1))
        self._share = 1 - run / size
        position = torch.arange(size, device=spectrogram.device)
        taken = (position >= first) & (position < first + run)
        shape = [-1 if dimension == self.dimension else 1 for dimension in range(3)]
        return torch.where(taken.view(shape), spectrogram[self.partner], spectrogram)

    @property
    def share(self) -> float:
        """1 − run / size. Raises ``BadInput`` where the encoder called for no mixing."""
        if self._share is None:
            problem = "the encoder has no spectrogram to mix"
            raise BadInput("mixing of spectrograms", problem, "name an encoder that offers its spectrogram")
        return self._share


class DualAxisPatchMix(Method):
    """Cross-entropy of clean clips, and contrast of clean with mixed ones along time, frequency or both.

    ``alpha``: weight of each contrast; ``axes``: which there are. No gradient passes through mixed clips.
    """

    name = "dual-axis-patchmix-style"
    formula = (
        "L = CE(f(clean), y) + alpha sum_axes C;  C = -mean_i [s log p(i|i) + (1 - s) log p(partner_i|i)], "
        "p(j|i) = softmax_j cos(stop(proj(f(mixed)))_i, proj(f(clean))_j) / t;  mixed: floor(n (1 - l)) frames or "
        "bands in a row are the partner's, s the share that stays, l ~ Beta(b, b)"
    )
    source = "after Lung-SRAD, Shridhar et al., Interspeech 2026 (arXiv:2606.11922)"
    ours = (
        "summaries of the paper, and the training script of its released code, were at hand. Which side passes no "
        "gradient is from the summaries: the script by default stops clean clips, which it does not project, as "
        "patchmix-cl, and its optimiser has no weights of the projector. Ours: runs are mixed in the spectrogram, "
        "behind its masks, at a place drawn for the whole batch; the projector is that of patchmix-cl; mixed clips "
        "ask and clean ones answer, as there. Its network (DASS) and the smoothing of that network's layers are not "
        "part of the method"
    )
    limits = rules(
        alpha=number(),
        temperature=number(0, above=True),
        beta=number(0, above=True),
        axes=one_of(BOTH, TIME, FREQUENCY),
    )
    needs = frozenset({SPECTROGRAM})

    def __init__(
        self,
        facts: TrainingFacts,
        alpha: float = 1.0,
        temperature: float = 0.2,
        beta: float = 1.0,
        axes: str = BOTH,
    ):
        super().__init__(facts, alpha=alpha, temperature=temperature, beta=beta, axes=axes)
        self.alpha, self.temperature, self.beta = alpha, temperature, beta
        self.axes = tuple(DIMENSIONS) if axes == BOTH else (axes,)
        self.projector = build_projector(facts.width, facts.width, norm=BatchNorm)

    def loss(self, model: TrainableModel, batch: MicroBatch) -> Tensor:
        """Compute the losses; every pass has the same augmentation."""
        clean = model.features(batch)
        loss, projected = cross_entropy(model.logits(clean), batch.label), self.projector(clean)
        for axis in self.axes:
            mixing = AxisMixing(batch, self.beta, axis)
            with torch.no_grad():
                mixed = self.projector(model.features(batch, mix=mixing, mixed=SPECTROGRAM))
            contrast = patch_mix_contrast(mixed, projected, mixing.partner, mixing.share, self.temperature)
            loss = loss + self.alpha * contrast
        return loss
