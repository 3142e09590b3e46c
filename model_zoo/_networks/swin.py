"""HTS-AT's trunk: a Swin transformer over four time quarters of a log-mel spectrogram, stacked into a square image.

Chen et al., HTS-AT: A hierarchical token-semantic audio transformer, ICASSP 2022 (arXiv 2202.00874); windowed
attention, shifted windows and patch merging of Liu et al., Swin transformer, ICCV 2021. Tensor names are those of the
releases. ``relative_position_index`` and ``attn_mask`` follow from window and image size alone: they are computed, and
a file's copies are ignored. Which blocks are shifted follows from their place alone, as in Swin: every second one of a
stage whose image is larger than a window. A file may lack its masks, but not contradict that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bench.base.errors import CheckpointError, first_few
from model_zoo._networks.vit import Mlp

BANDS, FRAMES = 64, 1024  # of the spectrogram
SIZE = 256  # rows and columns of the image
QUARTERS = SIZE // BANDS
PATCH = 4
BLOCK = re.compile(r"layers\.(\d+)\.blocks\.(\d+)\.")
# The STFT and mel filters beside the trunk, what is computed here, and the classifier behind the features.
IGNORED = (
    r"spectrogram_extractor\..*",
    r"logmel_extractor\..*",
    r"layers\.\d+\.blocks\.\d+\.attn\.relative_position_index",
    r"layers\.\d+\.blocks\.\d+\.attn_mask",
    r"tscam_conv\..*",
    r"head\..*",
)


class Geometry(NamedTuple):
    """Sizes of the trunk.

    ``widths`` and ``heads`` have one entry a stage, ``shifted`` one a block; ``window`` is in tokens, ``ratio`` is that
    of the channels inside a block's MLP to those outside.
    """

    widths: tuple[int, ...]
    heads: tuple[int, ...]
    shifted: tuple[tuple[bool, ...], ...]
    window: int = 8
    ratio: int = 4


TINY = Geometry((96, 192, 384, 768), (4, 8, 16, 32), ((False, True), (False, True), (False, True) * 3, (False, False)))


def read_geometry(tensors: Mapping[str, Tensor], where: object) -> Geometry:
    """The geometry of the trunk in ``tensors``, whose names start at ``bn0`` and ``layers``.

    Raises ``CheckpointError``.
    """
    places = {tuple(map(int, match.groups())) for key in tensors if (match := BLOCK.match(key))}
    try:
        table = "layers.{}.blocks.0.attn.relative_position_bias_table"
        stages = range(1 + max(stage for stage, _ in places))
        rows, _ = tensors[table.format(0)].shape
        hidden, width = tensors["layers.0.blocks.0.mlp.fc1.weight"].shape
        window = (round(rows**0.5) + 1) // 2
        geometry = Geometry(
            tuple(len(tensors[f"layers.{stage}.blocks.0.norm1.weight"]) for stage in stages),
            tuple(tensors[table.format(stage)].shape[1] for stage in stages),
            tuple(
                tuple(is_shifted(stage, block, window) for block in range(sum(s == stage for s, _ in places)))
                for stage in stages
            ),
            window,
            hidden // width,
        )
    except (KeyError, ValueError) as error:
        problem = f"lacks the tensors of an HTS-AT trunk ({error})"
        raise CheckpointError(where, problem, "check that the file belongs to this encoder") from error
    wrong = [
        key
        for key in tensors
        if key.endswith("attn_mask")
        and (match := BLOCK.match(key))
        and not is_shifted(*map(int, match.groups()), window)
    ]
    if wrong:
        problem = f"has a mask of shifted windows in blocks that HTS-AT does not shift: {first_few(wrong)}"
        raise CheckpointError(where, problem, "check that the file belongs to this encoder")
    return geometry


def is_shifted(stage: int, block: int, window: int) -> bool:
    """Whether a block works on an image shifted by half a window: every second one where windows do not fill it."""
    return block % 2 == 1 and SIZE // PATCH >> stage > window


def split_windows(x: Tensor, size: int) -> Tensor:
    """Square windows (B, windows, size * size, D) of x (B, H, W, D)."""
    return x.unflatten(2, (-1, size)).unflatten(1, (-1, size)).transpose(2, 3).flatten(3, 4).flatten(1, 2)


def join_windows(windows: Tensor, rows: int) -> Tensor:
    """The inverse of ``split_windows``: (B, H = rows, W, D)."""
    size = round(windows.shape[2] ** 0.5)
    return (
        windows.unflatten(2, (size, size)).unflatten(1, (rows // size, -1)).transpose(2, 3).flatten(3, 4).flatten(1, 2)
    )


def _relative_index(window: int) -> Tensor:
    """Row of the bias table for every pair of tokens of a window: (window², window²) int64."""
    row, column = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    offsets = [(axis.flatten()[:, None] - axis.flatten()) + window - 1 for axis in (row, column)]
    return offsets[0] * (2 * window - 1) + offsets[1]


def _shift_mask(rows: int, window: int) -> Tensor:
    """The mask (windows, window², window²) that is added to the attention of a shifted image.

    It is -100 between tokens that were no neighbours before the shift, else 0.
    """
    position = torch.arange(rows)
    region = (position >= rows - window).int() + (position >= rows - window // 2).int()
    label = split_windows((3 * region[:, None] + region)[None, :, :, None], window)[0, ..., 0]  # (windows, window²)
    return (label[:, :, None] != label[:, None, :]) * -100.0


class WindowAttention(nn.Module):
    """Multi-head self-attention within windows (B, windows, N, D), with a learned bias per relative position."""

    def __init__(self, width: int, heads: int, window: int):
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.register_buffer("index", _relative_index(window), persistent=False)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """``mask`` (windows, N, N) is added to the attention."""
        count = x.shape[1]
        qkv = self.qkv(x).unflatten(3, (3, self.heads, -1))  # (B, windows, N, 3, heads, channels)
        q, k, v = qkv.permute(3, 0, 1, 4, 2, 5).flatten(2, 3)  # each (B, windows * heads, N, channels)
        bias = self.relative_position_bias_table[self.index].permute(2, 0, 1)  # (heads, N, N)
        bias = bias.expand(count, -1, -1, -1) if mask is None else bias + mask[:, None]
        y = nn.functional.scaled_dot_product_attention(q, k, v, bias.flatten(0, 1)[None])
        return self.proj(y.unflatten(1, (count, self.heads)).transpose(2, 3).flatten(3))


class Block(nn.Module):
    """Pre-norm windowed attention, on an image shifted by half a window where ``shifted``, and MLP: (B, H, W, D)."""

    def __init__(self, width: int, heads: int, geometry: Geometry, rows: int, shifted: bool):
        super().__init__()
        self.window, self.shift = geometry.window, geometry.window // 2 if shifted else 0
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = WindowAttention(width, heads, geometry.window)
        self.mlp = Mlp(width, geometry.ratio * width)
        self.register_buffer("mask", _shift_mask(rows, geometry.window) if shifted else None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x).roll((-self.shift, -self.shift), (1, 2))
        y = join_windows(self.attn(split_windows(y, self.window), self.mask), x.shape[1])
        x = x + y.roll((self.shift, self.shift), (1, 2))
        return x + self.mlp(self.norm2(x))


class Merge(nn.Module):
    """Every 2 x 2 tokens into one of twice the width: (B, H, W, D) to (B, H / 2, W / 2, 2 D)."""

    def __init__(self, width: int, merged: int):
        super().__init__()
        self.reduction, self.norm = nn.Linear(4 * width, merged, bias=False), nn.LayerNorm(4 * width)

    def forward(self, x: Tensor) -> Tensor:
        corners = [x[:, i::2, j::2] for j in range(2) for i in range(2)]  # rows change fastest
        return self.reduction(self.norm(torch.cat(corners, dim=3)))


class Stage(nn.Module):
    """Blocks of one resolution; ``downsample`` leads to the next stage, so the last one has none."""

    def __init__(self, geometry: Geometry, stage: int):
        super().__init__()
        width, heads, rows = geometry.widths[stage], geometry.heads[stage], SIZE // PATCH >> stage
        self.blocks = nn.ModuleList(Block(width, heads, geometry, rows, shifted) for shifted in geometry.shifted[stage])
        if stage + 1 < len(geometry.widths):
            self.downsample = Merge(width, geometry.widths[stage + 1])

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class Embed(nn.Module):
    """Patches of 4 x 4 pixels: (B, 1, 256, 256) to (B, 64, 64, D)."""

    def __init__(self, width: int):
        super().__init__()
        self.proj, self.norm = nn.Conv2d(1, width, PATCH, PATCH), nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.proj(x).permute(0, 2, 3, 1))


class HTSAT(nn.Module):
    """The trunk from the batch norm over mel bands to the last layer norm.

    It is initialised as the original is: truncated normal of standard deviation 0.02 for linear layers and bias tables,
    from torch's global generator.
    """

    def __init__(self, geometry: Geometry):
        super().__init__()
        self.bn0 = nn.BatchNorm2d(BANDS)
        self.patch_embed = Embed(geometry.widths[0])
        self.layers = nn.ModuleList(Stage(geometry, stage) for stage in range(len(geometry.widths)))
        self.norm = nn.LayerNorm(geometry.widths[-1])
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.trunc_normal_(part.weight, std=0.02)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)
            elif isinstance(part, WindowAttention):
                nn.init.trunc_normal_(part.relative_position_bias_table, std=0.02)

    def blocks(self) -> list[nn.Module]:
        """The blocks and merges in order."""
        merges = [[stage.downsample] if hasattr(stage, "downsample") else [] for stage in self.layers]
        return [part for stage, merge in zip(self.layers, merges, strict=True) for part in (*stage.blocks, *merge)]

    def normalised(self, mel: Tensor) -> Tensor:
        """The mel spectrogram (B, frames, 64) after the batch norm over bands, in the same shape."""
        bands = mel.transpose(1, 2)[..., None].contiguous()  # of other strides torch's CPU gradient is wrong
        return self.bn0(bands)[..., 0].transpose(1, 2)

    def patches(self, x: Tensor) -> Tensor:
        """Patch embeddings (B, H, W, D) of a normalised spectrogram x (B, frames <= 1024, 64).

        Rows are time quarters by bands.
        """
        return self.patch_embed(stack_quarters(x[:, None]))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Every stage's output (B, T', F', D), before it is merged for the next, of patches x (B, H, W, D).

        T' is 256 and F' 16 after the first stage, both halved by each further one; the T' tokens span the clip
        whatever its length, because it is stretched to 1,024 frames. The last output is after ``norm``.
        """
        outputs = []
        for stage in self.layers:
            x = stage(x)
            outputs.append(x)
            x = stage.downsample(x) if stage is not self.layers[-1] else self.norm(x)
        return [unstack_quarters(y) for y in (*outputs[:-1], x)]


def stack_quarters(mel: Tensor) -> Tensor:
    """The image (B, 1, 256, 256) of mel (B, 1, frames, 64): rows are time quarters by bands, columns are frames."""
    if mel.shape[2] != FRAMES:
        mel = nn.functional.interpolate(mel, (FRAMES, BANDS), mode="bicubic", align_corners=True)
    return mel.unflatten(2, (QUARTERS, -1)).transpose(3, 4).flatten(2, 3)


def unstack_quarters(x: Tensor) -> Tensor:
    """Tokens (B, T', F', D) of an image's tokens (B, H, W, D): the time quarters put one after another."""
    return x.unflatten(1, (QUARTERS, -1)).transpose(2, 3).flatten(1, 2)
