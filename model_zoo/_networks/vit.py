"""Transformer blocks with the tensor names that masked autoencoders of audio are released under.

Dosovitskiy et al., An image is worth 16x16 words, ICLR 2021 (arXiv 2010.11929): blocks
``blocks.N.{norm1, attn.qkv, attn.proj, norm2, mlp.fc1, mlp.fc2}``, patch embedding ``patch_embed.proj``; He et al.,
Masked autoencoders are scalable vision learners, CVPR 2022 (arXiv 2111.06377): the encoder around them. Geometry is
read from the tensors: heads = width // 64, as in every release of the family.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from bench.base.errors import CheckpointError
from model_zoo._adapters.checkpoint import HEAD, attention_heads
from model_zoo._adapters.row_ends import Rows, ends, pieces_of

EPS = 1e-6  # of every layer norm


class Geometry(NamedTuple):
    """Sizes of a stack of blocks: channels, number of blocks, channels inside the MLP, whether qkv has a bias.

    ``gelu`` is the approximation of the MLP's GELU: ``none``, which is exact, or ``tanh``. ``head`` are the channels of
    one attention head. ``norm_first``: layer norms come before attention and MLP, otherwise behind their residuals.
    """

    width: int
    depth: int
    hidden: int
    bias: bool = True
    gelu: str = "none"
    head: int = HEAD
    norm_first: bool = True


def read_geometry(tensors: Mapping[str, Tensor], where: object, bias: bool = True) -> Geometry:
    """The geometry of the blocks in ``tensors``; whether qkv has a ``bias`` is the family's to say.

    A file that lost its biases would otherwise pass for one that never had any. Raises ``CheckpointError`` when there
    are no blocks.
    """
    try:
        hidden, width = tensors["blocks.0.mlp.fc1.weight"].shape
        depth = 1 + max(int(key.split(".")[1]) for key in tensors if key.startswith("blocks."))
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            where, f"lacks the tensors of a vision transformer ({error})", "check that the file belongs to this encoder"
        ) from error
    attention_heads(width, where)
    return Geometry(width, depth, hidden, bias)


class Attention(nn.Module):
    """Multi-head self-attention over (B, N, D)."""

    def __init__(self, width: int, bias: bool, head: int = HEAD):
        super().__init__()
        self.qkv, self.proj, self.head = nn.Linear(width, 3 * width, bias=bias), nn.Linear(width, width), head

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """``mask`` broadcasts to (B, heads, N, N): True where a token may be attended to."""
        q, k, v = self.qkv(x).unflatten(2, (3, -1, self.head)).permute(2, 0, 3, 1, 4)  # each (B, heads, N, head)
        return self.proj(nn.functional.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, width: int, hidden: int, gelu: str = "none"):
        super().__init__()
        self.fc1, self.fc2, self.gelu = nn.Linear(width, hidden), nn.Linear(hidden, width), gelu

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(nn.functional.gelu(self.fc1(x), approximate=self.gelu))


class Block(nn.Module):
    """Attention and MLP, each with a residual connection and a layer norm before it or behind the sum."""

    def __init__(self, geometry: Geometry):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(geometry.width, EPS), nn.LayerNorm(geometry.width, EPS)
        self.attn = Attention(geometry.width, geometry.bias, geometry.head)
        self.mlp = Mlp(geometry.width, geometry.hidden, geometry.gelu)
        self.norm_first = geometry.norm_first

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if not self.norm_first:
            x = self.norm1(x + self.attn(x, mask))
            return self.norm2(x + self.mlp(x))
        x = x + self.attn(self.norm1(x), mask)
        return x + self.mlp(self.norm2(x))


class Patches(nn.Module):
    """Convolutional patch embedding ``proj``: (B, 1, H, W) to (B, D, H', W')."""

    def __init__(self, width: int, patch: tuple[int, int]):
        super().__init__()
        self.proj = nn.Conv2d(1, width, patch, patch)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x)


class PatchEncoder(nn.Module):
    """The encoder half of a masked autoencoder: class token, position table, patches, blocks and a final norm.

    ``grid`` is the number of patches (down, across) that the position table covers; smaller images take its first
    rows and columns.
    """

    def __init__(self, geometry: Geometry, patch: tuple[int, int], grid: tuple[int, int]):
        super().__init__()
        self.grid = grid
        self.cls_token = nn.Parameter(torch.zeros(1, 1, geometry.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + grid[0] * grid[1], geometry.width))
        self.patch_embed = Patches(geometry.width, patch)
        self.blocks = blocks(geometry)
        self.norm = nn.LayerNorm(geometry.width, EPS)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> list[Tensor]:
        """Every block's output (B, 1 + N, D) for x (B, D, H', W'), which ``patch_embed`` gives.

        The class token comes first, then the patches row by row; ``mask`` is that of the attention; ``norm`` is not
        applied.
        """
        positions = self.pos_embed[:, 1:].unflatten(1, self.grid)[:, : x.shape[2], : x.shape[3]]
        x = x.flatten(2).transpose(1, 2) + positions.flatten(1, 2)
        first = (self.cls_token + self.pos_embed[:, :1]).expand(len(x), -1, -1)
        return list(outputs(self.blocks, torch.cat([first, x], dim=1), mask))

    def initialise(self) -> None:
        """Initialises the encoder as masked autoencoders are, with sinusoidal positions."""
        initialise(self)
        with torch.no_grad():
            self.pos_embed.zero_()[0, 1:] = sinusoids(self.pos_embed.shape[2], self.grid)


def blocks(geometry: Geometry) -> nn.ModuleList:
    """The stack, to be kept under the name ``blocks``."""
    return nn.ModuleList(Block(geometry) for _ in range(geometry.depth))


def outputs(stack: nn.ModuleList, x: Tensor, mask: Tensor | None = None) -> Iterator[Tensor]:
    """Every block's output (B, N, D) in order."""
    for block in stack:
        x = block(x, mask)
        yield x


