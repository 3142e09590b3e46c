"""What ATST-Frame and ATST-Clip share: scaled log-mel spectrogram, linear embedding, layout of files, initialisation.

Decibels of 64 HTK mel bands at 60-7800 Hz, 64 ms frames every 10 ms, floored 80 dB below the clip's maximum, scaled so
that -79.6482 to 50.6842 dB, the extremes over AudioSet that are published with the code, become -1 to 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bench.base.errors import CheckpointError
from bench.types import EncoderCard
from model_zoo._adapters import row_ends
from model_zoo._adapters.adapter import Adapter, full_precision
from model_zoo._adapters.frontend import MelSpectrogram, decibels
from model_zoo._networks import vit

RATE, BANDS, FFT, HOP = 16000, 64, 1024, 160
LOW_HZ, HIGH_HZ = 60.0, 7800.0
RANGE_DB = 80.0
LOWEST_DB, HIGHEST_DB = -79.6482, 50.6842


class AtstAdapter(Adapter):
    """An adapter with the front end."""

    ragged = True
    offers = frozenset({"spectrogram", "patches"})

    def __init__(self, card: EncoderCard):
        super().__init__(card)
        self.frontend = MelSpectrogram(RATE, FFT, HOP, BANDS, LOW_HZ, HIGH_HZ, scale="htk", norm=None)

    def batch_length(self, n: int) -> int:
        """The most samples that give as many frames as n."""
        return self.frontend.samples(n)

    @full_precision
    def fbank(self, wave: Tensor, length: Tensor) -> Tensor:
        """Scaled mel spectrogram (B, frames, bands) of wave (B, batch_length)."""
        level = decibels(self.frontend(wave, length))
        loudest = row_ends.amax(level, self.frontend.rows(length, 1), (1, 2), keepdim=True)
        level = torch.maximum(level, loudest - RANGE_DB)
        return 2 * (level - LOWEST_DB) / (HIGHEST_DB - LOWEST_DB) - 1


class Patches(nn.ModuleDict):
    """The linear embedding ``patch_embed`` of ``patch`` frames at a time."""

    def __init__(self, bands: int, patch: int, width: int):
        super().__init__({"patch_embed": nn.Linear(bands * patch, width)})
        self.patch = patch

    def forward(self, frames: Tensor) -> Tensor:
        """Embeddings (B, N // patch, D) of frames (B, N, bands)."""
        groups = frames[:, : frames.shape[1] // self.patch * self.patch].unflatten(1, (-1, self.patch))
        return self["patch_embed"](groups.transpose(2, 3).flatten(2))  # bands outer, frames inner


class Layout(NamedTuple):
    """What a checkpoint's tensors say: the blocks' sizes, frames of a token, tokens that have a position."""

    blocks: vit.Geometry
    patch: int
    positions: int


def read_layout(tensors: Mapping[str, Tensor], where: object, chunk: int, family: str, remedy: str) -> Layout:
    """Reads the layout of an encoder of ``family`` whose chunks have ``chunk`` frames from its tensors.

    Raises ``CheckpointError`` for other tensors, or positions for less than a chunk.
    """
    blocks = vit.read_geometry(tensors, where, bias=False)
    try:
        patch = tensors["patch_embed.patch_embed.weight"].shape[1] // BANDS
        positions = tensors["pos_embed"].shape[1] - 1  # the first is a class token's
    except (KeyError, IndexError) as error:
        raise CheckpointError(where, f"lacks the tensors of {family} ({error})", remedy) from error
    if not patch or positions < chunk // patch:
        problem = f"has {positions} positions for tokens of {patch} frames, too few for chunks of {chunk} frames"
        raise CheckpointError(where, problem, remedy)
    return Layout(blocks, patch, positions)


def initialise(teacher: nn.Module) -> None:
    """Normal matrices, positions and class token of standard deviation 0.02, cut at 2; zero biases."""
    for name, parameter in teacher.named_parameters():
        if name in ("pos_embed", "cls_token") or parameter.ndim == 2:
            nn.init.trunc_normal_(parameter, std=0.02)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
