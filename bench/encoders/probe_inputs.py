"""What a protocol's probe is handed: which layers and poolings it takes, and the array made of them."""

from __future__ import annotations

import numpy as np

from bench.base.errors import BadInput, UnknownId
from bench.encoders.features import FeatureStore, Want
from bench.types import ALL_LAYERS, EncoderCard, Protocol

UNMIXED = ("published", "tokens")  # poolings that a mixture of layers does not default to


def choice(card: EncoderCard, pooling: str | None, layer: int | None, reads: str = "clip") -> Want:
    """(layer, pooling) with the card's defaults filled in, as a record names them: one layer is counted from the last.

    A protocol that reads ``tokens`` has that pooling whatever is asked for; one that reads ``layers`` has
    ``ALL_LAYERS``, and ``mean`` where the card's default is no pooling of every layer. Raises ``UnknownId`` for a
    pooling or layer that the card does not have, ``BadInput`` where it cannot give what is read.
    """
    if reads == "tokens":
        pooling = "tokens"
        if pooling not in card.dims:
            raise BadInput(card.id, "gives no tokens, only whole clips", "take the protocol linear")
    if reads == "layers" and pooling is None:
        pooling = "mean" if card.default_pooling in UNMIXED else card.default_pooling
    pooling = pooling or card.default_pooling
    if pooling not in card.dims:
        raise UnknownId(f"pooling of {card.id}", pooling, card.dims)
    if reads == "layers":
        if card.layers < 2:
            raise BadInput(card.id, "has one layer, and layer-mix needs several", "take the protocol linear")
        if pooling == "published":
            raise BadInput(card.id, "'published' has no layers to mix", "take the pooling 'mean'")
        return ALL_LAYERS, pooling
    if layer is None:
        return card.pool_layer, pooling
    if not -card.layers <= layer < card.layers:
        raise UnknownId(f"layer of {card.id}", str(layer), map(str, range(card.layers)))
    # one name for one layer, so that -1 is the last of every encoder
    return (layer if layer < 0 else layer - card.layers), pooling


def sources(card: EncoderCard, want: Want, reads: str) -> list[Want]:
    """What has to be encoded for a choice."""
    layer, pooling = want
    if reads == "layers":
        return [(k, pooling) for k in range(-card.layers, 0)]
    return [want, (layer, "mean")] if reads == "tokens" else [want]  # the mean's width is a token's


def features(store: FeatureStore, card: EncoderCard, want: Want, named: Protocol) -> np.ndarray:
    """Float32 in the order of the rows: (N, D) of a clip, (N, T, D) of tokens, (N, L, D) of layers, the first layer
    first. Raises ``BadInput`` for layers of different widths."""
    found = [store.gather(source) for source in sources(card, want, named.reads)]
    if named.reads == "tokens":
        tokens, mean = found
        return tokens.reshape(len(tokens), -1, mean.shape[1])
    if named.reads == "clip":
        return found[0]
    if len({values.shape[1] for values in found}) > 1:
        widths = ", ".join(str(values.shape[1]) for values in found)
        problem = f"its layers are of different widths ({widths}) and have no weighted sum"
        raise BadInput(card.id, problem, "take an encoder whose layers are alike, as a transformer's")
    return np.stack(found, axis=1)
