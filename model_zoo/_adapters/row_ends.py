"""Batches of clips of different lengths: where each row ends in time, and arithmetic that stays within these ends.

A row of a ragged batch must get what its clip alone would get. What lies behind a row's end is anything finite, so it
is set to zero wherever a layer's own padding would have been read, and left out of means, maxima and attention.
Everywhere, ``None`` in the place of ``Rows`` says that all rows are full: nothing is masked then, and nothing costs
more than without this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence


class Rows:
    """Ends of the rows of a ragged batch: ``counts`` steps along ``axis``, that of time in the arrays they belong to.

    Arrays are as long as the longest row.
    """

    def __init__(self, counts: Sequence[int], axis: int, device: torch.device):
        self.counts, self.axis, self.device = tuple(counts), axis, device

    @cached_property
    def length(self) -> Tensor:
        """The counts (B,) int64."""
        return torch.tensor(self.counts, device=self.device)

    @cached_property
    def inside(self) -> Tensor:
        """True (B, longest) for the steps of each row."""
        return torch.arange(max(self.counts), device=self.device) < self.length[:, None]

    def then(self, count: Callable[[int], int]) -> Rows | None:
        """The rows of an array that has ``count(n)`` steps where this one has n."""
        return ends([count(n) for n in self.counts], self.axis, self.device)

    def along(self, axis: int) -> Rows:
        """The same rows in an array whose time is along ``axis``."""
        return Rows(self.counts, axis, self.device)

    def mask(self, x: Tensor) -> Tensor:
        """True for the steps of each row, in a shape that broadcasts with x."""
        shape = [1] * x.ndim
        shape[0], shape[self.axis] = self.inside.shape
        return self.inside.view(shape)


def ends(counts: Sequence[int], axis: int, device: torch.device) -> Rows | None:
    """The rows of a batch with ``counts`` steps, None where all have as many."""
    return Rows(counts, axis, device) if len(set(counts)) > 1 else None


def tokens(rows: Rows | None, length: Tensor, size: int) -> Tensor:
    """Steps (B,) int64 of each row, ``size`` where all are full; ``length`` (B,) says on which device."""
    return torch.full_like(length, size) if rows is None else rows.length


def zero_behind(x: Tensor, rows: Rows | None) -> Tensor:
    """Returns x with zeros behind each row's end; without gradients x itself is changed, which saves memory traffic."""
    if rows is None:
        return x
    if x.requires_grad:
        return x.masked_fill(~rows.mask(x), 0.0)
    if x.device.type != "cpu":
        return x.masked_fill_(~rows.mask(x), 0.0)
    for row, count in zip(x, rows.counts, strict=True):  # touches the padding alone
        if count < row.shape[rows.axis - 1]:
            row.narrow(rows.axis - 1, count, row.shape[rows.axis - 1] - count).zero_()
    return x


def mean(x: Tensor, rows: Rows | None, dim: tuple[int, ...], keepdim: bool = False) -> Tensor:
    """The mean over ``dim``, time among them, of each row."""
    if rows is None:
        return x.mean(dim=dim, keepdim=keepdim)
    size = x[0].numel()
    total = zero_behind(x, rows).sum(dim=dim, keepdim=keepdim, dtype=torch.promote_types(x.dtype, torch.float32))
    steps = size // (x.shape[rows.axis] * total[0].numel()) * rows.length
    return (total / steps.view(-1, *[1] * (total.ndim - 1))).to(x.dtype)


def amax(x: Tensor, rows: Rows | None, dim: tuple[int, ...], keepdim: bool = False) -> Tensor:
    """The maximum over ``dim``, time among them, of each row."""
    if rows is not None:
        x = x.masked_fill(~rows.mask(x), -torch.inf)
    return x.amax(dim=dim, keepdim=keepdim)


def attended(rows: Rows | None, leading: int = 0, bands: int = 1) -> Tensor | None:
    """True (B, 1, 1, N) for the tokens of each row: a mask of attention, None where all are full.

    ``leading`` tokens come first, then ``bands`` times the steps in time, band by band.
    """
    if rows is None:
        return None
    steps = rows.inside[:, None].expand(-1, bands, -1).flatten(1)
    return nn.functional.pad(steps, (leading, 0), value=True)[:, None, None]


