"""The array that a protocol's probe is given, and the stored features that it is made of."""

from __future__ import annotations

import numpy as np

from bench.base.errors import BadInput, UnknownId
from bench.encoders.features.store import FeatureStore
from bench.encoders.pooling import SEQUENCES, STEPS, LayerPooling
from bench.types import ALL_LAYERS, EncoderCard, Protocol

_SEQUENCE_OF = {"tokens": "tokens", "layer-steps": "steps"}  # the pooling that a protocol's input is, whatever is asked
_EVERY_LAYER = ("layers", "layer-steps")
NOT_PER_LAYER = ("published", *SEQUENCES)  # poolings that a weighted sum of layers does not take by default


def resolve_layer_pooling(
    card: EncoderCard, pooling: str | None, layer: int | None, reads: str = "clip"
) -> LayerPooling:
    """Fills in the card's defaults, so that one (layer, pooling) has one name in every record.

    Parameters
    ----------
    card : EncoderCard
        The encoder that is asked.
    pooling : str or None
        A pooling of ``card.dims``; None takes the card's default.
    layer : int or None
        Counted from either end; None takes the card's pooled layer.
    reads : {"clip", "tokens", "layers", "layer-steps"}
        What the protocol's probe reads (``Protocol.reads``). ``tokens`` implies the pooling ``tokens`` whatever is
        asked for. ``layers`` implies ``ALL_LAYERS``, and ``mean`` where the card's default pooling does not exist for
        every layer. ``layer-steps`` implies ``ALL_LAYERS`` and the pooling ``steps``.

    Returns
    -------
    tuple of int and str
        The layer, counted from the last (-1), or ``ALL_LAYERS``; and the pooling.

    Raises
    ------
    UnknownId
        For a pooling or a layer that the card does not have.
    BadInput
        If the encoder cannot give what the probe reads.
    """
    if sequence := _SEQUENCE_OF.get(reads):
        pooling = sequence
        if pooling not in card.dims:
            raise BadInput(card.id, f"gives no {pooling}, only whole clips", "take the protocol linear")
    if reads == "layers" and pooling is None:
        pooling = "mean" if card.default_pooling in NOT_PER_LAYER else card.default_pooling
    pooling = pooling or card.default_pooling
    if pooling not in card.dims:
        raise UnknownId(f"pooling of {card.id}", pooling, card.dims)
    if reads in _EVERY_LAYER:
        if card.layers < 2:
            raise BadInput(card.id, "has one layer, and a mixture needs several", "take the protocol linear")
        if pooling == "published":
            raise BadInput(card.id, "'published' has no layers to mix", "take the pooling 'mean'")
        return ALL_LAYERS, pooling
    if layer is None:
        return card.pool_layer, pooling
    if not -card.layers <= layer < card.layers:
        raise UnknownId(f"layer of {card.id}", str(layer), map(str, range(card.layers)))
    # one name for one layer, so that -1 is the last of every encoder
    return (layer if layer < 0 else layer - card.layers), pooling


def required_features(card: EncoderCard, layer_pooling: LayerPooling, reads: str) -> list[LayerPooling]:
    """Lists the (layer, pooling) pairs that must be stored before ``probe_input`` can read what a probe ``reads``."""
    layer, pooling = layer_pooling
    if reads in _EVERY_LAYER:
        return [(k, pooling) for k in range(-card.layers, 0)]
    if reads == "tokens":
        return [layer_pooling, (layer, "mean")]  # the width of the mean is that of a token
    return [layer_pooling]


def probe_input(store: FeatureStore, card: EncoderCard, layer_pooling: LayerPooling, protocol: Protocol) -> np.ndarray:
    """Reads what the protocol's probe is given from stored features.

    Parameters
    ----------
    store : FeatureStore
        Holds every pair of ``required_features``.
    card : EncoderCard
        The encoder whose features are stored.
    layer_pooling : tuple of int and str
        As ``resolve_layer_pooling`` gives it.
    protocol : Protocol
        ``protocol.reads`` decides the shape.

    Returns
    -------
    ndarray of float32
        In the order of the rows: (N, P) for ``clip``, (N, T, D) for ``tokens``, (N, L, P) for ``layers`` and
        (N, L, ``STEPS``, D) for ``layer-steps``, the first layer first.

    Raises
    ------
    BadInput
        If layers of different widths would have to be mixed, or a clip has not been encoded.
    """
    features = [store.gather(each) for each in required_features(card, layer_pooling, protocol.reads)]
    if protocol.reads == "tokens":
        tokens, mean = features
        return tokens.reshape(len(tokens), -1, mean.shape[1])
    if protocol.reads == "clip":
        return features[0]
    if protocol.reads == "layer-steps":
        features = [values.reshape(len(values), STEPS, -1) for values in features]
    if len({values.shape[-1] for values in features}) > 1:
        widths = ", ".join(str(values.shape[-1]) for values in features)
        problem = f"its layers are of different widths ({widths}) and have no weighted sum"
        raise BadInput(card.id, problem, "take an encoder whose layers are alike, as a transformer's")
    return np.stack(features, axis=1)
