"""Heads: a readout from an encoder's tokens to features (B, D), and a classifier from features to logits (B, K)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.base.errors import BadInput
from bench.encoders.pooling import pool
from bench.finetune.recipe import HeadChoice
from bench.types import EncoderCard, Grid, Tokens


class Readout(nn.Module):
    """A network from an encoder's tokens to features.

    Attributes
    ----------
    width
        Number of features D; the output is (B, D) float32.
    pooling, layer
        The names under which a record lists the readout.
    """

    width: int
    pooling: str
    layer: int


class Pooled(Readout):
    """One of the encoder's own poolings, without parameters.

    Raises ``BadInput`` where the encoder does not offer ``pooling``; an empty name takes its default.
    """

    def __init__(self, card: EncoderCard, pooling: str):
        super().__init__()
        self.pooling = pooling or card.default_pooling
        if self.pooling not in card.dims:
            remedy = f"take one of {', '.join(card.dims)}"
            raise BadInput(card.id, f"does not offer pooling {self.pooling!r}", remedy)
        self.layer, self.width = card.pool_layer, card.dims[self.pooling]

    def forward(self, tokens: Tokens) -> Tensor:
        """Pool tokens to features (B, D)."""
        layers = tuple(grid._replace(hidden=grid.hidden.float()) for grid in tokens.layers)
        return pool(tokens._replace(layers=layers), self.layer, self.pooling).float()


class Attentive(Readout):
    """Attention pooling: learned queries weight the layer-normalised tokens x by softmax(q · x / √D).

    The weighted averages of all queries are concatenated. Queries start at 0, where the average is the mean.
    """

    pooling = "attentive"

    def __init__(self, card: EncoderCard, queries: int):
        super().__init__()
        token = _token_width(card)
        self.layer, self.width = card.pool_layer, queries * token
        self.norm = nn.LayerNorm(token)
        self.query = nn.Parameter(torch.zeros(queries, token))

    def forward(self, tokens: Tokens) -> Tensor:
        """Average tokens to features (B, queries · token width)."""
        x, counted = token_sequence(tokens.layers[self.layer])
        x = self.norm(x)
        match = x @ self.query.T / x.shape[-1] ** 0.5  # (B, N, Q)
        weight = match.masked_fill(~counted[..., None], -torch.inf).softmax(dim=1)
        return (weight.transpose(1, 2) @ x).flatten(1)


class Transformer(Readout):
    """Pre-norm transformer blocks over a class token and the clip's tokens; the class token is the clip's features.

    Raises ``BadInput`` where ``heads`` does not divide the token width.
    """

    pooling = "transformer"

    def __init__(self, card: EncoderCard, layers: int, heads: int, dropout: float):
        super().__init__()
        token = _token_width(card)
        if token % heads:
            raise BadInput("recipe: head", f"{heads} heads do not divide {token} channels", "take another number")
        self.layer, self.width = card.pool_layer, token
        self.start = nn.Parameter(0.02 * torch.randn(1, 1, token))
        self.norm, self.last = nn.LayerNorm(token), nn.LayerNorm(token)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(token, heads, 4 * token, dropout, "gelu", batch_first=True, norm_first=True)
            for _ in range(layers)
        )

    def forward(self, tokens: Tokens) -> Tensor:
        """Read the class token: features (B, token width)."""
        x, counted = token_sequence(tokens.layers[self.layer])
        x = torch.cat([self.start.expand(len(x), -1, -1), self.norm(x)], dim=1)
        hidden = F.pad(~counted, (1, 0), value=False)
        for block in self.blocks:
            x = block(x, src_key_padding_mask=hidden)
        return self.last(x[:, 0])


def token_sequence(grid: Grid) -> tuple[Tensor, Tensor]:
    """Flatten one layer's grid into a sequence of tokens.

    Returns
    -------
    tokens, counted
        (B, T' · F', D) float32, and (B, T' · F') bool, False for padding.
    """
    batch, times, bands, _ = grid.hidden.shape
    counted = torch.arange(times, device=grid.hidden.device) < grid.length[:, None]  # (B, T')
    counted = counted[:, :, None].expand(batch, times, bands)
    return grid.hidden.float().flatten(1, 2), counted.flatten(1)


def _token_width(card: EncoderCard) -> int:
    if "mean" not in card.dims:
        raise BadInput(card.id, "gives no tokens, only whole clips", 'take the head "linear" or "mlp"')
    return card.dims["mean"]


def build_readout(choice: HeadChoice, card: EncoderCard) -> Readout:
    """Build the readout of a recipe's head. Raises ``BadInput`` where the encoder does not offer what it reads."""
    if choice.kind == "attentive":
        return Attentive(card, choice.queries)
    if choice.kind == "transformer":
        return Transformer(card, choice.layers, choice.heads, choice.dropout)
    return Pooled(card, choice.pooling)


def build_classifier(choice: HeadChoice, width: int, classes: int) -> nn.Module:
    """Build the classifier from features (B, width) to logits (B, classes).

    It is a linear layer, for ``mlp`` behind a hidden layer of rectified units.
    """
    norms = {"none": None, "layer": nn.LayerNorm, "batch": nn.BatchNorm1d}
    layers: list[nn.Module] = []
    if norms[choice.norm]:
        layers.append(norms[choice.norm](width))
    if choice.kind == "mlp":
        layers += [nn.Linear(width, choice.hidden), nn.ReLU()]
        width = choice.hidden
    if choice.dropout:
        layers.append(nn.Dropout(choice.dropout))
    return nn.Sequential(*layers, nn.Linear(width, classes))
