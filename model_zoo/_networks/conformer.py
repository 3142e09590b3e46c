"""Conformer blocks of w2v-BERT 2.0, with the tensor names that they are released under on the Hub.

Gulati et al., Conformer: Convolution-augmented transformer for speech recognition, Interspeech 2020 (arXiv 2005.08100);
Seamless Communication, Seamless: Multilingual expressive and streaming speech translation, 2023 (arXiv 2312.05187),
section 3.2.1; relative positions as in Shaw et al., Self-attention with relative position representations, NAACL 2018
(arXiv 1803.02155), those of keys, from 64 tokens before to 8 behind. A query meets only 73 different positions: their
products are computed once and laid out over the keys, where transformers' own model expands the table for every pair.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from model_zoo._adapters import row_ends

EPS = 1e-5  # of every layer norm
LEFT, RIGHT = 64, 8  # tokens beyond which a relative position is no further away


class Geometry(NamedTuple):
    """Channels, number of blocks, heads, channels inside a feed-forward module, taps of the convolution, input size."""

    width: int
    depth: int
    heads: int
    hidden: int
    kernel: int
    inputs: int


class FeedForward(nn.Module):
    """Two linear layers with a SiLU between them."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.intermediate_dense, self.output_dense = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.output_dense(nn.functional.silu(self.intermediate_dense(x)))


class Attention(nn.Module):
    """Self-attention over (B, N, D) with relative positions of keys."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.linear_q, self.linear_k, self.linear_v = (nn.Linear(width, width) for _ in range(3))
        self.linear_out = nn.Linear(width, width)
        self.distance_embedding = nn.Embedding(LEFT + 1 + RIGHT, width // heads)

    def forward(self, x: Tensor, places: Tensor, mask: Tensor | None) -> Tensor:
        """``places`` (N, N) as ``relative_places``; ``mask`` broadcasts to (B, heads, N, N), True where attended to."""
        q, k, v = (
            linear(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for linear in (self.linear_q, self.linear_k, self.linear_v)
        )
        met = (q @ self.distance_embedding.weight.T) / q.shape[-1] ** 0.5  # (B, heads, N, 73)
        bias = met.gather(3, places.expand(*met.shape[:2], -1, -1))
        if mask is not None:
            bias = bias.masked_fill(~mask, -torch.inf)
        return self.linear_out(nn.functional.scaled_dot_product_attention(q, k, v, bias).transpose(1, 2).flatten(2))


def relative_places(count: int, device: torch.device) -> Tensor:
    """(count, count) int64: which of the 73 relative positions key j has as seen from query i."""
    steps = torch.arange(count, device=device)
    return (steps - steps[:, None]).clamp(-LEFT, RIGHT) + LEFT


class Convolution(nn.Module):
    """Gated causal convolution over (B, N, D): what lies behind a row's end reaches none of its tokens."""

    def __init__(self, width: int, kernel: int):
        super().__init__()
        self.layer_norm = nn.LayerNorm(width, EPS)
        self.pointwise_conv1 = nn.Conv1d(width, 2 * width, 1, bias=False)
        self.depthwise_conv = nn.Conv1d(width, width, kernel, groups=width, bias=False)
        self.depthwise_layer_norm = nn.LayerNorm(width, EPS)
        self.pointwise_conv2 = nn.Conv1d(width, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gated = nn.functional.glu(self.pointwise_conv1(self.layer_norm(x).transpose(1, 2)), dim=1)
        mixed = self.depthwise_conv(nn.functional.pad(gated, (self.depthwise_conv.kernel_size[0] - 1, 0)))
        active = nn.functional.silu(self.depthwise_layer_norm(mixed.transpose(1, 2)))
        return self.pointwise_conv2(active.transpose(1, 2)).transpose(1, 2)


class Block(nn.Module):
    """Half a feed-forward module, attention, convolution, the other half, each with a residual; a norm at the end."""

    def __init__(self, geometry: Geometry):
        super().__init__()
        width = geometry.width
        self.ffn1_layer_norm, self.ffn1 = nn.LayerNorm(width, EPS), FeedForward(width, geometry.hidden)
        self.self_attn_layer_norm, self.self_attn = nn.LayerNorm(width, EPS), Attention(width, geometry.heads)
        self.conv_module = Convolution(width, geometry.kernel)
        self.ffn2_layer_norm, self.ffn2 = nn.LayerNorm(width, EPS), FeedForward(width, geometry.hidden)
        self.final_layer_norm = nn.LayerNorm(width, EPS)

    def forward(self, x: Tensor, places: Tensor, mask: Tensor | None) -> Tensor:
        x = x + 0.5 * self.ffn1(self.ffn1_layer_norm(x))
        x = x + self.self_attn(self.self_attn_layer_norm(x), places, mask)
        x = x + self.conv_module(x)
        return self.final_layer_norm(x + 0.5 * self.ffn2(self.ffn2_layer_norm(x)))


class Conformer(nn.Module):
    """The projection of the input and the blocks: x (B, N, inputs) to every block's output (B, N, D)."""

    def __init__(self, geometry: Geometry):
        super().__init__()
        self.feature_projection = nn.ModuleDict(
            {"layer_norm": nn.LayerNorm(geometry.inputs, EPS), "projection": nn.Linear(geometry.inputs, geometry.width)}
        )
        self.encoder = nn.ModuleDict({"layers": nn.ModuleList(Block(geometry) for _ in range(geometry.depth))})

    def forward(self, x: Tensor, rows: row_ends.Rows | None = None) -> list[Tensor]:
        x = self.feature_projection["projection"](self.feature_projection["layer_norm"](x))
        places, mask, outputs = relative_places(x.shape[1], x.device), row_ends.attended(rows), []
        for block in self.encoder["layers"]:
            x = block(x, places, mask)
            outputs.append(x)
        return outputs
