"""The base class of the encoders: any ragged batch is answered row by row, as each clip alone would be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps

import torch
from torch import Tensor, nn

from bench.base.errors import BadInput
from bench.encoders import blocks
from bench.shown import Shown
from bench.types import EncoderCard, Grid, Tokens


def full_precision(frontend: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Makes a front-end method compute in float32, even where the network runs under autocast.

    Half precision would change spectrograms by far more than it changes the network's own arithmetic.
    """

    @wraps(frontend)
    def guarded(self: nn.Module, wave: Tensor, *rest: Tensor) -> Tensor:
        with torch.autocast(wave.device.type, enabled=False):
            return frontend(self, wave, *rest)

    return guarded


class Adapter(Shown, nn.Module):
    """An encoder whose subclass answers batches of equal padded length, in ``encode``; ``ragged`` ones any batch.

    ``batch_length(n)`` says which clips may share a batch; ``forward`` zeroes what lies behind each clip's end,
    splits a mixed batch by padded length and joins the answers, so callers need not sort. ``ragged`` says that
    ``encode`` keeps the rows of a mixed batch apart itself (``_adapters/row_ends.py``), so that it is not split. In
    training it is split all the same, because batch norm would measure the padding, and with ``taps``, whose arrays
    then hold clips alone.

    ``taps`` lets training change what passes through: {name: function of a tensor that gives one of the same shape},
    empty unless set, no part of the state. ``offers`` names those that the encoder calls, each once for every padded
    length in a batch: ``spectrogram``, the network's normalised input (B, frames, bands); ``patches``, the patch
    embeddings (B, P, D) in the encoder's own order, without class tokens and before positions are added. Of clips
    that are encoded in pieces they hold all pieces, one after another.

    ``centres`` (bands,) float64, the encoder's own or those of its ``frontend``, are the centre frequencies of the
    spectrogram's bands in cycles a sample: ascending, and again from the lowest where another spectrogram lies beside
    the first.
    """

    needs_stats = False
    threads_may_share = True  # subclasses that call foreign code, which may keep a call's values in its modules, say no
    ragged = False
    offers: frozenset[str] = frozenset()
    centres: Tensor | None = None

    def __init__(self, card: EncoderCard):
        super().__init__()
        self.card = card
        self.weights_digest = "none"
        self.taps: dict[str, Callable[[Tensor], Tensor]] = {}

    def shown(self) -> tuple[str, Mapping[str, object]]:
        """Its facts, for a notebook: those of the card, with the weights that were loaded."""
        title, facts = self.card.shown()
        return title, {"weights": self.weights_digest[:12]} | dict(facts)

    def batch_length(self, n: int) -> int:
        """Padded length in samples of a clip of n samples; clips of equal padded length share a batch."""
        return n

    def encode(self, wave: Tensor, length: Tensor) -> Tokens:
        """Tokens of wave (B, batch_length), zero after each clip's ``length``.

        The clips share ``batch_length``. Where ``ragged``, they may not: wave is as long as the longest one needs then,
        and each row gets the tokens that it gets alone.
        """
        raise NotImplementedError

    @property
    def band_hz(self) -> Tensor | None:
        """``centres`` (bands,) in Hz of the audio that the encoder is given; None where it has no spectrogram."""
        frontend = getattr(self, "frontend", None)
        centres = getattr(frontend, "centres", None) if self.centres is None else self.centres
        return None if centres is None else centres * self.card.sample_rate

    def tap(self, name: str, x: Tensor, pieces: int = 1) -> Tensor:
        """Returns x (B * pieces, N, D), changed by the tap ``name``, which is given it as (B, pieces * N, D)."""
        if name not in self.taps:
            return x
        return self.taps[name](x.unflatten(0, (-1, pieces)).flatten(1, 2)).unflatten(1, (pieces, -1)).flatten(0, 1)

    def blocks(self) -> list[nn.Module]:
        """The parameters in blocks from the input to the output, each parameter in one block.

        By default: what comes before the longest ``nn.ModuleList`` or ``nn.Sequential`` inside, its modules, what comes
        behind.
        """
        return blocks.split_at_longest_stack(self)

    def forward(self, wave: Tensor, length: Tensor) -> Tokens:
        """Encodes a batch of clips of any lengths; a row depends on ``wave[i, :length[i]]`` alone.

        Parameters
        ----------
        wave : Tensor of float32, (B, T)
            In [-1, 1] at ``card.sample_rate``.
        length : Tensor of int64, (B,)
            Samples of each clip.

        Returns
        -------
        Tokens
            In the order of the rows.

        Raises
        ------
        BadInput
            Where ``patches`` are tapped of clips that do not share a padded length, because the patches of one clip
            could not be distinguished from those of another then.
        """
        padded = [self.batch_length(n) for n in length.tolist()]
        if len(set(padded)) == 1:
            return self.encode(_resized(wave, length, padded[0]), length)
        if self.ragged and not self.taps and not any(part.training for part in self.modules()):
            return self.encode(_resized(wave, length, max(padded)), length)
        if "patches" in self.taps:
            problem = f"patches are tapped of clips of {len(set(padded))} padded lengths"
            raise BadInput(self.card.id, problem, "batch clips of one length, such as those of clip policy tile8")
        rows = {size: [i for i, p in enumerate(padded) if p == size] for size in sorted(set(padded))}
        parts = [self.encode(_resized(wave[index], length[index], size), length[index]) for size, index in rows.items()]
        order = torch.tensor([i for index in rows.values() for i in index], device=wave.device).argsort()
        clips = [part.clip for part in parts if part.clip is not None]
        layers = tuple(_joined(grids, order) for grids in zip(*(part.layers for part in parts), strict=True))
        return Tokens(layers, torch.cat(clips)[order] if clips else None)


def _resized(wave: Tensor, length: Tensor, size: int) -> Tensor:
    """The wave (B, T) cut or zero-padded to (B, size), zero after each row's length."""
    wave = wave[:, :size] if wave.shape[1] >= size else nn.functional.pad(wave, (0, size - wave.shape[1]))
    if bool((length >= size).all()):
        return wave
    return wave * (torch.arange(size, device=wave.device) < length[:, None])


def _joined(grids: tuple[Grid, ...], order: Tensor) -> Grid:
    """The rows of several batches of one layer, padded with zero tokens to the longest and put in ``order``."""
    longest = max(g.hidden.shape[1] for g in grids)
    hidden = [nn.functional.pad(g.hidden, (0, 0, 0, 0, 0, longest - g.hidden.shape[1])) for g in grids]
    columns = {"hidden": torch.cat(hidden)[order], "length": torch.cat([g.length for g in grids])[order]}
    for name in ("valid", "cls"):
        parts = [getattr(g, name, None) for g in grids]
        if all(p is not None for p in parts):
            columns[name] = torch.cat(parts)[order]
    return grids[0]._replace(**columns)
