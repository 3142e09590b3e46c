"""Where recordings, weights and caches lie, and how files get there: whole or not at all.

Environment variables come first, then fixed places; nothing is guessed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import urllib.parse
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.base.errors import BadInput


def data_root() -> Path | None:
    """``$RESPBENCH_DATA``, else ``./data`` where it exists, else None."""
    if configured := os.environ.get("RESPBENCH_DATA"):
        if not Path(configured).is_dir():
            raise BadInput(configured, "RESPBENCH_DATA is not a folder", "set it to the folder that holds the corpora")
        return Path(configured)
    return Path("data") if Path("data").is_dir() else None


def cache_root() -> Path:
    """``$RESPBENCH_CACHE``, else ``respbench`` in the user's cache folder.

    Safe to delete: features are computed again; fetched weights, digests pinned on first use and licences agreed to are
    asked for again.
    """
    if configured := os.environ.get("RESPBENCH_CACHE"):
        return Path(configured)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "respbench"


def is_file(path: Path) -> bool:
    """Whether there is such a file; not where its name is too long for the disk, or its folder is closed to us."""
    try:
        return path.is_file()
    except OSError:
        return False


def parse_json(text: str | bytes) -> Any:
    """What JSON of unknown origin holds. Raises ``ValueError``, also where it is nested deeper than Python follows."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def weight_folders() -> list[Path]:
    """Folders searched for weights under their released names, in this order.

    ``$RESPBENCH_WEIGHTS``, ``<data>/weights``, the cache's ``weights``. They are absolute, so that what is found there
    can be named anywhere. What was fetched lies apart, by digest (``bench.encoders.weights.verified``).
    """
    configured = os.environ.get("RESPBENCH_WEIGHTS")
    data = data_root()
    folders = (
        ([Path(configured)] if configured else []) + ([data / "weights"] if data else []) + [cache_root() / "weights"]
    )
    return [folder.absolute() for folder in folders]


def file_name(id: str) -> str:
    """The name that everything about an encoder, a task or a feature has on disk, without suffix.

    Percent-encoded, so that two ids never share a name and a slash in an id (``icbhi.disease2@literature/opera``) does
    not nest; letters, digits and ``@ , + - . _ ~`` stay as they are.
    """
    return urllib.parse.quote(id, safe="@,+")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a new path beside ``path`` to write to; the file takes its place when the block ends without an error.

    Whoever reads ``path`` sees the old content or the new, never a part. The file beside it has a hidden name of its
    own that ends in ``.part``, so several processes may write the same path, and what a killed process leaves behind is
    taken for no result. Folders are created. The file has the permissions that the user's umask gives a new file.
    """
    with beside(path) as partial:
        yield partial
        partial.replace(path)


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Yields a new path beside ``path``, hidden, which is gone when the block ends; see ``replacing``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_path(path)
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def partial_path(path: Path) -> Path:
    """A new hidden path beside ``path``, for what is not whole."""
    return path.with_name(f".{uuid.uuid4().hex}.part")


def is_partial(name: str) -> bool:
    """Whether a file of this name is one of ``partial_path``: in the making, or left by a killed process."""
    return re.fullmatch(r"\.[0-9a-f]{32}\.part", name) is not None


def write_text(path: Path, text: str) -> None:
    """Writes a whole file as UTF-8, or leaves it as it was."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a whole file, or leaves it as it was."""
    with replacing(path) as partial:
        partial.write_bytes(content)


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Hexadecimal digest of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()
