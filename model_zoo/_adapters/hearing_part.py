"""The part of a transformers model that hears, and the layers of what it answers."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from bench.base.errors import BadInput
from model_zoo._adapters.model_folder import HALVES

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bench.types import EncoderCard

WRAP = "wrap the part that hears as a HEAR module (hear.<module>)"
HEARS_NOT = ("input_ids", "pixel_values")  # the library's names of the first argument of what reads, and what sees


def hearing_part(model: nn.Module) -> nn.Module:
    """The part that hears: that of settings of its own, the encoder half of an encoder-decoder, else the model.

    Where that one reads text, as one of the two encoders of a translator of speech and text does, it is the first part
    that the library says takes audio, if there is one.
    """
    for name in HALVES:
        settings = getattr(model.config, name, None)
        parts = (part for part in model.modules() if part is not model and hasattr(part, "forward"))
        own = (part for part in parts if getattr(part, "config", None) is settings and settings is not None)
        if (part := next(own, None)) is not None:
            return part
    half = model.get_encoder() if getattr(model.config, "is_encoder_decoder", False) else model
    if _takes(half) not in HEARS_NOT:
        return half
    return next((part for part in model.modules() if _takes(part) not in HEARS_NOT and _says_audio(part)), half)


def _takes(part: nn.Module) -> str:
    """The first argument of a part."""
    return next(iter(inspect.signature(part.forward).parameters), "")


def _says_audio(part: nn.Module) -> bool:
    """Whether the library says of a part, which is a model of its own, that it takes audio by its main input."""
    return "audio" in getattr(part, "input_modalities", ()) and getattr(part, "main_input_name", "") == _takes(part)


def layers_of(out: Any, card: EncoderCard) -> list[Tensor]:
    """The layers (B, T', D) of a model's answer, the embedding first: ``hidden_states`` and ``last_hidden_state``.

    The latter takes the place of the last of the former where it has its shape, else it is a layer of its own. Of a
    tuple the first is taken as ``last_hidden_state``. Raises ``BadInput`` for any other answer.
    """
    import torch

    bare = out[0] if isinstance(out, tuple | list) and len(out) else out
    last = bare if torch.is_tensor(bare) else getattr(out, "last_hidden_state", None)
    layers = list(getattr(out, "hidden_states", None) or ())
    if last is not None and layers and last.shape == layers[-1].shape:
        layers[-1] = last
    elif last is not None:
        layers.append(last)
    if not layers:
        found = ", ".join(out) if hasattr(out, "keys") else f"a {type(out).__name__}"
        problem = f"answers with {found or 'nothing'}, neither last_hidden_state nor hidden_states"
        raise BadInput(card.id, problem, f"it is no encoder as it is: {WRAP}")
    if odd := [tuple(layer.shape) for layer in layers if layer.ndim != 3]:
        problem = f"answers with tokens {odd[0]}, not (clips, time, features)"
        raise BadInput(card.id, problem, f"which axis is time is not known here: {WRAP}")
    return layers
