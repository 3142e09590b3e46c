"""The network of BEATs.

Patches, convolutional positions, and deep-norm blocks whose attention has a gated position bias (Chen et al., BEATs,
ICML 2023, arXiv 2212.09058; the gate is WavLM's, Chen et al., 2022, arXiv 2110.13900; the residual scaling is
DeepNet's, Wang et al., 2022, arXiv 2203.00555). Tensor names are those of the release.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class Geometry(NamedTuple):
    """Sizes of the network.

    ``embed`` are the channels of a patch before its projection to ``width``; ``kernel`` and ``groups`` belong to the
    convolutional positions, ``buckets`` and ``distance`` to the relative ones.
    """

    layers: int = 12
    width: int = 768
    hidden: int = 3072
    heads: int = 12
    embed: int = 512
    patch: int = 16
    patch_bias: bool = False
    kernel: int = 128
    groups: int = 16
    buckets: int = 320
    distance: int = 800
    deep_norm: bool = True


class PositionConvolution(nn.Module):
    """Grouped convolution over the token sequence: (B, D, N) to (B, D, N).

    The weight has one norm ``weight_g`` per kernel position.
    """

    def __init__(self, size: Geometry):
        super().__init__()
        self.groups, self.kernel = size.groups, size.kernel
        self.bias = nn.Parameter(torch.zeros(size.width))
        self.weight_g = nn.Parameter(torch.ones(1, 1, size.kernel))
        self.weight_v = nn.Parameter(torch.ones(size.width, size.width // size.groups, size.kernel))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight_v * (self.weight_g / self.weight_v.norm(dim=(0, 1), keepdim=True))
        out = functional.conv1d(x, weight, self.bias, padding=self.kernel // 2, groups=self.groups)
        return functional.gelu(out[..., : x.shape[2]])  # an even kernel gives one output too many


class Attention(nn.Module):
    """Self-attention over (B, N, D) with a position bias (1, heads, N, N) that every query scales by its own gate.

    The original divides its queries by 32, subtracts each row's largest score and multiplies by 32 again, which
    guards half precision and changes nothing else: a softmax is blind to what is added to a whole row.
    """

    def __init__(self, size: Geometry, owns_bias: bool):
        super().__init__()
        self.heads = size.heads
        self.q_proj, self.k_proj = nn.Linear(size.width, size.width), nn.Linear(size.width, size.width)
        self.v_proj, self.out_proj = nn.Linear(size.width, size.width), nn.Linear(size.width, size.width)
        self.grep_linear = nn.Linear(size.width // size.heads, 8)
        self.grep_a = nn.Parameter(torch.ones(1, size.heads, 1, 1))
        if owns_bias:  # one table serves all blocks
            self.relative_attention_bias = nn.Embedding(size.buckets, size.heads)

    def forward(self, x: Tensor, bias: Tensor, hidden: Tensor | None) -> Tensor:
        """``hidden`` (B, 1, 1, N) is True where a token must not be attended to."""
        q, k, v = (f(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for f in (self.q_proj, self.k_proj, self.v_proj))
        inner, outer = self.grep_linear(q).unflatten(3, (2, 4)).sum(dim=4).sigmoid().split(1, dim=3)  # (B, heads, N, 1)
        bias = (inner * (outer * self.grep_a - 1) + 2) * bias
        if hidden is not None:
            bias = bias.masked_fill(hidden, -torch.inf)
        y = functional.scaled_dot_product_attention(q, k, v, bias.to(q.dtype))
        return self.out_proj(y.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and MLP, each normalised after a residual connection that is scaled up by ``alpha``."""

    def __init__(self, size: Geometry, owns_bias: bool):
        super().__init__()
        self.alpha = (2 * size.layers) ** 0.25 if size.deep_norm else 1.0
        self.self_attn = Attention(size, owns_bias)
        self.self_attn_layer_norm, self.final_layer_norm = nn.LayerNorm(size.width), nn.LayerNorm(size.width)
        self.fc1, self.fc2 = nn.Linear(size.width, size.hidden), nn.Linear(size.hidden, size.width)

    def forward(self, x: Tensor, bias: Tensor, hidden: Tensor | None) -> Tensor:
        x = self.self_attn_layer_norm(x * self.alpha + self.self_attn(x, bias, hidden))
        return self.final_layer_norm(x * self.alpha + self.fc2(functional.gelu(self.fc1(x))))


