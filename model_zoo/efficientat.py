"""EfficientAT: MobileNetV3 taggers distilled from transformers on AudioSet.

Paper: Schmid, Koutini, Widmer, Efficient large-scale audio tagging via transformer-to-CNN knowledge distillation,
ICASSP 2023 (arXiv 2211.04772); blocks of Howard et al., Searching for MobileNetV3, ICCV 2019, table 1.
Checkpoint: https://github.com/fschmid56/EfficientAT (a425fdc), release v0.0.1, under the names that its code fetches.
Licence: MIT (the repository's LICENSE; nothing is said of the weights by themselves).
Trained on: ImageNet (initialisation), AudioSet (with PaSST as teacher), by the README.

``mnXX`` is the width multiplier times ten; a file of another width is read under any of the ids. Widths, kernels and
squeeze-excitation are read from the tensors; strides and activations are the paper's plan. ``published`` is the global
average pool of the last map; the layers are the stem, the 15 blocks and the last convolution. Parity is shown on
mn04's released weights. The classifier head is ignored. Deviations from the original: none at evaluation; clips
are batched, each mirrored and padded at its own end, where the original pads whole batches. The
untrained twin uses torch's default initialisation of each layer.
"""

from __future__ import annotations

import operator
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import EncoderCard, Weights
from model_zoo._adapters.cards import dims

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

BANDS, HOP = 128, 320
# MobileNetV3-large: kernel, expansion, output channels, squeeze-excitation, hard swish (else ReLU), stride
PLAN = (
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1),
    (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    (5, 960, 160, True, True, 1),
    (5, 960, 160, True, True, 1),
)
STEM, LAST = 16, 960
STRIDES = tuple(accumulate([2, *(stride for *_, stride in PLAN), 1], operator.mul))  # of every stage's map in frames
STRIDE = STRIDES[-1]
IGNORED = (r"classifier\..*",)
RELEASE = "https://github.com/fschmid56/EfficientAT/releases/download/v0.0.1"


