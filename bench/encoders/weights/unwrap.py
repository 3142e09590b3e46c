"""Finds a network's tensors in what people save around them: entries of a training checkpoint, prefixes of wrappers.

Released and self-trained checkpoints hold the same tensors under many names: in an entry ``state_dict``, ``model`` or
``model_state_dict``, behind ``module.`` (``DataParallel``), ``net.`` or ``model.`` (a Lightning module's attribute),
with ``_orig_mod.`` (``torch.compile``) anywhere in between. None of these spellings is listed here but those of torch's
own wrappers: a family names tensors of its network, and every place is found in which such a name ends. An array of
numpy's counts as the tensor that it can be.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bench.base.errors import CheckpointError, first_few
from bench.encoders.weights.files.harmless import as_tensor

if TYPE_CHECKING:
    from torch import Tensor

DEPTH = 4  # entries within entries that are searched
MARKS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")  # torch's, between any two names
AVERAGED, COUNTER = "module.", "n_averaged"  # of torch.optim.swa_utils.AveragedModel: the network, the averages' count
BESIDE = "beside/"  # before the name of a tensor that lies outside the network, which can be ignored but never loaded
OUTSIDE = "outside/"  # before that of one outside what was put around a released layout: a head of one's own, a loss

UNREAD = "unread/"  # before the name of one of another part of the file, which stands there without its values

# What training leaves in the place of a weight: in its names, what it is, and how the weight comes back
INSTEAD = (
    (
        r"\.lora_|(^|\.)base_layer\.",
        "low-rank adapters",
        "merge them into the weights before saving (merge_and_unload)",
    ),
    (
        r"\.weight_[gv]$|\.parametrizations\.",
        "weights in parts",
        "undo that before saving (remove_weight_norm or parametrize.remove_parametrizations of torch.nn.utils)",
    ),
    (r"\.weight_mask$", "pruned weights", "make that permanent before saving (prune.remove of torch.nn.utils)"),
    (r"\.weight_orig$", "weights in parts", "undo that before saving (remove_spectral_norm of torch.nn.utils)"),
)


class Place(NamedTuple):
    """Where a network's tensors may lie: the keys of the entry that holds them, and the prefix of their names."""

    entry: tuple[str, ...]
    prefix: str

    def __str__(self) -> str:
        parts = [f"entry {'/'.join(self.entry)!r}"] * bool(self.entry) + [f"prefix {self.prefix!r}"] * bool(self.prefix)
        return ", ".join(parts) or "the top level"


def unwrap(
    content: Mapping,
    anchors: Sequence[str],
    where: object,
    entry: str = "",
    prefixes: Sequence[str] = (),
    unread: Collection[str] = (),
) -> dict[str, Tensor]:
    """The tensors of one network out of a checkpoint's content, under the names that the network has for them.

    Parameters
    ----------
    content
        What the file holds.
    anchors
        Names of tensors that no file of the network lacks; any of them shows where the network lies.
    where
        The file, for errors.
    entry
        The entry in which released files have the tensors: taken where several entries hold some.
    prefixes
        The prefixes of released files: taken, the first first, where several hold the network.
    unread
        Names of tensors that the file has beside ``content``.

    Returns
    -------
    dict
        {name: tensor}. Tensors of the same entry that lie outside the network come with ``BESIDE`` before their name,
        from which what wraps the whole is taken off too; those outside what wraps it, such as the head of a module of
        one's own that holds a released network, with ``OUTSIDE``; those ``unread`` come last, empty, with ``UNREAD``,
        from which what wraps the whole is taken off; the count beside averaged weights is left out. Where
        no anchor is found, the tensors of ``entry``, else of the top level, else of the only entry that has any, as
        they are: for the family to say what they lack.

    Raises
    ------
    CheckpointError
        For several places of which none is the release's, and for none with tensors.
    """
    import torch

    mappings = {keys: _unmarked(tensors, where) for keys, tensors in _mappings(content)}
    found = dict.fromkeys(
        Place(keys, name.removesuffix(anchor))
        for keys, tensors in mappings.items()
        for anchor in anchors
        for name in tensors
        if _ends(name, anchor)
    )
    places = [place for place in found if place.entry == (entry,)] or list(found)
    if not places:
        return _as_they_are(mappings, entry, where)
    ranks = [_rank(place.prefix, prefixes) for place in places]
    best = [place for place, rank in zip(places, ranks, strict=True) if rank == min(ranks)]
    plain = [place for place in best if not place.prefix]  # what else has the name is then held to the family's list
    best = plain or best
    if len({place.entry for place in places}) > 1 or len(best) > 1:
        told = first_few([str(place) for place in places], "; ")
        problem = f"holds the network in {len(places)} places ({told}), and which one is meant is open"
        raise CheckpointError(where, problem, "save the tensors that are meant in a file of their own, and name that")
    keys, prefix = best[0]
    wrapper = prefix.removesuffix(next((released for released in prefixes if _ends(prefix, released)), ""))
    held = {name: tensor for name, tensor in mappings[keys].items() if not _counts_averages(name, tensor, prefix)}
    named = {name: name.removeprefix(prefix) for name in held if name.startswith(prefix)}
    beside = {
        name: BESIDE + name.removeprefix(wrapper) if name.startswith(wrapper) else OUTSIDE + name
        for name in held
        if name not in named
    }
    others = dict.fromkeys(UNREAD + _bare(name).removeprefix(wrapper) for name in sorted(unread))
    return {(named | beside)[name]: tensor for name, tensor in held.items()} | {name: torch.empty(0) for name in others}


