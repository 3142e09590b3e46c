"""An inception-residual network with multi-head attention on Gammatone and wavelet spectrograms.

Inspired by arXiv 2303.04104 (inception-residual networks with multi-head attention and a multi-objective loss, two
spectrograms in a learned linear combination, for respiratory sounds). Its equations and sizes were not at hand, so all
of the following is our definition and no reproduction:

- Input at 8 kHz, 50-2,000 Hz: 64 gammatone bands, and a continuous wavelet transform with 64 scales of the Morlet
  wavelet (``timefrequency``); power in frames of 25 ms every 10 ms, decibels, a batch norm over bands.
- Each spectrogram has a branch of its own: a 3 x 3 convolution and a maximum over 2 x 2, then six inception-residual
  blocks after Szegedy et al., Inception-v4, Inception-ResNet and the impact of residual connections on learning, AAAI
  2017 (arXiv 1602.07261): four paths of a quarter of the channels (1 x 1; 1 x 1, 3 x 3; 1 x 1, 3 x 3, 3 x 3; average,
  1 x 1), joined by a 1 x 1 convolution and added to a shortcut. Blocks 2 and 4 end in a maximum over 2 x 2.
- Attention pooling with four heads: one learned query a head looks at all tokens of the last map, to which a learned
  vector per band is added; a layer norm gives the branch's features f_b (128).
- ``published`` is (w_1 f_1, w_2 f_2) with w the softmax of two learned numbers. A linear head on it computes
  sum_b w_b (W_b f_b) plus a bias: the learned combination of the branches' own logits. The multi-objective loss,
  cross entropy plus a centre loss on these features, is the training method's (``ce-center``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import avg_pool2d, max_pool2d, scaled_dot_product_attention

from bench.encoders.blocks import ParameterGroup, split_around_stack
from bench.types import EncoderCard, Grid, Tokens
from model_zoo._adapters import row_ends
from model_zoo._adapters.adapter import full_precision
from model_zoo._adapters.row_ends import Ragged, Rows
from model_zoo._networks.on_log_mel import Scratch
from model_zoo._networks.recompute import recomputed
from model_zoo._networks.timefrequency import erb_spaced, gammatone, log_spaced, morlet

RATE, BANDS, LOW_HZ, HIGH_HZ = 8000, 64, 50.0, 2000.0
SIZE, HOP = 200, 80  # samples of a frame
STEM = 16  # channels
PLAN = (
    (32, False),
    (32, True),
    (64, False),
    (64, True),
    (128, False),
    (128, False),
)  # of the blocks: channels, halving
STRIDES = (2, 4, 4, 8, 8, 8)  # of the blocks' outputs, in frames and bands
WIDTH, HEADS = 128, 4
Act = Callable[[nn.Module, Tensor, Rows | None], tuple[Tensor, Rows | None]]
CLIPS = 4  # whose maxima are taken at a time
KEPT = 600_000  # numbers of a spectrogram; each leaves about 1 kB for the backward pass in either branch


class Conv(nn.Sequential):
    """Convolution and batch norm, with a ReLU unless it ends a residual path."""

    def __init__(self, inside: int, out: int, kernel: int, act: bool = True):
        layers = [nn.Conv2d(inside, out, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(out)]
        super().__init__(*layers, *([nn.ReLU(inplace=True)] if act else []))
        nn.init.kaiming_normal_(self[0].weight, mode="fan_out", nonlinearity="relu")


class Block(Ragged):
    """Four paths, joined and added to a shortcut; then a maximum where ``halving``."""

    def __init__(self, inside: int, out: int, halving: bool):
        super().__init__()
        path, self.halving = out // 4, halving
        self.one = Conv(inside, path, 1)
        self.three = nn.Sequential(Conv(inside, path, 1), Conv(path, path, 3))
        self.five = nn.Sequential(Conv(inside, path, 1), Conv(path, path, 3), Conv(path, path, 3))
        self.mean = Conv(inside, path, 1)
        self.join = Conv(out, out, 1, act=False)
        self.shortcut = Conv(inside, out, 1, act=False) if inside != out else nn.Identity()

    def within(self, x: Tensor, rows: Rows | None) -> tuple[Tensor, Rows | None]:
        paths = ((self.one, x), (self.three, x), (self.five, x), (self.mean, averaged(x, rows)))
        y = self.join(torch.cat([row_ends.through(path, given, rows)[0] for path, given in paths], dim=1))
        y = y.add_(self.shortcut(x))  # in place: neither batch norm needs what it gave
        return halved(y, rows) if self.halving else (y.relu_(), rows)


def averaged(x: Tensor, rows: Rows | None) -> Tensor:
    """Means over 3 x 3 of x (B, C, T', F'), at the edges over what is there."""
    mean = avg_pool2d(row_ends.zero_behind(x, rows), 3, 1, 1, count_include_pad=False)
    if rows is None:
        return mean
    within = avg_pool2d(rows.mask(x).to(x.dtype), (3, 1), 1, (1, 0), count_include_pad=False)  # share of the window
    return mean / within.clamp_min(1 / 3)


def halved(x: Tensor, rows: Rows | None) -> tuple[Tensor, Rows | None]:
    """Maxima over 2 x 2 of the positive parts of x (B, C, T', F'), the last one of an odd length over what is there."""
    x = row_ends.zero_behind(x, rows)
    maxima = _PositiveMaxima.apply(x) if torch.is_grad_enabled() else max_pool2d(x, 2, ceil_mode=True).relu_()
    return maxima, rows and rows.then(lambda n: -(-n // 2))


class _PositiveMaxima(torch.autograd.Function):
    """Positive parts of maxima over 2 x 2, with the values and gradients of ``max_pool2d(x.relu(), 2)``.

    For the backward pass ``max_pool2d`` keeps its input and 8 bytes for each maximum; here one byte says where in
    its window it was found, counted along maps of at most 254 bands.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        form = _form(x)
        shape = (*x.shape[:2], *(-(-size // 2) for size in x.shape[2:]))
        out = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=form)
        which = torch.empty(shape, dtype=torch.uint8, device=x.device, memory_format=form)
        first = 2 * torch.arange(shape[2], device=x.device)[:, None] * x.shape[3]
        first = first + 2 * torch.arange(shape[3], device=x.device)  # where each window begins
        for part, maxima, own in zip(x.split(CLIPS), out.split(CLIPS), which.split(CLIPS), strict=True):
            values, index = max_pool2d(part, 2, ceil_mode=True, return_indices=True)
            maxima.copy_(values.relu_())
            own.copy_(index.sub_(first))
        ctx.save_for_backward(out, which)
        ctx.size = x.shape
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        out, which = ctx.saved_tensors
        found = torch.empty(ctx.size, dtype=grad.dtype, device=grad.device, memory_format=_form(out))
        nothing = grad.new_zeros(())
        for rows in range(0, len(out), CLIPS):
            at = slice(rows, rows + CLIPS)
            given = torch.where(out[at] <= 0, nothing, grad[at])
            for step, band in ((0, 0), (0, 1), (1, 0), (1, 1)):
                corner = found[at, :, step::2, band::2]
                size = (..., slice(corner.shape[2]), slice(corner.shape[3]))
                here = which[at][size] == step * ctx.size[3] + band
                torch.where(here, given[size], nothing, out=corner)
        return found


def _form(x: Tensor) -> torch.memory_format:
    return torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format


class AttentionPool(nn.Module):
    """Features (B, D) of a map (B, D, T', F'): what one learned query a head finds among its tokens."""

    def __init__(self, width: int, bands: int, heads: int):
        super().__init__()
        self.query = nn.Parameter(torch.randn(heads, 1, width // heads))
        self.band = nn.Parameter(0.02 * torch.randn(bands, width))
        self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(3))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, rows: Rows | None = None) -> Tensor:
        mask = rows and rows.mask(x).expand(-1, -1, -1, x.shape[3]).flatten(2)[:, :, None]  # (B, 1, 1, N)
        tokens = (x.permute(0, 2, 3, 1) + self.band).flatten(1, 2)  # (B, N, D)
        key, value = (f(tokens).unflatten(2, (len(self.query), -1)).transpose(1, 2) for f in (self.key, self.value))
        query = self.query.expand(len(x), -1, -1, -1)
        attended = scaled_dot_product_attention(query, key, value, mask)  # (B, heads, 1, D')
        return self.norm(self.out(attended.flatten(1)))


class Branch(nn.Module):
    """One normalised spectrogram (B, frames, bands) to the blocks' maps (B, C, T', F'), its features, their rows."""

    def __init__(self):
        super().__init__()
        self.stem = Conv(1, STEM, 3, act=False)
        inside = (STEM, *(out for out, _ in PLAN[:-1]))
        self.blocks = nn.ModuleList(Block(before, *size) for before, size in zip(inside, PLAN, strict=True))
        self.pool = AttentionPool(WIDTH, BANDS // STRIDES[-1], HEADS)

    def forward(self, x: Tensor, rows: Rows | None = None) -> tuple[list[Tensor], Tensor, list[Rows | None]]:
        apply = _recomputed if torch.is_grad_enabled() and x.numel() > KEPT else _applied
        x, rows = apply(_started, self.stem, x[:, None], rows)
        maps, ends = [], []
        for block in self.blocks:
            x, rows = apply(row_ends.through, block, x, rows)
            maps.append(x)
            ends.append(rows)
        return maps, self.pool(x, rows), ends


def _started(stem: nn.Module, x: Tensor, rows: Rows | None) -> tuple[Tensor, Rows | None]:
    return halved(*row_ends.through(stem, x, rows))


def _applied(act: Act, module: nn.Module, x: Tensor, rows: Rows | None) -> tuple[Tensor, Rows | None]:
    return act(module, x, rows)


def _recomputed(act: Act, module: nn.Module, x: Tensor, rows: Rows | None) -> tuple[Tensor, Rows | None]:
    return recomputed(module, act, module, x, rows)


class Net(nn.Module):
    """Both branches and the numbers that weigh them."""

    def __init__(self):
        super().__init__()
        self.bn0 = nn.BatchNorm1d(2 * BANDS)
        self.branches = nn.ModuleList(Branch() for _ in range(2))
        self.mix = nn.Parameter(torch.zeros(2))


class Inception(Scratch):
    """``scratch.inception``."""

    ragged = True
    offers = frozenset({"spectrogram"})

    def __init__(self, card: EncoderCard):
        super().__init__(card)
        self.gammatone, self.wavelet = (bank(RATE, BANDS, LOW_HZ, HIGH_HZ, SIZE, HOP) for bank in (gammatone, morlet))
        self.centres = torch.cat([erb_spaced(BANDS, LOW_HZ, HIGH_HZ), log_spaced(BANDS, LOW_HZ, HIGH_HZ)]) / RATE

    def network(self) -> nn.Module:
        return Net()

    @property
    def combination(self) -> Tensor:
        """The learned weights (2,) of the gammatone and the wavelet branch, which sum to 1."""
        return self.net.mix.softmax(dim=0)

    def blocks(self) -> list[nn.Module]:
        """The stems, each block of both branches, then pooling and combination."""
        pairs = [ParameterGroup(pair) for pair in zip(*(branch.blocks for branch in self.net.branches), strict=True)]
        return split_around_stack(self, pairs, [*(branch.pool for branch in self.net.branches), self.net.mix])

    def batch_length(self, n: int) -> int:
        """The most samples that give as many frames as n."""
        return self.gammatone.samples(n)

    @full_precision
    def spectrograms(self, wave: Tensor) -> Tensor:
        """Gammatone and wavelet power in dB, side by side: (B, frames, 2 * 64) of wave (B, batch_length)."""
        return torch.cat([self.gammatone(wave), self.wavelet(wave)], dim=2)

    def encode(self, wave: Tensor, length: Tensor) -> Tokens:
        x = self.net.bn0(self.spectrograms(wave).transpose(1, 2)).transpose(1, 2)
        halves = self.tap("spectrogram", x).chunk(2, dim=2)
        rows = row_ends.ends([self.gammatone.frames(n) for n in length.tolist()], 2, wave.device)
        answers = [branch(half, rows) for branch, half in zip(self.net.branches, halves, strict=True)]
        maps, features, ends = zip(*answers, strict=True)
        layers = []
        for i, (both, rows, stride) in enumerate(zip(zip(*maps), ends[0], STRIDES, strict=True), start=1):
            hidden = torch.cat(both, dim=1).permute(0, 2, 3, 1)
            count = row_ends.tokens(rows, length, hidden.shape[1])
            layers.append(Grid(hidden, count, stride * HOP / RATE, f"block{i}"))
        weighted = [weight * branch for weight, branch in zip(self.combination, features, strict=True)]
        return Tokens(tuple(layers), torch.cat(weighted, dim=1))
