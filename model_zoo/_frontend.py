"""Front ends shared by several encoder families, vectorised over a batch of ragged clips."""

from __future__ import annotations

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
