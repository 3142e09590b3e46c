"""How far features at half precision are from those at float32: measured once for a store, kept beside its features."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.base.paths import parse_json, write_text
from bench.encoders.batches import encode_batch
from bench.encoders.load import precision_of
from bench.encoders.pooling import LayerPooling
from bench.types import PRECISIONS

if TYPE_CHECKING:
    from bench.types import Encoder

FILE, MOST_CLIPS = "drift.json", 8


def measure(store: Path, encoder: Encoder, waves: Sequence[np.ndarray], requested: Sequence[LayerPooling]) -> None:
    """Encodes a few clips at both precisions and keeps the largest difference, relative to the largest value.

    Parameters
    ----------
    store
        The store's folder.
    encoder
        At another precision than float32.
    waves
        Clips as the encoder takes them, one after another.
    requested
        The (layer, pooling) pairs.
    """
    usual = precision_of(encoder)
    found = 0.0
    for wave in waves[:MOST_CLIPS]:
        reduced = encode_batch(encoder, [wave], requested)
        encoder.precision = PRECISIONS[0]
        try:
            exact = encode_batch(encoder, [wave], requested)
        finally:
            encoder.precision = usual
        for each, values in exact.items():
            found = max(found, float(np.abs(reduced[each] - values).max() / max(np.abs(values).max(), 1e-12)))
    write_text(store / FILE, json.dumps({"largest": found, "clips": len(waves[:MOST_CLIPS])}))


def read(store: Path) -> float | None:
    """What ``measure`` kept; None where nothing was measured."""
    try:
        return float(parse_json((store / FILE).read_text(encoding="utf-8"))["largest"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
