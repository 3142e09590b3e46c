"""Gammatone and wavelet spectrograms: the power of a bank of linear filters, averaged in frames, in decibels.

Every filter is applied to the whole clip, by multiplying Fourier transforms that are long enough for no
end to wrap around; silence lies on both sides of a clip.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from scipy.fft import next_fast_len
from torch import Tensor, nn

from model_zoo._adapters.frontend import decibels

GROUP, CLIPS = 16, 4  # filters and clips at a time, which bounds memory
ORDER = 4  # of the gammatone
BANDWIDTH = 1.019  # of a fourth-order gammatone in equivalent rectangular bandwidths
DECAY_S = 0.1  # after which a gammatone of 50 Hz has fallen to 2e-5 of its peak
CYCLES = 6.0  # the Morlet wavelet's centre frequency in radians per unit of scale
REACH = 5.0  # standard deviations of the wavelet's envelope that are kept on each side


class FilterBank(nn.Module):
    """A bank of filters: ``forward(wave (B, T)) -> (B, frames, bands)`` in dB.

    10 log10 of each filter's mean power in frames of ``size`` samples every ``hop``, floored at -100 dB; no partial
    frames.
    ``kernels`` (bands, taps) answer an impulse at index ``origin``. Those of analytic filters, which have no negative
    frequencies, are complex; of their answers every other sample is enough, and no more are taken.
    """

    def __init__(self, kernels: Tensor, origin: int, size: int, hop: int):
        super().__init__()
        self.register_buffer("kernels", kernels, persistent=False)
        self.origin, self.size, self.hop = origin, size, hop
        self.step = 2 if kernels.is_complex() else 1

    def frames(self, n: int | Tensor) -> int | Tensor:
        """Number of whole frames in n samples (n at least one frame long)."""
        return 1 + (n - self.size) // self.hop

    def samples(self, n: int) -> int:
        """The most samples that give as many frames as n."""
        return self.size + self.hop * self.frames(n) - 1

    def filtered(self, wave: Tensor, kernels: Tensor) -> Iterator[Tensor]:
        """The answers (b, bands, T / step) of filters (bands, taps) to a few rows of wave (B, T) after the other."""
        samples = wave.shape[1]
        half = next_fast_len((samples + kernels.shape[1]) // 2)
        first = self.origin // self.step
        response = torch.fft.fft(kernels, 2 * half)[:, :half] if self.step == 2 else torch.fft.rfft(kernels, 2 * half)
        for rows in wave.split(CLIPS):
            spectrum = torch.fft.rfft(rows, 2 * half)[:, None]
            if self.step == 2:  # the inverse over positive frequencies alone has every other sample, twice as high
                out = torch.fft.ifft(spectrum[..., :half] * response) / 2
            else:
                out = torch.fft.irfft(spectrum * response, 2 * half)
            yield out[..., first : first + samples // self.step]

    def forward(self, wave: Tensor) -> Tensor:
        parts = []
        for kernels in self.kernels.split(GROUP):
            parts.append(torch.cat([self._power(out) for out in self.filtered(wave, kernels)]))
        return decibels(torch.cat(parts, dim=1)).transpose(1, 2)

    def _power(self, out: Tensor) -> Tensor:
        power = out.real.square() + out.imag.square() if out.is_complex() else out.square()
        return nn.functional.avg_pool1d(power, self.size // self.step, self.hop // self.step)


def gammatone(rate: int, bands: int, low_hz: float, high_hz: float, size: int, hop: int) -> FilterBank:
    """Fourth-order gammatone filters, centres evenly on the scale of equivalent rectangular bandwidths.

    Slaney, An efficient implementation of the Patterson-Holdsworth auditory filter bank, Apple TR 35, 1993: impulse
    responses t^3 exp(-2 pi b t) cos(2 pi f t) with b = 1.019 (24.7 + f / 9.265), scaled to gain 1 at the centre f.
    """
    centre = erb_spaced(bands, low_hz, high_hz)[:, None]
    t = torch.arange(round(DECAY_S * rate), dtype=torch.float64) / rate
    decay = 2 * math.pi * BANDWIDTH * (24.7 + centre / 9.26449)
    gain = 2 * decay**ORDER / math.factorial(ORDER - 1) / rate
    kernels = gain * t ** (ORDER - 1) * torch.exp(-decay * t) * torch.cos(2 * math.pi * centre * t)
    return FilterBank(kernels.float(), 0, size, hop)


def morlet(rate: int, bands: int, low_hz: float, high_hz: float, size: int, hop: int) -> FilterBank:
    """The continuous wavelet transform with the analytic Morlet wavelet of 6 radians, scales evenly in log frequency.

    Torrence and Compo, A practical guide to wavelet analysis, BAMS 1998: exp(6 i t / s) exp(-t^2 / 2 s^2) at scales
    s = 6 / (2 pi f), here scaled to magnitude 1 for a sine of amplitude 1 at f, cut at 5 s of the lowest band.
    """
    scale = CYCLES / (2 * math.pi * log_spaced(bands, low_hz, high_hz)[:, None])  # seconds
    reach = 2 * math.ceil(REACH * float(scale.max()) * rate / 2)
    t = torch.arange(-reach, reach + 1, dtype=torch.float64) / rate / scale
    envelope = torch.exp(-t.square() / 2) * 2 / (scale * math.sqrt(2 * math.pi) * rate)
    return FilterBank(torch.polar(envelope, CYCLES * t).to(torch.complex64), reach, size, hop)


def erb_spaced(bands: int, low_hz: float, high_hz: float) -> Tensor:
    """Frequencies (bands,) in Hz, float64, evenly on the scale of equivalent rectangular bandwidths.

    The scale is 9.265 ln(1 + f / 228.8) (Glasberg and Moore, Hearing Research 1990).
    """
    place = torch.tensor([low_hz, high_hz], dtype=torch.float64).div(24.7 * 9.26449).log1p()
    return torch.linspace(*place.tolist(), bands, dtype=torch.float64).expm1() * 24.7 * 9.26449


def log_spaced(bands: int, low_hz: float, high_hz: float) -> Tensor:
    """Frequencies (bands,) in Hz, float64, in equal ratios."""
    return torch.logspace(math.log10(low_hz), math.log10(high_hz), bands, dtype=torch.float64)
