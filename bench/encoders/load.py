"""Loads encoders by id, and says at which precision and on which device they compute."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.base import registry
from bench.base.errors import BadInput, CheckpointError, UnknownId, first_few
from bench.encoders.weights import code, licences
from bench.types import PRECISIONS, Encoder, EncoderCard

if TYPE_CHECKING:
    import torch

    from bench.base.parallel.engine import Engine

ALL_CUDA = "cuda:all"  # every CUDA device of this machine


def load_encoder(
    id: str,
    weights: str | Path | None = None,
    device: str = "cpu",
    precision: str = "float32",
    *,
    accept_licence: bool = False,
    trust_remote_code: str | Sequence[str] | None = None,
) -> Encoder:
    """Loads an encoder with its weights, in ``eval()``.

    Parameters
    ----------
    id : str
        ``family.variant``, with ``@policy`` appended for another input policy than the default one.
    weights : str or Path, optional
        A weight file or folder. By default the card's files are looked for in ``bench.base.paths.weight_folders()``
        and among what was fetched; a digest that the card does not give is pinned on first use.
    device : str
        A torch device.
    precision : {"float32", "bfloat16", "float16"}
        Of the network's arithmetic, by autocast: weights, front end and embeddings stay float32.
    accept_licence : bool
        Agrees to a restrictive licence (see ``bench.encoders.weights.licences``).
    trust_remote_code : str or sequence of str, optional
        Revisions of code that comes with a model (``hf.*``) and may run, in full: of a model in the Hub's cache the
        commit of its snapshot, of a folder the digest of its files, which the error without it names. Such code
        can do whatever the user can. What ran is in the key of every record and feature. By default none runs.

    Returns
    -------
    Encoder
        A geometry that was adapted to the weights shows in ``encoder.card``. ``weights_digest`` is the SHA-256 of what
        was loaded, that of the initial state for an untrained twin, ``none`` for an encoder without weights. An
        encoder that is trained from scratch (``card.from_scratch``) is initialised by seed 0 and leaves torch's own
        generator alone; ``encoder.reset(seed)`` initialises it again.

    Raises
    ------
    UnknownId
        For an id, policy or precision that does not exist.
    CheckpointError
        For weights that are absent, damaged or do not fit.
    LicenceNotAccepted
        For a restrictive licence that nobody has agreed to.
    BadInput
        For weights given to an encoder that takes none, for an unknown or absent device, and for a revision that is no
        full commit hash or not that of the encoder's code.
    CodeNotTrusted
        For a model that cannot be had without code of its own.
    """
    from bench.encoders.weights.find import digest, find, part_of, trust

    if precision not in PRECISIONS:
        raise UnknownId("precision", precision, PRECISIONS)
    trusted = code.revisions(trust_remote_code)
    card = registry.encoder_card(id, trusted)
    module = registry.family(registry.ENCODERS, id)
    if weights is not None and not card.weights and not getattr(module, "TAKES_WEIGHTS", False):
        raise BadInput(id, "takes no weights", "leave them out")
    code.require_code(card, trusted)
    path = find(card, weights) if card.weights or weights is not None else None
    if weights is None:
        licences.require(card, accept_licence)
    try:
        encoder = module.build(card, path)
    except CheckpointError as error:
        if weights is None or path is None:
            raise
        left, mend = _left_by_training(card, path, error)
        told = "; ".join(filter(None, [error.problem, left, _next_to_the_release(card, path)]))
        raise CheckpointError(error.where, told, mend or error.remedy) from error
    if told := unused_told(encoder):
        encoder.card = replace(encoder.card, notes="; ".join(filter(None, [encoder.card.notes, told])))
    if path is not None:
        encoder.weights_digest = digest(path, part_of(card))
        if weights is None:
            trust(card, encoder.weights_digest)
    else:
        encoder.weights_digest = getattr(encoder, "weights_digest", "none")
    require_device(device)
    encoder.precision = precision
    return encoder.eval().to(device)


def unused_told(encoder: Encoder) -> str:
    """Which tensors of its file an encoder has no place for, such as a head of one's own; empty where none are."""
    unused = [name for part in encoder.modules() for name in getattr(part, "unused_tensors", ())]
    return f"{len(unused)} tensors not used: {first_few(unused)}" if unused else ""


