"""Augmentation of waveforms and spectrograms, each clip by itself, with draws from a given generator."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.finetune.recipe import Spectrogram, Waveform


def augment_waves(wave: Tensor, waveform: Waveform, rate: int, generator: torch.Generator) -> Tensor:
    """Shift waveforms, add noise and change their level, in this order.

    Draws are made on the CPU; their number per clip does not depend on the other clips.

    Parameters
    ----------
    wave
        (B, T) float32.
    waveform
        The recipe's settings.
    rate
        Sampling rate in Hz.
    generator
        The only source of chance.

    Returns
    -------
    Tensor
        (B, T).
    """
    clips = len(wave)
    if waveform.shift_s:
        reach = min(round(waveform.shift_s * rate), wave.shape[1] - 1)
        shifts = torch.randint(-reach, reach + 1, (clips,), generator=generator)
        position = torch.arange(wave.shape[1])
        wave = wave.gather(1, ((position - shifts[:, None]) % wave.shape[1]).to(wave.device))
    if waveform.noise_snr_db:
        low, high = waveform.noise_snr_db
        snr_db = low + (high - low) * torch.rand(clips, 1, generator=generator)
        noise = torch.randn(wave.shape, generator=generator)
        level = wave.square().mean(dim=1, keepdim=True).sqrt()
        wave = wave + (10 ** (-snr_db / 20) * noise).to(wave) * level
    if waveform.gain_db:
        gain_db = waveform.gain_db * (2 * torch.rand(clips, 1, generator=generator) - 1)
        wave = wave * (10 ** (gain_db / 20)).to(wave)
    return wave


def mask_spectrogram(spectrogram: Tensor, settings: Spectrogram, generator: torch.Generator) -> Tensor:
    """Mask bands and frames of each clip (SpecAugment without time warping).

    A mask covers floor(U(0, n)) neighbours, n its setting but at most the whole axis, starting anywhere that it fits.

    Parameters
    ----------
    spectrogram
        (B, frames, bands).
    settings
        The recipe's number and width of masks, and what fills them.
    generator
        The only source of chance, on the CPU.

    Returns
    -------
    Tensor
        (B, frames, bands).

    References
    ----------
    Park et al., SpecAugment, Interspeech 2019 (arXiv:1904.08779).
    """
    clips, frames, bands = spectrogram.shape
    hidden = torch.zeros(clips, frames, bands, dtype=torch.bool)
    for widest, count, axis in ((settings.band_mask, settings.bands, 2), (settings.frame_mask, settings.frames, 1)):
        size = spectrogram.shape[axis]
        for _ in range(count if widest else 0):
            width = (torch.rand(clips, generator=generator) * min(widest, size)).floor()
            first = (torch.rand(clips, generator=generator) * (size - width + 1)).floor()
            position = torch.arange(size)
            covered = (position >= first[:, None]) & (position < (first + width)[:, None])
            hidden |= covered[:, None, :] if axis == 2 else covered[:, :, None]
    by_mean = settings.fill == "mean"
    fill = spectrogram.mean(dim=(1, 2), keepdim=True) if by_mean else spectrogram.new_zeros(clips, 1, 1)
    return torch.where(hidden.to(spectrogram.device), fill, spectrogram)
