"""Reads tensors from a checkpoint without running anything that it holds, by its content whatever it is called."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from bench.base.errors import CheckpointError, first_few
from bench.encoders.weights.folders import AGAIN, index_of, of_part, placed, shards, tensor_files


def load_tensors(
    path: str | Path, *anchors: str, entry: str = "", prefixes: Sequence[str] = (), part: str = ""
) -> dict:
    """Reads one network's tensors from a checkpoint without running pickled code, whatever wraps them.

    Parameters
    ----------
    path, part
        As those of ``load_content``.
    anchors, entry, prefixes
        What tells where in the file the network lies: see ``bench.encoders.weights.unwrap.unwrap``.

    Returns
    -------
    dict
        {name: tensor on the CPU}. Tensors outside ``part``, which have not been read, are there by their names: behind
        ``bench.encoders.weights.unwrap.UNREAD``, and empty.

    Raises
    ------
    CheckpointError
        As ``load_content`` and ``unwrap``.
    """
    from bench.encoders.weights.unwrap import unwrap

    content, unread = _loaded(path, part)
    return unwrap(content, anchors, path, entry, prefixes, unread)


def load_content(path: str | Path, part: str = "") -> dict:
    """Reads all that a checkpoint holds without running pickled code.

    From a torch file nothing is built but tensors, plain containers and what ``bench.encoders.weights.files.harmless``
    puts in the place of the rest. What kind of file it is tells its content, not its name.

    Parameters
    ----------
    path
        A safetensors file, a torch file or a transformers folder that holds one of them, whole or in shards.
    part
        The module of a larger model that is wanted, a piece of the dotted names of its tensors: where some have it, the
        others are left out; of a safetensors file they are not even read, nor are shards that hold no other.

    Returns
    -------
    dict
        {name: tensor on the CPU}, and what else the file holds.

    Raises
    ------
    CheckpointError
        That says what the file is instead: damaged, cut short, of another kind, asking for code; and where shards do
        not hold what their index says.
    """
    return _loaded(path, part)[0]


def _loaded(path: str | Path, part: str) -> tuple[dict, set[str]]:
    """What a checkpoint holds, and the names of tensors that were left out, being outside ``part``."""
    path = Path(path)
    index = index_of(path)
    if index is None:
        return _content(tensor_files(path)[0], part)
    places = placed(index)
    wanted = of_part(places, part)
    content: dict = {}
    for file in shards(index, part):
        own, _ = _content(file, part)
        name = file.relative_to(index.parent).as_posix()
        content |= _as_placed(own, {tensor for tensor in wanted if places[tensor] == name}, file)
    return content, places.keys() - wanted


def names_lacking(release: str | Path, own: str | Path, part: str = "") -> tuple[list[str], int]:
    """The names of a release's tensors that another file lacks, whatever wraps either's, and how many the release has.

    ``part`` is as of ``load_content``. Raises ``CheckpointError`` for a file that cannot be read.
    """
    from bench.encoders.weights.unwrap import bare_names

    released, others = bare_names(load_content(release, part)), bare_names(load_content(own, part))
    ends = {".".join(parts[i:]) for parts in (name.split(".") for name in others) for i in range(len(parts))}
    return [name for name in released if name not in ends], len(released)


def _as_placed(own: dict, places: set[str], file: Path) -> dict:
    """What a shard holds. Raises ``CheckpointError`` where that is not what the index says."""
    for names, problem in (
        (places - own.keys(), "lacks {} tensors that its index places in it: {}"),
        (own.keys() - places, "holds {} tensors that its index does not place in it: {}"),
    ):
        if names:
            raise CheckpointError(file, problem.format(len(names), first_few(sorted(map(str, names)))), AGAIN)
    return own


def _content(path: Path, part: str) -> tuple[dict, set[str]]:
    """What one file holds of a part, and the names of its other tensors."""
    from bench.encoders.weights.files.harmless import Array
    from bench.encoders.weights.files.unreadable import UNREADABLE, diagnosis, impostor

    if not path.is_file():
        raise CheckpointError(path, "is not there", "check the path")
    try:
        what = impostor(path)
        content, others = (None, set()) if what else _read(path, part)
    except UNREADABLE as error:
        raise CheckpointError(path, *diagnosis(path, error)) from error
    if what:
        raise CheckpointError(path, *what)
    if not isinstance(content, dict):
        kind = "numpy array" if isinstance(content, Array) else type(content).__name__
        raise CheckpointError(path, f"holds a {kind}, not named tensors", "check that it is the weights")
    return content, others


def _read(path: Path, part: str) -> tuple[object, set[str]]:
    import torch

    from bench.encoders.weights.files.harmless import allowed, as_tensor
    from bench.encoders.weights.files.unreadable import safetensors_header

    if safetensors_header(path):
        from safetensors import safe_open

        with safe_open(path, "pt") as file:
            names = of_part(file.keys(), part)
            return {name: file.get_tensor(name) for name in sorted(names)}, set(file.keys()) - names
    with path.open("rb") as stream, torch.serialization.safe_globals(allowed(path)), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Detected pickle protocol")  # read or refused, which is said
        content = torch.load(stream, map_location="cpu", weights_only=True)  # of a path, the ending would decide
    if not part or not isinstance(content, dict):
        return content, set()
    names = of_part((name for name in content if isinstance(name, str)), part)
    others = {name for name, value in content.items() if isinstance(name, str) and as_tensor(value) is not None} - names
    return {name: value for name, value in content.items() if name in names}, others
