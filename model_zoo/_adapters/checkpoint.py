"""Loads tensors into a network without a silent gap."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from bench.base.errors import CheckpointError, first_few
from bench.encoders.weights.unwrap import BESIDE, OUTSIDE, UNREAD

if TYPE_CHECKING:
    from torch import Tensor, nn

SPARE = "neither used nor declared ignored"
HEAD = 64  # channels of one attention head


def load_strict(
    module: nn.Module, tensors: Mapping[str, Tensor], ignore: Iterable[str] = (), where: object = "checkpoint"
) -> None:
    """Copies ``tensors`` into the module's parameters and buffers, cast to their dtype.

    Every tensor of the module must be there with its shape, dense, finite, and of floating point where the module's is:
    whole numbers in the place of weights are quantised ones, which mean nothing without their scale. Batches counted by
    batch normalisation, which torch before 0.4.1 did not keep, may be absent where nothing depends on them. Every
    other tensor of the file, those that lie beside the network included, must match one of the ``ignore`` patterns
    (``re.fullmatch``); those of what somebody put around the network are left out and named on the module, as
    ``unused_tensors``, and so are those of another part of the file that match none of the patterns. Raises
    ``CheckpointError`` that names up to five of each kind.
    """
    own = module.state_dict()
    uncounted = {k: own[k] for k in own if k not in tensors and idle_counter(module, k)}
    patterns = [re.compile(p) for p in ignore]
    outside = [k.removeprefix(OUTSIDE) for k in tensors if k.startswith(OUTSIDE)]
    unread = [k.removeprefix(UNREAD) for k in tensors if k.startswith(UNREAD)]
    module.unused_tensors = (*outside, *(k for k in unread if not any(p.fullmatch(k) for p in patterns)))
    tensors = {**{k: tensor for k, tensor in tensors.items() if not k.startswith((OUTSIDE, UNREAD))}, **uncounted}
    held = {k: tensors[k] for k in own if k in tensors}
    unusual = [k for k, tensor in held.items() if tensor.is_meta or tensor.layout != own[k].layout]
    spare = [k.removeprefix(BESIDE) for k in tensors if k not in own]
    problems = {
        "missing": [k for k in own if k not in tensors],
        "misshapen": [
            f"{k} is {tuple(tensor.shape)} and should be {tuple(own[k].shape)}"
            for k, tensor in held.items()
            if tensor.shape != own[k].shape
        ],
        "without values, or sparse": unusual,
        "of whole numbers in the place of weights": [
            k for k, tensor in held.items() if own[k].is_floating_point() and not tensor.is_floating_point()
        ],
        SPARE: [k for k in spare if not any(p.fullmatch(k) for p in patterns)],
        "not finite": [k for k, tensor in held.items() if k not in unusual and not _finite(tensor)],
    }
    reasons = [f"{len(names)} {kind}: {first_few(names)}" for kind, names in problems.items() if names]
    if reasons:
        remedy = f"it does not fit {type(module).__name__}; check file and encoder"
        if [kind for kind, names in problems.items() if names] == [SPARE]:
            remedy = "where an embedding does without them, as without a head of one's own, save the file without them"
        raise CheckpointError(where, "; ".join(reasons), remedy)
    module.load_state_dict({k: tensors[k] for k in own}, strict=True)


def _finite(tensor: Tensor) -> bool:
    """Whether a tensor is finite in float32, in which all are computed with; whole and quantised numbers are."""
    return not tensor.is_floating_point() or bool(tensor.float().isfinite().all())


def idle_counter(module: nn.Module, name: str) -> bool:
    """Whether a buffer counts the batches of a normalisation whose running averages do not depend on their number."""
    layer, _, buffer = name.rpartition(".")
    if buffer != "num_batches_tracked":
        return False
    return getattr(module.get_submodule(layer), "momentum", None) is not None  # None: the mean of all batches


def attention_heads(width: int, where: object) -> int:
    """The number of attention heads in ``width`` channels, at 64 channels a head, as in most releases.

    Raises ``CheckpointError`` where 64 does not divide them.
    """
    if width % HEAD:
        problem = f"has {width} channels, which heads of {HEAD} do not divide"
        raise CheckpointError(where, problem, "check that the file belongs to this encoder")
    return width // HEAD
