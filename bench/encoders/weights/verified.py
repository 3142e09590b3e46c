"""Fetched weights by digest, and the digest by which each released file is known from its first use on.

``<cache>/weights/<sha256>/<file>`` holds what was fetched or registered; ``<cache>/weights/pins.json`` maps
``<family>/<file>`` to the digest that was trusted first, with where it came from and when. A digest on the encoder's
card needs no such trust and comes before it.
"""

from __future__ import annotations

import datetime
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.base.paths import cache_root
from bench.base.tables.cached import CacheTable, folder
from bench.types import EncoderCard, Weights


@dataclass(frozen=True)
class Pin:
    """A digest trusted on first use: ``source`` is the path or address that it was measured on, ``date`` ISO."""

    sha256: str
    source: str
    date: str


def pin(card: EncoderCard, release: Weights) -> Pin | None:
    """The digest pinned for a released file; None before its first use, and for a path, which is nobody's release."""
    entry = _pins().read().get(_key(card, release))
    return Pin(**entry) if entry else None


def set_pin(card: EncoderCard, release: Weights, sha256: str, source: object) -> None:
    """Pins a released file, in place of any earlier pin; nothing to do where the card has its digest."""
    if not release.sha256 and not Path(release.file).is_absolute():
        entry = Pin(sha256, str(source), datetime.date.today().isoformat())
        _pins().put(_key(card, release), asdict(entry))


def stored(card: EncoderCard, release: Weights) -> Path | None:
    """The released file in the store, unverified; None where it is not there."""
    known = release.sha256 or getattr(pin(card, release), "sha256", "")
    path = root() / known / release.file
    return path if known and path.exists() else None


def add(release: Weights, path: Path, sha256: str) -> Path:
    """Moves a verified file or folder (from ``incoming``) to its place in the store."""
    target = root() / sha256 / release.file
    discard(target)  # what lies there may be damaged
    target.parent.mkdir(parents=True, exist_ok=True)
    return path.rename(target)


def discard(path: Path) -> None:
    """Deletes a file or folder of the store."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def incoming(card: EncoderCard, release: Weights) -> Path:
    """The folder in which a released file is put together; it outlives an interruption."""
    return folder("weights", "incoming", *_key(card, release).split("/"))


def root() -> Path:
    """The folder of fetched weights."""
    return cache_root() / "weights"


def _key(card: EncoderCard, release: Weights) -> str:
    return f"{card.id.partition('.')[0]}/{release.file}"


def _pins() -> CacheTable:
    return CacheTable("weights/pins.json")
