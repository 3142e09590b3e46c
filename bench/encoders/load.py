"""Loads encoders by id, and says at which precision and on which device they compute."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from bench.base import registry
from bench.base.errors import BadInput, UnknownId
from bench.encoders.weights import licences
from bench.types import PRECISIONS, Encoder, EncoderCard

if TYPE_CHECKING:
    import torch


def load_encoder(
    id: str,
    weights: str | Path | None = None,
    device: str = "cpu",
    precision: str = "float32",
    *,
    accept_licence: bool = False,
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
        For weights given to an encoder that takes none, and for an unknown or absent device.
    """
    from bench.encoders.weights.find import digest, find, trust

    if precision not in PRECISIONS:
        raise UnknownId("precision", precision, PRECISIONS)
    card = registry.encoder_card(id)
    module = registry.family(registry.ENCODERS, id)
    if weights is not None and not card.weights and not getattr(module, "TAKES_WEIGHTS", False):
        raise BadInput(id, "takes no weights", "leave them out")
    path = find(card, weights) if card.weights or weights is not None else None
    if weights is None:
        licences.require(card, accept_licence)
    encoder = module.build(card, path)
    if path is not None:
        encoder.weights_digest = digest(path)
        if weights is None:
            trust(card, encoder.weights_digest)
    else:
        encoder.weights_digest = getattr(encoder, "weights_digest", "none")
    require_device(device)
    encoder.precision = precision
    return encoder.eval().to(device)


def require_trained(card: EncoderCard) -> None:
    """Raises ``BadInput`` for an encoder that is trained from scratch, which says nothing before it is."""
    if card.from_scratch:
        problem = "is trained from scratch, so there is nothing to score before it has been trained"
        raise BadInput(card.id, problem, f"use `respbench finetune --encoder {card.id}`")


def require_device(device: str) -> None:
    """Raises ``BadInput`` for a device that torch does not know or that is not there."""
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BadInput(f"device {device}", reason, "take one that `respbench doctor` lists; cpu always is") from error


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
