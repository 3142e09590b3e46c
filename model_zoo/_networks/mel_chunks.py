"""M2D's and MATPAC's encoder: the first half of a masked autoencoder on chunks of a normalised log-mel spectrogram.

Frames are padded at the end with zeros, behind the normalisation, to whole patches and cut into chunks of the input
width; tokens of all chunks are joined over time; a last, shorter chunk takes the first columns of the position grid.
Padded columns stay in every mean. ``published`` is the mean over time of the last layer's tokens after the norm, the
frequency bands kept apart; ``cls`` the mean of the chunks' class tokens.
"""

from __future__ import annotations

import dataclasses

from torch import Tensor, nn

from bench.types import EncoderCard, Grid, Tokens
from model_zoo._adapters import row_ends
from model_zoo._adapters.adapter import Adapter
from model_zoo._adapters.cards import dims
from model_zoo._adapters.frontend import MelFrames
from model_zoo._networks import vit


class ChunkedPatchEncoder(Adapter):
    """The encoder; its subclass gives the normalised spectrogram in ``fbank``.

    ``patch`` is (bands, frames) of a patch, ``grid`` (F', T') of a chunk, ``hop_s`` the seconds of a frame. The card is
    completed by what follows from them.
    """

    ragged = True
    offers = frozenset({"spectrogram", "patches"})

    def __init__(
        self,
        card: EncoderCard,
        frontend: MelFrames,
        blocks: vit.Geometry,
        patch: tuple[int, int],
        grid: tuple[int, int],
        hop_s: float,
    ):
        facts = {
            "dims": dims(blocks.width, grid[0], published=grid[0] * blocks.width, cls=True),
            "grid": (patch[1] * hop_s, grid[0]),
            "layers": blocks.depth,
        }
        super().__init__(dataclasses.replace(card, **facts))
        self.patch, self.chunk = patch, grid[1] * patch[1]  # chunk in frames
        self.net = vit.PatchEncoder(blocks, patch, grid)
        self.frontend = frontend

    def batch_length(self, n: int) -> int:
        """The most samples that give as many frames as n."""
        return self.frontend.samples(n)

    def fbank(self, wave: Tensor, length: Tensor) -> Tensor:
        """Normalised log-mel (B, frames, bands) of wave (B, batch_length)."""
        raise NotImplementedError

    def encode(self, wave: Tensor, length: Tensor) -> Tokens:
        frames = self.tap("spectrogram", self.fbank(wave, length))
        rows = self.frontend.rows(length, 1)
        frames = row_ends.zero_behind(frames, rows)
        frames = nn.functional.pad(frames, (0, 0, 0, -frames.shape[1] % self.patch[1]))
        (patches,) = vit.chunked(frames, self.chunk, self._patches)
        patches = self.tap("patches", patches.flatten(1, 2)).unflatten(1, patches.shape[1:3])
        columns = self.net.grid[1]  # of a chunk
        rows = rows and rows.then(lambda n: -(-n // self.patch[1]))
        chunks = rows and rows.then(lambda n: -(-n // columns))
        if rows:
            outputs = vit.chunked_rows(patches, rows, columns, self._outputs)
        else:
            outputs = vit.chunked(patches, columns, self._outputs)
        hidden, cls = outputs[: len(outputs) // 2], outputs[len(outputs) // 2 :]
        count = row_ends.tokens(rows, length, hidden[-1].shape[1])
        layers = tuple(
            Grid(y, count, self.card.grid[0], f"block{i}", cls=row_ends.mean(first.float(), chunks, (1,)))
            for i, (y, first) in enumerate(zip(hidden, cls, strict=True), start=1)
        )
        return Tokens(layers, row_ends.mean(hidden[-1].float(), rows, (1,)).flatten(1))

    def _patches(self, frames: Tensor) -> list[Tensor]:
        """Embeddings (B, T', F', D) of chunks (B, N, bands)."""
        return [self.net.patch_embed(frames.transpose(1, 2)[:, None]).permute(0, 3, 2, 1)]

    def _outputs(self, patches: Tensor, rows: row_ends.Rows | None = None) -> list[Tensor]:
        """Every block's patches (B, T', F', D), then every block's class token (B, 1, D).

        ``patches`` are (B, T', F', D), ``rows`` theirs along T'. The outputs of the last block are taken after the
        norm.
        """
        bands = self.net.grid[0]
        outputs = self.net(patches.permute(0, 3, 2, 1), row_ends.attended(rows, 1, bands))
        outputs[-1] = self.net.norm(outputs[-1])
        return [y[:, 1:].unflatten(1, (bands, -1)).transpose(1, 2) for y in outputs] + [y[:, :1] for y in outputs]
