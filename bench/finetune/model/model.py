"""Encoder, readout and classifier as the one model that methods train, with augmentation and taps in their places."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from bench.base.errors import BadInput
from bench.encoders.batches import BATCH_S, collate, plan_batches
from bench.encoders.load import autocast
from bench.finetune.data.augment import augmented_waves, masked
from bench.finetune.data.randomness import torch_generator
from bench.finetune.data.waves import Waves
from bench.finetune.methods import METHODS
from bench.finetune.methods.shared.base import Method, MicroBatch
from bench.finetune.model.heads import classifier, readout
from bench.finetune.model.parts import require_measured
from bench.finetune.recipe import Recipe
from bench.types import Encoder


class FineTuned(nn.Module):
    """``features`` and ``logits`` as a method calls them (``bench.finetune.methods``).

    The encoder runs in the recipe's precision, head and loss in float32. ``place`` (epoch, micro-batch) is set by the
    loop: with the seed and the view it decides every augmentation, so a view asked for twice is the same view.
    """

    def __init__(self, encoder: Encoder, classes: int, recipe: Recipe, seed: int):
        super().__init__()
        self.encoder = encoder
        self.readout = readout(recipe.head, encoder.card)
        self.classifier = classifier(recipe.head, self.readout.width, classes)
        self.recipe, self.seed, self.place = recipe, seed, (0, 0)

    @property
    def heads(self) -> list[nn.Module]:
        """What is trained at the head's rate, besides the method."""
        return [self.readout, self.classifier]

    def features(self, batch: MicroBatch, *, view: int = 0, mix: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """(B, D) of the augmented batch."""
        recipe, source = self.recipe, torch_generator(self.seed, "view", *self.place, view)
        wave = augmented_waves(batch.wave, recipe.waveform, self.encoder.card.sample_rate, source)
        taps: dict[str, Callable[[Tensor], Tensor]] = {}
        if recipe.spectrogram.used:
            taps["spectrogram"] = lambda x: masked(x, recipe.spectrogram, source)
        if mix is not None:
            taps["patches"] = mix
        with _tapped(self.encoder, taps):
            return self._read(wave, batch.length)

    def logits(self, features: Tensor) -> Tensor:
        """(B, K)."""
        return self.classifier(features)

    def _read(self, wave: Tensor, length: Tensor) -> Tensor:
        with autocast(wave.device, self.recipe.precision):
            tokens = self.encoder(wave, length)
        return self.readout(tokens)

    @torch.no_grad()
    def scores(self, method: Method, waves: Waves, rows: np.ndarray, batch_s: float = BATCH_S) -> np.ndarray:
        """(N, K) float64 logits of clips in prediction mode, each as it would be alone: its own length, no
        augmentation."""
        self.eval()
        method.eval()
        out: np.ndarray | None = None
        limit = int(batch_s * self.encoder.card.sample_rate)
        for batch in plan_batches([int(size) for size in waves.sizes[rows]], self.encoder, limit):
            wave, length = collate(self.encoder, [waves[row] for row in rows[batch]])
            found = method.scores(self, self._read(wave, length)).double().cpu().numpy()
            if out is None:
                out = np.empty((len(rows), found.shape[1]))
            out[batch] = found
        return np.empty((0, 0)) if out is None else out


def require_served(encoder: Encoder, recipe: Recipe) -> None:
    """Raises ``BadInput`` where the encoder has no tap for what the recipe augments or its method mixes, or has no
    pretraining and the recipe keeps its BatchNorm unmeasured."""
    if encoder.card.from_scratch:
        require_measured(encoder, recipe.encoder, encoder.card.id)
    if recipe.spectrogram.used:
        require_tap(encoder, "spectrogram", "the recipe masks the spectrogram")
    if "patches" in METHODS[recipe.method.name].needs:
        require_tap(encoder, "patches", f"the method {recipe.method.name} mixes patches")


def require_tap(encoder: Encoder, name: str, why: str) -> None:
    """Raises ``BadInput`` where the encoder cannot be tapped at ``name``."""
    if name not in getattr(encoder, "offers", frozenset()):
        offered = ", ".join(sorted(getattr(encoder, "offers", ()))) or "none"
        problem = f"{why}, and this encoder has no tap {name!r} (it has {offered})"
        raise BadInput(encoder.card.id, problem, "take another encoder or recipe")


@contextmanager
def _tapped(encoder: Encoder, taps: Mapping[str, Callable[[Tensor], Tensor]]) -> Iterator[None]:
    if not taps:
        yield
        return
    encoder.taps.update(taps)
    try:
        yield
    finally:
        for name in taps:
            del encoder.taps[name]
