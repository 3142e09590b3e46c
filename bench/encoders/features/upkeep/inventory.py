"""What lies in the cache: the stores of features one by one, everything else by its size. No symbolic link is followed.

Nothing is read but specifications and listings, so that a cache of many gigabytes is listed at once.
"""

from __future__ import annotations

import os
import re
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bench.base.errors import BadInput, UnknownId
from bench.base.parallel import locks
from bench.base.paths import cache_root, parse_json
from bench.encoders.features import shards

FEATURES = "features"
STORE = re.compile(r"[0-9a-f]{20}")
LAYER_POOLING = re.compile(r"-?[0-9]+,[A-Za-z0-9@,+._~%-]+")  # a folder of shards, see shards.folder_of


@dataclass(frozen=True)
class Store:
    """The folder of a store, which another process may be filling or have just removed."""

    path: Path

    @cached_property
    def spec(self) -> Mapping | None:
        """What determines its embeddings, as ``store_spec`` says; None where ``spec.json`` is absent or unreadable."""
        path = self.path / "spec.json"
        with suppress(OSError, ValueError):
            if not path.is_symlink() and isinstance(spec := parse_json(path.read_text(encoding="utf-8")), dict):
                return spec
        return None

    @property
    def encoder(self) -> str:
        """The encoder's id; empty where it is not known."""
        return str((self.spec or {}).get("encoder", ""))

    def folders(self) -> list[Path]:
        """The folders of shards, one for each (layer, pooling)."""
        return [path for path in _folders(self.path) if LAYER_POOLING.fullmatch(path.name)]

    def listings(self) -> list[Path]:
        """Every shard by its JSON, folder by folder."""
        return [path for folder in self.folders() for path in sorted(folder.glob("[!.]*.json"))]

    def in_use(self) -> bool:
        """Whether a process is encoding into it, or where that cannot be found out."""
        folder = self.path / "locks"
        return folder.is_symlink() or any(locks.held(path) for path in folder.glob("*.lock"))

    def last_use(self) -> float:
        """Seconds since 1970: the newest of its files but the locks; a run that takes features from it dates it too."""
        newest = 0.0
        for entry in files(self.path):
            with suppress(FileNotFoundError):
                if Path(entry).parent.name != "locks":
                    newest = max(newest, entry.stat(follow_symlinks=False).st_mtime)
        return newest


def features() -> Path:
    """The folder of stores. Raises ``BadInput`` where it is a symbolic link, which leads out of the cache."""
    path = cache_root() / FEATURES
    if path.is_symlink():
        raise BadInput(path, "is a symbolic link", "set RESPBENCH_CACHE to the folder that holds the features")
    return path


def stores(encoders: Sequence[str] = ()) -> list[Store]:
    """The stores of the cache, of these encoders or of all, by encoder.

    Raises
    ------
    UnknownId
        For an encoder of which the cache holds no features.
    """
    found = [Store(path) for path in _folders(features()) if STORE.fullmatch(path.name)]
    known = {store.encoder for store in found}
    for id in encoders:
        if id not in known:
            raise UnknownId("encoder in the cache", id, known - {""})
    chosen = [store for store in found if not encoders or store.encoder in encoders]
    return sorted(chosen, key=lambda store: (store.encoder, store.path.name))


def row(store: Store) -> dict:
    """What ``ls`` says of a store, JSON-ready. ``layers`` is {layer: poolings}; ``last_use`` is seconds since 1970."""
    layers: dict[str, list[str]] = {}
    clips: dict[str, int] = {}
    for folder in store.folders():
        layer, _, pooling = urllib.parse.unquote(folder.name).partition(",")
        layers.setdefault(layer, []).append(pooling)
    for listing in store.listings():
        with suppress(shards.DamagedShard):
            clips.update(shards.parsed(listing).units)
    spec = store.spec or {}
    facts = (
        *("encoder", "encoder_version", "weights", "parameters", "clip", "rate", "dtype", "resampler", "statistics"),
        *("settings", "code"),
    )
    return {
        "store": store.path.name,
        **{name: spec.get(name) for name in facts},
        "layers": dict(sorted(layers.items(), key=lambda item: int(item[0]))),
        "recordings": len(clips),
        "clips": sum(clips.values()),
        "bytes": size(store.path),
        "last_use": store.last_use(),
    }


def parts() -> dict[str, int]:
    """{name: bytes} of all that lies at the top of the cache beside the features."""
    return {path.name: size(path) for path in members(cache_root()) if path.name != FEATURES}


def size(path: Path) -> int:
    """Bytes of a file, or of all files of a folder; a link counts as itself."""
    with suppress(FileNotFoundError):
        if path.is_symlink() or not path.is_dir():
            return path.lstat().st_size
    total = 0
    for entry in files(path):
        with suppress(FileNotFoundError):
            total += entry.stat(follow_symlinks=False).st_size
    return total


def files(folder: Path) -> Iterator[os.DirEntry[str]]:
    """All below a folder that is no folder, links unfollowed."""
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from files(Path(entry))
        else:
            yield entry


def members(folder: Path) -> list[Path]:
    """What lies in a folder, by name; nothing where it is gone."""
    return [Path(entry) for entry in _entries(folder)]


def _folders(path: Path) -> list[Path]:
    """The folders in a folder, links left out, by name."""
    return [Path(entry) for entry in _entries(path) if entry.is_dir(follow_symlinks=False)]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What lies in a folder, by name; nothing where it is gone."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
