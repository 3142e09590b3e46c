"""Statistics of a log-mel filter bank: what a representation without any learning achieves.

Paper: none; the filter bank is Kaldi's (Povey et al., ASRU 2011) as in ``torchaudio.compliance.kaldi.fbank``.
Checkpoint: none. Licence: this project's. Trained on: nothing.

Choices: 16 kHz, waveform scaled by 2^15 as Kaldi expects, 128 bands from 20 Hz, Povey window, 25/10 ms, natural
logarithm, no dither. ``published`` is mean, population standard deviation and the 5th, 25th, 50th, 75th and 95th
percentile (linear interpolation) of each band over time, statistic-major: 7 x 128. The tokens are the frames with the
bands as channels (F' = 1), so that every pooling keeps the bands apart and ``freq`` equals ``mean``.

Under the logarithm every band has a floor: the power expected in it of white noise as strong as four 16-bit steps
(``FLOOR``, variance 16 in units of the scaled waveform, 78 dB below full scale). The bands above the Nyquist frequency
of a recording at 8 kHz hold what a resampler's arithmetic rounds to, which was different on every make of processor
(version 1, whose floor was Kaldi's 1.2e-7). Rounding to 16 bits adds power of a twelfth of a squared step (Bennett,
Spectra of quantized signals, Bell Syst. Tech. J. 27, 1948) and the clip policy ``dither16`` a sixth; a band's power in
a single frame is exponentially distributed about that, so that a floor of one squared step (version 2) was passed now
and then, and one of 16 is not. One number would not do as floor of all bands: pre-emphasis and the width of bands give
them 0.008 to 3,300 times the noise's variance. Mean and deviation are summed in float64: in float32 the mean of a band
at its floor depended on the number of frames, which told the probe how long a clip is.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import EncoderCard
from model_zoo._adapters.cards import dims

if TYPE_CHECKING:
    from torch import nn

BANDS = 128
FLOOR = 16.0  # variance of the floor's noise, in squares of a 16-bit step
STATISTICS = 7  # mean, deviation, five percentiles

CARDS = (
    EncoderCard(
        id="fbank.stats",
        version=3,
        sample_rate=16000,
        min_s=0.025,
        dims=dims(BANDS, published=STATISTICS * BANDS),
        frontend="kaldi log-mel, 128 bands from 20 Hz, 25/10 ms, Povey window, 16 kHz, floor of four 16-bit steps",
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

    return FrameStatistics(card, KaldiFbank(card.sample_rate, BANDS, scale=2.0**15, noise=FLOOR)).eval()
