"""Statistics of a log-mel filter bank: what a representation without any learning achieves.

Paper: none; the filter bank is Kaldi's (Povey et al., ASRU 2011) as in ``torchaudio.compliance.kaldi.fbank``.
Checkpoint: none. Licence: this project's. Trained on: nothing.

Choices: 16 kHz, waveform scaled by 2^15 as Kaldi expects, 128 bands from 20 Hz, Povey window, 25/10 ms, natural
logarithm, no dither, so quiet recordings stay above the floor and only digital silence meets it. ``published`` is
mean, population standard deviation and the 5th, 25th, 50th, 75th and 95th percentile (linear interpolation) of each
band over time, statistic-major: 7 x 128. The tokens are the frames with the bands as channels (F' = 1), so that every
pooling keeps the bands apart and ``freq`` equals ``mean``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import EncoderCard
from model_zoo._adapters.cards import dims

if TYPE_CHECKING:
    from torch import nn

BANDS = 128
STATISTICS = 7  # mean, deviation, five percentiles

CARDS = (
    EncoderCard(
        id="fbank.stats",
        version=1,
        sample_rate=16000,
        min_s=0.025,
        dims=dims(BANDS, published=STATISTICS * BANDS),
        frontend="kaldi log-mel, 128 bands from 20 Hz, 25 ms frames every 10 ms, Povey window, 16 kHz",
        citation="Povey et al., The Kaldi speech recognition toolkit, ASRU 2011",
        licence="MIT",
        year=2011,
        grid=(0.010, 1),
        parity="golden",
        default_pooling="published",
        notes="no learning: statistics of each mel band over time",
    ),
)


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The weightless encoder; ``weights`` is not used."""
    from model_zoo._adapters.frame_statistics import FrameStatistics
    from model_zoo._adapters.frontend import KaldiFbank

    return FrameStatistics(card, KaldiFbank(card.sample_rate, BANDS, window="povey", scale=2.0**15)).eval()
