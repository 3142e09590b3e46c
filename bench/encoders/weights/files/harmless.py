"""What released files hold beside tensors, read in a form that cannot act.

Torch's safe reader builds tensors and plain containers, and refuses a file for anything else that it names. Training
code saves more than that: PANNs' the state of a sampler (numpy arrays, which its released files hold), that of AudioMAE
and Masked Modeling Duo the options of the run (``argparse.Namespace``), LAION's and ATST's learning rates (numpy's
scalars), Dasheng's paths, fairseq dictionaries and Lightning callbacks' classes and settings of omegaconf. Nobody needs
any of it to embed a clip, and a file must not be refused for it.

So each of these names is answered with something of this module. Numbers and truth values of numpy are read from their
bytes; whatever else of a known framework a file names is a ``StandIn``, which takes what it is given and forgets it.
Nothing that a file names is imported or called: ``allowed`` gives torch's reader these answers, and it refuses all
other names as ever.
"""

from __future__ import annotations

import argparse
import pickle
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.encoders.weights.files.pickles import pickled

if TYPE_CHECKING:
    from torch import Tensor

INTEGERS = [f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)]
NUMBERS = {code: np.dtype(code) for code in ("b1", *INTEGERS, "f2", "f4", "f8", "c8", "c16")}  # as pickles call them
BYTE_ORDERS = "<>=|"
NO_NUMBERS = "numpy values that are no numbers"
OPTIONS = "argparse.Namespace"  # the one class that is built as it is: a bag of attributes
# packages of which any name is answered: what trains networks, and what its settings are made of
KNOWN = ("pytorch_lightning", "lightning", "lightning_fabric", "omegaconf", "fairseq", "pathlib", "typing")
NAMED = (
    *(f"builtins.{kind}" for kind in ("bool", "dict", "float", "int", "list", "str", "tuple")),  # types in settings
    *("collections.defaultdict", "torch.torch_version.TorchVersion"),
)
MAPPINGS = ("AttributeDict", "defaultdict")  # classes whose content a pickle sets item by item


def allowed(path: Path) -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """What torch's safe reader may build from a file: ``[(answer, the name that it answers), ...]``.

    ``argparse.Namespace`` goes by its name too: torch forgets the bare class for good when the reading ends, also where
    a program has allowed it before.
    """
    asked = dict.fromkeys(name for name in pickled(path).asked if _package(name) in KNOWN)
    answers = NUMPY | {name: _stand_in(name) for name in (*NAMED, *asked)}
    return [(answer, name) for name, answer in {OPTIONS: argparse.Namespace, **answers}.items()]


def is_known(name: str) -> bool:
    """Whether a name that a pickle asks for has an answer here."""
    return name in NUMPY or name in NAMED or _package(name) in KNOWN


def _package(name: str) -> str:
    return name.partition(".")[0]


def as_tensor(value: object) -> Tensor | None:
    """A tensor, and an array of numpy as one; None for everything else."""
    import torch

    if isinstance(value, Array) and value.values is not None:
        return torch.from_numpy(value.values)
    return value if isinstance(value, torch.Tensor) else None


class StandIn:
    """Stands for a class that a file names, for its objects and for a function that it calls: empty whatever comes."""

    __slots__ = ()

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, state: Any) -> None:
        """Forgets the state."""

    def __bool__(self) -> bool:
        raise TypeError(f"{type(self).__qualname__} of the file is no truth value here")


class _MappingStandIn(StandIn):
    """Stands for a class of dictionaries; what is made of it holds the items alone."""

    __slots__ = ()

    def __new__(cls, *_: object) -> OrderedDict:  # type: ignore[misc]
        """A dictionary, the only thing whose items torch's reader sets."""
        return OrderedDict()


class Kind(StandIn):
    """Stands for a type of numpy's, as a pickle describes it: of numbers or truth values."""

    dtype: np.dtype | None = None

    def __init__(self, code: str, *_: object) -> None:
        if code not in NUMBERS:
            raise pickle.UnpicklingError(f"{NO_NUMBERS} ({code})")
        self.dtype = NUMBERS[code]

    def __setstate__(self, state: Any) -> None:
        if self.dtype is None or state[1] not in BYTE_ORDERS:
            raise pickle.UnpicklingError(NO_NUMBERS)
        self.dtype = self.dtype.newbyteorder(state[1])

    def read(self, raw: bytes) -> np.ndarray:
        """The values in ``raw``, in this machine's byte order."""
        if self.dtype is None:
            raise pickle.UnpicklingError(NO_NUMBERS)
        return np.frombuffer(raw, self.dtype).astype(self.dtype.newbyteorder("="))


class Array(StandIn):
    """Holds the ``values`` of an array of numpy's once its state is set."""

    values: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, by_column, raw = state
        self.values = _read(kind, raw).reshape(shape, order="F" if by_column else "C")
        if self.values.shape != shape:  # one of the sizes was negative
            raise pickle.UnpicklingError(f"an array of shape {shape}")


def _array(*_: object) -> Array:
    """In the place of numpy's function that makes an empty array, whose state follows."""
    return Array()


def _scalar(kind: object, raw: Any) -> np.generic:
    """In the place of numpy's function that makes a scalar."""
    (value,) = _read(kind, raw)
    return value


def _no_bytes() -> bytes:
    """In the place of the class of bytes, which pickles call for empty ones alone; given anything, it fails."""
    return b""


def _read(kind: object, raw: Any) -> np.ndarray:
    if not isinstance(kind, Kind):
        raise pickle.UnpicklingError(NO_NUMBERS)
    return kind.read(raw)


@cache
def _stand_in(name: str) -> type[StandIn]:
    """The class that stands for a name: one for each, because they are keys of dictionaries."""
    kind = _MappingStandIn if name.rpartition(".")[2] in MAPPINGS else StandIn
    return type(name, (kind,), {"__slots__": ()})


NUMPY: dict[str, Callable] = {
    "numpy.dtype": Kind,
    "numpy.ndarray": Array,
    "builtins.bytes": _no_bytes,
    **{f"numpy.{core}.multiarray._reconstruct": _array for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _scalar for core in ("core", "_core")},
}  # what pickles of numpy's values ask for
