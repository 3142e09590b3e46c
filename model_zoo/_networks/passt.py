"""The network of PaSST, with the tensor names that it is released under.

Koutini et al., Efficient training of audio transformers with patchout, Interspeech 2022 (arXiv 2110.05069), section 2:
overlapping patches, positions in time and in frequency apart, a class and a distillation token. Patchout drops patches
in training alone, and is left to the taps here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bench.base.errors import CheckpointError
from model_zoo._adapters import row_ends
from model_zoo._networks import vit

BANDS, FRAMES, PATCH = 128, 998, 16  # of the input; frames that the table of positions was made for
STRIDES = {BANDS // stride: stride for stride in (10, 16)}  # released, by their rows of patches
LEADING = 2  # class and distillation token


class Geometry(NamedTuple):
    """The blocks' sizes, the stride of patches both ways, the classes of the tagger."""

    blocks: vit.Geometry
    stride: int
    classes: int


FULL = Geometry(vit.Geometry(768, 12, 3072), 10, 527)


def read_geometry(tensors: Mapping[str, Tensor], where: object) -> Geometry:
    """The geometry of a checkpoint's tensors. Raises ``CheckpointError``."""
    blocks = vit.read_geometry(tensors, where)
    try:
        rows, columns = tensors["freq_new_pos_embed"].shape[2], tensors["time_new_pos_embed"].shape[3]
        classes = tensors["head.1.weight"].shape[0]
    except (KeyError, IndexError) as error:
        problem = f"lacks the tensors of PaSST with its tagger ({error})"
        raise CheckpointError(where, problem, "take a file of the release") from error
    stride = STRIDES.get(rows)
    if stride is None or columns != FRAMES // stride:
        problem = f"has {rows} x {columns} positions, which no release for clips of 10 s and a hop of 10 ms has"
        raise CheckpointError(where, problem, "take passt-s-f128-p16-s10-ap.476-swa.pt")
    return Geometry(blocks, stride, classes)


class Passt(nn.Module):
    """x (B, frames, bands) to every block's output, the last one normed, and the tagger's logits of both tokens."""

    def __init__(self, geometry: Geometry):
        super().__init__()
        width, self.stride = geometry.blocks.width, geometry.stride
        self.bands = (BANDS - PATCH) // self.stride + 1  # rows of patches
        self.cls_token, self.dist_token = (nn.Parameter(torch.zeros(1, 1, width)) for _ in range(LEADING))
        self.new_pos_embed = nn.Parameter(torch.zeros(1, LEADING, width))
        self.freq_new_pos_embed = nn.Parameter(torch.zeros(1, width, BANDS // self.stride, 1))
        self.time_new_pos_embed = nn.Parameter(torch.zeros(1, width, 1, FRAMES // self.stride))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(1, width, PATCH, self.stride)})
        self.blocks = vit.blocks(geometry.blocks)
        self.norm = nn.LayerNorm(width, vit.EPS)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, geometry.classes))

    def columns(self, frames: int) -> int:
        """Columns of patches over so many frames."""
        return (frames - PATCH) // self.stride + 1

    def forward(
        self, x: Tensor, rows: row_ends.Rows | None, tap: Callable[[Tensor], Tensor]
    ) -> tuple[list[Tensor], Tensor]:
        """Outputs (B, 2 + F' * T', D), both tokens first, then patches row by row, and logits (B, classes).

        ``rows`` says where the columns of patches end; ``tap`` is given the patches (B, F' * T', D) before positions.
        """
        patches = self.patch_embed["proj"](x.transpose(1, 2)[:, None])  # (B, D, F', T')
        shape = patches.shape[2:]
        patches = tap(patches.flatten(2).transpose(1, 2)).transpose(1, 2).unflatten(2, shape)
        patches = patches + self.time_new_pos_embed[..., : shape[1]] + self.freq_new_pos_embed
        leading = torch.cat([self.cls_token, self.dist_token], dim=1) + self.new_pos_embed
        x = torch.cat([leading.expand(len(x), -1, -1), patches.flatten(2).transpose(1, 2)], dim=1)
        outputs = list(vit.outputs(self.blocks, x, row_ends.attended(rows, LEADING, self.bands)))
        outputs[-1] = self.norm(outputs[-1])
        return outputs, self.head(outputs[-1][:, :LEADING].mean(dim=1))

    def initialise(self) -> None:
        """Initialises the network as it was before ImageNet: truncated normals of standard deviation 0.02."""
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                nn.init.trunc_normal_(parameter, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
