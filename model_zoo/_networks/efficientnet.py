"""EfficientNet-b0 without its classifier, under the tensor names of ``efficientnet_pytorch``.

Tan and Le, EfficientNet: Rethinking model scaling for convolutional neural networks, ICML 2019 (arXiv 1905.11946),
table 1. Widths and kernels are read from the tensors; strides and repeats are the paper's. Padding is that of
TensorFlow's ``same`` for images of 224 x 224, whatever the input: convolutions of stride 2 pad one row less in front
than behind. The untrained twin has torch's default initialisation, as the original has. Deviation: no blocks are
dropped during training.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from operator import mul
from typing import NamedTuple

from torch import Tensor, nn

from bench.base.errors import CheckpointError
from model_zoo._adapters import row_ends
from model_zoo._adapters.row_ends import Ragged, Rows

EPS, MOMENTUM = 1e-3, 0.01  # of every batch norm
REPEATS = (1, 2, 2, 3, 3, 4, 1)  # blocks of a stage
STRIDES = (1, 2, 2, 2, 1, 2, 1)  # of a stage's first block
MAP_STRIDES = tuple(accumulate((*STRIDES, 1), mul, initial=2))[1:]  # of the maps that come back, in pixels
STAGE_ENDS = tuple(accumulate(REPEATS))
PLACES = tuple((i == 0, stride if i == 0 else 1) for stride, n in zip(STRIDES, REPEATS) for i in range(n))


class BlockSize(NamedTuple):
    """Kernel of the depthwise convolution, channels inside, of the squeezed gate, and of the output."""

    kernel: int
    expanded: int
    squeezed: int
    out: int


class Geometry(NamedTuple):
    """Channels of the stem, its blocks, and channels of the head."""

    stem: int
    blocks: tuple[BlockSize, ...]
    head: int


def b0_geometry() -> Geometry:
    """The geometry of b0: a gate squeezes to a quarter of the block's input."""
    kernels, widths = (3, 3, 5, 3, 5, 5, 3), (16, 24, 40, 80, 112, 192, 320)
    blocks, inside = [], 32
    for stage, repeats in enumerate(REPEATS):
        for _ in range(repeats):
            expanded = inside * (6 if blocks else 1)
            blocks.append(BlockSize(kernels[stage], expanded, inside // 4, widths[stage]))
            inside = widths[stage]
    return Geometry(32, tuple(blocks), 1280)


def read_geometry(tensors: Mapping[str, Tensor], where: object) -> Geometry:
    """The geometry in ``tensors``. Raises ``CheckpointError`` when they are not of an EfficientNet-b0."""
    try:
        blocks = []
        for i in range(STAGE_ENDS[-1]):
            block = f"_blocks.{i}."
            expanded, _, kernel, _ = tensors[block + "_depthwise_conv.weight"].shape
            squeezed, out = (len(tensors[f"{block}{conv}.weight"]) for conv in ("_se_reduce", "_project_conv"))
            blocks.append(BlockSize(kernel, expanded, squeezed, out))
        return Geometry(len(tensors["_conv_stem.weight"]), tuple(blocks), len(tensors["_conv_head.weight"]))
    except (KeyError, ValueError) as error:
        problem = f"lacks the tensors of an EfficientNet-b0 ({error})"
        raise CheckpointError(where, problem, "check that the file belongs to this encoder") from error


class StridedConv2d(Ragged, nn.Conv2d):
    """A convolution of stride 2 that pads by its kernel less 2, the odd row and column behind."""

    def __init__(self, inside: int, out: int, kernel: int, groups: int = 1):
        super().__init__(inside, out, kernel, 2, groups=groups, bias=False)
        front = (kernel - 2) // 2
        self.margins = (front, kernel - 2 - front) * 2

    def within(self, x: Tensor, rows: Rows | None) -> tuple[Tensor, Rows | None]:
        x = nn.functional.pad(row_ends.zero_behind(x, rows), self.margins)
        padded = rows and rows.then(lambda n: n + sum(self.margins[:2]))
        return nn.Conv2d.forward(self, x), row_ends.after(self, padded)


def _conv(inside: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    if stride == 2:
        return StridedConv2d(inside, out, kernel, groups)
    return nn.Conv2d(inside, out, kernel, padding=kernel // 2, groups=groups, bias=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, EPS, MOMENTUM)


class Block(Ragged):
    """Inverted residual: expand, depthwise, gate, project.

    The first block of a stage has no residual connection, the first of the net does not expand.
    """

    def __init__(self, inside: int, size: BlockSize, first: bool, stride: int):
        super().__init__()
        wide, out = size.expanded, size.out
        if wide != inside:
            self._expand_conv, self._bn0 = _conv(inside, wide, 1), _norm(wide)
        self._depthwise_conv, self._bn1 = _conv(wide, wide, size.kernel, stride, groups=wide), _norm(wide)
        self._se_reduce = nn.Conv2d(wide, size.squeezed, 1)
        self._se_expand = nn.Conv2d(size.squeezed, wide, 1)
        self._project_conv, self._bn2 = _conv(wide, out, 1), _norm(out)
        self.expands, self.residual = wide != inside, not first

    def within(self, x: Tensor, rows: Rows | None) -> tuple[Tensor, Rows | None]:
        silu = nn.functional.silu
        y = silu(self._bn0(self._expand_conv(x))) if self.expands else x
        y, rows = row_ends.through(self._depthwise_conv, y, rows)
        y = silu(self._bn1(y))
        gate = self._se_expand(silu(self._se_reduce(row_ends.mean(y, rows, (2, 3), keepdim=True))))
        y = self._bn2(self._project_conv(y * gate.sigmoid()))
        return x + y if self.residual else y, rows


class EfficientNet(nn.Module):
    """Stem, seven stages and the last 1 x 1 convolution of images with three channels."""

    def __init__(self, geometry: Geometry):
        super().__init__()
        inside = [geometry.stem, *(block.out for block in geometry.blocks)]
        self._conv_stem, self._bn0 = _conv(3, geometry.stem, 3, 2), _norm(geometry.stem)
        self._blocks = nn.ModuleList(
            Block(channels, size, *place) for channels, size, place in zip(inside, geometry.blocks, PLACES)
        )
        self._conv_head, self._bn1 = _conv(inside[-1], geometry.head, 1), _norm(geometry.head)

    def forward(self, x: Tensor, rows: Rows | None = None) -> list[tuple[Tensor, Rows | None]]:
        """Maps (B, D, H, W) of x (B, 3, H, W), and where their rows end.

        They are the outputs of every stage, halved in size by those that stride, then that of the last convolution.
        """
        x, rows = row_ends.through(self._conv_stem, x, rows)
        x, maps = nn.functional.silu(self._bn0(x)), []
        for end, block in enumerate(self._blocks, start=1):
            x, rows = row_ends.through(block, x, rows)
            if end in STAGE_ENDS:
                maps.append((x, rows))
        return [*maps, (nn.functional.silu(self._bn1(self._conv_head(x))), rows)]