def bare_names(content: Mapping) -> list[str]:
    """The names of all tensors of a checkpoint, of whatever entry, without the marks of torch's wrappers."""
    return list(dict.fromkeys(_bare(name) for _, tensors in _mappings(content) for name in tensors))


def _bare(name: str) -> str:
    """A name without the marks of torch's wrappers."""
    for mark in MARKS:
        name = name.replace(mark, "")
    return name


def _mappings(
    content: Mapping, keys: tuple[str, ...] = (), seen: frozenset[int] = frozenset()
) -> Iterator[tuple[tuple[str, ...], dict[str, Tensor]]]:
    """(keys, its tensors) of the content itself and of every entry in it that holds tensors by name."""
    if id(content) in seen:  # an entry of itself
        return
    named = ((name, as_tensor(value)) for name, value in content.items() if isinstance(name, str))
    own = {name: tensor for name, tensor in named if tensor is not None}
    if own:
        yield keys, own
    if len(keys) < DEPTH:
        for name, value in content.items():
            if isinstance(value, Mapping):
                yield from _mappings(value, (*keys, str(name)), seen | {id(content)})


def _unmarked(tensors: Mapping[str, Tensor], where: object) -> dict[str, Tensor]:
    """The tensors without the marks of torch's wrappers in their names."""
    out: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        bare = _bare(name)
        if bare in out:
            problem = f"holds {bare} twice, with and without what torch.compile or FSDP adds to names"
            raise CheckpointError(where, problem, "save the tensors that are meant in a file of their own")
        out[bare] = tensor
    return out


def _ends(name: str, end: str) -> bool:
    """Whether a dotted name ends in another."""
    return name == end or name.endswith(f".{end}")


def _counts_averages(name: str, tensor: Tensor, prefix: str) -> bool:
    """Whether a tensor is the count that stands beside the averaged network, which lies behind ``prefix``."""
    averaged = f"{name.removesuffix(COUNTER)}{AVERAGED}"
    return _ends(name, COUNTER) and prefix.startswith(averaged) and tensor.numel() == 1


def _rank(prefix: str, prefixes: Sequence[str]) -> int:
    """The place of a prefix among the released ones, which wrappers may precede; behind them where it is none."""
    return next((i for i, released in enumerate(prefixes) if _ends(prefix, released)), len(prefixes))


def _as_they_are(mappings: Mapping[tuple[str, ...], dict[str, Tensor]], entry: str, where: object) -> dict[str, Tensor]:
    for keys in ((entry,), ()):
        if keys in mappings:
            return mappings[keys]
    if len(mappings) == 1:
        return next(iter(mappings.values()))
    if mappings:
        entries = first_few(["/".join(keys) for keys in mappings])
        problem = f"holds tensors in the entries {entries}, and none of them are this network's"
    else:
        problem = "holds no tensors by name"
    raise CheckpointError(where, problem, "check that the file belongs to this encoder")


def left_in_place(content: Mapping, problem: str) -> tuple[str, str]:
    """What training left in a file where a refused network has weights, and how they come back; both may be empty.

    ``problem`` names tensors that the network lacks or has no place for. Parts of a weight are told where the weight is
    among these, since some networks have weights in parts; adapters always, since without them, a file of both would be
    the network from before the training.
    """
    names = bare_names(content)
    for pattern, what, remedy in INSTEAD:
        found = [name for name in names if re.search(pattern, name)]
        lacking = [name for name in found if f"{_owner(name, pattern)}.weight" in problem]
        told = found if what == INSTEAD[0][1] else lacking
        if told:
            return f"it holds {what}: {first_few(told)}", remedy
    return "", ""


def _owner(name: str, pattern: str) -> str:
    """The layer whose weight a name stands for: its last two names, since a network may lie behind a prefix."""
    return ".".join(re.split(pattern, name)[0].split(".")[-2:])
