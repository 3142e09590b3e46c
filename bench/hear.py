"""Any encoder as a module of the HEAR API, for tools that take one by name.

``bench.hear.<id>`` imports as such a module, so that HEAR's evaluation kit runs an encoder of this project:

    python -m heareval.embeddings.runner bench.hear.ast.base --model weights/ast.pth

API: https://hearbenchmark.com/hear-api.html. ``load_model(path)`` takes the checkpoint, or finds it as
``bench.load_encoder`` does. An encoder whose network is code that comes with it wants the revision of that code too,
``load_model(path, trust_remote_code=…)``; the kit hands such options on, and names its folder of embeddings by them:

    python -m heareval.embeddings.runner bench.hear.hf.org/name --model-options '{"trust_remote_code": "0123…"}'

The scene embedding is the card's default pooling; a timestamp embedding is one step of the
pooled layer, F' * D features (frequency outer), the steps' times lie symmetrically in the clip. Clips are padded and
cropped as everywhere in this project; timestamps of clips beyond ``max_s`` come from consecutive windows.
"""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

import torch
from torch import Tensor, nn

from bench.base import registry
from bench.base.errors import BadInput
from bench.encoders.batches import bounded_length, padded_length
from bench.encoders.load import load_encoder, needs_statistics, require_trained
from bench.encoders.pooling import pool
from bench.encoders.weights.code import require_used, revisions
from bench.types import Encoder, Tokens

SAMPLE_RATES = (16000, 22050, 32000, 44100, 48000)  # Hz, that HEAR's tasks come in
__path__: list[str] = []  # a package of which every module is made by Modules


class HearModel(nn.Module):
    """An encoder with the attributes that the API asks for; any clip length is legal, so ``min_s`` is 0."""

    min_s = 0.0

    def __init__(self, encoder: Encoder):
        super().__init__()
        card = encoder.card
        self.encoder = encoder
        self.sample_rate: int = card.sample_rate
        self.scene_embedding_size: int = card.dims[card.default_pooling]
        self.timestamp_embedding_size: int = card.dims.get("freq") or card.grid[1] * card.dims["mean"]

    def forward(self, audio: Tensor) -> Tokens:
        """Tokens of audio (n_sounds, n_samples), all of it sound."""
        encoder, n = self.encoder, audio.shape[1]
        wave = audio.new_zeros(len(audio), padded_length(encoder, n))
        length = bounded_length(n, encoder.card)
        wave[:, : min(n, length)] = audio[:, :length]
        return encoder(wave, torch.full((len(audio),), length, device=audio.device))


def export(id: str) -> ModuleType:
    """The encoder ``id`` as a module of the HEAR API. Raises ``UnknownId``."""
    registry.encoder_card(id)
    return importlib.import_module(f"{__name__}.{id}")


def load_model(id: str, path: str = "", trust_remote_code: str | Sequence[str] | None = None) -> HearModel:
    """The encoder's HEAR model, in ``eval()``.

    Its ``encoder.card.code`` is the revision of the model's own code that ran, empty where none did.

    Parameters
    ----------
    id
        Of the encoder.
    path
        A checkpoint; by default its weights are looked for as everywhere.
    trust_remote_code
        As of ``bench.load_encoder``.

    Raises
    ------
    BadInput
        As ``bench.load_encoder`` and its other errors, for a trusted revision that is not of the encoder's code, and
        for an encoder that the API has no place for.
    """
    trusted = revisions(trust_remote_code)
    require_used(trusted, [registry.encoder_card(id, trusted)])
    encoder = load_encoder(id, path or None, trust_remote_code=trusted)
    require_trained(encoder.card)
    if encoder.card.sample_rate not in SAMPLE_RATES:
        problem = f"runs at {encoder.card.sample_rate} Hz, which is not one of HEAR's rates {SAMPLE_RATES}"
        raise BadInput(id, problem, "take another encoder")
    if needs_statistics(encoder):
        problem = "needs statistics of the training clips, which the HEAR API does not hand over"
        raise BadInput(id, problem, "take another encoder or policy")
    return HearModel(encoder).eval()


def get_scene_embeddings(audio: Tensor, model: HearModel) -> Tensor:
    """(n_sounds, scene_embedding_size) float32 of audio (n_sounds, n_samples) in [-1, 1] at ``model.sample_rate``."""
    card = model.encoder.card
    return pool(model(audio), card.pool_layer, card.default_pooling).float()


def get_timestamp_embeddings(audio: Tensor, model: HearModel) -> tuple[Tensor, Tensor]:
    """Embeddings of time steps, and when they are.

    Parameters
    ----------
    audio
        (n_sounds, n_samples) in [-1, 1] at ``model.sample_rate``.
    model
        As ``load_model`` gives it.

    Returns
    -------
    embeddings
        (n_sounds, n_timestamps, timestamp_embedding_size) float32; steps over padding alone are left out.
    timestamps
        (n_sounds, n_timestamps) float32, the steps' centres in ms.
    """
    card, n = model.encoder.card, audio.shape[1]
    window = n if card.max_s is None else round(card.max_s * card.sample_rate)
    parts, start, hop = [], 0, 0.0
    while start < n:
        part = audio[:, start : start + window]
        grid = model(part).layers[card.pool_layer]
        steps = int((grid.length if grid.valid is None else grid.valid)[0])  # the clips are equally long
        hop = hop or grid.hop_s * card.sample_rate or part.shape[1] / steps  # samples
        parts.append(grid.hidden[:, : min(steps, math.ceil(part.shape[1] / hop))].flatten(2))
        start += n if window >= n else round(hop * parts[-1].shape[1])  # windows meet where their steps do
    embeddings = torch.cat(parts, dim=1).float()
    steps = embeddings.shape[1]
    first = (n - (steps - 1) * hop) / 2  # as far from the beginning as the last one from the end
    centres = (first + hop * torch.arange(steps, dtype=torch.float64)) * 1000 / card.sample_rate
    return embeddings, centres.to(audio.device, torch.float32).expand(len(audio), -1)


class Modules(MetaPathFinder, Loader):
    """Imports ``bench.hear.<id>``; an id's dots make packages of its beginnings, which load nothing."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The specification of a module below this one; None for any other name."""
        if not name.startswith(f"{__name__}."):
            return None
        return ModuleSpec(name, self, origin=__file__, is_package=True)

    def exec_module(self, module: ModuleType) -> None:
        """Puts the functions of the HEAR API into the module."""
        id = module.__name__.removeprefix(f"{__name__}.")
        module.__doc__ = f"The encoder {id} as a module of the HEAR API."

        def load(model_file_path: str = "", trust_remote_code: str | Sequence[str] | None = None) -> HearModel:
            return load_model(id, model_file_path, trust_remote_code)

        vars(module).update(
            load_model=load,
            get_scene_embeddings=get_scene_embeddings,
            get_timestamp_embeddings=get_timestamp_embeddings,
        )


if not any(isinstance(finder, Modules) for finder in sys.meta_path):
    sys.meta_path.append(Modules())
