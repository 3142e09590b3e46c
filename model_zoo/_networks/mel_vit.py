"""Dasheng's and CED's network: a vision transformer on the log-mel spectrogram of 10 s at a time.

Papers: Dinkel et al., Scaling up masked audio encoder learning for general audio classification, Interspeech 2024
(arXiv 2406.06992); Dinkel et al., CED: Consistent ensemble distillation for audio tagging, ICASSP 2024 (arXiv
2308.11957). The tensor names are those of their releases, which ``_networks/vit.py`` shares.

Front end: power spectra of 512 samples every 160 under a periodic Hann window, centred, mirrored at both ends; 64 mel
bands at 0-8000 Hz (HTK scale, no area normalisation); decibels floored at -100 and 120 dB below **the clip's** maximum
(the originals take that of everything in the batch); a batch norm over bands with the file's statistics. Patches get
the sum of a position in time and one in frequency; a chunk's positions start from the first. Pre-norm blocks with the
exact GELU, layer norms of epsilon 1e-6, no class token, a last norm. Geometry is read from the tensors: heads =
width // 64, but 16 for a width of 1280.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bench.base.errors import CheckpointError
from bench.encoders.weights.read import load_tensors
from bench.types import EncoderCard, Grid, Tokens
from model_zoo._adapters import row_ends
from model_zoo._adapters.adapter import Adapter, full_precision
from model_zoo._adapters.cards import dims
from model_zoo._adapters.checkpoint import load_strict
from model_zoo._adapters.frontend import MelSpectrogram, decibels
from model_zoo._adapters.settings import require_settings
from model_zoo._networks import vit

RATE, FFT, HOP, BANDS = 16000, 512, 160, 64
RANGE_DB = 120.0
WIDE, WIDE_HEADS = 1280, 16  # the one release whose heads are not of 64 channels
ANCHORS = ("time_pos_embed", "patch_embed.proj.weight")
HUB_PREFIX = "encoder."  # of the files on the Hub
IGNORED = (r"front_end\..*", r"outputlayer\..*")  # constants of the front end, a classifier


class Family(NamedTuple):
    """What the files of a family do not tell.

    ``chunk``: frames that go through the network at a time. ``patch``: bands and frames of one. ``fills``: whether the
    last of several chunks is filled up with zeros behind the batch norm, whose tokens count.
    """

    chunk: int
    patch: tuple[int, int]
    fills: bool

    @property
    def columns(self) -> int:
        """Patches of a chunk in time."""
        return self.chunk // self.patch[1]


class MelVit(nn.Module):
    """The network behind the front end."""

    def __init__(self, blocks: vit.Geometry, family: Family):
        super().__init__()
        self.init_bn = nn.BatchNorm2d(BANDS)
        self.patch_embed = vit.Patches(blocks.width, family.patch)
        self.time_pos_embed = nn.Parameter(torch.zeros(1, blocks.width, 1, family.columns))
        self.freq_pos_embed = nn.Parameter(torch.zeros(1, blocks.width, BANDS // family.patch[0], 1))
        self.blocks = vit.blocks(blocks)
        self.norm = nn.LayerNorm(blocks.width, vit.EPS)

    def initialise(self) -> None:
        """Initialises the network as masked autoencoders are, positions with standard deviation 0.02."""
        vit.initialise(self)
        for table in (self.time_pos_embed, self.freq_pos_embed):
            nn.init.normal_(table, std=0.02)

    def normalised(self, mel: Tensor) -> Tensor:
        """The mel spectrogram (B, frames, 64) in dB after the batch norm over bands, in the same shape."""
        bands = mel.transpose(1, 2)[..., None].contiguous()  # of other strides torch's CPU gradient is wrong
        return self.init_bn(bands)[..., 0].transpose(1, 2)

    def patches(self, frames: Tensor) -> Tensor:
        """Embeddings (B, T', F', D) of a chunk's frames (B, N, 64), from which the last short of a patch are cut."""
        return self.patch_embed(frames.transpose(1, 2)[:, None]).permute(0, 3, 2, 1)

    def forward(self, patches: Tensor, rows: row_ends.Rows | None = None) -> list[Tensor]:
        """Every block's output (B, T', F', D) of a chunk's patches (B, T', F', D), the last one after the norm."""
        x = patches.permute(0, 3, 2, 1) + self.time_pos_embed[..., : patches.shape[1]] + self.freq_pos_embed
        bands = x.shape[2]
        tokens = x.flatten(2).transpose(1, 2)  # band by band
        outputs = list(vit.outputs(self.blocks, tokens, row_ends.attended(rows, bands=bands)))
        outputs[-1] = self.norm(outputs[-1])
        return [y.unflatten(1, (bands, -1)).transpose(1, 2) for y in outputs]


