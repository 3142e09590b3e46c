"""The manifest of an archive of features: which stores, and the SHA-256 of every file in the order of the archive.

An archive is an uncompressed tar file. Its first member is the manifest; then, store by store, ``<store>/spec.json``,
and for each shard ``<store>/<layer>,<pooling>/<shard>.npy`` with its ``.json`` after it. Features alone are in it,
never recordings: a recording is named by the digest of its audio.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.base.errors import BadInput
from bench.base.paths import parse_json
from bench.encoders.features import shards
from bench.encoders.features.upkeep.inventory import LAYER_POOLING, STORE

NAME, KIND, FORMAT = "manifest.json", "RespBench features", 1
MOST_BYTES = 256 << 20  # of the manifest and of any other JSON in an archive
COPY_AGAIN = "copy the archive again, or make it again by `respbench cache export`; what has landed whole stays"
_SHA256, _SHARD = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{20}")


@dataclass(frozen=True)
class Entry:
    """A file of the archive, by its name in it."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Shard:
    """An array and its listing."""

    array: Entry
    listing: Entry


@dataclass(frozen=True)
class StorePlan:
    """A store as an archive has it."""

    name: str
    spec: Mapping
    spec_entry: Entry
    shards: tuple[Shard, ...]

    def entries(self) -> list[Entry]:
        """Its files in order."""
        return [self.spec_entry, *(entry for shard in self.shards for entry in (shard.array, shard.listing))]


def text(plans: Sequence[StorePlan]) -> str:
    """The manifest of these stores, the same text for the same features."""
    stores = {plan.name: plan.spec for plan in plans}
    entries = [asdict(entry) for plan in plans for entry in plan.entries()]
    return json.dumps({"kind": KIND, "format": FORMAT, "stores": stores, "files": entries}, indent=1)


def parse(archive: Path, content: bytes) -> list[StorePlan]:
    """The stores that a manifest announces.

    Raises
    ------
    BadInput
        For what is no manifest of this format, and for names or orders that no export writes.
    """
    try:
        table = parse_json(content)
        kind, number = table["kind"], table["format"]
    except (ValueError, TypeError, KeyError) as error:
        raise _no_export(archive) from error
    if kind != KIND or not isinstance(number, int):
        raise _no_export(archive)
    if number != FORMAT:
        problem = f"has format {number}, this version of RespBench reads {FORMAT}"
        raise BadInput(archive, problem, "update RespBench, or export again with this version")
    try:
        stores = {str(name): dict(spec) for name, spec in table["stores"].items()}
        entries = [_entry(archive, each["path"], each["sha256"], each["bytes"]) for each in table["files"]]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadInput(archive, "has a damaged manifest", COPY_AGAIN) from error
    by_store: dict[str, list[Entry]] = {name: [] for name in stores}
    for entry in entries:
        by_store.get(entry.path.partition("/")[0], []).append(entry)
    plans = [_plan(archive, name, stores[name], of_store) for name, of_store in by_store.items()]
    if [entry for plan in plans for entry in plan.entries()] != entries:
        raise BadInput(archive, "has a manifest that names files in an order that no export has", COPY_AGAIN)
    return plans


def _entry(archive: Path, path: object, sha256: object, size: object) -> Entry:
    """A checked line of the manifest."""
    if not isinstance(path, str) or not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise ValueError(path)
    if type(size) is not int or size < 0:
        raise ValueError(size)
    store, _, rest = path.partition("/")
    folder, _, file = rest.rpartition("/")
    stem, _, suffix = file.partition(".")
    shard = LAYER_POOLING.fullmatch(folder) and _SHARD.fullmatch(stem) and suffix in ("npy", "json")
    if not STORE.fullmatch(store) or not (rest == "spec.json" or shard):
        raise BadInput(archive, f"has {path!r} in its manifest, which is no name of a store's file", _STRANGE)
    if suffix == "json" and size > MOST_BYTES:
        raise BadInput(archive, f"has a listing of {size} bytes, {path!r}", _STRANGE)
    return Entry(path, sha256, size)


def _plan(archive: Path, name: str, spec: Mapping, entries: Sequence[Entry]) -> StorePlan:
    """A store's files as pairs of array and listing."""
    first, rest = (entries or (None,))[0], entries[1:]
    pairs = tuple(Shard(array, listing) for array, listing in zip(rest[::2], rest[1::2]))
    for shard in pairs:
        if (shard.array.path, shard.listing.path) != (f"{shard.array.path[:-4]}.npy", f"{shard.array.path[:-4]}.json"):
            raise BadInput(archive, f"has {shard.array.path!r} without its listing after it", COPY_AGAIN)
    if first is None or first.path != f"{name}/spec.json" or len(rest) % 2:
        raise BadInput(archive, f"does not have store {name!r} whole", COPY_AGAIN)
    if shards.digest_of(spec)[:20] != name:
        raise BadInput(archive, f"has store {name!r} under a name that is not its specification's digest", _STRANGE)
    return StorePlan(name, spec, first, pairs)


_STRANGE = "do not use it; ask for an archive made by `respbench cache export`"


def _no_export(archive: Path) -> BadInput:
    return BadInput(archive, "is not an archive of `respbench cache export`", "name one that is")
