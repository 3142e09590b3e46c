"""Reads tensors from a checkpoint without running anything that it holds."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

from bench.base.errors import CheckpointError
from bench.encoders.weights.find import tensor_file


def load_tensors(path: str | Path, slot: str = "") -> dict:
    """Reads the tensors of a checkpoint without running pickled code.

    From a torch file nothing but tensors, plain containers and the few harmless classes of ``_harmless`` is built.

    Parameters
    ----------
    path
        A ``.safetensors`` file, a torch file or a transformers folder that holds one of them.
    slot
        Key under which a training checkpoint keeps its tensors; the mapping there is returned if it is one.

    Returns
    -------
    dict
        {name: tensor on the CPU}, and what else the file holds.

    Raises
    ------
    CheckpointError
        That says what the file is instead: damaged, cut short, of another kind, asking for code.
    """
    from bench.encoders.weights.unreadable import UNREADABLE, diagnosis, impostor

    path = tensor_file(path)
    if not path.is_file():
        raise CheckpointError(path, "is not there", "check the path")
    try:
        what = impostor(path)
        content = None if what else _read(path)
    except UNREADABLE as error:
        raise CheckpointError(path, *diagnosis(path, error)) from error
    if what:
        raise CheckpointError(path, *what)
    if not isinstance(content, dict):
        raise CheckpointError(
            path, f"holds a {type(content).__name__}, not named tensors", "check that it is the weights"
        )
    return content[slot] if isinstance(content.get(slot), dict) else content


def _read(path: Path) -> object:
    import torch

    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    with torch.serialization.safe_globals(_harmless()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Detected pickle protocol")  # read or refused, which is said
        return torch.load(path, map_location="cpu", weights_only=True)


def _harmless() -> list:
    """What released training checkpoints hold beside tensors and cannot act: the run's options, numpy's scalars."""
    from numpy import dtype
    from numpy._core import multiarray

    kinds = [type(dtype(code)) for code in "?bhilqBHILQefd"]
    scalar = [(multiarray.scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    return [argparse.Namespace, dtype, *kinds, *scalar]
