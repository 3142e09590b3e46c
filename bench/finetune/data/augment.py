"""Augmentation of waveforms and spectrograms with draws from a given generator."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from bench.finetune.methods.shared.mixing import beta_shares
from bench.finetune.recipe import Spectrogram, Waveform

STYLE_FLOOR = 1e-6  # added to a band's variance


class WaveDraws(NamedTuple):
    """What is drawn to augment B clips of T samples, on the CPU; None for what the recipe leaves out.

    Attributes
    ----------
    shift
        (B,) samples by which clips are shifted.
    noise
        (B, T) noise, relative to the clips' level.
    gain
        (B, 1) factors.
    """

    shift: Tensor | None
    noise: Tensor | None
    gain: Tensor | None

    def pinned(self) -> WaveDraws:
        """The same in pinned memory, from which CUDA copies beside its work."""
        return WaveDraws(*(None if each is None else each.pin_memory() for each in self))


def draw_waves(clips: int, samples: int, waveform: Waveform, rate: int, generator: torch.Generator) -> WaveDraws:
    """Draw shifts, noise and changes of level, in this order.

    Their number per clip does not depend on the other clips.

    Parameters
    ----------
    clips, samples
        B and T.
    waveform
        The recipe's settings.
    rate
        Sampling rate in Hz.
    generator
        The only source of chance, on the CPU.
    """
    shift = noise = gain = None
    if waveform.shift_s:
        reach = min(round(waveform.shift_s * rate), samples - 1)
        shift = torch.randint(-reach, reach + 1, (clips,), generator=generator)
    if waveform.noise_snr_db:
        low, high = waveform.noise_snr_db
        snr_db = low + (high - low) * torch.rand(clips, 1, generator=generator)
        noise = 10 ** (-snr_db / 20) * torch.randn(clips, samples, generator=generator)
    if waveform.gain_db:
        gain_db = waveform.gain_db * (2 * torch.rand(clips, 1, generator=generator) - 1)
        gain = 10 ** (gain_db / 20)
    return WaveDraws(shift, noise, gain)


def augment_waves(wave: Tensor, draws: WaveDraws) -> Tensor:
    """Shift waveforms (B, T) float32, add noise and change their level, in this order, as drawn; (B, T)."""
    if draws.shift is not None:
        shift = draws.shift.to(wave.device, non_blocking=True)
        position = torch.arange(wave.shape[1], device=wave.device)
        wave = wave.gather(1, (position - shift[:, None]) % wave.shape[1])
    if draws.noise is not None:
        level = wave.square().mean(dim=1, keepdim=True).sqrt()
        wave = wave + draws.noise.to(wave, non_blocking=True) * level
    if draws.gain is not None:
        wave = wave * draws.gain.to(wave, non_blocking=True)
    return wave


def mix_styles(spectrogram: Tensor, settings: Spectrogram, generator: torch.Generator) -> Tensor:
    """Draw the mean and deviation of each band of a clip towards those of another clip (Freq-MixStyle).

    Clip i becomes (x_i − μ_i) / σ_i · (s_i σ_i + (1 − s_i) σ_p) + s_i μ_i + (1 − s_i) μ_p; p is its partner by a
    permutation of the batch, μ and σ = √(variance + 1e-6) are over frames, and s_i is drawn from Beta(α, α).

    Parameters
    ----------
    spectrogram
        (B, frames, bands).
    settings
        The recipe's share of views that are mixed, and α.
    generator
        The only source of chance, on the CPU. Nothing is drawn where the share is 0.

    Returns
    -------
    Tensor
        (B, frames, bands).

    References
    ----------
    Zhou et al., MixStyle, ICLR 2021 (arXiv:2104.02008), eqs. 2 to 6, with statistics of bands as Schmid et al., DCASE
    workshop 2022.
    """
    if not settings.mixstyle or float(torch.rand((), generator=generator)) >= settings.mixstyle:
        return spectrogram
    clips, device = len(spectrogram), spectrogram.device
    share = beta_shares(generator, settings.mixstyle_alpha, clips).to(spectrogram)[:, None, None]
    partner = torch.randperm(clips, generator=generator).to(device)
    variance, mean = torch.var_mean(spectrogram.detach(), dim=1, correction=0, keepdim=True)
    deviation = (variance + STYLE_FLOOR).sqrt()
    mixed_mean = share * mean + (1 - share) * mean[partner]
    mixed_deviation = share * deviation + (1 - share) * deviation[partner]
    return (spectrogram - mean) / deviation * mixed_deviation + mixed_mean


def mask_spectrogram(spectrogram: Tensor, settings: Spectrogram, generator: torch.Generator) -> Tensor:
    """Mask bands and frames of clips (SpecAugment without time warping).

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
    masked: Tensor | bool = True
    if settings.skipped:
        drawn = torch.rand(1 if settings.shared else len(spectrogram), 1, 1, generator=generator)
        masked = (drawn >= settings.skipped).to(spectrogram.device)
    bands = _masks(spectrogram, settings.band_mask, settings.bands, 2, settings.shared, generator) & masked
    frames = _masks(spectrogram, settings.frame_mask, settings.frames, 1, settings.shared, generator) & masked
    if settings.fill == "batch":
        banded = torch.where(bands, spectrogram.mean(), spectrogram)
        return torch.where(frames, banded.mean(), banded)
    by_mean = settings.fill == "mean"
    fill = spectrogram.mean(dim=(1, 2), keepdim=True) if by_mean else spectrogram.new_zeros(len(spectrogram), 1, 1)
    return torch.where(bands | frames, fill, spectrogram)


def _masks(spectrogram: Tensor, widest: int, count: int, axis: int, shared: bool, generator: torch.Generator) -> Tensor:
    """Draw ``count`` masks of up to ``widest`` neighbours along an axis.

    Bool, True where hidden, of length 1 along the other axis and, if ``shared``, along the clips.
    """
    clips, size = 1 if shared else len(spectrogram), spectrogram.shape[axis]
    hidden, position = torch.zeros(clips, size, dtype=torch.bool), torch.arange(size)
    for _ in range(count if widest else 0):
        width = (torch.rand(clips, generator=generator) * min(widest, size)).floor()
        first = (torch.rand(clips, generator=generator) * (size - width + 1)).floor()
        hidden |= (position >= first[:, None]) & (position < (first + width)[:, None])
    return hidden.unsqueeze(3 - axis).to(spectrogram.device)