class MelVitEncoder(Adapter):
    """The network with its front end, clips cut into chunks of frames; ``published`` is made of the tokens' mean."""

    ragged = True
    offers = frozenset({"spectrogram", "patches"})

    def __init__(
        self, card: EncoderCard, blocks: vit.Geometry, family: Family, publish: Callable[[Tensor], Tensor] | None
    ):
        bands, hop_s = BANDS // family.patch[0], family.patch[1] * HOP / RATE
        offered = dims(blocks.width, bands, published=blocks.width)
        super().__init__(dataclasses.replace(card, dims=offered, layers=blocks.depth, grid=(hop_s, bands)))
        self.family, self.publish = family, publish
        self.net = MelVit(blocks, family)
        self.frontend = MelSpectrogram(RATE, FFT, HOP, BANDS, 0.0, RATE / 2, scale="htk", norm=None)

    def batch_length(self, n: int) -> int:
        """The most samples that give as many frames as n."""
        return self.frontend.samples(n)

    @full_precision
    def fbank(self, wave: Tensor, length: Tensor) -> Tensor:
        """Mel spectrogram in dB (B, frames, 64) of wave (B, batch_length)."""
        level = decibels(self.frontend(wave, length))
        loudest = row_ends.amax(level, self.frontend.rows(length, 1), (1, 2), keepdim=True)
        return torch.maximum(level, loudest - RANGE_DB)

    def columns(self, frames: int, heard: bool = False) -> int:
        """Tokens in time of a clip of so many frames; ``heard``: of those, the ones that begin within the clip."""
        whole, rest = divmod(frames, self.family.chunk)
        last = rest // self.family.patch[1]
        if self.family.fills and whole and rest:
            last = min(-(-rest // self.family.patch[1]), self.family.columns) if heard else self.family.columns
        return whole * self.family.columns + last

    def encode(self, wave: Tensor, length: Tensor) -> Tokens:
        frames = self.tap("spectrogram", self.net.normalised(self.fbank(wave, length)))
        counts = [self.frontend.frames(n) for n in length.tolist()]
        chunk, (_, step), fills = self.family
        if fills and frames.shape[1] > chunk:
            frames = row_ends.zero_behind(frames, self.frontend.rows(length, 1))
            frames = nn.functional.pad(frames, (0, 0, 0, -frames.shape[1] % chunk))
        frames = frames[:, : frames.shape[1] - frames.shape[1] % chunk % step]
        (patches,) = vit.chunked(frames, chunk, lambda part: [self.net.patches(part)])
        patches = self.tap("patches", patches.flatten(1, 2)).unflatten(1, patches.shape[1:3])
        rows = row_ends.ends([self.columns(n) for n in counts], 1, length.device)
        if rows:
            hidden = vit.chunked_rows(patches, rows, self.family.columns, self.net)
        else:
            hidden = vit.chunked(patches, self.family.columns, self.net)
        count = row_ends.tokens(rows, length, hidden[0].shape[1])
        valid = torch.tensor([self.columns(n, heard=True) for n in counts], device=length.device)
        layers = tuple(
            Grid(y, count, self.card.grid[0], f"block{i}", valid if fills else None)
            for i, y in enumerate(hidden, start=1)
        )
        mean = row_ends.mean(hidden[-1].float(), rows, (1, 2))
        return Tokens(layers, self.publish(mean) if self.publish else mean)


def read_geometry(tensors: Mapping[str, Tensor], family: Family, where: object) -> vit.Geometry:
    """The blocks' geometry, from tensors that must be those of the family. Raises ``CheckpointError``."""
    remedy = "check that the file belongs to this encoder"
    blocks = vit.read_geometry(tensors, where)
    try:
        patch = tuple(tensors["patch_embed.proj.weight"].shape[1:])
        grid = tensors["freq_pos_embed"].shape[2], tensors["time_pos_embed"].shape[3]
    except (KeyError, IndexError) as error:
        raise CheckpointError(where, f"lacks positions or patches ({error})", remedy) from error
    if (patch, grid) != ((1, *family.patch), (BANDS // family.patch[0], family.columns)):
        expected = f"{BANDS // family.patch[0]} x {family.columns} of {family.patch}"
        problem = f"has positions for {grid[0]} x {grid[1]} patches of {patch[1:]} (bands x frames), not for {expected}"
        raise CheckpointError(where, problem, remedy)
    return with_heads(blocks)


def with_heads(blocks: vit.Geometry) -> vit.Geometry:
    """The geometry with the channels of a head that follow from the width."""
    return blocks._replace(head=WIDE // WIDE_HEADS) if blocks.width == WIDE else blocks


def build(
    card: EncoderCard,
    weights: Path | None,
    family: Family,
    untrained: vit.Geometry,
    publish: Callable[[Tensor], Tensor] | None = None,
) -> nn.Module:
    """The encoder with released weights, or as its training starts, of the geometry ``untrained``.

    ``publish`` makes the authors' embedding of the mean over tokens (B, D), which it is itself without. Raises
    ``CheckpointError``.
    """
    if weights is None:
        encoder = MelVitEncoder(card, untrained, family, publish)
        encoder.net.initialise()
        return encoder.eval()
    tensors = load_tensors(weights, *ANCHORS, prefixes=[HUB_PREFIX])
    tensors = {name.replace("init_bn.1.", "init_bn."): tensor for name, tensor in tensors.items()}
    blocks = read_geometry(tensors, family, weights)
    heads = (blocks.width // blocks.head,)
    require_settings(weights, {"num_heads": heads, "encoder_kwargs.num_heads": heads}, "take a folder of the release")
    encoder = MelVitEncoder(card, blocks, family, publish)
    load_strict(encoder.net, tensors, IGNORED, weights)
    return encoder.eval()
