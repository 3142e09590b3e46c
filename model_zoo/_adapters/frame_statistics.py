"""Encoders without learning: statistics of a front end's channels over time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.types import EncoderCard, Grid, Tokens
from model_zoo._adapters import row_ends
from model_zoo._adapters.adapter import Adapter, full_precision

PERCENTILES = (5, 25, 50, 75, 95)
STATISTICS = 2 + len(PERCENTILES)


class FrameStatistics(Adapter):
    """``published``: mean, population standard deviation and percentiles of each channel over time, statistic-major.

    ``frontend`` maps waves (B, T) to (B, frames, channels), one frame of ``size`` samples every ``hop``, and tells
    ``frames(n)``, the number of whole frames in n samples. The tokens are the frames.
    """

    ragged = True

    def __init__(self, card: EncoderCard, frontend: nn.Module):
        super().__init__(card)
        self.frontend = frontend

    def batch_length(self, n: int) -> int:
        """The most samples that give as many frames as n, so that a batch needs no mask."""
        return self.frontend.frames(n) * self.frontend.hop + self.frontend.size - 1

    @full_precision
    def frames(self, wave: Tensor, length: Tensor) -> Tensor:
        """The front end's output (B, T' of the longest clip, channels) of wave (B, batch_length)."""
        return self.frontend(wave)[:, : self.frontend.frames(int(length.max()))]

    def encode(self, wave: Tensor, length: Tensor) -> Tokens:
        frames = self.frames(wave, length)
        rows = row_ends.ends([self.frontend.frames(n) for n in length.tolist()], 1, wave.device)
        if rows is None:
            clip = statistics(frames)
        else:
            clip = torch.cat([statistics(row[None, :n]) for row, n in zip(frames, rows.counts, strict=True)])
        tokens = row_ends.tokens(rows, length, frames.shape[1])
        return Tokens((Grid(frames[:, :, None], tokens, self.card.grid[0], "frames"),), clip)


def statistics(frames: Tensor) -> Tensor:
    """Mean, deviation and percentiles (B, 7 * channels) of (B, T', channels) over time.

    The sums are float64's: in float32 a channel that stays at its floor would have a mean that depends on T'.
    """
    double = frames.double()
    parts = [double.mean(1).float(), double.std(1, correction=0).float(), *percentiles(frames)]
    return torch.stack(parts, dim=1).flatten(1)


def percentiles(frames: Tensor) -> list[Tensor]:
    """Linear-interpolation percentiles of (B, T', channels) over time; torch.quantile limits the input's size."""
    ordered, last = frames.sort(dim=1).values, frames.shape[1] - 1
    places = [q / 100 * last for q in PERCENTILES]
    return [torch.lerp(ordered[:, int(at)], ordered[:, min(int(at) + 1, last)], at - int(at)) for at in places]
