"""VGGish: a VGG-like network trained to tag the soundtracks of videos.

Paper: Hershey et al., CNN architectures for large-scale audio classification, ICASSP 2017 (arXiv 1609.09430).
Checkpoint: https://github.com/harritaylor/torchvggish (f3f9096), release v0.1 (``vggish-10086976.pth``, converted from
TensorFlow's), as its hubconf.py has it. Licence: Apache-2.0 (its LICENSE; nothing is said of the weights by
themselves). Trained on: a preliminary version of YouTube-8M (supervised), by the README of TensorFlow's VGGish.

Front end: 16 kHz; frames of 400 samples every 160 under a periodic Hann window, FFT 512, magnitude, 64 HTK mel bands
125-7,500 Hz whose triangles are straight in mel, ln(x + 0.01). Frames are cut into examples of 96 (0.96 s) and an
incomplete one is dropped, so clips shorter than 0.975 s, which the original cannot embed, are zero-padded to it.
``published`` is the mean over examples of the 128 features; no PCA, no quantisation. The pooled layer is one token an
example, without a frequency axis; the convolutions' maps are the layers before it (-2: four bands, 160 ms a token).
Policies: ``upstream``; ``opera``: as OPERA feeds it, audio at 22,050 Hz taken for 16 kHz, so time and pitch are off by
1.38 and an example lasts 0.697 s. eval-audio-repr's mean + max over examples is the pooling ``mean+max``.
Deviations: OPERA runs the TensorFlow checkpoint. The untrained twin uses torch's default initialisation.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.types import EncoderCard, Weights
from model_zoo._adapters.cards import dims

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

RATE, OPERA_RATE = 16000, 22050
WINDOW, HOP, FFT, BANDS = 400, 160, 512, 64
LOW_HZ, HIGH_HZ, OFFSET = 125.0, 7500.0, 0.01
EXAMPLE = 96  # frames
SHORTEST = WINDOW + HOP * (EXAMPLE - 1)  # samples of one example
STAGES = ((0,), (3,), (6, 8), (11, 13))  # indices of the convolutions; each stage ends in a maximum over 2 x 2

CARDS = (
    EncoderCard(
        id="vggish.base",
        version=1,
        sample_rate=RATE,
        min_s=SHORTEST / RATE,
        dims=dims(128, published=128),
        frontend="magnitude log-mel, 64 HTK bands 125-7500 Hz, 25 ms frames every 10 ms, examples of 0.96 s, 16 kHz",
        citation="Hershey et al., CNN architectures for large-scale audio classification, ICASSP 2017",
        licence="Apache-2.0",
        year=2017,
        grid=(EXAMPLE * HOP / RATE, 1),
        layers=len(STAGES) + 1,
        params=72_141_184,
        weights=(
            Weights(
                file="vggish-10086976.pth",
                urls=("https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish-10086976.pth",),
                licence="Apache-2.0",
            ),
        ),
        trained_on=("youtube-8m",),
        parity="golden",
        default_pooling="published",
        policies=("upstream", "opera"),
        notes="opera (the OPERA benchmark): audio at 22,050 Hz treated as if it were at 16 kHz; layer -2 keeps four "
        "frequency bands",
    ),
)


class Geometry(NamedTuple):
    """Channels of the six convolutions and features of the three linear layers."""

    convolutions: tuple[int, ...]
    features: tuple[int, ...]


FULL = Geometry((64, 128, 256, 256, 512, 512), (4096, 4096, 128))


def read_geometry(tensors: Mapping[str, Tensor], where: object) -> Geometry:
    """Reads the geometry of the network in ``tensors``. Raises ``CheckpointError``."""
    from bench.base.errors import CheckpointError

    try:
        return Geometry(
            tuple(len(tensors[f"features.{i}.weight"]) for stage in STAGES for i in stage),
            tuple(len(tensors[f"embeddings.{i}.weight"]) for i in (0, 2, 4)),
        )
    except KeyError as error:
        problem = f"lacks the tensors of a VGGish ({error})"
        raise CheckpointError(where, problem, "take torchvggish's release") from error


def card_at_policy_rate(card: EncoderCard) -> EncoderCard:
    """The card at the sampling rate of the policy's audio; the network itself only counts samples."""
    rate = OPERA_RATE if card.policy == "opera" else RATE
    return dataclasses.replace(card, sample_rate=rate, min_s=SHORTEST / rate, grid=(EXAMPLE * HOP / rate, 1))


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The network with the released weights, or with torch's default initialisation at full size."""
    import torch
    from torch import nn

    from bench.base.optional_imports import import_torchaudio
    from bench.encoders.weights.read import load_tensors
    from bench.types import Grid, Tokens
    from model_zoo._adapters import row_ends
    from model_zoo._adapters.adapter import Adapter, full_precision
    from model_zoo._adapters.checkpoint import load_strict
    from model_zoo._adapters.frontend import mel_centres

    import_torchaudio()
    from transformers.audio_utils import mel_filter_bank

    class Net(nn.Module):
        """Log-mel examples (N, 96, 64) to the stages' maps (N, T', F', C) and the embedding (N, E)."""

        def __init__(self, geometry: Geometry):
            super().__init__()
            inside = (1, *geometry.convolutions[:-1])
            layers: list[nn.Module] = []
            sizes = iter(zip(inside, geometry.convolutions, strict=True))
            for stage in STAGES:
                for _ in stage:
                    layers += [nn.Conv2d(*next(sizes), 3, padding=1), nn.ReLU()]
                layers.append(nn.MaxPool2d(2))
            self.features = nn.Sequential(*layers)
            cells = (EXAMPLE * BANDS) >> 2 * len(STAGES)
            inside = (cells * geometry.convolutions[-1], *geometry.features[:-1])
            linear = [nn.Linear(*size) for size in zip(inside, geometry.features, strict=True)]
            self.embeddings = nn.Sequential(*(part for layer in linear for part in (layer, nn.ReLU())))

        def forward(self, examples: Tensor) -> list[Tensor]:
            x, outputs = examples[:, None], []
            for part in self.features:
                x = part(x)
                if isinstance(part, nn.MaxPool2d):
                    outputs.append(x.permute(0, 2, 3, 1))
            return [*outputs, self.embeddings(outputs[-1].flatten(1))[:, None, None]]

    class Vggish(Adapter):
        ragged = True
        offers = frozenset({"spectrogram"})

        def __init__(self, geometry: Geometry):
            width = geometry.features[-1]
            super().__init__(dataclasses.replace(card_at_policy_rate(card), dims=dims(width, published=width)))
            self.net = Net(geometry)
            # "kaldi" is HTK's scale to seven digits, and its triangles are straight in mel
            bank = mel_filter_bank(
                FFT // 2 + 1, BANDS, LOW_HZ, HIGH_HZ, RATE, None, "kaldi", triangularize_in_mel_space=True
            )
            self.register_buffer("mel", torch.from_numpy(bank).to(torch.float32), persistent=False)
            self.centres = mel_centres(RATE, BANDS, LOW_HZ, HIGH_HZ, "kaldi")
            self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)

        def batch_length(self, n: int) -> int:
            """The most samples that give as many examples as n."""
            return SHORTEST + HOP * EXAMPLE * self.examples(n) - 1

        def examples(self, n: int) -> int:
            """Whole examples in n samples."""
            return (1 + (n - WINDOW) // HOP) // EXAMPLE

        @full_precision
        def fbank(self, wave: Tensor, length: Tensor) -> Tensor:
            """Log-mel (B, 96 * examples of the longest clip, 64) of wave (B, batch_length)."""
            frames = wave.unfold(1, WINDOW, HOP)[:, : EXAMPLE * self.examples(int(length.max()))]
            return (torch.fft.rfft(frames * self.window, n=FFT).abs() @ self.mel + OFFSET).log()

        def encode(self, wave: Tensor, length: Tensor) -> Tokens:
            counts = [self.examples(n) for n in length.tolist()]
            mel = self.tap("spectrogram", self.fbank(wave, length))
            outputs = self.net(row_ends.pieces_of(mel, counts, EXAMPLE))
            names = [*(f"stage{i}" for i in range(1, len(STAGES) + 1)), "embedding"]
            layers = []
            for y, name in zip(outputs, names, strict=True):
                hop_s = self.card.grid[0] / y.shape[1]
                tokens = y.shape[1] * torch.tensor(counts, device=length.device)
                layers.append(Grid(row_ends.joined(y, counts), tokens, hop_s, name))
            return Tokens(tuple(layers), row_ends.mean_of_pieces(outputs[-1][:, 0, 0], counts))

    if weights is None:
        return Vggish(FULL).eval()
    tensors = load_tensors(weights, "features.0.weight", "embeddings.0.weight")
    encoder = Vggish(read_geometry(tensors, weights))
    load_strict(encoder.net, tensors, (), weights)
    return encoder.eval()
