"""Pools an encoder's tokens into one vector per clip.

Every pooling counts only the tokens within ``Grid.length`` (``mean_valid``: within ``Grid.valid``), so padding in a
batch never enters. ``freq`` keeps the frequency axis: (B, T', F', D) -> (B, T', F' * D), F' outer, then the mean over
time (Niizumi et al., Masked modeling duo, ICASSP 2023, arXiv 2210.14648); the average of its F' bands is exactly
``mean``. ``tokens`` is for heads that need a sequence: (B, T', F', D) -> (B, STEPS * F' * D), the clip's tokens
averaged into ``STEPS`` equal steps in time. ``steps`` is the same averaged over the bands, (B, STEPS * D): short enough
to be kept of every layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.base.errors import BadInput, UnknownId
from bench.types import Grid, Tokens

if TYPE_CHECKING:
    from torch import Tensor

VECTORS = ("published", "mean", "mean_valid", "max", "cls", "mean+max", "[mean,max]", "[mean,std]", "freq")
SEQUENCES = ("tokens", "steps")  # several vectors of a clip, one behind the other
POOLINGS = VECTORS + SEQUENCES
STEPS = 8  # in time, of sequences

LayerPooling = tuple[int, str]  # (layer, pooling), the layer counted from the last one, -1


def pool(tokens: Tokens, layer: int = -1, pooling: str = "mean") -> Tensor:
    """Pools one layer's tokens.

    ``published`` is the authors' own embedding and has no layer. ``mean+max`` is the sum of both (as BYOL-A and PANNs
    publish it), ``[mean,max]`` and ``[mean,std]`` (population standard deviation) are concatenated; all are taken
    over time and frequency at once, but for ``freq``, ``tokens`` and ``steps``. ``mean_valid`` averages tokens over
    real audio; where the encoder averages no padding it equals ``mean``. ``tokens`` takes real audio alone too: of n
    tokens, step s averages those from floor(s n / 8) up to floor((s + 1) n / 8); a clip of fewer than 8 repeats token
    floor(s n / 8). ``steps`` is their mean over the bands.

    Parameters
    ----------
    tokens : Tokens
        What an encoder answers for a batch of B clips.
    layer : int
        Counted from either end.
    pooling : str
        One of ``POOLINGS``.

    Returns
    -------
    Tensor, (B, P)
        P is D for ``mean``, ``mean_valid``, ``max``, ``cls`` and ``mean+max``, 2 D for ``[mean,max]`` and
        ``[mean,std]``, F' D for ``freq``, 8 F' D for ``tokens``, 8 D for ``steps``.

    Raises
    ------
    UnknownId
        For a pooling that does not exist.
    BadInput
        For a pooling that this encoder cannot give, a layer out of range, or a clip without tokens.
    """
    import torch

    if pooling not in POOLINGS:
        raise UnknownId("pooling", pooling, POOLINGS)
    if pooling == "published":
        if tokens.clip is None:
            raise BadInput("pooling 'published'", "this encoder has no published clip embedding", "take 'mean'")
        return tokens.clip
    grid = _layer(tokens, layer)
    if pooling == "cls":
        if grid.cls is None:
            raise BadInput("pooling 'cls'", f"layer {grid.name} has no class token", "take 'mean'")
        return grid.cls
    if pooling == "mean_valid" and grid.valid is not None:
        return _mean(grid.hidden, _counted(grid, grid.valid)).mean(dim=1)
    if pooling in SEQUENCES:
        steps = _steps(grid.hidden, _counted(grid, grid.length if grid.valid is None else grid.valid))
        return (steps if pooling == "tokens" else steps.mean(dim=2)).flatten(1)
    length = _counted(grid, grid.length)
    if pooling == "max":
        return _max(grid.hidden, length)
    mean = _mean(grid.hidden, length)  # (B, F', D)
    if pooling == "freq":
        return mean.flatten(1)
    mean = mean.mean(dim=1)
    match pooling:
        case "mean+max":
            return mean + _max(grid.hidden, length)
        case "[mean,max]":
            return torch.cat([mean, _max(grid.hidden, length)], dim=1)
        case "[mean,std]":
            variance = _mean((grid.hidden - mean[:, None, None]).square(), length).mean(dim=1)
            # a square root has no gradient at 0, which one token or a constant channel gives
            deviation = torch.where(variance > 0, variance, 1.0).sqrt() * (variance > 0)
            return torch.cat([mean, deviation], dim=1)
    return mean


def _layer(tokens: Tokens, layer: int) -> Grid:
    """One layer's grid. Raises ``BadInput`` for a layer out of range."""
    n = len(tokens.layers)
    if not -n <= layer < n:
        raise BadInput(f"layer {layer}", f"this encoder has {n} layers", f"take one of {-n} to {n - 1}")
    return tokens.layers[layer]


def _counted(grid: Grid, length: Tensor) -> Tensor | None:
    """Token counts (B,), or None where every token counts and no mask is needed. Raises ``BadInput``."""
    longest = grid.hidden.shape[1]
    if bool((length < 1).any()) or bool((length > longest).any()):
        problem = f"a clip counts {int(length.min())} to {int(length.max())} tokens of {longest}"
        raise BadInput(f"layer {grid.name}", problem, "every clip needs at least one; check the encoder's min_s")
    return None if bool((length == longest).all()) else length


def _counts(hidden: Tensor, length: Tensor) -> Tensor:
    """True (B, T', 1, 1) for the tokens that count."""
    import torch

    return (torch.arange(hidden.shape[1], device=hidden.device) < length[:, None])[:, :, None, None]


def _mean(hidden: Tensor, length: Tensor | None) -> Tensor:
    """Mean over the counted tokens in time: (B, F', D)."""
    if length is None:
        return hidden.mean(dim=1)
    total = hidden.masked_fill(~_counts(hidden, length), 0.0).sum(dim=1)
    return total / length[:, None, None].to(total.dtype)


def _steps(hidden: Tensor, length: Tensor | None) -> Tensor:
    """Means over ``STEPS`` equal parts of the counted tokens in time: (B, STEPS, F', D)."""
    import torch

    batch, longest = hidden.shape[:2]
    if length is None:
        length = torch.full((batch,), longest, device=hidden.device)
    else:
        hidden = hidden.masked_fill(~_counts(hidden, length), 0.0)
    edge = torch.arange(STEPS + 1, device=hidden.device) * length[:, None] // STEPS  # (B, STEPS + 1)
    first, end = edge[:, :-1, None], torch.maximum(edge[:, 1:], edge[:, :-1] + 1)[:, :, None]
    place = torch.arange(longest, device=hidden.device)
    share = ((place >= first) & (place < end)) / (end - first).to(hidden.dtype)  # (B, STEPS, T')
    return (share @ hidden.flatten(2)).unflatten(2, hidden.shape[2:])


def _max(hidden: Tensor, length: Tensor | None) -> Tensor:
    """Maximum over the counted tokens in time and over frequency: (B, D)."""
    if length is not None:
        hidden = hidden.masked_fill(~_counts(hidden, length), -float("inf"))
    return hidden.amax(dim=(1, 2))
