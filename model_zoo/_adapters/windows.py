"""Networks that take clips of one length: the crop at 0 (``upstream``) or consecutive windows (policy ``windows``)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from bench.types import EncoderCard, Grid, Tokens
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
        self.size, self.pieces = size, 1

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
    """Tokens of wave (B, k * size), whose rows all reach into the last window; ``encode`` answers (N, size), (N,).

    Counted tokens of a window must come first, and every one of a full window must count, so that those of a clip
    are consecutive.
    """
    count = wave.shape[1] // size
    starts = size * torch.arange(count, device=length.device)
    tokens = encode(wave.reshape(-1, size), (length[:, None] - starts).clamp(1, size).flatten())
    if count == 1:
        return tokens
    clip = None if tokens.clip is None else tokens.clip.unflatten(0, (-1, count)).mean(dim=1)
    return Tokens(tuple(_concatenated(grid, count) for grid in tokens.layers), clip)


def _concatenated(grid: Grid, count: int) -> Grid:
    """One layer's windows (B * count, T', F', D) as one clip's (B, count * T', F', D); class tokens are averaged."""
    rows = {"hidden": grid.hidden.unflatten(0, (-1, count)).flatten(1, 2)}
    for name in ("length", "valid"):
        if (tokens := getattr(grid, name)) is not None:
            rows[name] = tokens.unflatten(0, (-1, count)).sum(dim=1)
    if grid.cls is not None:
        rows["cls"] = grid.cls.unflatten(0, (-1, count)).mean(dim=1)
    return grid._replace(**rows)
