"""Which files of a transformers folder hold its tensors: one, or the shards that an index names."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from bench.base.errors import CheckpointError, first_few
from bench.base.paths import is_file

FOLDER_FILES = ("model.safetensors", "pytorch_model.bin")  # of a transformers folder, in order of preference
INDEX = ".index.json"  # behind the name of the file that the shards stand for
ADAPTER = "adapter_config.json"  # of PEFT, beside low-rank changes of a model that lies elsewhere
HOLDS_ADAPTER = (
    "holds an adapter of PEFT, changes of a model and not the model",
    "merge it into the model (merge_and_unload), save that with save_pretrained, and name its folder",
)
AGAIN = "fetch the folder again"


def tensor_files(path: str | Path, part: str = "") -> list[Path]:
    """The file itself, or those that hold the tensors of a transformers folder, which its index may stand for.

    Of shards, those that hold tensors of ``part`` (see ``of_part``). Raises ``CheckpointError`` for a folder without
    any, and for an index that cannot be followed.
    """
    path = Path(path)
    if index := index_of(path):
        return shards(index, part)
    if not path.is_dir():
        return [path]
    inside = [path / name for name in FOLDER_FILES if (path / name).is_file()]
    if not inside and (path / ADAPTER).is_file():
        raise CheckpointError(path, *HOLDS_ADAPTER)
    if not inside:
        raise CheckpointError(path, f"holds neither {' nor '.join(FOLDER_FILES)}, nor an index of their shards", AGAIN)
    return inside[:1]


def index_of(path: Path) -> Path | None:
    """The index that the tensors of a folder are found by, which may be given itself; None where one file has them."""
    if path.name in _indices():
        return path
    there = (path / name for file in FOLDER_FILES for name in (file, f"{file}{INDEX}") if (path / name).is_file())
    first = next(there, path)
    return first if first.name in _indices() else None


def folder_of(path: Path) -> Path:
    """The transformers folder that is given by itself, by its tensor file or by its index."""
    return path.parent if path.name in (*FOLDER_FILES, *_indices()) else path


def shards(index: Path, part: str = "") -> list[Path]:
    """The files that an index names for the tensors of ``part``, in order.

    Raises ``CheckpointError`` where one is not there.
    """
    files = [index.parent / name for name in shard_names(index, part)]
    if absent := [file.name for file in files if not is_file(file)]:
        problem = f"{len(absent)} of the {len(files)} shards it names are not there: {first_few(absent)}"
        raise CheckpointError(index, problem, AGAIN)
    return files


def shard_names(index: Path, part: str = "") -> list[str]:
    """The names of the shards that hold tensors of ``part``, in order. Raises ``CheckpointError`` as ``placed``."""
    places = placed(index)
    return sorted({places[name] for name in of_part(places, part)})


def of_part(names: Iterable[str], part: str) -> set[str]:
    """The tensors with ``part`` among the pieces of their dotted names; all where none has it, or no part is meant."""
    every = set(names)
    return {name for name in every if part and part in name.split(".")} or every


def placed(index: Path) -> dict[str, str]:
    """{tensor: name of its shard} of an index.

    Raises ``CheckpointError`` for what is no index, and for a shard's name that leads out of the folder.
    """
    try:
        places = json.loads(index.read_text(encoding="utf-8"), object_pairs_hook=_once)["weight_map"]
        named = {str(name): PurePosixPath(shard) for name, shard in places.items()}
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise CheckpointError(index, f"is no index of shards ({type(error).__name__}: {error})", AGAIN) from error
    if not named:
        raise CheckpointError(index, "names no shards", AGAIN)
    for shard in named.values():
        if shard.is_absolute() or ".." in shard.parts or "\\" in str(shard) or ":" in str(shard) or not shard.name:
            raise CheckpointError(index, f"names a shard that leads out of its folder: {str(shard)!r}", AGAIN)
    return {name: str(shard) for name, shard in named.items()}


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object of JSON, none of whose names comes twice. Raises ``ValueError``."""
    content = dict(pairs)
    if len(content) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"{twice} comes twice")
    return content


def _indices() -> tuple[str, ...]:
    return tuple(f"{file}{INDEX}" for file in FOLDER_FILES)
