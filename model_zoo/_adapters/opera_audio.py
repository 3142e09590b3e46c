"""OPERA's treatment of audio: silence trimmed at both ends, short clips filled up, log-mel scaled to [0, 1] per clip.

Zhang et al., Towards open respiratory acoustic foundation models, NeurIPS 2024 Datasets and Benchmarks (arXiv
2406.16148). Vectorised over a batch of ragged clips; every row is what the clip alone would give.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model_zoo._adapters.adapter import full_precision
from model_zoo._adapters.frontend import mel_bank, mel_centres

RATE = 16000
SILENT_DB = 60.0  # below the loudest frame
TRIM_HOP = 800  # samples; a frame is two hops, centred
FFT, HOP, BANDS, LOW_HZ, HIGH_HZ = 1024, 512, 64, 50.0, 8000.0
AMIN, RANGE_DB = 1e-10, 80.0


def trim_silence(wave: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Cuts the frames at both ends of wave (B, T), length (B,) that are 60 dB or more below the loudest one.

    Frames are those of ``librosa.effects.trim``: 0.1 s of RMS every 0.05 s, centred and zero-padded. The loudest frame
    is its own reference, so something always stays; silence and what is all equally loud stay whole.
    """
    within = _before(length, wave.shape[1])
    margin = TRIM_HOP - wave.shape[1] % TRIM_HOP
    power = nn.functional.pad(_precise(wave * within).square(), (TRIM_HOP, margin))
    hops = power.unflatten(1, (-1, TRIM_HOP)).mean(dim=2)
    level = 10.0 * ((hops[:, :-1] + hops[:, 1:]) / 2).clamp_min(AMIN).log10()  # (B, frames)
    frame = torch.arange(level.shape[1], device=wave.device)
    loud = (level > level.amax(dim=1, keepdim=True) - SILENT_DB) & (frame <= (length // TRIM_HOP)[:, None])
    start = TRIM_HOP * loud.long().argmax(dim=1)
    end = torch.minimum(length, TRIM_HOP * (loud * (frame + 1)).amax(dim=1))
    remaining = end - start
    source = start[:, None] + torch.arange(int(remaining.max()), device=wave.device)
    return wave.gather(1, source.clamp_max(wave.shape[1] - 1)) * _before(remaining, source.shape[1]), remaining


def fill_with_copies(wave: Tensor, length: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Fills clips (B, T') shorter than ``size`` up with copies of themselves; returns them and their new lengths (B,).

    The last copy ends where the clip does, the first one is cut. Longer clips stay as they are.
    """
    total = length.clamp_min(size)
    position = torch.arange(int(total.max()), device=wave.device)
    return wave.gather(1, (position - total[:, None]) % length[:, None]) * _before(total, len(position)), total


def fill_with_zeros(wave: Tensor, length: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Fills clips (B, T') shorter than ``size`` up with zeros at the end.

    A clip shorter than half of ``size`` is first repeated as often as whole copies stay below ``size``. Returns the
    clips, their new lengths (B,) and the samples before the zeros (B,).
    """
    total = length.clamp_min(size)
    copies = torch.where(2 * length < size, (size - 1) // length, 1)
    position = torch.arange(int(total.max()), device=wave.device)
    filled = copies * length
    return wave.gather(1, position % length[:, None]) * _before(filled, len(position)), total, filled


def overlapping_chunks(wave: Tensor, length: Tensor, size: int) -> Tensor:
    """Cuts clips longer than ``size`` into chunks (B, chunks, size) that overlap by half.

    The clips must share their number of chunks. The last chunk holds what remains, filled up in front with the clip's
    own end.
    """
    whole = 1 + (int(length[0]) - size) // (size // 2)
    chunks = wave.unfold(1, size, size // 2)[:, :whole]
    position = torch.arange(size, device=wave.device)
    missing = size - (length - whole * (size // 2))[:, None]  # samples filled up
    source = length[:, None] - torch.where(position < missing, missing, size) + position
    return torch.cat([chunks, wave.gather(1, source)[:, None]], dim=1)


def _before(length: Tensor, size: int) -> Tensor:
    """True (B, size) before each row's length."""
    return torch.arange(size, device=length.device) < length[:, None]


def _precise(x: Tensor) -> Tensor:
    """Returns x in float64, except on Apple's GPUs, which have none."""
    return x if x.device.type == "mps" else x.to(torch.float64)


class LogMel(nn.Module):
    """librosa's mel spectrogram in decibels below the clip's maximum, floored at -80, scaled to [0, 1] per clip.

    ``forward(wave (B, T), length (B,)) -> (B, frames, 64)`` for zeros behind each clip's end; a shorter clip's row is
    zero behind its last frame. Computed in float64, because bands 80 dB below the loudest keep few digits in
    float32. A constant spectrogram, such as silence, gives zeros.
    """

    def __init__(self):
        super().__init__()
        self.register_buffer("mel", mel_bank(RATE, FFT, BANDS, LOW_HZ, HIGH_HZ), persistent=False)
        self.centres = mel_centres(RATE, BANDS, LOW_HZ, HIGH_HZ)

    def frames(self, n: int | Tensor) -> int | Tensor:
        """Number of frames of n samples."""
        return n // HOP + 1

    def samples(self, n: int) -> int:
        """The most samples that give as many frames as n."""
        return self.frames(n) * HOP - 1

    @full_precision
    def forward(self, wave: Tensor, length: Tensor) -> Tensor:
        wave = _precise(wave)
        window = torch.hann_window(FFT, dtype=wave.dtype, device=wave.device)
        spectrum = torch.stft(wave, FFT, HOP, window=window, pad_mode="constant", return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square()  # (B, bins, frames)
        power = power.transpose(1, 2) @ self.mel.to(wave.dtype)  # (B, frames, bands)
        real = _before(self.frames(length), power.shape[1])[..., None]
        level = 10.0 * (power * real).clamp_min(AMIN).log10()
        level = (level - level.amax(dim=(1, 2), keepdim=True)).clamp_min(-RANGE_DB)
        floor = level.masked_fill(~real, 0.0).amin(dim=(1, 2), keepdim=True)
        return ((level - floor) / torch.where(floor < 0, -floor, 1.0) * real).to(self.mel.dtype)
