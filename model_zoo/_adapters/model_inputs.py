"""What a model of transformers is given of a clip: its feature extractor's arrays, by the names of its arguments."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import numpy as np
import torch

from bench.base.errors import BadInput
from model_zoo._adapters.foreign import FAULTS
from model_zoo._adapters.hearing_part import HEARS_NOT, WRAP

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

MASK, MASK_OF_FRAMES = "attention_mask", "input_features_mask"  # of one array, the extractors' name and some models'
ONE_BY_ONE = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
)


class ModelInputs:
    """The arguments of a model's ``forward`` for a batch of clips, each seen by the feature extractor alone.

    Arrays go by their names. A model that calls its sound otherwise is given it as its first argument, never a mask or
    a count in its place; and one that wants the mask of frames is given the extractor's.

    Raises
    ------
    BadInput
        When called, for a model that takes text or pictures, or needs what the extractor does not give: whatever else
        such an argument were given, the embedding would mean nothing.
    """

    def __init__(self, id: str, extractor: Callable, forward: Callable):
        self.id, self.extractor = id, extractor
        accepted = inspect.signature(forward).parameters
        # names alone: a signature cannot be copied, and what is trained is a copy
        self.accepted = tuple(accepted)
        named = [parameter for parameter in accepted.values() if parameter.kind in ONE_BY_ONE]
        self.first = named[0].name if named else ""  # empty where it hands all on, by the extractor's names
        self.needed = tuple(parameter.name for parameter in named if parameter.default is parameter.empty)
        takes = inspect.signature(type(extractor).__call__).parameters
        told = {"sampling_rate": extractor.sampling_rate, "return_tensors": "pt"}  # a few take neither
        if MASK_OF_FRAMES in accepted and MASK not in accepted:
            told["return_attention_mask"] = True  # which most give only when asked
        self.told = {name: value for name, value in told.items() if name in takes}
        self.in_a_list = self._wants_a_list()

    def __call__(self, wave: Tensor) -> dict[str, Tensor]:
        """The arrays for wave (B, samples), by argument of the model."""
        clips = [self._seen(clip) for clip in wave.detach().cpu().numpy()]
        return {
            argument: _without_empty_bands(torch.cat([clip[name] for clip in clips])).to(wave.device)
            for argument, name in self._names(clips[0]).items()
        }

    def _seen(self, clip: np.ndarray) -> Mapping[str, Tensor]:
        with np.errstate(divide="ignore", invalid="ignore"):  # of silence, see _without_empty_bands
            return self.extractor([clip] if self.in_a_list else clip, **self.told)

    def _wants_a_list(self) -> bool:
        """Whether the extractor fails on a clip by itself, and not on a list of it, as a second of silence shows."""
        self.in_a_list = False
        silence = np.zeros(self.extractor.sampling_rate, np.float32)
        for in_a_list in (False, True):
            self.in_a_list = in_a_list
            try:
                self._seen(silence)
                return in_a_list
            except FAULTS:
                continue
        return False  # its reason is that of the clip by itself

    def _names(self, given: Mapping[str, Tensor]) -> dict[str, str]:
        """{argument of the model: array of the extractor}."""
        names = {name: name for name in given if name in self.accepted}
        if MASK in given and "return_attention_mask" in self.told:
            names[MASK_OF_FRAMES] = MASK
        sounds = [name for name, array in given.items() if _may_be_sound(name, array)]
        if sounds and self.first not in HEARS_NOT and not any(name in sounds for name in names.values()):
            # what a model calls its sound differently is what it takes first
            names[self.first or sounds[0]] = sounds[0]
        lacks = [name for name in self.needed if name not in names]
        if lacks or not any(name in sounds for name in names.values()):
            problem = f"needs {', '.join(lacks or [self.first])}, which its feature extractor does not give"
            if not sounds and not lacks:
                problem = "takes what its feature extractor gives, but none of it is a tensor of sound"
            raise BadInput(self.id, f"{problem} (it gives {', '.join(given)})", f"it cannot hear by itself: {WRAP}")
        return names


def _may_be_sound(name: str, array: object) -> bool:
    """Whether an array of an extractor's is of floating point, and no mask: some of those are too."""
    return torch.is_tensor(array) and array.is_floating_point() and not name.endswith("mask")


def _without_empty_bands(array: Tensor) -> Tensor:
    """Features (B, T', F'), 0 in the bands of a clip that have no finite value.

    A front end that divides by a band's spread over the clip leaves such bands of silence, which is legal audio.
    """
    if array.ndim != 3 or not array.is_floating_point():
        return array
    finite = array.isfinite()
    return array if finite.all() else array.masked_fill(~finite.any(dim=1, keepdim=True), 0.0)
