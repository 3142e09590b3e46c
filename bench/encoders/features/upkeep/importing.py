"""Takes features from an archive into the cache, shard by shard; nothing in the archive is believed unchecked.

Every member must be the next file of the manifest, have its SHA-256 and be a shard's array or listing that fit each
other. A shard appears whole or not at all, array before listing, so an archive that breaks off leaves whole shards.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from pathlib import Path
from typing import IO

from bench.base.errors import BadInput
from bench.base.parallel.locks import alone
from bench.base.paths import beside
from bench.base.progress import Progress, silent
from bench.data.corpora import unpack
from bench.encoders.features import shards
from bench.encoders.features.upkeep import inventory, manifest
from bench.encoders.features.upkeep.inventory import Store
from bench.encoders.features.upkeep.manifest import COPY_AGAIN, Entry, Shard, StorePlan

PIECE = 1 << 20  # bytes


def import_archive(archive: Path, progress: Progress = silent) -> dict:
    """Takes in what ``export`` packed.

    Parameters
    ----------
    archive
        The file.
    progress
        Counts shards.

    Returns
    -------
    dict
        ``encoders``, and the numbers of ``stores``, of shards that ``landed``, with the ``bytes`` of their arrays, and
        that were ``kept``, because a whole one was there already or another process was making it.

    Raises
    ------
    BadInput
        For an archive that is unsafe, damaged, cut short or of another format, and where the cache cannot be written.
        What has landed by then is whole and stays.
    """
    if not archive.is_file():
        raise BadInput(archive, "is not a file", "name an archive made by `respbench cache export`")
    root = inventory.features()
    with unpack.plain_errors(archive, root, COPY_AGAIN), tarfile.open(archive, "r|") as packed:
        reader = _Reader(archive, packed)
        plans = manifest.parse(archive, reader.first())
        _require_room(root, plans)
        landed = kept = size = 0
        with progress("import features", sum(len(plan.shards) for plan in plans)) as tick:
            for plan in plans:
                store = root / plan.name
                _take_spec(reader, store, plan)
                for shard in plan.shards:
                    if _take_shard(reader, store, shard):
                        landed, size = landed + 1, size + shard.array.bytes
                    else:
                        kept += 1
                    tick(1)
        reader.require_end()
    encoders = sorted({str(plan.spec.get("encoder")) for plan in plans})
    return {"encoders": encoders, "stores": len(plans), "landed": landed, "kept": kept, "bytes": size}


class _Reader:
    """The members of an archive in order, each held against the manifest."""

    def __init__(self, archive: Path, packed: tarfile.TarFile):
        self.archive, self._packed = archive, packed

    def first(self) -> bytes:
        """The manifest."""
        info = self._packed.next()
        if info is None or info.name != manifest.NAME or not info.isreg() or info.size > manifest.MOST_BYTES:
            raise BadInput(self.archive, "is not an archive of `respbench cache export`", "name one that is")
        return self._content(info).read()

    def copy(self, entry: Entry, target: IO[bytes] | None) -> None:
        """Reads the next file, to ``target`` if there is one. Raises ``BadInput`` where it is not the manifest's."""
        info = self._packed.next()
        if info is None:
            raise BadInput(self.archive, f"is cut short: {entry.path!r} is not in it", COPY_AGAIN)
        unpack.place(self.archive, Path(), info)
        if info.name != entry.path or info.size != entry.bytes or info.issparse():
            raise BadInput(self.archive, f"has {info.name!r} where its manifest has {entry.path!r}", COPY_AGAIN)
        digest, stream = hashlib.sha256(), self._content(info)
        while piece := stream.read(PIECE):
            digest.update(piece)
            if target is not None:
                target.write(piece)
        if digest.hexdigest() != entry.sha256:
            raise BadInput(self.archive, f"is damaged: {entry.path!r} is not what was packed (SHA-256)", COPY_AGAIN)

    def require_end(self) -> None:
        """Raises ``BadInput`` where there is more in the archive than its manifest says."""
        if (info := self._packed.next()) is not None:
            unpack.place(self.archive, Path(), info)
            raise BadInput(self.archive, f"has {info.name!r}, which its manifest does not name", COPY_AGAIN)

    def _content(self, info: tarfile.TarInfo) -> IO[bytes]:
        stream = self._packed.extractfile(info)
        if stream is None:  # of links and devices alone
            raise BadInput(self.archive, f"{info.name!r} is no file", COPY_AGAIN)
        return stream


def _require_room(root: Path, plans: list[StorePlan]) -> None:
    """Raises ``BadInput`` where the disk cannot hold the archive's files."""
    needed = sum(entry.bytes for plan in plans for entry in plan.entries())
    with shards.writing(root):
        root.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(root).free
    if needed > free:
        remedy = "free space or set RESPBENCH_CACHE to another disk"
        raise BadInput(root, f"has {free} bytes free, the archive needs {needed}", remedy)


def _take_spec(reader: _Reader, store: Path, plan: StorePlan) -> None:
    """The store's folder and specification, which are written from the manifest, whose digest is the store's name."""
    reader.copy(plan.spec_entry, None)
    with shards.writing(store):
        _make_folder(store)
        _make_folder(store / "locks")
        if Store(store).spec != plan.spec:
            shards.write_spec(store, plan.spec)


def _take_shard(reader: _Reader, store: Path, shard: Shard) -> bool:
    """A shard, unless a whole one is there already or in the making; whether it was taken."""
    array = store.parent / shard.array.path
    listing = array.with_suffix(".json")
    with shards.writing(array.parent):
        _make_folder(array.parent)
    if _whole(listing):
        reader.copy(shard.array, None)
        reader.copy(shard.listing, None)
        return False
    with beside(array) as partial, beside(listing) as partial_listing:
        for entry, path in ((shard.array, partial), (shard.listing, partial_listing)):
            with shards.writing(path), path.open("wb") as file:
                reader.copy(entry, file)
        try:
            listed = shards.parsed(partial_listing)
            shards.require_rows(partial, listed)
            shards.require_finite(partial)
        except shards.DamagedShard as error:
            raise BadInput(reader.archive, f"is damaged: {shard.array.path!r}: {error}", COPY_AGAIN) from error
        if listed.sha256 != shard.array.sha256:
            raise BadInput(reader.archive, f"is damaged: {shard.listing.path!r} is of another array", COPY_AGAIN)
        with shards.writing(array), alone(shards.lock_of(store, array.stem)) as free:
            if not free or _whole(listing):
                return False
            partial.replace(array)
            partial_listing.replace(listing)
    return True


def _whole(listing: Path) -> bool:
    """Whether a shard is in the store and fits its digest."""
    try:
        shards.examined(listing)
    except shards.DamagedShard:
        return False
    return True


def _make_folder(path: Path) -> None:
    """Makes a folder of the cache. Raises ``BadInput`` for a symbolic link in its place, which leads out of it."""
    if path.is_symlink():
        raise BadInput(path, "is a symbolic link", "remove it: features are written into the cache alone")
    path.mkdir(exist_ok=True)
