"""Networks that take clips of one length: the crop at 0 (``upstream``) or consecutive windows (policy ``windows``)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from bench.types import EncoderCard, Grid, Tokens
from model_zoo._adapters import row_ends
from model_zoo._adapters.adapter import Adapter

WINDOWS = "windows"  # name of the policy


class Windowed(Adapter):
    """An adapter whose network takes exactly ``size`` samples; the subclass answers them in ``window``.

    By default a longer clip is cropped at 0 (``card.max_s``). Under the policy ``windows`` it is cut into consecutive
    windows, the last of which is treated as a short clip: tokens are concatenated over time and ``clip`` is the
    unweighted mean over windows.
    """

    def __init__(self, card: EncoderCard, size: int):
        whole = card.policy == WINDOWS
        super().__init__(dataclasses.replace(card, max_s=None) if whole else card)
        self.size, self.pieces, self.ragged = size, 1, whole

    def batch_length(self, n: int) -> int:
        """The window's samples; under ``windows`` as many windows as hold n samples."""
        return self.size * (-(-n // self.size) if self.card.policy == WINDOWS else 1)

    def window(self, wave: Tensor, length: Tensor) -> Tokens:
        """Tokens of wave (N, size), zero after each row's ``length``, which is 1 to size.

        ``pieces`` consecutive rows are of one clip.
        """
        raise NotImplementedError

    def encode(self, wave: Tensor, length: Tensor) -> Tokens:
        self.pieces = wave.shape[1] // self.size
        return encode_windows(self.window, wave, length, self.size)


def encode_windows(encode: Callable[[Tensor, Tensor], Tokens], wave: Tensor, length: Tensor, size: int) -> Tokens:
    """Tokens of wave (B, k * size), whose rows are cut into as many windows as hold them; k hold the longest.

    ``encode`` answers (N, size), (N,). Counted tokens of a window must come first, and every one of a full window must
    count, so that those of a clip are consecutive.
    """
    counts = [-(-min(n, wave.shape[1]) // size) for n in length.tolist()]
    starts = size * torch.arange(max(counts), device=length.device)
    left = (length[:, None] - starts).clamp(1, size)
    tokens = encode(row_ends.pieces_of(wave, counts, size), row_ends.pieces_of(left, counts, 1)[:, 0])
    if max(counts) == 1:
        return tokens
    clip = None if tokens.clip is None else row_ends.mean_of_pieces(tokens.clip, counts)
    return Tokens(tuple(_concatenated(grid, counts) for grid in tokens.layers), clip)


def _concatenated(grid: Grid, counts: list[int]) -> Grid:
    """One layer's windows (N, T', F', D), ``counts`` of each clip, as the clips' grid; class tokens are averaged."""
    rows = {"hidden": row_ends.joined(grid.hidden, counts)}
    for name in ("length", "valid"):
        if (tokens := getattr(grid, name)) is not None:
            rows[name] = row_ends.joined(tokens[:, None], counts).sum(dim=1)
    if grid.cls is not None:
        rows["cls"] = row_ends.mean_of_pieces(grid.cls, counts)
    return grid._replace(**rows)
