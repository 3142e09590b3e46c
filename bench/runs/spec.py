"""What determines the numbers of a record: the fields whose hash is its key."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from bench.data.manifest import Prepared
from bench.encoders.features import store_spec
from bench.probe import protocols
from bench.scores import records
from bench.types import Encoder, TaskCard


def encoder_spec(
    encoder: Encoder,
    card: TaskCard,
    prepared: Prepared,
    protocol: str,
    seed: int,
    layer: int,
    pooling: str,
    clip: str = "native",
    store: Mapping | None = None,
) -> dict:
    """What determines the numbers of a frozen-encoder record; ``store``: the ``store_spec`` of its features, if that
    is known already."""
    named = protocols.get(protocol, clip)
    store = store or store_spec(encoder, prepared, named.clip)
    return {
        **task_spec(card, prepared),
        "encoder": encoder.card.id,
        "encoder_version": encoder.card.version,
        "weights": store["weights"],
        "parameters": store["parameters"],
        "layer": layer,
        "pooling": pooling,
        "clip": named.clip,
        "resampler": store["resampler"],
        "dtype": store["dtype"],
        "statistics": store["statistics"],
        "protocol": named.name,
        "protocol_version": named.version,
        "kind": named.kind,
        "seed": seed,
    }


def control_spec(name: str, card: TaskCard, prepared: Prepared, seed: int) -> dict:
    """What determines the numbers of a control row."""
    named = protocols.get("control")
    blank = dict.fromkeys(("weights", "parameters", "pooling", "clip", "resampler", "dtype", "statistics"), "none")
    return {
        **task_spec(card, prepared),
        "encoder": name,
        "encoder_version": 1,
        **blank,
        "layer": -1,
        "protocol": named.name,
        "protocol_version": named.version,
        "kind": named.kind,
        "seed": seed,
    }


def task_spec(card: TaskCard, prepared: Prepared) -> dict:
    """What a task and the data at hand contribute to what determines a record."""
    excluded = "\n".join(sorted(map(str, prepared.excluded)))
    return {
        "schema": records.SCHEMA,
        "task": card.id,
        "task_version": card.version,
        "manifest": prepared.digest,
        "state": prepared.state,
        "excluded": hashlib.sha256(excluded.encode()).hexdigest() if excluded else "",
    }
