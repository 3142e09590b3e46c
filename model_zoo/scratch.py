"""Networks trained from scratch on a task's own clips: the classical rows of respiratory leaderboards.

``cnn6``, ``cnn10``: Kong et al., PANNs, IEEE/ACM TASLP 2020 (arXiv 1912.10211), see ``_networks/cnn.py``; ``resnet18``:
He et al., Deep residual learning, CVPR 2016 (arXiv 1512.03385), see ``_networks/resnet.py``; ``inception``: inspired by
an inception-residual network with multi-head attention on two spectrograms (arXiv 2303.04104), our definition, see
``_networks/inception.py``; ``ast``: Gong, Chung, Glass, AST: Audio spectrogram transformer, Interspeech 2021 (arXiv
2104.01778) at a width of 192, four blocks and patches that do not overlap, see ``ast.py``, so that methods that mix or
contrast patches can be tried without a GPU. Checkpoints: none, by design. Licence: this project's. Trained on: nothing,
until ``respbench finetune`` trains them; nothing else scores them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import EncoderCard
from model_zoo import ast
from model_zoo._adapters.cards import dims

if TYPE_CHECKING:
    from torch import nn

KONG = "Kong et al., PANNs: Large-scale pretrained audio neural networks, IEEE/ACM TASLP 2020"
LOG_MEL = "torchlibrosa log-mel in dB, 64 bands 50-8000 Hz, FFT 512, hop 160, 16 kHz"
SHARED = {
    "licence": "MIT",
    "parity": "self-consistent",
    "default_pooling": "published",
    "from_scratch": True,
}
# Of version 1 of the CNNs, the gradient of the batch norm over bands was wrong on a CPU.
PLANNED = {"sample_rate": 16000, "frontend": LOG_MEL, "layers": 4}

CARDS = (
    EncoderCard(
        id="scratch.cnn6",
        version=2,
        year=2020,
        citation=KONG,
        min_s=0.15,  # 16 frames, which the averages leave one of
        dims=dims(512, 4, published=512),
        grid=(0.16, 4),
        params=4_567_104,
        **PLANNED,
        **SHARED,
    ),
    EncoderCard(
        id="scratch.cnn10",
        version=2,
        year=2020,
        citation=KONG,
        min_s=0.15,
        dims=dims(512, 4, published=512),
        grid=(0.16, 4),
        params=4_948_928,
        **PLANNED,
        **SHARED,
    ),
    EncoderCard(
        id="scratch.resnet18",
        version=1,
        year=2016,
        citation="He et al., Deep residual learning for image recognition, CVPR 2016",
        min_s=0.02,  # more than half a Fourier window
        dims=dims(512, 2, published=512),
        grid=(0.32, 2),
        params=11_170_368,
        **PLANNED,
        **SHARED,
    ),
    EncoderCard(
        id="scratch.inception",
        version=1,
        year=2023,
        citation="this project's own definition, inspired by arXiv 2303.04104",
        sample_rate=8000,
        frontend="gammatone (64 bands) and Morlet wavelets (64 scales), 50-2000 Hz, dB in frames of "
        "25 ms every 10 ms, 8 kHz",
        min_s=0.025,
        dims=dims(256, 8, published=256),
        grid=(0.08, 8),
        params=425506,
        layers=6,
        notes="published: the features of both branches, each multiplied by its learned weight",
        **SHARED,
    ),
    EncoderCard(
        id="scratch.ast",
        version=1,
        year=2021,
        citation="Gong et al., AST: Audio spectrogram transformer, Interspeech 2021",
        sample_rate=ast.RATE,
        frontend="kaldi log-mel, 128 bands, 25 ms frames every 10 ms, Hann window, 16 kHz",
        min_s=0.025,
        max_s=ast.SAMPLES / ast.RATE,
        dims=dims(192, 8, published=192, cls=True),
        grid=(0.16, 8),
        params=1_928_256,
        layers=4,
        notes="a reduced AST: width 192 (not 768), 4 blocks (not 12), patches that do not overlap, not pretrained; "
        "clips at their own length, normalised by the mean and standard deviation of the training clips",
        **SHARED,
    ),
)


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The network at the initialisation of seed 0; ``reset(seed)`` gives another one."""
    from model_zoo._networks.cnn import Cnn
    from model_zoo._networks.inception import Inception
    from model_zoo._networks.resnet import Resnet

    if card.id == "scratch.ast":
        return ast.build(card)
    kind = {"scratch.resnet18": Resnet, "scratch.inception": Inception}.get(card.id, Cnn)
    return kind(card).eval()
