"""Untrained twins: ``random.<id>`` is any encoder that has weights, without them.

Paper: none; the control asks how much of a score the architecture and its front end give away before any training
(Saxe et al., On random weights and unsupervised feature learning, ICML 2011). Checkpoint: none. Licence: the
original encoder's code licence. Trained on: nothing.

The twin has the released geometry and each library's own initialisation under ``torch.manual_seed(0)``. BatchNorm
starts at mean 0 and variance 1, under which a deep untrained network fades to nothing; so ``fit_stats`` measures the
statistics on the training clips (each BatchNorm by batch, averaged by number of clips). ``needs_stats`` tells whether
there are any. ``weights_digest`` is the digest of the initial parameters.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from bench.base import registry
from bench.base.errors import UnknownId
from bench.types import EncoderCard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from torch import nn

SEED = 0
CARDS: tuple[EncoderCard, ...] = ()  # one for every encoder with weights: see card(id)
MAY_RUN_CODE = True  # the original's
OPEN = "random.<id>: untrained twin of any encoder that has weights"


def ids() -> list[str]:
    """The twins of every listed encoder with weights."""
    return [registry.twin_id(known.id) for known in registry.cards(registry.ENCODERS) if known.weights]


def card(id: str, trusted: Sequence[str] = ()) -> EncoderCard:
    """The twin's card: the original's without weights. Raises ``KeyError`` for anything that has no twin."""
    original = registry.original_id(id)
    if original == id or registry.is_twin(original):
        raise KeyError(id)
    try:
        known = registry.encoder_card(original, trusted)
    except UnknownId as error:
        raise KeyError(id) from error
    module = registry.family(registry.ENCODERS, original)
    if not known.weights or not getattr(module, "has_untrained", lambda card: True)(known):
        raise KeyError(id)
    return dataclasses.replace(
        known,
        id=id,
        weights=(),
        trained_on=(),
        parity="self-consistent",
        notes=f"control: {original} without training" + (f"; {known.notes}" if known.notes else ""),
    )


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The twin of the encoder that the card's id names, seeded by itself; the global random state is left alone."""
    import torch
    from torch import Tensor, nn

    from bench.encoders.blocks import encoder_blocks
    from bench.encoders.weights.find import parameter_digest
    from bench.types import Tokens

    class Twin(nn.Module):
        """Delegates to the untrained encoder."""

        def __init__(self, encoder: nn.Module):
            super().__init__()
            self.encoder = encoder
            # what the input policy changed, the twin has too
            own = ("sample_rate", "min_s", "max_s", "dims", "grid", "layers", "pool_layer")
            self.card = dataclasses.replace(card, **{name: getattr(encoder.card, name) for name in own})
            self.weights_digest = parameter_digest(encoder)

        @property
        def needs_stats(self) -> bool:
            """Whether there are statistics to measure: the original's own, or those of BatchNorm."""
            return self._has_input_statistics() or bool(self._norms())

        def _has_input_statistics(self) -> bool:
            return getattr(self.encoder, "needs_stats", False)

        def _norms(self) -> list[nn.Module]:
            return [m for m in self.encoder.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]

        @property
        def threads_may_share(self) -> bool:
            """The original's."""
            return bool(getattr(self.encoder, "threads_may_share", False))

        @property
        def offers(self) -> frozenset[str]:
            """The original's taps."""
            return getattr(self.encoder, "offers", frozenset())

        @property
        def band_hz(self) -> torch.Tensor | None:
            """The original's."""
            return getattr(self.encoder, "band_hz", None)

        @property
        def ragged(self) -> bool:
            """The original's."""
            return getattr(self.encoder, "ragged", False)

        @property
        def taps(self) -> dict[str, Callable[[Tensor], Tensor]]:
            """The original's."""
            return getattr(self.encoder, "taps", {})

        @taps.setter
        def taps(self, taps: dict[str, Callable[[Tensor], Tensor]]) -> None:
            self.encoder.taps = taps

        def blocks(self) -> list[nn.Module]:
            """The original's."""
            return encoder_blocks(self.encoder)

        def batch_length(self, n: int) -> int:
            """The original's."""
            return self.encoder.batch_length(n) if hasattr(self.encoder, "batch_length") else n

        def forward(self, wave: Tensor, length: Tensor) -> Tokens:
            return self.encoder(wave, length)

        @torch.no_grad()
        def fit_stats(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
            """Measures what the original measures, then the BatchNorm statistics, on ``batches`` of (wave, length).

            An encoder that has neither reads nothing. A batch weighs by its number of clips, so that a lone long clip
            counts as one. Measuring again starts afresh.
            """
            if self._has_input_statistics():
                self.encoder.fit_stats(batches)
            norms = self._norms()
            if not norms:
                return
            momenta, seen = [norm.momentum for norm in norms], dict.fromkeys(norms, 0)

            def weigh(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
                clips = len(inputs[0])
                seen[norm] += clips
                norm.momentum = clips / seen[norm]

            hooks = [norm.register_forward_pre_hook(weigh) for norm in norms]
            try:
                for norm in norms:
                    norm.reset_running_stats()
                    norm.train()
                for wave, length in batches:
                    self.encoder(wave, length)
            finally:
                for hook in hooks:
                    hook.remove()
                for norm, momentum in zip(norms, momenta, strict=True):
                    norm.momentum = momentum
                    norm.eval()

    original = registry.encoder_card(registry.original_id(card.id), tuple(filter(None, [card.code])))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        encoder = registry.family(registry.ENCODERS, original.id).build(original, None)
    return Twin(encoder).eval()