def apart(function: Callable[[Tensor], Tensor], x: Tensor, rows: Rows | None) -> Tensor:
    """A function that keeps x's shape, of each row's own steps by themselves; zero behind them."""
    if rows is None:
        return function(x)
    out = torch.zeros_like(x)
    for i, count in enumerate(rows.counts):
        out[i : i + 1].narrow(rows.axis, 0, count).copy_(function(x[i : i + 1].narrow(rows.axis, 0, count)))
    return out


def by_count(function: Callable[[int, list[int]], Tensor], counts: Sequence[int]) -> list[Tensor]:
    """What ``function(count, indices)`` gives for the rows of each count at a time, row by row in their order."""
    found: dict[int, Tensor] = {}
    for count in sorted(set(counts)):
        indices = [i for i, other in enumerate(counts) if other == count]
        found |= zip(indices, function(count, indices), strict=True)
    return [found[i] for i in range(len(counts))]


def pieces_of(x: Tensor, pieces: Sequence[int], size: int) -> Tensor:
    """The first ``pieces`` (of each row) times ``size`` steps of x (B, T, …), one piece after another: (N, size, …)."""
    if len(set(pieces)) == 1:
        return x[:, : pieces[0] * size].unflatten(1, (-1, size)).flatten(0, 1)
    rows = zip(x, pieces, strict=True)
    return torch.cat([row[: count * size].unflatten(0, (count, size)) for row, count in rows])


def joined(x: Tensor, pieces: Sequence[int]) -> Tensor:
    """Pieces x (N, T', …), ``pieces`` of each row, one after another: (B, longest, …), zero behind each row's last."""
    if len(set(pieces)) == 1:
        return x.unflatten(0, (-1, pieces[0])).flatten(1, 2)
    return pad_sequence([part.flatten(0, 1) for part in x.split(list(pieces))], batch_first=True)


def mean_of_pieces(x: Tensor, pieces: Sequence[int]) -> Tensor:
    """The mean (B, …) of each row's pieces x (N, …)."""
    if len(set(pieces)) == 1:
        return x.unflatten(0, (-1, pieces[0])).mean(dim=1)
    return torch.stack([part.mean(dim=0) for part in x.split(list(pieces))])


class Ragged(nn.Module):
    """A module for ragged batches, in ``within``."""

    def forward(self, x: Tensor) -> Tensor:
        return self.within(x, None)[0]

    def within(self, x: Tensor, rows: Rows | None) -> tuple[Tensor, Rows | None]:
        """The output, each row of which is what it would be alone, and where its rows end."""
        raise NotImplementedError


WINDOWED = (nn.Conv1d, nn.Conv2d, nn.MaxPool2d)


def through(module: nn.Module, x: Tensor, rows: Rows | None) -> tuple[Tensor, Rows | None]:
    """``Ragged.within`` of any module of convolutions, maxima, ``Ragged`` modules and what acts step by step.

    What enters a maximum with padding must not be negative, so that the zeros behind an end change nothing.
    """
    if rows is None:
        return module(x), None
    if isinstance(module, Ragged):
        return module.within(x, rows)
    if isinstance(module, nn.Sequential):
        for part in module:
            x, rows = through(part, x, rows)
        return x, rows
    if not isinstance(module, WINDOWED):
        return module(x), rows
    return module(zero_behind(x, rows) if _along(module.padding, rows) else x), after(module, rows)


def after(module: nn.Conv1d | nn.Conv2d | nn.MaxPool2d, rows: Rows | None) -> Rows | None:
    """The rows of the output of a convolution or maximum whose input has ``rows``."""
    if rows is None:
        return None
    sizes = (module.kernel_size, module.stride, module.padding, module.dilation)
    kernel, stride, padding, dilation = (_along(size, rows) for size in sizes)
    return rows.then(lambda n: (n + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1)


def _along(size: int | tuple[int, ...], rows: Rows) -> int:
    """A layer's size along the axis of time."""
    return size if isinstance(size, int) else size[rows.axis - 2]
