"""What determines the numbers of a record: the fields whose hash is its key."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from bench.data.manifest import Prepared
from bench.encoders.features.store import store_spec
from bench.probe import protocols
from bench.scores import records
from bench.scores.schema import DataIdentity, Spec
from bench.types import Encoder, Protocol, TaskCard


def result_spec(
    card: TaskCard,
    prepared: Prepared,
    protocol: Protocol,
    seed: int,
    *,
    encoder: str,
    encoder_version: int,
    layer: int,
    pooling: str,
    clip: str,
    weights: str,
    parameters: str,
    statistics: str,
    resampler: str,
    dtype: str,
    settings: str = "",
    code: str = "",
    device: str | None = None,
    recipe: dict[str, Any] | None = None,
) -> Spec:
    """The identity of a result, of every kind: its hash is the record's key.

    Parameters
    ----------
    card, prepared
        The task and the clips at hand.
    protocol
        The protocol whose name, version and kind enter.
    encoder, encoder_version, layer, pooling, clip, weights, parameters, statistics, resampler, dtype
        As ``bench.scores.schema.Spec`` describes them.
    settings, code
        Likewise; empty where there is none.
    device, recipe
        Of a fine-tuned encoder alone.
    """
    spec: Spec = {
        **data_identity(card, prepared),
        "encoder": encoder,
        "encoder_version": encoder_version,
        "weights": weights,
        "parameters": parameters,
        "layer": layer,
        "pooling": pooling,
        "clip": clip,
        "resampler": resampler,
        "dtype": dtype,
        "statistics": statistics,
        "protocol": protocol.name,
        "protocol_version": protocol.version,
        "kind": protocol.kind,
        "seed": seed,
    }
    if settings:
        spec["settings"] = settings
    if code:
        spec["code"] = code
    if device is not None:
        spec["device"] = device
    if recipe is not None:
        spec["recipe"] = recipe
    return spec


def encoder_spec(
    encoder: Encoder,
    card: TaskCard,
    prepared: Prepared,
    protocol: str,
    seed: int,
    layer: int,
    pooling: str,
    clip: str = "native",
    store: Mapping[str, Any] | None = None,
) -> Spec:
    """The identity of a frozen encoder's result.

    Parameters
    ----------
    encoder
        As loaded; its parameters are digested as they are now.
    protocol, clip
        Names of a protocol and of a clip policy.
    layer, pooling
        As ``bench.encoders.probe_inputs.resolve_layer_pooling`` names them.
    store
        The ``bench.encoders.features.store.store_spec`` of the features, if that is known already.
    """
    under_clip = protocols.get(protocol, clip)
    store = store or store_spec(encoder, prepared, under_clip.clip)
    return result_spec(
        card,
        prepared,
        under_clip,
        seed,
        encoder=encoder.card.id,
        encoder_version=encoder.card.version,
        layer=layer,
        pooling=pooling,
        clip=under_clip.clip,
        settings=encoder.card.settings,
        code=encoder.card.code,
        **{name: store[name] for name in ("weights", "parameters", "statistics", "resampler", "dtype")},
    )


def control_spec(name: str, card: TaskCard, prepared: Prepared, seed: int) -> Spec:
    """The identity of a label-only control row, which has no encoder."""
    absent = "none"
    return result_spec(
        card,
        prepared,
        protocols.get("control"),
        seed,
        encoder=name,
        encoder_version=1,
        layer=-1,
        pooling=absent,
        clip=absent,
        weights=absent,
        parameters=absent,
        statistics=absent,
        resampler=absent,
        dtype=absent,
    )


def data_identity(card: TaskCard, prepared: Prepared) -> DataIdentity:
    """What a task and the data at hand contribute to the identity of a result."""
    excluded = "\n".join(sorted([*map(str, prepared.excluded), *prepared.short]))
    return {
        "schema": records.SCHEMA,
        "task": card.id,
        "task_version": card.version,
        "manifest": prepared.digest,
        "state": prepared.state,
        "excluded": hashlib.sha256(excluded.encode()).hexdigest() if excluded else "",
    }
