"""Takes out of the cache what is no longer wanted; first it is only said, so that nothing goes by accident."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.base.errors import NothingAsked
from bench.base.parallel import shared
from bench.encoders.features import shards
from bench.encoders.features.upkeep import inventory, verify
from bench.encoders.features.upkeep.inventory import Store
from bench.encoders.features.upkeep.verify import Leftover

DAY_S = 86400.0


@dataclass(frozen=True)
class Candidate:
    """Something that was asked to go; ``stays`` says why it cannot, and is empty where it can."""

    item: Store | Leftover
    label: str
    bytes: int
    stays: str = ""


def candidates(
    encoders: Sequence[str] = (), older_than_days: float | None = None, unfinished: bool = False
) -> list[Candidate]:
    """What is to go.

    Parameters
    ----------
    encoders
        Stores of these encoders.
    older_than_days
        Stores not used for so long; with ``encoders``, those of them.
    unfinished
        What killed processes left, wherever it lies in the cache.

    Raises
    ------
    NothingAsked
        Where none of the three is given.
    UnknownId
        For an encoder of which the cache holds no features.
    """
    by_store = bool(encoders) or older_than_days is not None
    if not by_store and not unfinished:
        raise NothingAsked("give --encoder, --older-than or --unfinished: what is to go")
    out, now = [], time.time()
    for store in inventory.stores(encoders) if by_store else ():
        if older_than_days is None or now - store.last_use() > older_than_days * DAY_S:
            stays = "a process is encoding into it" if store.in_use() else ""
            out.append(Candidate(store, store.encoder or "unknown encoder", inventory.size(store.path), stays))
    going = {each.item.path for each in out if not each.stays}
    for leftover in verify.leftovers() if unfinished else ():
        if going.isdisjoint(leftover.path.parents):
            stays = "" if leftover.quiet else "written to within the last hour, so it may be in the making"
            out.append(Candidate(leftover, leftover.what, inventory.size(leftover.path), stays))
    return out


def remove(candidate: Candidate) -> bool:
    """Removes it; False where a process has begun to use it since.

    Raises
    ------
    BadInput
        Where the cache cannot be written.
    """
    if isinstance(candidate.item, Store):
        return verify.remove(candidate.item)
    path = candidate.item.path
    with shards.writing(path):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
            if path.suffix == ".pickle":
                shared.lock_of(path).unlink(missing_ok=True)
    return True
