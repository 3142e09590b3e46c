"""Encoder, readout and classifier as the one model that methods train, with augmentation and taps in their places."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from bench.base.errors import BadInput
from bench.base.parallel.ahead import batches_ahead, made_ahead
from bench.encoders.batches import BATCH_S, collate, device_of, plan_batches
from bench.encoders.load import autocast
from bench.finetune.data.augment import WaveDraws, augment_waves, draw_waves, mask_spectrogram, mix_styles
from bench.finetune.data.clip_store import ClipStore
from bench.finetune.data.randomness import torch_generator
from bench.finetune.data.vtlp import perturb_tracts, require_bands
from bench.finetune.methods import METHODS
from bench.finetune.methods.shared.base import PATCHES, SPECTROGRAM, Method, MicroBatch, Reading
from bench.finetune.model.heads import build_classifier, build_readout, token_sequence
from bench.finetune.model.parts import require_measured
from bench.finetune.recipe import Recipe
from bench.types import Encoder, Tokens


class DrawnView(NamedTuple):
    """What is drawn for a view of a batch.

    Attributes
    ----------
    shape
        (B, T) of the waves.
    waves
        For the waves.
    state
        Of the generator after that, from which the spectrogram's masks are drawn.
    """

    shape: torch.Size
    waves: WaveDraws
    state: Tensor

    def generator(self) -> torch.Generator:
        """A generator in that state."""
        generator = torch.Generator()
        generator.set_state(self.state)
        return generator


class FineTunedModel(nn.Module):
    """The ``TrainableModel`` that methods call (``bench.finetune.methods.shared.base``).

    The encoder runs in the recipe's precision, head and loss in float32.

    Parameters
    ----------
    encoder
        Trained in place.
    classes
        Number of classes K.
    recipe
        Head, augmentation and precision.
    seed
        Of the run. With ``position`` and the view it decides every augmentation, so a view that is asked for twice is
        the same view.

    Attributes
    ----------
    position
        (epoch, micro-batch), set by the training loop.
    drawn
        {(epoch, micro-batch, view): what was drawn for it ahead}; what is not there is drawn when it is asked for.
    views
        Numbers of the views that were asked for so far.
    """

    def __init__(self, encoder: Encoder, classes: int, recipe: Recipe, seed: int):
        super().__init__()
        self.encoder = encoder
        self.readout = build_readout(recipe.head, encoder.card)
        self.classifier = build_classifier(recipe.head, self.readout.width, classes)
        self.recipe, self.seed, self.position = recipe, seed, (0, 0)
        self.drawn: Mapping[tuple[int, int, int], DrawnView] = {}
        self.views: frozenset[int] = frozenset()

    @property
    def heads(self) -> list[nn.Module]:
        """Modules trained at the head's learning rate, besides the method."""
        return [self.readout, self.classifier]

    def features(
        self,
        batch: MicroBatch,
        *,
        view: int = 0,
        mix: Callable[[Tensor], Tensor] | None = None,
        mixed: str = PATCHES,
    ) -> Tensor:
        """Return features (B, D) of the augmented batch; see ``TrainableModel.features``."""
        return self.readout(self._augmented(batch, view, {} if mix is None else {mixed: mix}))

    def reading(self, batch: MicroBatch, *, view: int = 0) -> Reading:
        """Return features and tokens of the augmented batch; see ``TrainableModel.reading``."""
        tokens = self._augmented(batch, view)
        return Reading(self.readout(tokens), *token_sequence(tokens.layers[self.readout.layer]))

    def _augmented(
        self, batch: MicroBatch, view: int, mixes: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType({})
    ) -> Tokens:
        recipe, self.views = self.recipe, self.views | {view}
        wave = augment_waves(batch.wave, self._drawn(view, batch.wave.shape).waves)
        taps = dict(mixes)
        if recipe.spectrogram.used:
            after = taps.get(SPECTROGRAM, lambda x: x)
            taps[SPECTROGRAM] = lambda x: after(self._masked(x, view, batch.wave.shape))
        with _tapped(self.encoder, taps):
            return self._encode(wave, batch.length)

    def _masked(self, spectrogram: Tensor, view: int, shape: torch.Size) -> Tensor:
        """Stretch, mix and mask a spectrogram (B, frames, bands) for a view of waves of a shape.

        It is stretched and mixed once, as drawn for this view; where masks are carried, it has those of earlier views
        as well.
        """
        settings, nyquist_hz = self.recipe.spectrogram, self.encoder.card.sample_rate / 2
        band_hz, plain = getattr(self.encoder, "band_hz", None), spectrogram
        generators = [
            self._drawn(each, shape).generator() for each in (range(view + 1) if settings.carried else (view,))
        ]
        for generator in generators:  # also of earlier views: masks are drawn after a stretch and a mix
            spectrogram = perturb_tracts(plain, band_hz, settings, nyquist_hz, generator)
            spectrogram = mix_styles(spectrogram, settings, generator)
        for generator in generators:
            spectrogram = mask_spectrogram(spectrogram, settings, generator)
        return spectrogram

    def _drawn(self, view: int, shape: torch.Size) -> DrawnView:
        """What was drawn for a view ahead, else what is drawn now: the same."""
        drawn = self.drawn.get((*self.position, view))
        return drawn if drawn is not None and drawn.shape == shape else self.draw(self.position, view, shape)

    def draw(self, position: tuple[int, int], view: int, shape: torch.Size) -> DrawnView:
        """Draw what a view of a batch of waves (B, T) needs; any thread may, before the view is asked for."""
        generator = torch_generator(self.seed, "view", *position, view)
        waves = draw_waves(*shape, self.recipe.waveform, self.encoder.card.sample_rate, generator)
        return DrawnView(shape, waves, generator.get_state())

    def logits(self, features: Tensor) -> Tensor:
        """Classify features (B, D): logits (B, K)."""
        return self.classifier(features)

    def _encode(self, wave: Tensor, length: Tensor) -> Tokens:
        with autocast(wave.device, self.recipe.precision):
            return self.encoder(wave, length)

    @torch.no_grad()
    def predict(self, method: Method, clips: ClipStore, rows: np.ndarray, batch_s: float = BATCH_S) -> np.ndarray:
        """Predict clips in prediction mode, each as it would be alone: its own length, no augmentation.

        Parameters
        ----------
        method
            Turns features into logits.
        clips
            Waveforms.
        rows
            (N,) positions of the clips to predict.
        batch_s
            Seconds of padded audio in a forward pass.

        Returns
        -------
        ndarray
            (N, K) float64 logits.
        """
        self.eval()
        method.eval()
        out: np.ndarray | None = None
        limit = int(batch_s * self.encoder.card.sample_rate)
        plan = plan_batches([int(size) for size in clips.sizes[rows]], self.encoder, limit)
        collated = made_ahead(
            lambda batch: collate(self.encoder, [clips[row] for row in rows[batch]]),
            plan,
            threads=1,
            most=batches_ahead(device_of(self.encoder)),
        )
        for batch, (wave, length) in collated:
            features = self.readout(self._encode(wave, length))
            row = torch.from_numpy(rows[batch]).to(features.device)
            logits = method.scores(self, features, row).double().cpu().numpy()
            if out is None:
                out = np.empty((len(rows), logits.shape[1]))
            out[batch] = logits
        return np.empty((0, 0)) if out is None else out


