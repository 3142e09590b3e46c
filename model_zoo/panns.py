"""PANNs' CNN14: a VGG-like network trained to tag AudioSet.

Paper: Kong et al., PANNs: Large-scale pretrained audio neural networks for audio pattern recognition, IEEE/ACM TASLP
2020 (arXiv 1912.10211). Checkpoint: https://zenodo.org/record/3987831 (``Cnn14_16k_mAP=0.438.pth``,
``Cnn14_mAP=0.431.pth``), as the README of https://github.com/qiuqiangkong/audioset_tagging_cnn (d2f4b8c) links it.
Licence: MIT (code, LICENSE.MIT), CC BY 4.0 (weights, as public projects read the record; its page was not seen). The
digests are those that many public projects hold. The files are ``{iteration, model, sampler}``, and the sampler's state
holds numpy arrays: by ``pytorch/main.py`` and ``utils/data_generator.py`` there, by public code that allows them to
read the digest of ``Cnn14_16k`` with torch's safe reader, and by https://github.com/autrainer/autrainer/issues/66,
where that reader refuses ``Cnn14``. Trained on: AudioSet (supervised).

Front end: torchlibrosa log-mel in dB (reference 1, floor 1e-10, no range limit), 64 bands of the file's mel matrix;
16 kHz: FFT 512, hop 160, 50-8,000 Hz; 32 kHz: FFT 1024, hop 320, 50-14,000 Hz. Any length from 32 frames.
``published`` is the embedding before the tagger: mean over bands, mean + max over time, fc1, ReLU. Layers are the six
blocks' maps; the last has 2 bands of 320 ms. eval-audio-repr takes CNN14 through a file that is not part of it, so
there is no policy of that name.
Deviations: clips are batched, each mirrored and padded at its own end. The tagger, the STFT
kernels and SpecAugment are left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import EncoderCard, Weights
from model_zoo._adapters.cards import dims

if TYPE_CHECKING:
    from torch import Tensor, nn

    from model_zoo._networks.cnn14 import Geometry

FFT_HOP_HIGH = {16000: (512, 160, 8000.0), 32000: (1024, 320, 14000.0)}  # samples, samples, Hz
RECORD = "https://zenodo.org/record/3987831/files"


def _card(variant: str, rate: int, file: str, sha256: str, parity: str, notes: str = "") -> EncoderCard:
    fft, hop, high_hz = FFT_HOP_HIGH[rate]
    return EncoderCard(
        id=f"panns.{variant}",
        version=1,
        sample_rate=rate,
        min_s=0.31,
        dims=dims(2048, 2, published=2048),
        frontend=f"torchlibrosa log-mel in dB, 64 bands 50-{high_hz:.0f} Hz, FFT {fft}, hop {hop}, {rate // 1000} kHz",
        citation="Kong et al., PANNs: Large-scale pretrained audio neural networks, IEEE/ACM TASLP 2020",
        licence="MIT (code)",
        year=2020,
        grid=(0.32, 2),
        layers=6,
        params=79_673_792,
        weights=(
            Weights(
                file=file,
                urls=(f"{RECORD}/{file.replace('=', '%3D')}",),
                sha256=sha256,
                licence="CC BY 4.0 (the Zenodo record, by third parties)",
            ),
        ),
        trained_on=("audioset",),
        parity=parity,
        default_pooling="published",
        notes=notes,
    )


CARDS = (
    _card(
        "cnn14_16k",
        16000,
        "Cnn14_16k_mAP=0.438.pth",
        "e2ee543a27919542c2ea03eabaa70b24dcd4e6c8e05621de6b67a94e4c5058e6",
        "golden",
    ),
    _card(
        "cnn14_32k",
        32000,
        "Cnn14_mAP=0.431.pth",
        "0dc499e40e9761ef5ea061ffc77697697f277f6a960894903df3ada000e34b31",
        "self-consistent",
        "the network of cnn14_16k, front end at 32 kHz",
    ),
)


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The network with the released weights, or with the original's initialisation at full size."""
    import dataclasses

    from bench.encoders.blocks import split_around_stack
    from bench.encoders.weights.read import load_tensors
    from bench.types import Grid, Tokens
    from model_zoo._adapters import row_ends
    from model_zoo._adapters.adapter import Adapter, full_precision
    from model_zoo._adapters.checkpoint import load_strict
    from model_zoo._networks import cnn14

    rate = card.sample_rate
    fft, hop, high_hz = FFT_HOP_HIGH[rate]

    class Panns(Adapter):
        ragged = True
        offers = frozenset({"spectrogram"})

        def __init__(self, geometry: Geometry, bank: Tensor | None = None):
            offered = dims(geometry.widths[-1], 2, published=geometry.embedding)
            super().__init__(dataclasses.replace(card, dims=offered))
            self.net = cnn14.Cnn14(geometry)
            self.frontend = cnn14.LogMel(rate, fft, hop, high_hz, bank)

        def batch_length(self, n: int) -> int:
            """The most samples that give as many frames as n."""
            return self.frontend.samples(n)

        @full_precision
        def fbank(self, wave: Tensor, length: Tensor) -> Tensor:
            """Log-mel in dB (B, frames, 64) of wave (B, batch_length)."""
            return self.frontend(wave, length)

        def blocks(self) -> list[nn.Module]:
            """The batch norm over bands, the convolution blocks, the embedding."""
            return split_around_stack(self, self.net.stages(), [self.net.fc1])

        def encode(self, wave: Tensor, length: Tensor) -> Tokens:
            x = self.tap("spectrogram", self.net.normalised(self.fbank(wave, length)))
            outputs = self.net(x, self.frontend.rows(length, cnn14.TIME))
            layers = tuple(
                Grid(y, row_ends.tokens(rows, length, y.shape[1]), stride * hop / rate, f"block{i}")
                for i, ((y, rows), stride) in enumerate(zip(outputs, cnn14.STRIDES, strict=True), start=1)
            )
            return Tokens(layers, self.net.embedding(outputs[-1]))

    if weights is None:
        return Panns(cnn14.FULL).eval()
    tensors = load_tensors(weights, "conv_block1.conv1.weight", "conv_block6.conv2.weight", entry="model")
    encoder = Panns(cnn14.read_geometry(tensors, weights), cnn14.stored_bank(tensors, fft, weights))
    load_strict(encoder.net, tensors, cnn14.IGNORED, weights)
    return encoder.eval()
