"""Where recordings, weights and caches lie: environment variables first, then fixed places; nothing is guessed."""

from __future__ import annotations

import os
from pathlib import Path

from bench.errors import BadInput


def data_root() -> Path | None:
    """``$RESPBENCH_DATA``, else ``./data`` where it exists, else None."""
    if named := os.environ.get("RESPBENCH_DATA"):
        if not Path(named).is_dir():
            raise BadInput(named, "RESPBENCH_DATA is not a folder", "set it to the folder that holds the corpora")
        return Path(named)
    return Path("data") if Path("data").is_dir() else None


def cache_root() -> Path:
    """``$RESPBENCH_CACHE``, else ``respbench`` in the user's cache folder. Safe to delete: features are computed again;
    fetched weights, digests pinned on first use and licences agreed to are asked for again."""
    if named := os.environ.get("RESPBENCH_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "respbench"


def weight_folders() -> list[Path]:
    """Folders searched for weights under their released names, in order: ``$RESPBENCH_WEIGHTS``, ``<data>/weights``,
    the cache's ``weights``. Absolute, so that what is found there can be named anywhere. What was fetched lies apart,
    by digest (``bench.weight_store``)."""
    named = os.environ.get("RESPBENCH_WEIGHTS")
    data = data_root()
    folders = ([Path(named)] if named else []) + ([data / "weights"] if data else []) + [cache_root() / "weights"]
    return [folder.absolute() for folder in folders]