def require_compatible(encoder: Encoder, recipe: Recipe) -> None:
    """Check that a recipe can train an encoder.

    Raises
    ------
    BadInput
        Where the encoder has no tap for what the recipe masks or its method mixes, no known frequencies of bands that
        the recipe stretches, or no pretraining and the recipe keeps its BatchNorm unmeasured.
    """
    if encoder.card.from_scratch:
        require_measured(encoder, recipe.encoder, encoder.card.id)
    if recipe.spectrogram.used:
        remedy = "take a recipe without the table [spectrogram], such as ce-any, or another encoder"
        require_tap(encoder, SPECTROGRAM, "the recipe masks, mixes or stretches the spectrogram", remedy)
        require_bands(encoder, recipe.spectrogram)
    for name, what in ((PATCHES, "patches"), (SPECTROGRAM, "spectrograms")):
        if name in METHODS[recipe.method.name].needs:
            require_tap(encoder, name, f"the method {recipe.method.name} mixes {what}")


def require_tap(encoder: Encoder, name: str, why: str, remedy: str = "take another encoder or recipe") -> None:
    """Raise ``BadInput`` where the encoder has no tap ``name``; ``why`` says what needs it."""
    if name not in getattr(encoder, "offers", frozenset()):
        offered = ", ".join(sorted(getattr(encoder, "offers", ()))) or "none"
        problem = f"{why}, and this encoder has no tap {name!r} (it has {offered})"
        raise BadInput(encoder.card.id, problem, remedy)


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
