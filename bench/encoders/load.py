"""Encoders ready for use, and the primitives that turn waveforms into embeddings.

Batching never changes an embedding: clips share a batch only when the encoder pads them to the same length.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.base import registry
from bench.base.errors import BadInput, UnknownId
from bench.encoders.weights import licences
from bench.types import PRECISIONS, Encoder, EncoderCard

if TYPE_CHECKING:
    pass


def load_encoder(
    id: str,
    weights: str | Path | None = None,
    device: str = "cpu",
    precision: str = "float32",
    *,
    accept_licence: bool = False,
) -> Encoder:
    """The encoder ``id`` (``family.variant``, ``@policy`` appended for another input policy) in ``eval()``.

    ``weights`` names a weight file or folder. Otherwise the card's files are looked for in
    ``bench.base.paths.weight_folders()`` and among what was fetched; a restrictive licence must have been agreed to
    (``accept_licence`` agrees, see ``bench.encoders.weights.licences``), and a digest that the card does not give is
    pinned on first use. ``weights_digest`` is the SHA-256 of what was loaded, that of the initial state for an
    untrained twin, ``none`` for an encoder without weights. One that is trained from scratch (``card.from_scratch``) is
    initialised by seed 0 and leaves torch's own generator alone; ``encoder.reset(seed)`` initialises it again. An
    adapted geometry shows in ``encoder.card``. ``precision`` (one of ``PRECISIONS``) is that of the network's
    arithmetic, by autocast: weights, front end and embeddings stay float32. Raises ``UnknownId``, ``CheckpointError``
    (absent, damaged or unfitting weights), ``LicenceNotAccepted``, ``BadInput``.
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
