"""The files of a store: append-only shards of one (layer, pooling), each written whole or not at all.

``<shard>.npy`` holds (clips, P) float32, ``<shard>.json`` names the recordings in it with the digest of the array, and
is written last: a shard without its JSON does not exist, and one that does not fit its digest is encoded again. Two
processes that make the same shard write the same bytes under the same name.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.base.errors import BadInput
from bench.base.paths import file_digest, file_name, replacing, write_text
from bench.encoders.features.blocks import Block
from bench.encoders.pooling import LayerPooling

Place = tuple[Path, int, int]  # of a recording: its shard, first row and number of rows


class Listing(NamedTuple):
    """What a shard's JSON says: [(recording's key, number of its clips)] in order, and the digest of the array."""

    units: list[tuple[str, int]]
    sha256: str


class DamagedShard(Exception):
    """A shard that is not what its listing says; the text says why."""


def digest_of(spec: Mapping) -> str:
    """SHA-256 of a store's specification, whose first 20 digits are the name of its folder."""
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()


def write_spec(store: Path, spec: Mapping) -> None:
    """Writes ``spec.json``, which says to people and to ``respbench cache`` what the store is of."""
    write_text(store / "spec.json", json.dumps(spec, indent=1, sort_keys=True))


def note_use(store: Path, spec: Mapping) -> None:
    """Dates ``spec.json`` by now, so that stores out of use can be told; no effect where nothing can be written."""
    with suppress(OSError):
        try:
            os.utime(store / "spec.json")
        except FileNotFoundError:
            if store.is_dir():
                write_spec(store, spec)


def lock_of(store: Path, block: str) -> Path:
    """The lock that a process holds while it makes the shards of a block."""
    return store / "locks" / f"{block}.lock"


def folder_of(store: Path, layer_pooling: LayerPooling) -> Path:
    """Where the shards of a (layer, pooling) lie in a store's folder."""
    return store / file_name(f"{layer_pooling[0]},{layer_pooling[1]}")


def index(store: Path, layer_pooling: LayerPooling) -> dict[str, Place]:
    """{recording's key: place}; damaged shards are taken out of the store."""
    places: dict[str, Place] = {}
    for path in sorted(folder_of(store, layer_pooling).glob("*.json")):
        try:
            units = examined(path).units
        except DamagedShard:
            with writing(path):
                path.unlink(missing_ok=True)
            continue
        first = 0
        for key, count in units:
            places[key] = (path.with_suffix(".npy"), first, count)
            first += count
    return places


def examined(path: Path) -> Listing:
    """Reads a shard's listing and holds its array against it.

    Raises
    ------
    DamagedShard
        Where one of the two files is absent or damaged.
    """
    listing, array = parsed(path), path.with_suffix(".npy")
    try:
        if file_digest(array) != listing.sha256:
            raise DamagedShard("the array is not the one that was written (SHA-256)")
    except FileNotFoundError:
        raise DamagedShard("the array is gone") from None
    require_rows(array, listing)
    return listing


def parsed(path: Path) -> Listing:
    """What a shard's JSON says. Raises ``DamagedShard``, also where another process has just deleted it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        units = [(str(key), int(count)) for key, count in content["units"]]
        if min(count for _, count in units) < 1:
            raise ValueError("a recording without clips")
        return Listing(units, str(content["sha256"]))
    except (ValueError, TypeError, KeyError, RecursionError, FileNotFoundError) as error:
        raise DamagedShard("the listing cannot be read") from error


def require_rows(array: Path, listing: Listing) -> None:
    """Raises ``DamagedShard`` where an array is not (clips, P) float32, a row for each clip of the listing."""
    try:
        values = np.lib.format.open_memmap(array, mode="r")
    except ValueError as error:
        raise DamagedShard("the array cannot be read") from error
    if values.ndim != 2 or values.dtype != np.float32 or len(values) != sum(count for _, count in listing.units):
        raise DamagedShard("the array does not have a row of float32 for each clip")


def require_finite(array: Path) -> None:
    """Raises ``DamagedShard`` where an array holds NaN or infinity, which no encoding writes."""
    if not np.isfinite(np.load(array, mmap_mode="r")).all():
        raise DamagedShard("the array holds NaN or infinity")


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