class Transformer(nn.Module):
    """Positions, then the blocks."""

    def __init__(self, size: Geometry):
        super().__init__()
        self.size = size
        self.pos_conv = nn.ModuleList([PositionConvolution(size)])
        self.layers = nn.ModuleList(Block(size, owns_bias=i == 0) for i in range(size.layers))
        self.layer_norm = nn.LayerNorm(size.width)

    def position_bias(self, n: int, device: torch.device) -> Tensor:
        """The bias (1, heads, n, n) of every pair (query, key) of n tokens."""
        at = torch.arange(n, device=device)
        rows = buckets(at[None] - at[:, None], self.size.buckets, self.size.distance)
        return self.layers[0].self_attn.relative_attention_bias(rows).permute(2, 0, 1)[None]

    def forward(self, x: Tensor, hidden: Tensor | None) -> list[Tensor]:
        """Every block's output (B, N, D) of x (B, N, D); ``hidden`` (B, N) is True for tokens that are padding."""
        if hidden is not None:
            x, hidden = x.masked_fill(hidden[..., None], 0.0), hidden[:, None, None]
        x = self.layer_norm(x + self.pos_conv[0](x.transpose(1, 2)).transpose(1, 2))
        bias, outputs = self.position_bias(x.shape[1], x.device), []
        for layer in self.layers:
            x = layer(x, bias, hidden)
            outputs.append(x)
        return outputs


class Beats(nn.Module):
    """Spectrograms to patches, patches to tokens."""

    def __init__(self, size: Geometry):
        super().__init__()
        self.post_extract_proj = nn.Linear(size.embed, size.width) if size.embed != size.width else nn.Identity()
        self.patch_embedding = nn.Conv2d(1, size.embed, size.patch, size.patch, bias=size.patch_bias)
        self.encoder = Transformer(size)
        self.layer_norm = nn.LayerNorm(size.embed)

    def patches(self, fbank: Tensor) -> Tensor:
        """Embeddings (B, T' * F', D), time-major, of fbank (B, frames, bands).

        The last frames that do not fill a patch are left out.
        """
        patches = self.patch_embedding(fbank[:, None]).flatten(2).transpose(1, 2)
        return self.post_extract_proj(self.layer_norm(patches))

    def forward(self, patches: Tensor, hidden: Tensor | None = None) -> list[Tensor]:
        """Every block's output (B, T' * F', D); ``hidden`` as the transformer's."""
        return self.encoder(patches, hidden)


def buckets(distance: Tensor, count: int, longest: int) -> Tensor:
    """Bucket of each signed distance (key minus query).

    Half of the ``count`` buckets are for each sign, in each half one per distance at first, then logarithmically wider
    ones up to ``longest`` (Raffel et al., 2020, arXiv 1910.10683).
    """
    half = count // 2
    exact, far = half // 2, distance.abs()
    scale = far.clamp_min(exact).float().div(exact).log() / math.log(longest / exact)
    wide = (exact + (scale * (half - exact)).long()).clamp_max(half - 1)
    return torch.where(far < exact, far, wide) + half * (distance > 0)


def initialise(net: Beats) -> None:
    """Initialises the network as the original does, from torch's global generator.

    Matrices are N(0, 0.02), biases zero; deep norm's blocks are Xavier-normal, and their values, outputs and MLPs start
    smaller the deeper the network is.
    """
    size = net.encoder.size
    for part in net.modules():
        if isinstance(part, (nn.Linear, nn.Embedding)):
            nn.init.normal_(part.weight, std=0.02)
        if isinstance(part, nn.Linear):
            nn.init.zeros_(part.bias)
    convolution = net.encoder.pos_conv[0]
    nn.init.normal_(convolution.weight_v, std=math.sqrt(4 / (size.kernel * size.width)))
    convolution.weight_g.data = convolution.weight_v.data.norm(dim=(0, 1), keepdim=True)
    if size.deep_norm:
        beta = (8 * size.layers) ** -0.25
        for block in net.encoder.layers:
            for part in (block.self_attn.q_proj, block.self_attn.k_proj):
                nn.init.xavier_normal_(part.weight)
            for part in (block.self_attn.v_proj, block.self_attn.out_proj, block.fc1, block.fc2):
                nn.init.xavier_normal_(part.weight, gain=beta)