def _left_by_training(card: EncoderCard, path: Path, refused: CheckpointError) -> tuple[str, str]:
    """What of a refused file is in the place of weights, and how they come back; empty where nothing is."""
    from bench.encoders.weights.find import part_of
    from bench.encoders.weights.read import load_content
    from bench.encoders.weights.unwrap import left_in_place

    try:
        return left_in_place(load_content(path, part_of(card)), refused.problem)
    except CheckpointError:  # what it is has been said
        return "", ""


def _next_to_the_release(card: EncoderCard, path: Path) -> str:
    """Which tensors of the released file another file lacks by name, where both can be read; empty where none."""
    from bench.encoders.weights.find import at_hand, part_of
    from bench.encoders.weights.read import names_lacking

    there = at_hand(card)
    if there is None or there[1] == path:
        return ""
    try:
        lacking, of = names_lacking(there[1], path, part_of(card))
    except CheckpointError:  # what one of them is has been said
        return ""
    return f"it lacks {len(lacking)} of the {of} tensors of {there[0].file}: {first_few(lacking)}" if lacking else ""


def require_trained(card: EncoderCard) -> None:
    """Raises ``BadInput`` for an encoder that is trained from scratch, which says nothing before it is."""
    if card.from_scratch:
        problem = "is trained from scratch, so there is nothing to score before it has been trained"
        raise BadInput(card.id, problem, f"use `respbench finetune --encoder {card.id}`")


def require_device(device: str) -> None:
    """Raises ``BadInput`` for a device that torch does not know or that is not there, and for several devices."""
    import torch

    if "," in device or device == ALL_CUDA:
        remedy = "name one; `encode`, `run` and `sweep` encode on several. Start one command for each to share the rest"
        raise BadInput(f"device {device}", "is several devices where one computes", remedy)
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BadInput(f"device {device}", reason, "take one that `respbench doctor` lists; cpu always is") from error


def devices_of(text: str) -> tuple[str, ...]:
    """The devices that ``cuda:0,cuda:1``, ``cuda:all`` or the name of one stand for.

    Raises
    ------
    BadInput
        For one that is not there or named twice (``cpu`` may be), and for devices of several kinds or models, whose
        embeddings would differ in their last digits.
    """
    import torch

    if text.strip() == ALL_CUDA:
        names = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        if not names:
            raise BadInput(f"device {text}", "there is no CUDA device", "take one that `respbench doctor` lists")
    else:
        names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise BadInput(f"device {text!r}", "a name between commas is empty", "give names such as cuda:0,cuda:1")
    for name in names:
        require_device(name)
    models = {_model(torch.device(name)) for name in names}
    if len(models) > 1:
        problem = f"are of several kinds ({', '.join(sorted(models))}), and an embedding would depend on which made it"
        raise BadInput(f"devices {', '.join(names)}", problem, "name devices of one kind")
    places = [(torch.device(name).type, torch.device(name).index or 0) for name in names]
    if len(set(places)) < len(places) and places[0][0] != "cpu":
        raise BadInput(f"devices {', '.join(names)}", "one of them is named twice", "name each once")
    return tuple(names)


def on_devices(text: str, engine: Engine) -> tuple[str, Engine]:
    """The first of the devices that a text stands for, and the engine that encodes on all. Raises as ``devices_of``."""
    names = devices_of(text)
    return names[0], replace(engine, devices=names if len(names) > 1 else ())


def _model(device: torch.device) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def precision_of(encoder: Encoder) -> str:
    """The precision of the network's arithmetic; float32 for an encoder that was not loaded by ``load_encoder``."""
    return getattr(encoder, "precision", PRECISIONS[0])


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """The context in which a network on ``device`` computes at ``precision``; changes nothing for float32."""
    import torch

    return nullcontext() if precision == PRECISIONS[0] else torch.autocast(device.type, getattr(torch, precision))


def needs_statistics(encoder: Encoder) -> bool:
    """Whether the encoder measures statistics of the training clips (``fit_stats``) before it is used."""
    return bool(getattr(encoder, "needs_stats", False))
