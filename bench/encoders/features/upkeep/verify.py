"""Holds the stores against their digests, and finds what killed processes left behind."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.base.errors import BadInput
from bench.base.parallel import locks, shared
from bench.base.paths import cache_root, is_partial, partial_path
from bench.base.progress import Progress, Tick, silent
from bench.encoders.features import shards
from bench.encoders.features.upkeep import inventory
from bench.encoders.features.upkeep.inventory import Store

QUIET_S = 3600.0  # what was written to within this time may still be in the making


@dataclass(frozen=True)
class Damage:
    """A shard (by its JSON), a ``spec.json`` or a whole store that is not what it should be."""

    path: Path
    problem: str


@dataclass(frozen=True)
class Leftover:
    """A file or folder that a killed process left, or that a running one is making if it is not ``quiet``."""

    path: Path
    what: str

    @property
    def quiet(self) -> bool:
        """Whether nothing has been written to it for an hour."""
        try:
            return time.time() - self.path.lstat().st_mtime >= QUIET_S
        except FileNotFoundError:
            return False


@dataclass(frozen=True)
class Findings:
    """What ``verify`` found. ``nameless`` are stores without ``spec.json``: sound, but their encoder is not known."""

    stores: int
    shards: int
    damaged: tuple[Damage, ...]
    nameless: tuple[Path, ...]
    leftovers: tuple[Leftover, ...]


def verify(progress: Progress = silent) -> Findings:
    """Reads every shard of every store.

    Raises
    ------
    BadInput
        Where the folder of features is a symbolic link.
    """
    stores = inventory.stores()
    count = sum(len(store.listings()) for store in stores)
    with progress("verify features", count) as tick:
        damaged = tuple(damage for store in stores for damage in damages(store, tick))
    nameless = tuple(store.path for store in stores if not _spec_file(store).exists())
    return Findings(len(stores), count, damaged, nameless, tuple(leftovers()))


def damages(store: Store, tick: Tick = lambda n: None) -> Iterator[Damage]:
    """What is damaged in a store: as a whole where its specification has another digest than its name."""
    if store.spec is None:
        if _spec_file(store).exists():
            yield Damage(_spec_file(store), "cannot be read")
    elif shards.digest_of(store.spec)[:20] != store.path.name:
        yield Damage(store.path, "is not what its spec.json says: the folder has the name of another store")
        return
    for listing in store.listings():
        try:
            if listing.is_symlink() or listing.with_suffix(".npy").is_symlink():
                raise shards.DamagedShard("is a symbolic link")
            shards.examined(listing)
        except shards.DamagedShard as error:
            if listing.is_symlink() or listing.exists():  # else another process has just taken it out
                yield Damage(listing, str(error))
        tick(1)


def repair(damage: Damage) -> bool:
    """Removes what is damaged, so that the next run makes it again; False where a process is at work on it."""
    path = damage.path
    with shards.writing(path):
        if path.parent == inventory.features():
            return remove(Store(path))
        if path.name == "spec.json":
            path.unlink(missing_ok=True)
            return True
        lock = shards.lock_of(path.parent.parent, path.stem)
        if lock.parent.is_symlink():
            return False
        lock.parent.mkdir(exist_ok=True)
        with locks.alone(lock) as free:
            if free:
                path.unlink(missing_ok=True)  # before the array: a shard without its JSON does not exist
                path.with_suffix(".npy").unlink(missing_ok=True)
            return free


def remove(store: Store) -> bool:
    """Removes a store at once, under its own name and no other; False, and nothing removed, where it is in use."""
    if store.path.is_symlink() or store.path.parent != inventory.features():
        raise BadInput(store.path, "is no store of the cache", "remove it by hand, if it is to go")
    if store.in_use():
        return False
    with shards.writing(store.path):
        hidden = store.path.rename(partial_path(store.path))  # whoever wants the store from now on starts another
        if Store(hidden).in_use() and not store.path.exists():  # somebody began in between
            hidden.rename(store.path)
            return False
        shutil.rmtree(hidden)
    return True


def leftovers() -> Iterator[Leftover]:
    """Half-written files anywhere in the cache, what workers were given, arrays of shards that were never listed.

    What a running process holds a lock for is none.
    """
    busy = [store.path for store in inventory.stores() if store.in_use()]
    for path in _partial(cache_root()):
        if not any(store in path.parents for store in busy):
            yield Leftover(path, "half written")
    given = cache_root() / "shared"
    for path in () if given.is_symlink() else sorted(given.glob("*.pickle")):
        if not locks.held(shared.lock_of(path)):
            yield Leftover(path, "an encoder for workers that are gone")
    for store in inventory.stores():
        for array in (path for folder in store.folders() for path in sorted(folder.glob("[!.]*.npy"))):
            if store.path not in busy and not array.with_suffix(".json").exists():
                yield Leftover(array, "an array without its listing")


def _partial(folder: Path) -> Iterator[Path]:
    for path in inventory.members(folder):
        if is_partial(path.name):
            yield path
        elif path.is_dir() and not path.is_symlink():
            yield from _partial(path)


def _spec_file(store: Store) -> Path:
    return store.path / "spec.json"
