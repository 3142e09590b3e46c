"""The files of a store: append-only shards of one (layer, pooling), each written whole or not at all.

``<shard>.npy`` holds (clips, P) float32, ``<shard>.json`` names the recordings in it with the digest of the array, and
is written last: a shard without its JSON does not exist, and one that does not fit its digest is encoded again. Two
processes that make the same shard write the same bytes under the same name.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bench.base.errors import BadInput
from bench.base.paths import file_digest, file_name, replacing, write_text
from bench.encoders.features.blocks import Block
from bench.encoders.pooling import LayerPooling

Place = tuple[Path, int, int]  # of a recording: its shard, first row and number of rows


def folder_of(store: Path, layer_pooling: LayerPooling) -> Path:
    """Where the shards of a (layer, pooling) lie in a store's folder."""
    return store / file_name(f"{layer_pooling[0]},{layer_pooling[1]}")


def index(store: Path, layer_pooling: LayerPooling) -> dict[str, Place]:
    """{recording's key: place}; damaged shards are taken out of the store."""
    places: dict[str, Place] = {}
    for path in sorted(folder_of(store, layer_pooling).glob("*.json")):
        listing, shard, first = _listing(path), path.with_suffix(".npy"), 0
        if listing is None or not shard.exists() or file_digest(shard) != listing["sha256"]:
            with writing(path):
                path.unlink(missing_ok=True)
            continue
        for key, count in listing["units"]:
            places[key] = (shard, first, count)
            first += count
    return places


def _listing(path: Path) -> Mapping | None:
    """What a shard's JSON says; None where it is damaged or just deleted by another process."""
    try:
        listing = json.loads(path.read_text(encoding="utf-8"))
        return listing if {"units", "sha256"} <= set(listing) else None
    except (ValueError, TypeError, FileNotFoundError):
        return None


def save(store: Path, layer_pooling: LayerPooling, block: Block, values: np.ndarray) -> None:
    """Stores features (clips, P) of a block's recordings, in their order, as one shard.

    Raises
    ------
    BadInput
        Where the folder cannot be written or the disk is full.
    """
    folder = folder_of(store, layer_pooling)
    array, listing = folder / f"{block.name}.npy", folder / f"{block.name}.json"
    with writing(folder):
        with replacing(array) as partial, partial.open("wb") as file:
            np.save(file, values)
        units = [[unit.key, len(unit.rows)] for unit in block.units]
        write_text(listing, json.dumps({"units": units, "sha256": file_digest(array)}))


def width(store: Path, layer_pooling: LayerPooling) -> int | None:
    """Features of a clip in what is stored; None where nothing is."""
    shards = sorted(folder_of(store, layer_pooling).glob("*.npy"))
    return int(np.load(shards[0], mmap_mode="r").shape[1]) if shards else None


def read(places: Sequence[Place]) -> Iterator[tuple[int, np.ndarray]]:
    """(position in ``places``, features (clips, P)) of recordings, one open shard at a time."""
    shard, values = Path(), np.empty((0, 0), np.float32)
    for position in sorted(range(len(places)), key=lambda position: places[position][:2]):
        path, first, count = places[position]
        if path != shard:
            shard, values = path, np.load(path, mmap_mode="r")
        yield position, values[first : first + count]


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what a disk refuses into a ``BadInput`` that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = "free space or set RESPBENCH_CACHE to another disk, and run the command again: it goes on"
            raise BadInput(path, f"the disk is full ({error.strerror})", remedy) from error
        remedy = "set RESPBENCH_CACHE to a folder that you can write"
        raise BadInput(path, f"cannot be written ({error})", remedy) from error
