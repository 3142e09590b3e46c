"""Packs whole stores into one file, so that features made on one machine are used on another."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from bench.base.errors import BadInput
from bench.base.paths import file_digest, replacing
from bench.base.progress import Progress, silent
from bench.encoders.features import shards
from bench.encoders.features.upkeep import inventory, manifest, verify
from bench.encoders.features.upkeep.inventory import Store
from bench.encoders.features.upkeep.manifest import Entry, Shard, StorePlan

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer


def export(archive: Path, encoders: Sequence[str] = (), progress: Progress = silent) -> dict:
    """Writes an archive, whole or not at all: the same bytes for the same features.

    Parameters
    ----------
    archive
        The file to write.
    encoders
        Their ids; by default the stores of all.
    progress
        Counts shards, first as they are verified, then as they are packed.

    Returns
    -------
    dict
        ``stores``, ``shards`` and ``bytes``.

    Raises
    ------
    BadInput
        Where a store is damaged or nameless (all are named), where there is none, or the file cannot be written.
    UnknownId
        For an encoder of which the cache holds no features.
    """
    stores = inventory.stores(encoders)
    if not stores:
        raise BadInput(inventory.features(), "holds no features", "make some by `respbench encode` or `respbench run`")
    count = sum(len(store.listings()) for store in stores)
    with progress("verify features", count) as tick:
        bad = [str(damage.path) for store in stores for damage in verify.damages(store, tick)]
    if bad:
        remedy = "`respbench cache verify --repair` takes what is damaged out; the next run makes it again"
        raise BadInput(bad[0], "is damaged" + (f", and so are {', '.join(bad[1:])}" if bad[1:] else ""), remedy)
    nameless = [str(store.path) for store in stores if store.spec is None]
    if nameless:
        remedy = "a run that uses these features writes it; or name encoders by --encoder"
        raise BadInput(", ".join(nameless), "has no spec.json, so its encoder is not known", remedy)
    plans = [_plan(store) for store in stores]
    try:
        with replacing(archive) as partial, progress("pack features", sum(len(plan.shards) for plan in plans)) as tick:
            with tarfile.open(partial, "w", format=tarfile.GNU_FORMAT) as packed:
                content = manifest.text(plans).encode()
                packed.addfile(_member(manifest.NAME, len(content)), io.BytesIO(content))
                for store, plan in zip(stores, plans, strict=True):
                    for entry in plan.entries():
                        _pack(packed, store.path.parent / entry.path, entry)
                        tick(entry.path.endswith(".npy"))
            written = partial.stat().st_size
    except OSError as error:
        raise BadInput(archive, f"cannot be written ({error})", "name a file on a disk with room") from error
    return {"stores": len(plans), "shards": sum(len(plan.shards) for plan in plans), "bytes": written}


def _plan(store: Store) -> StorePlan:
    """A store's files as they are now; what other processes add later is left out."""

    def entry(path: Path, sha256: str = "") -> Entry:
        return Entry(path.relative_to(store.path.parent).as_posix(), sha256 or file_digest(path), path.stat().st_size)

    pairs = []
    for listing in store.listings():
        array, known = listing.with_suffix(".npy"), shards.parsed(listing).sha256
        pairs.append(Shard(entry(array, known), entry(listing)))
    return StorePlan(store.path.name, store.spec or {}, entry(store.path / "spec.json"), tuple(pairs))


def _pack(packed: tarfile.TarFile, path: Path, entry: Entry) -> None:
    """Adds a file. Raises ``BadInput`` where it is no longer what was verified."""
    with path.open("rb") as stream:
        digesting = _Digesting(stream)
        packed.addfile(_member(entry.path, entry.bytes), digesting)
    if digesting.digest.hexdigest() != entry.sha256:
        raise BadInput(path, "was changed while it was packed", "run the command again")


def _member(name: str, size: int) -> tarfile.TarInfo:
    """A regular file that tells nothing of the machine it is from."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member


class _Digesting(io.RawIOBase):
    """A file that is digested as it is read."""

    def __init__(self, stream: IO[bytes]):
        self._stream, self.digest = stream, hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer).cast("B")
        content = self._stream.read(len(view))
        self.digest.update(content)
        view[: len(content)] = content
        return len(content)
