"""ATST-Frame: a teacher-student transformer on spectrogram frames, trained on AudioSet without labels.

Paper: Li, Shao, Li, Self-supervised audio teacher-student transformer for both clip-level and frame-level tasks,
IEEE/ACM TASLP 2024 (arXiv 2306.04186). Checkpoint: https://github.com/Audio-WestlakeU/audiossl (ec3a14d), whose README
of the method links ``atstframe_base`` (https://drive.google.com/file/d/1bGJSZWlAIIJ6GL5Id5dW0PTB72DL-QDQ);
eval-audio-repr calls the file ``atstframe_base.ckpt``. Licence: MIT (code), CC BY 4.0 (weights that the repository
links), both by its LICENSE. By its training code the file is a whole Lightning checkpoint with numpy's scalars as
learning rates; it was not at hand. Trained on: AudioSet (self-supervised).

Front end: 64 HTK mel bands 60-7800 Hz of 64/10 ms frames, decibels floored 80 dB below the clip's maximum, scaled so
that -79.6482 to 50.6842 dB becomes -1 to 1. Clips are cut into chunks of 1,001 frames (10 s); a token is four frames
with all their bands (40 ms), frames short of four at a chunk's end are dropped. No class token.
``published`` = the means over time of all blocks' outputs, concatenated, each chunk counting the same, as in the
original's scene embedding and in eval-audio-repr. All layers are given after ``norm_frame``, as published.
A last chunk of one to three frames has no token and counts as zero in ``published``, as in the original: it halves
the embedding of a clip of 10.01 s. The other poolings act on the tokens of all chunks, so chunks weigh by length.
Geometry is read from the tensors: heads = width // 64. Deviations: none at evaluation. The student, both projectors,
the predictor and the mask token are ignored.

``atst.clip``, the same authors' encoder of whole clips, is in ``_networks/atst_clip.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import EncoderCard, Weights
from model_zoo._adapters.cards import dims
from model_zoo._networks import atst_clip

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from model_zoo._networks.atst_frontend import Layout

RATE, BANDS, HOP = 16000, 64, 160
CHUNK = 1001  # frames
BASE = (768, 12, 3072, False)  # channels, blocks, channels inside the MLP, whether qkv has a bias
TEACHER = "model.teacher.encoder."
IGNORED = (r"mask_embed", r"model\.student\..*", r"model\.teacher\.(projector|predictor)\..*")

CARDS = (
    EncoderCard(
        id="atst.frame",
        version=1,
        sample_rate=RATE,
        min_s=0.04,
        year=2024,
        dims=dims(768, published=12 * 768),
        frontend="log-mel in dB, 64 HTK bands 60-7800 Hz, 64 ms frames every 10 ms, scaled to [-1, 1], "
        "chunks of 10 s, 16 kHz",
        citation="Li et al., Self-supervised audio teacher-student transformer, IEEE/ACM TASLP 2024",
        licence="MIT",
        grid=(0.04, 1),
        layers=12,
        params=85_418_496,
        weights=(
            Weights(
                file="atstframe_base.ckpt",
                urls=("https://drive.google.com/file/d/1bGJSZWlAIIJ6GL5Id5dW0PTB72DL-QDQ",),
                licence="CC BY 4.0",
            ),
        ),
        trained_on=("audioset",),
        parity="golden",
        default_pooling="published",
        notes="published: the outputs of all 12 blocks concatenated, averaged over chunks of 10 s",
    ),
    atst_clip.CARD,
)


def read_geometry(tensors: Mapping[str, Tensor], where: object) -> Layout:
    """Reads the layout of an ATST-Frame encoder from its tensors. Raises ``CheckpointError``."""
    from bench.base.errors import CheckpointError
    from model_zoo._networks.atst_frontend import read_layout

    remedy = "take an ATST-Frame checkpoint of the release"
    layout = read_layout(tensors, where, CHUNK, "ATST-Frame", remedy)
    if layout.positions != CHUNK // layout.patch:  # its chunks use every position
        problem = f"has {layout.positions} positions for tokens of {layout.patch} frames, not chunks of {CHUNK} frames"
        raise CheckpointError(where, problem, remedy)
    return layout


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The teacher with the released weights, or as its training starts at base geometry."""
    if card.id.partition("@")[0] == atst_clip.CARD.id:
        return atst_clip.build(card, weights)
    import dataclasses

    import torch
    from torch import nn

    from bench.encoders.weights.read import load_tensors
    from bench.types import Grid, Tokens
    from model_zoo._adapters import row_ends
    from model_zoo._adapters.checkpoint import load_strict
    from model_zoo._networks import vit
    from model_zoo._networks.atst_frontend import AtstAdapter, Layout, Patches, initialise

    class Teacher(nn.Module):
        """Frames in groups of ``patch``, a linear embedding, learnt positions, blocks, a norm for their outputs."""

        def __init__(self, layout: Layout):
            super().__init__()
            width = layout.blocks.width
            self.pos_embed = nn.Parameter(torch.zeros(1, 1 + layout.positions, width))  # the first is not used
            self.patch_embed = Patches(BANDS, layout.patch, width)
            self.blocks = vit.blocks(layout.blocks)
            self.norm_frame = nn.LayerNorm(width, vit.EPS)

        def forward(self, x: Tensor, rows: row_ends.Rows | None = None) -> list[Tensor]:
            """Every block's output (B, T', D) of patches x (B, T', D), after the norm."""
            x = x + self.pos_embed[:, 1 : 1 + x.shape[1]]
            return [self.norm_frame(y) for y in vit.outputs(self.blocks, x, row_ends.attended(rows))]

    class Atst(AtstAdapter):
        def __init__(self, layout: Layout):
            width, depth = layout.blocks.width, layout.blocks.depth
            offered, grid = dims(width, published=depth * width), (layout.patch * HOP / RATE, 1)
            super().__init__(dataclasses.replace(card, dims=offered, grid=grid, layers=depth))
            self.teacher, self.positions = Teacher(layout), layout.positions

        def encode(self, wave: Tensor, length: Tensor) -> Tokens:
            frames = self.tap("spectrogram", self.fbank(wave, length))
            (patches,) = vit.chunked(frames, CHUNK, lambda chunk: [self.teacher.patch_embed(chunk)])
            patches = self.tap("patches", patches)
            rows = self.frontend.rows(length, 1)
            rows = rows and rows.then(
                lambda n: n // CHUNK * self.positions + n % CHUNK // self.teacher.patch_embed.patch
            )
            if rows:
                hidden = vit.chunked_rows(patches, rows, self.positions, self.teacher)  # each (B, T', D)
            else:
                hidden = vit.chunked(patches, self.positions, self.teacher, frames.shape[1] // CHUNK)
            chunks = -(-self.frontend.frames(length) // CHUNK)[:, None]
            clip = [self._averaged(y.float(), rows) / chunks for y in hidden]
            count = row_ends.tokens(rows, length, hidden[0].shape[1])
            layers = tuple(
                Grid(y[:, :, None], count, self.card.grid[0], f"block{i}") for i, y in enumerate(hidden, start=1)
            )
            return Tokens(layers, torch.cat(clip, dim=1))

        def _averaged(self, hidden: Tensor, rows: row_ends.Rows | None = None) -> Tensor:
            """Sum over chunks of the mean (B, D) of each chunk's tokens, with the original's guard against none."""
            if rows:
                return torch.cat([self._averaged(y[None, :n]) for y, n in zip(hidden, rows.counts, strict=True)])
            return sum(chunk.sum(dim=1) / (chunk.shape[1] + 1e-6) for chunk in hidden.split(self.positions, dim=1))

    if weights is None:
        blocks = vit.Geometry(*BASE)
        encoder = Atst(Layout(blocks, 4, CHUNK // 4))
        initialise(encoder.teacher)
        return encoder.eval()
    anchors = ("patch_embed.patch_embed.weight", "norm_frame.weight")
    tensors = load_tensors(weights, *anchors, entry="state_dict", prefixes=[TEACHER])
    encoder = Atst(read_geometry(tensors, weights))
    load_strict(encoder.teacher, tensors, IGNORED, weights)
    return encoder.eval()
