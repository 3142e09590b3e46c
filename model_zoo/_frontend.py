"""Front ends shared by several encoder families, vectorised over a batch of ragged clips."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from model_zoo._compat import import_torchaudio

KALDI_FLOOR = torch.finfo(torch.float32).eps  # kaldi's floor below the logarithm


class KaldiFbank(nn.Module):
    """Kaldi log-mel filter bank (natural logarithm of power): 25 ms frames every 10 ms, no partial frames.

    ``forward(wave (B, T)) -> (B, frames, bands)`` equals ``torchaudio.compliance.kaldi.fbank`` with ``htk_compat``,
    no energy and no dither, for each clip (gate 2e-4): per frame the mean is removed, pre-emphasis 0.97 applied with
    the first sample repeated, windowed, zero-padded to a power of two. Frame t sees samples
    [t * hop, t * hop + size) alone, so padding behind a clip reaches none of its own frames.
    """

    def __init__(self, rate: int = 16000, bands: int = 128, window: str = "povey", scale: float = 1.0):
        super().__init__()
        self.size, self.hop, self.scale = rate // 40, rate // 100, scale
        self.fft = 1 << (self.size - 1).bit_length()
        hann = torch.hann_window(self.size, periodic=False)
        self.register_buffer("window", hann**0.85 if window == "povey" else hann, persistent=False)
        self.register_buffer("mel", kaldi_mel(bands, self.fft, rate, 20.0, rate / 2), persistent=False)

    def frames(self, n: int | Tensor) -> int | Tensor:
        """Number of whole frames in n samples (n at least one frame long)."""
        return 1 + (n - self.size) // self.hop

    def forward(self, wave: Tensor) -> Tensor:
        frame = (wave * self.scale).unfold(1, self.size, self.hop)  # (B, frames, size)
        frame = frame - frame.mean(dim=2, keepdim=True)
        frame = frame - 0.97 * torch.cat([frame[..., :1], frame[..., :-1]], dim=2)
        spectrum = torch.fft.rfft(frame * self.window, n=self.fft)
        power = spectrum.real.square() + spectrum.imag.square()
        return (power @ self.mel.T).clamp_min(KALDI_FLOOR).log()


class MelSpectrogram(nn.Module):
    """Centred mel spectrogram, each clip mirrored about its own ends; linear, so every family takes its own logarithm.

    ``forward(wave (B, T), length (B,)) -> (B, frames, bands)`` of clips that share ``samples(n)``: n // hop + 1 frames
    of the power (or magnitude) spectrum under a periodic Hann window, times a mel matrix computed in float64. ``scale``
    and ``norm`` name the family: slaney/slaney is librosa's default, torchlibrosa's and nnAudio's; htk/None is
    torchaudio's default. ``bank`` (fft // 2 + 1, bands) takes the place of the computed matrix where a checkpoint
    carries one. Clips must be longer than fft // 2 samples.
    """

    def __init__(
        self,
        rate: int,
        fft: int,
        hop: int,
        bands: int,
        low_hz: float,
        high_hz: float,
        window: int | None = None,
        scale: Literal["slaney", "htk"] = "slaney",
        norm: Literal["slaney"] | None = "slaney",
        power: int = 2,
        bank: Tensor | None = None,
    ):
        super().__init__()
        self.fft, self.hop, self.power = fft, hop, power
        self.register_buffer("window", torch.hann_window(window or fft), persistent=False)
        bank = mel_bank(rate, fft, bands, low_hz, high_hz, scale, norm) if bank is None else bank.to(torch.float32)
        self.register_buffer("mel", bank, persistent=False)

    def frames(self, n: int | Tensor) -> int | Tensor:
        """Number of frames of n samples."""
        return n // self.hop + 1

    def samples(self, n: int) -> int:
        """The most samples that give as many frames as n."""
        return self.frames(n) * self.hop - 1

    def forward(self, wave: Tensor, length: Tensor) -> Tensor:
        framed = reflected(wave, length, self.fft // 2)
        spectrum = torch.stft(framed, self.fft, self.hop, len(self.window), self.window, False, return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square()  # (B, bins, frames)
        power = power if self.power == 2 else power.sqrt()
        return power[..., : self.frames(int(length[0]))].transpose(1, 2) @ self.mel


def mel_bank(
    rate: int, fft: int, bands: int, low_hz: float, high_hz: float, scale: str = "slaney", norm: str | None = "slaney"
) -> Tensor:
    """Triangular mel filters (fft // 2 + 1, bands) float32, computed in float64."""
    import_torchaudio()  # transformers.audio_utils belongs to a package that imports it
    from transformers.audio_utils import mel_filter_bank

    return torch.from_numpy(mel_filter_bank(fft // 2 + 1, bands, low_hz, high_hz, rate, norm, scale)).to(torch.float32)


def decibels(power: Tensor, amin: float = 1e-10) -> Tensor:
    """10 log10 of power against reference 1, floored at ``amin`` (librosa's and torchlibrosa's convention)."""
    return 10.0 * power.clamp_min(amin).log10()


def kaldi_mel(bands: int, fft: int, rate: int, low_hz: float, high_hz: float) -> Tensor:
    """Kaldi's triangular mel filters (bands, fft // 2 + 1), Nyquist bin zero."""
    import_torchaudio()
    from torchaudio.compliance.kaldi import get_mel_banks

    banks, _ = get_mel_banks(bands, fft, float(rate), low_hz, high_hz, 100.0, -500.0, 1.0)
    return nn.functional.pad(banks.to(torch.float32), (0, 1))


def reflected(wave: Tensor, length: Tensor, margin: int) -> Tensor:
    """wave (B, T) with ``margin`` samples mirrored about each clip's own first and last sample: (B, T + 2 margin).

    ``length`` (B,) may be shorter than T; clips must be longer than ``margin``. What lies behind a clip's mirrored
    end keeps the padding's values, which no frame of the clip reaches.
    """
    out = nn.functional.pad(wave, (margin, margin))
    out[:, :margin] = wave[:, 1 : margin + 1].flip(1)
    behind = torch.arange(margin, device=wave.device)
    last = length[:, None] - 1
    return out.scatter(1, margin + 1 + last + behind, wave.gather(1, last - 1 - behind))
