"""Augmentation of waveforms and of the network's input, each clip by itself, from a generator that is handed in."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.finetune.recipe import Spectrogram, Waveform


def augmented_waves(wave: Tensor, choice: Waveform, rate: int, source: torch.Generator) -> Tensor:
    """wave (B, T) at ``rate`` Hz, shifted, in noise, at another level; draws are made on the CPU, clip by clip the
    same number whatever the length."""
    batch = len(wave)
    if choice.shift_s:
        reach = min(round(choice.shift_s * rate), wave.shape[1] - 1)
        shifts = torch.randint(-reach, reach + 1, (batch,), generator=source)
        place = torch.arange(wave.shape[1])
        wave = wave.gather(1, ((place - shifts[:, None]) % wave.shape[1]).to(wave.device))
    if choice.noise_snr_db:
        low, high = choice.noise_snr_db
        snr_db = low + (high - low) * torch.rand(batch, 1, generator=source)
        noise = torch.randn(wave.shape, generator=source)
        level = wave.square().mean(dim=1, keepdim=True).sqrt()
        wave = wave + (10 ** (-snr_db / 20) * noise).to(wave) * level
    if choice.gain_db:
        gain_db = choice.gain_db * (2 * torch.rand(batch, 1, generator=source) - 1)
        wave = wave * (10 ** (gain_db / 20)).to(wave)
    return wave


def masked(spectrogram: Tensor, choice: Spectrogram, source: torch.Generator) -> Tensor:
    """spectrogram (B, frames, bands) with bands and frames of each clip masked.

    A mask covers floor(U(0, n)) neighbours, n its setting but at most the whole axis, starting anywhere that it fits.
    """
    batch, frames, bands = spectrogram.shape
    hidden = torch.zeros(batch, frames, bands, dtype=torch.bool)
    for most, count, axis in ((choice.band_mask, choice.bands, 2), (choice.frame_mask, choice.frames, 1)):
        size = spectrogram.shape[axis]
        for _ in range(count if most else 0):
            width = (torch.rand(batch, generator=source) * min(most, size)).floor()
            first = (torch.rand(batch, generator=source) * (size - width + 1)).floor()
            place = torch.arange(size)
            covered = (place >= first[:, None]) & (place < (first + width)[:, None])
            hidden |= covered[:, None, :] if axis == 2 else covered[:, :, None]
    fill = spectrogram.mean(dim=(1, 2), keepdim=True) if choice.fill == "mean" else spectrogram.new_zeros(batch, 1, 1)
    return torch.where(hidden.to(spectrogram.device), fill, spectrogram)