def initialise(module: nn.Module) -> None:
    """Initialises a network as masked autoencoders are (He et al., CVPR 2022), from torch's global generator.

    Matrices are Xavier-uniform, biases zero, class tokens and position tables normal with standard deviation 0.02.
    """
    for part in module.modules():
        if isinstance(part, (nn.Linear, nn.Conv2d)):
            nn.init.xavier_uniform_(part.weight.view(len(part.weight), -1))
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    for name, parameter in module.named_parameters():
        if name.rpartition(".")[2] in ("cls_token", "pos_embed"):
            nn.init.normal_(parameter, std=0.02)


def sinusoids(width: int, grid: tuple[int, int]) -> Tensor:
    """Two-dimensional position table (rows * columns, width).

    Sine and cosine of the column, then of the row, at wavelengths from 2 pi to 20,000 pi.
    """
    frequency = 10000.0 ** -(torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    row, column = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in grid), indexing="ij")
    angles = [place.flatten()[:, None] * frequency for place in (column, row)]
    return torch.cat([wave for angle in angles for wave in (angle.sin(), angle.cos())], dim=1).to(torch.float32)


def chunked(x: Tensor, size: int, encode: Callable[[Tensor], list[Tensor]], whole: int | None = None) -> list[Tensor]:
    """Applies ``encode`` to consecutive chunks of ``size`` along dimension 1 of x (B, N, ...) and joins the results.

    ``whole`` chunks, by default all that are full, go through it as one batch, what remains as another.
    """
    whole = x.shape[1] // size if whole is None else whole
    parts = []
    if whole:
        chunks = x[:, : whole * size].unflatten(1, (whole, size)).flatten(0, 1)
        parts.append([y.unflatten(0, (-1, whole)).flatten(1, 2) for y in encode(chunks)])
    if x.shape[1] > whole * size:
        parts.append(encode(x[:, whole * size :]))
    return [torch.cat(part, dim=1) for part in zip(*parts, strict=True)]


def chunked_rows(
    x: Tensor, rows: Rows, size: int, encode: Callable[[Tensor, Rows | None], list[Tensor]]
) -> list[Tensor]:
    """As ``chunked``, of a ragged batch x (B, N, ...): each row is cut and joined within its own end.

    The full chunks of all rows go through ``encode`` as one batch, what remains of each as another, with its rows.
    """
    full, tails = [n // size for n in rows.counts], [n % size for n in rows.counts]
    parts: list[list[list[Tensor]]] = []  # of the full chunks, of the tails: of each output, by row
    if any(full):
        chunks = pieces_of(x, full, size)
        parts.append([[part.flatten(0, 1) for part in y.split(full)] for y in encode(chunks, None)])
    if any(tails):
        starts = [(row[n * size :], tail) for row, n, tail in zip(x, full, tails, strict=True) if tail]
        last = pad_sequence([row[:tail] for row, tail in starts], batch_first=True)
        answers = encode(last, ends([tail for _, tail in starts], 1, x.device))
        places = [sum(map(bool, tails[:i])) for i in range(len(tails))]  # of the rows among those with a tail
        parts.append(
            [[y[at : at + bool(tail)].flatten(0, 1)[:tail] for at, tail in zip(places, tails)] for y in answers]
        )
    joined = ([torch.cat(pieces) for pieces in zip(*by_row, strict=True)] for by_row in zip(*parts, strict=True))
    return [pad_sequence(clips, batch_first=True) for clips in joined]
