"""Statistics of mel-frequency cepstral coefficients: the classic representation of lung sounds, without learning.

Paper: Davis, Mermelstein, Comparison of parametric representations for monosyllabic word recognition, IEEE TASSP 1980;
computed as Kaldi does (Povey et al., ASRU 2011), equal to ``torchaudio.compliance.kaldi.mfcc`` with its defaults but
for the floor.
Checkpoint: none. Licence: this project's. Trained on: nothing.

Choices: 16 kHz, waveform scaled by 2^15 as Kaldi expects, 25/10 ms, Povey window, no dither, 23 mel bands from 20 Hz,
natural logarithm, orthonormal DCT-II, 13 coefficients with c0 (no energy in its place), liftered with Q = 22; no
derivatives. librosa's convention (decibels, Slaney bands, 20 coefficients, no lifter) gives other numbers.
``published`` is mean, population standard deviation and the 5th, 25th, 50th, 75th and 95th percentile (linear
interpolation) of each coefficient over time, statistic-major: 7 x 13. The tokens are the frames with the coefficients
as channels (F' = 1).

Under the logarithm every mel band has the floor of ``fbank.stats``, for its reasons: a recording at 8 kHz leaves the
upper bands to rounding, and the cosine transform spreads these over all coefficients.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import EncoderCard
from model_zoo._adapters.cards import dims
from model_zoo.fbank import FLOOR

if TYPE_CHECKING:
    from torch import Tensor, nn

BANDS, COEFFICIENTS, LIFTER = 23, 13, 22
STATISTICS = 7  # mean, deviation, five percentiles

CARDS = (
    EncoderCard(
        id="mfcc.stats",
        version=3,
        year=1980,
        sample_rate=16000,
        min_s=0.025,
        dims=dims(COEFFICIENTS, published=STATISTICS * COEFFICIENTS),
        frontend="kaldi MFCC, 13 of 23 bands from 20 Hz, 25/10 ms, Povey window, 16 kHz, floor of four 16-bit steps",
        citation="Davis and Mermelstein, Comparison of parametric representations, IEEE TASSP 1980",
        licence="MIT",
        grid=(0.010, 1),
        parity="golden",
        default_pooling="published",
        notes="no learning: statistics of each cepstral coefficient over time",
    ),
)


def cepstral_matrix() -> Tensor:
    """The matrix (BANDS, COEFFICIENTS) float32 that turns log-mel bands into liftered cepstra.

    The cosines are torchaudio's own, whose single precision shows in the fourth decimal of a cepstrum.
    """
    from bench.base.optional_imports import import_torchaudio

    import_torchaudio()
    import torch
    from torchaudio.functional import create_dct

    lifter = 1 + LIFTER / 2 * torch.sin(math.pi * torch.arange(COEFFICIENTS) / LIFTER)
    return create_dct(BANDS, BANDS, "ortho")[:, :COEFFICIENTS] * lifter


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The weightless encoder; ``weights`` is not used."""
    from model_zoo._adapters.frame_statistics import FrameStatistics
    from model_zoo._adapters.frontend import KaldiFbank

    class KaldiMfcc(KaldiFbank):
        """(B, T) to (B, frames, COEFFICIENTS)."""

        def __init__(self) -> None:
            super().__init__(card.sample_rate, BANDS, scale=2.0**15, noise=FLOOR)
            self.register_buffer("cepstrum", cepstral_matrix(), persistent=False)

        def forward(self, wave: Tensor) -> Tensor:
            return super().forward(wave) @ self.cepstrum

    return FrameStatistics(card, KaldiMfcc()).eval()