def _card(name: str, width: int, params: int, weights: Weights) -> EncoderCard:
    return EncoderCard(
        id=f"efficientat.{name}",
        version=1,
        year=2023,
        sample_rate=32000,
        min_s=0.32,
        dims=dims(width, BANDS // STRIDE, published=width),
        frontend="pre-emphasis, kaldi log-mel, 128 bands 0-15 kHz, 25 ms frames every 10 ms, 32 kHz",
        citation="Schmid et al., Efficient large-scale audio tagging, ICASSP 2023",
        licence="MIT",
        grid=(STRIDE * HOP / 32000, BANDS // STRIDE),
        layers=len(STRIDES),
        params=params,
        weights=(weights,),
        trained_on=("imagenet", "audioset"),
        parity="golden",
        default_pooling="published",
    )


def _release(file: str, sha256: str = "", size: int | None = None) -> Weights:
    return Weights(file=file, urls=(f"{RELEASE}/{file}",), sha256=sha256, size=size, licence="MIT")


CARDS = (
    _card(
        "mn04",
        384,
        516_128,
        _release("mn04_as_mAP_432.pt", "899a8c6217063f6941793102a2780b3dd788ab11fce468d9cf5f0577c453321c", 4_066_513),
    ),
    _card(
        "mn10",
        960,
        2_971_664,
        _release("mn10_as_mAP_471.pt", "0bd7dc2443af498c289a2e739f02ebb515d6aa3fd3ab9db539c86123ae368a4e", 19_708_753),
    ),
    _card("mn20", 1920, 11_641_880, _release("mn20_as_mAP_478.pt")),
)


def _divisible(channels: float) -> int:
    """Nearest multiple of 8, never more than a tenth below (the paper's rounding of widths)."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def planned_sizes(width: float) -> list[dict[str, int]]:
    """Channels of the stem, the blocks and the last convolution at a width multiplier."""
    blocks = [
        {"kernel": k, "expanded": _divisible(e * width), "out": _divisible(c * width), "squeeze": 0}
        for k, e, c, *_ in PLAN
    ]
    for block, (_, _, _, excited, _, _) in zip(blocks, PLAN, strict=True):
        block["squeeze"] = _divisible(block["expanded"] / 4) if excited else 0
    return [{"out": _divisible(STEM * width)}, *blocks, {"out": _divisible(LAST * width)}]


def read_geometry(tensors: Mapping[str, Tensor], where: object) -> list[dict[str, int]]:
    """Reads the channels that ``planned_sizes`` gives from a checkpoint's tensors.

    Raises ``CheckpointError`` when they are not of this family.
    """
    from bench.base.errors import CheckpointError

    plan: list[dict[str, int]] = []
    try:
        plan.append({"out": tensors["features.0.0.weight"].shape[0]})
        for i in range(1, len(PLAN) + 1):
            block = f"features.{i}.block"
            convs = sorted(k for k in tensors if k.startswith(block) and k.endswith(".0.weight"))
            depthwise, project = tensors[convs[-2]], tensors[convs[-1]]
            squeeze = next((t.shape[0] for k, t in tensors.items() if k.startswith(block) and "fc1.weight" in k), 0)
            sizes = {"kernel": depthwise.shape[-1], "expanded": depthwise.shape[0], "out": project.shape[0]}
            plan.append(sizes | {"squeeze": squeeze})
        plan.append({"out": tensors[f"features.{len(PLAN) + 1}.0.weight"].shape[0]})
    except (KeyError, IndexError) as error:
        problem = f"lacks the tensors of a MobileNetV3 tagger ({error})"
        raise CheckpointError(where, problem, "take an mnXX file of the release") from error
    return plan


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The tagger's trunk with the released weights, or with torch's default initialisation at the card's width."""
    import dataclasses

    import torch
    from torch import nn

    from bench.encoders.weights.read import load_tensors
    from bench.types import Grid, Tokens
    from model_zoo._adapters import row_ends
    from model_zoo._adapters.adapter import Adapter, full_precision
    from model_zoo._adapters.checkpoint import load_strict
    from model_zoo._adapters.frontend import EmphasisedMel

    class Excite(row_ends.Ragged):
        """Channel gates from the map's average."""

        def __init__(self, channels: int, squeeze: int):
            super().__init__()
            gate = nn.Module()
            gate.fc1, gate.fc2 = nn.Linear(channels, squeeze), nn.Linear(squeeze, channels)
            self.conc_se_layers = nn.ModuleList([gate])

        def within(self, x: Tensor, rows: row_ends.Rows | None) -> tuple[Tensor, row_ends.Rows | None]:
            gate, mean = self.conc_se_layers[0], row_ends.mean(x, rows, (2, 3))
            return x * gate.fc2(gate.fc1(mean).relu()).sigmoid()[:, :, None, None], rows

    def conv(
        inside: int, out: int, kernel: int, stride: int = 1, groups: int = 1, act: type | None = None
    ) -> nn.Module:
        layers = [
            nn.Conv2d(inside, out, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(out, eps=1e-3, momentum=0.01),
        ]
        return nn.Sequential(*layers, *([act(inplace=True)] if act else []))

    class Block(row_ends.Ragged):
        """Inverted residual: expand, depthwise, gate, project."""

        def __init__(self, inside: int, size: dict[str, int], hard: bool, stride: int):
            super().__init__()
            act, wide = nn.Hardswish if hard else nn.ReLU, size["expanded"]
            layers = [conv(inside, wide, 1, act=act)] if wide != inside else []
            layers.append(conv(wide, wide, size["kernel"], stride, groups=wide, act=act))
            layers += [Excite(wide, size["squeeze"])] if size["squeeze"] else []
            self.block = nn.Sequential(*layers, conv(wide, size["out"], 1))
            self.residual = stride == 1 and inside == size["out"]

        def within(self, x: Tensor, rows: row_ends.Rows | None) -> tuple[Tensor, row_ends.Rows | None]:
            y, rows = row_ends.through(self.block, x, rows)
            return x + y if self.residual else y, rows

    class EfficientAT(Adapter):
        ragged = True
        offers = frozenset({"spectrogram"})

        def __init__(self, plan: list[dict[str, int]]):
            width = plan[-1]["out"]
            super().__init__(dataclasses.replace(card, dims=dims(width, BANDS // STRIDE, published=width)))
            self.frontend = EmphasisedMel()
            inside = [p["out"] for p in plan]
            blocks = [Block(inside[i], plan[i + 1], hard, stride) for i, (*_, hard, stride) in enumerate(PLAN)]
            stem, last = conv(1, inside[0], 3, 2, act=nn.Hardswish), conv(inside[-2], width, 1, act=nn.Hardswish)
            trunk = nn.Sequential(stem, *blocks, last)
            self.features = trunk.to(memory_format=torch.channels_last)  # two to three times faster on a CPU

        def batch_length(self, n: int) -> int:
            """The most samples that give as many frames as n."""
            return self.frontend.samples(n)

        @full_precision
        def fbank(self, wave: Tensor, length: Tensor) -> Tensor:
            """Normalised log-mel (B, bands, frames) of wave (B, batch_length)."""
            return self.frontend(wave, length).transpose(1, 2)

        def encode(self, wave: Tensor, length: Tensor) -> Tokens:
            x = self.tap("spectrogram", self.fbank(wave, length).transpose(1, 2)).transpose(1, 2)
            x = x[:, None].contiguous(memory_format=torch.channels_last)
            grids, rows = [], self.frontend.rows(length, 3)
            for i, stage in enumerate(self.features):
                x, rows = row_ends.through(stage, x, rows)  # (B, D, F', T')
                tokens = row_ends.tokens(rows, length, x.shape[3])
                grids.append(Grid(x.permute(0, 3, 2, 1), tokens, HOP * STRIDES[i] / card.sample_rate, f"stage{i}"))
            return Tokens(tuple(grids), row_ends.mean(x, rows, (2, 3)))

    if weights is None:
        width = int(card.id.partition("@")[0][-2:]) / 10
        return EfficientAT(planned_sizes(width)).eval()
    tensors = load_tensors(weights, "features.0.0.weight", "features.16.0.weight")
    encoder = EfficientAT(read_geometry(tensors, weights))
    load_strict(encoder, tensors, IGNORED, weights)
    return encoder.eval()
