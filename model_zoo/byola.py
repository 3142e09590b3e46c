"""BYOL-A: a small convolutional network pretrained on AudioSet without labels.

Papers: v1: Niizumi et al., BYOL for audio: Self-supervised learning for general-purpose audio representation, IJCNN
2021 (arXiv 2103.06695); v2: Niizumi et al., BYOL for audio: Exploring pre-trained general-purpose audio
representations, IEEE/ACM TASLP 2023 (arXiv 2204.07402).
Checkpoints, in https://github.com/nttcslab/byol-a itself (3e65c92): v1 ``AudioNTT2020-BYOLA-64x96d2048.pth`` (the 512-
and 1,024-feature files load too, if named), v2 ``AudioNTT2022-BYOLA-64x96d2048.pth``. Licence: NTT's evaluation
agreement, code and weights (LICENSE, to which both READMEs point): internal testing and analysis alone, no
distribution, no modification, no reverse engineering. This file was written from the papers and from the released
tensors' names. Trained on: AudioSet (self-supervised), by the papers.

v1: three blocks of a 3 x 3 convolution (64 channels), batch norm, ReLU and a maximum over 2 x 2; each time step's
bands and channels go through two linear layers with ReLU. v2: two blocks, and each step's own bands and channels are
put before the output of its linear layers: 1,024 + 2,048 features. Which of them a file holds is read from it.
``published`` is the mean over time plus the maximum over time. The pooled layer has no frequency axis; the blocks'
maps are the layers before it (v1, -2: eight bands, 80 ms a token; its ``freq`` has 512 features).
Front end: 16 kHz, 1024-sample STFT every 160, centred, 64 mel bands 60-7,800 Hz, ln(x + 1.2e-7), then one mean and one
standard deviation. Any length from one token. Policies:
``upstream``: the README's example: HTK mel filters (torchaudio's default) and its constants -5.4919195, 5.0389895;
``upstream-fit``: the same with mean and standard deviation of the training clips, as the papers evaluate;
``evar``: eval-audio-repr's: Slaney mel filters (nnAudio), statistics of the training clips;
``evar-fixed``: the same with the README's constants.
Deviations: eval-audio-repr measures its statistics on clips cut or padded to one length, test clips among them. v2's
numbers have not been compared with the original's. The untrained twin uses torch's default initialisation and the
README's constants.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.types import EncoderCard, Weights
from model_zoo._adapters.cards import dims

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor, nn

RATE, FFT, HOP, BANDS = 16000, 1024, 160, 64
LOW_HZ, HIGH_HZ = 60.0, 7800.0
MEAN, STD = -5.4919195, 5.0389895  # of the README's example
POLICIES = ("upstream", "upstream-fit", "evar", "evar-fixed")
FITTED = ("upstream-fit", "evar")
BLOCKS = {"byola.v1": 3, "byola.v2": 2}
LICENCE = (
    "NTT evaluation agreement (LICENSE in nttcslab/byol-a): internal testing and analysis only; no distribution, no "
    "modification, no reverse engineering, no translation"
)
REPOSITORY = "https://github.com/nttcslab/byol-a/raw/master"
NOTES = (
    "upstream: HTK mel bands, normalised by the mean and standard deviation of the README; upstream-fit: by those of "
    "the training clips; evar (eval-audio-repr): Slaney mel bands and the training clips; evar-fixed: Slaney mel bands "
    "and the README"
)


class Geometry(NamedTuple):
    """Convolution blocks, their channels, features of the linear layers."""

    blocks: int
    channels: int
    features: int

    @property
    def bands(self) -> int:
        """Frequency bands of the last map."""
        return BANDS >> self.blocks

    @property
    def local(self) -> int:
        """Features of one time step of the last map."""
        return self.bands * self.channels

    @property
    def width(self) -> int:
        """Features of a token: v2 keeps the local ones."""
        return self.features + (self.local if self.blocks == BLOCKS["byola.v2"] else 0)


def _card(variant: str, year: int, width: int, params: int, parity: str, citation: str, file: str) -> EncoderCard:
    blocks = BLOCKS[f"byola.{variant}"]
    frames = 1 << blocks
    return EncoderCard(
        id=f"byola.{variant}",
        version=1,
        sample_rate=RATE,
        min_s=max((frames - 1) * HOP, FFT // 2 + 1) / RATE,
        dims=dims(width, published=width),
        frontend="log-mel, 64 bands 60-7800 Hz, 64 ms frames every 10 ms, "
        "normalised by one mean and standard deviation, 16 kHz",
        citation=citation,
        licence=LICENCE,
        year=year,
        grid=(frames * HOP / RATE, 1),
        layers=blocks + 1,
        params=params,
        weights=(Weights(file=Path(file).name, urls=(f"{REPOSITORY}/{file}",), licence=LICENCE),),
        trained_on=("audioset",),
        parity=parity,
        default_pooling="published",
        policies=POLICIES,
        policy_parity={"evar-fixed": "golden"} if parity == "golden" else dict.fromkeys(POLICIES[1:], parity),
        notes=NOTES,
    )


CARDS = (
    _card(
        "v1",
        2021,
        2048,
        5_321_856,
        "golden",
        "Niizumi et al., BYOL for audio: Self-supervised learning for general-purpose audio representation, IJCNN 2021",
        "pretrained_weights/AudioNTT2020-BYOLA-64x96d2048.pth",
    ),
    _card(
        "v2",
        2023,
        3072,
        6_333_376,
        "unverified",
        "Niizumi et al., BYOL for audio: Exploring pre-trained general-purpose audio representations, TASLP 2023",
        "v2/AudioNTT2022-BYOLA-64x96d2048.pth",
    ),
)


def read_geometry(tensors: Mapping[str, Tensor], where: object) -> Geometry:
    """Reads the geometry of the network in ``tensors``. Raises ``CheckpointError``."""
    from bench.base.errors import CheckpointError

    try:
        features, inside = tensors["fc.0.weight"].shape
        channels = len(tensors["features.0.weight"])
        blocks = sum(key.startswith("features.") and tensor.dim() == 4 for key, tensor in tensors.items())
        geometry = Geometry(blocks, channels, features)
        if geometry.local != inside:
            raise ValueError(f"{blocks} blocks of {channels} channels do not lead to {inside} features a step")
    except (KeyError, ValueError) as error:
        problem = f"lacks the tensors of a BYOL-A network ({error})"
        raise CheckpointError(where, problem, "take an AudioNTT file of the release") from error
    return geometry


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The network with the released weights, or with torch's default initialisation at the papers' 2,048 features."""
    import dataclasses

    import torch
    from torch import nn

    from bench.base.errors import CheckpointError
    from bench.encoders.blocks import split_around_stack
    from bench.encoders.weights.read import load_tensors
    from bench.types import Grid, Tokens
    from model_zoo._adapters import row_ends
    from model_zoo._adapters.adapter import Adapter, full_precision
    from model_zoo._adapters.checkpoint import load_strict
    from model_zoo._adapters.frontend import MelSpectrogram

    class Net(nn.Module):
        """Normalised log-mel (B, frames, 64) to the blocks' maps and the tokens (B, T', 1, D), with their rows."""

        def __init__(self, geometry: Geometry):
            super().__init__()
            layers: list[nn.Module] = []
            for i in range(geometry.blocks):
                inside = geometry.channels if i else 1
                convolution = nn.Conv2d(inside, geometry.channels, 3, padding=1)
                layers += [convolution, nn.BatchNorm2d(geometry.channels), nn.ReLU(), nn.MaxPool2d(2)]
            self.features = nn.Sequential(*layers)
            self.fc = nn.Sequential(
                nn.Linear(geometry.local, geometry.features),
                nn.ReLU(),
                nn.Dropout(0.3),
                nn.Linear(geometry.features, geometry.features),
                nn.ReLU(),
            )
            self.keeps_local = geometry.width > geometry.features

        def forward(self, mel: Tensor, rows: row_ends.Rows | None = None) -> list[tuple[Tensor, row_ends.Rows | None]]:
            x, outputs = mel.transpose(1, 2)[:, None], []  # (B, 1, bands, frames)
            for part in self.features:
                x, rows = row_ends.through(part, x, rows)
                if isinstance(part, nn.MaxPool2d):
                    outputs.append((x.permute(0, 3, 2, 1), rows))
            local = outputs[-1][0].flatten(2)  # (B, T', F' * C)
            tokens = self.fc(local)
            tokens = torch.cat([local, tokens], dim=2) if self.keeps_local else tokens
            return [*outputs, (tokens[:, :, None], rows)]

    class Byola(Adapter):
        ragged = True
        offers = frozenset({"spectrogram"})

        def __init__(self, geometry: Geometry):
            offered = dims(geometry.width, published=geometry.width)
            super().__init__(dataclasses.replace(card, dims=offered))
            self.net = Net(geometry)
            slaney = card.policy.startswith("evar")
            scale, norm = ("slaney", "slaney") if slaney else ("htk", None)
            self.frontend = MelSpectrogram(RATE, FFT, HOP, BANDS, LOW_HZ, HIGH_HZ, scale=scale, norm=norm)
            self.register_buffer("mean", torch.tensor(MEAN), persistent=False)
            self.register_buffer("std", torch.tensor(STD), persistent=False)

        @property
        def needs_stats(self) -> bool:
            """Whether the policy takes mean and deviation from the training clips."""
            return card.policy in FITTED

        def batch_length(self, n: int) -> int:
            """The most samples that give as many frames as n."""
            return self.frontend.samples(n)

        @full_precision
        def log_mel(self, wave: Tensor, length: Tensor) -> Tensor:
            """ln(mel + eps) (B, frames, 64) of wave (B, batch_length)."""
            return (self.frontend(wave, length) + torch.finfo(torch.float32).eps).log()

        @torch.no_grad()
        def fit_stats(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
            """Sets mean and standard deviation to those of all log-mel values of ``batches`` of (wave, length)."""
            if not self.needs_stats:
                return
            sums, count = torch.zeros(2, dtype=torch.float64), 0
            for wave, length in batches:
                for row, n in zip(wave, length, strict=True):
                    clip = nn.functional.pad(row[:n], (0, self.batch_length(int(n)) - int(n)))
                    values = self.log_mel(clip[None], n[None]).double()
                    sums += torch.stack([values.sum(), values.square().sum()]).cpu()
                    count += values.numel()
            mean, square = sums / count
            self.mean.copy_(mean)
            self.std.copy_((square - mean.square()).clamp_min(1e-12).sqrt())

        def fbank(self, wave: Tensor, length: Tensor) -> Tensor:
            """Normalised log-mel (B, frames, 64) of wave (B, batch_length)."""
            return (self.log_mel(wave, length) - self.mean) / self.std

        def blocks(self) -> list[nn.Module]:
            """The convolution blocks, then the linear layers."""
            parts, size = self.net.features, len(self.net.features) // blocks
            return split_around_stack(self, [parts[i : i + size] for i in range(0, len(parts), size)], [self.net.fc])

        def encode(self, wave: Tensor, length: Tensor) -> Tokens:
            outputs = self.net(self.tap("spectrogram", self.fbank(wave, length)), self.frontend.rows(length, 3))
            names = [*(f"block{i}" for i in range(1, len(outputs))), "tokens"]
            hops = [HOP * 2**i / RATE for i in range(1, len(outputs))]
            layers = tuple(
                Grid(y, row_ends.tokens(rows, length, y.shape[1]), hop_s, name)
                for (y, rows), hop_s, name in zip(outputs, [*hops, hops[-1]], names, strict=True)
            )
            tokens, rows = outputs[-1][0][:, :, 0], outputs[-1][1]
            rows = rows and rows.along(1)
            return Tokens(layers, row_ends.mean(tokens, rows, (1,)) + row_ends.amax(tokens, rows, (1,)))

    blocks = BLOCKS[card.id.partition("@")[0]]
    if weights is None:
        return Byola(Geometry(blocks, 64, 2048)).eval()
    tensors = load_tensors(weights, "features.0.weight", "fc.0.weight")
    geometry = read_geometry(tensors, weights)
    if geometry.blocks != blocks:
        problem = f"has {geometry.blocks} convolution blocks, {card.id} has {blocks}"
        raise CheckpointError(weights, problem, "v1 are the AudioNTT2020 files, v2 is AudioNTT2022")
    encoder = Byola(geometry)
    load_strict(encoder.net, tensors, (), weights)
    return encoder.eval()
