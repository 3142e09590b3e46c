"""Vocal tract length perturbation: the frequencies of a clip are stretched, as by a longer or shorter tract."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.base.errors import BadInput
from bench.finetune.recipe import Spectrogram
from bench.types import Encoder


def stretched_hz(hz: Tensor, factor: Tensor, boundary_hz: float, nyquist_hz: float) -> Tensor:
    """Stretch frequencies: α f up to F min(α, 1) / α, from there on a straight line to the Nyquist frequency N.

    Behind the boundary f becomes N − (N − F min(α, 1)) / (N − F min(α, 1) / α) · (N − f).

    Parameters
    ----------
    hz
        (F,) frequencies f in Hz.
    factor
        (B,) α, above 0.
    boundary_hz, nyquist_hz
        F and N in Hz, F below N.

    Returns
    -------
    Tensor
        (B, F) Hz.

    References
    ----------
    Jaitly and Hinton, Vocal tract length perturbation (VTLP) improves speech recognition, ICML workshop on deep
    learning for audio, speech and language processing, 2013, eq. 1.
    """
    factor = factor[:, None]
    reached = boundary_hz * factor.clamp(max=1)
    slope = (nyquist_hz - reached) / (nyquist_hz - reached / factor)
    return torch.where(hz <= reached / factor, factor * hz, nyquist_hz - slope * (nyquist_hz - hz))


def read_at(spectrogram: Tensor, band_hz: Tensor, read_hz: Tensor) -> Tensor:
    """Read spectrograms at other frequencies, by straight lines between the centres of neighbouring bands.

    What lies outside a spectrogram's lowest and highest centre has the value there.

    Parameters
    ----------
    spectrogram
        (B, frames, F).
    band_hz
        (F,) centres in Hz; where they fall, another spectrogram begins, which is read by itself.
    read_hz
        (B, F) where each band of each clip is read, in Hz.

    Returns
    -------
    Tensor
        (B, frames, F).
    """
    ends = [*(torch.nonzero(band_hz.diff() <= 0)[:, 0] + 1).tolist(), len(band_hz)]
    places, shares, start = [], [], 0
    for end in ends:
        centres, asked = band_hz[start:end].contiguous(), read_hz[:, start:end].contiguous()
        place = (torch.searchsorted(centres, asked, right=True) - 1).clamp(0, max(end - start - 2, 0))
        above = (place + 1).clamp(max=end - start - 1)
        gap = centres[above] - centres[place]
        share = torch.where(gap > 0, (asked - centres[place]) / gap, torch.zeros_like(gap)).clamp(0, 1)
        places.append(torch.stack([place, above]) + start)
        shares.append(share)
        start = end
    below, above = torch.cat(places, dim=2).to(spectrogram.device)[:, :, None].expand(-1, -1, spectrogram.shape[1], -1)
    share = torch.cat(shares, dim=1).to(spectrogram)[:, None]
    return torch.lerp(spectrogram.gather(2, below), spectrogram.gather(2, above), share)


def perturb_tracts(
    spectrogram: Tensor, band_hz: Tensor | None, settings: Spectrogram, nyquist_hz: float, generator: torch.Generator
) -> Tensor:
    """Move the bands of each clip to stretched frequencies, by a factor drawn from [1 − vtlp, 1 + vtlp].

    The source moves the centres of the mel filters; here what the network reads is taken between its bands, so that
    the filters keep their widths.

    Parameters
    ----------
    spectrogram
        (B, frames, F).
    band_hz
        (F,) centres of the bands in Hz.
    settings
        The recipe's ``vtlp`` and ``vtlp_hz``.
    nyquist_hz
        Half of the sampling rate.
    generator
        The only source of chance, on the CPU. Nothing is drawn where ``vtlp`` is 0.

    Returns
    -------
    Tensor
        (B, frames, F).
    """
    if not settings.vtlp or band_hz is None:
        return spectrogram
    drawn = torch.rand(len(spectrogram), generator=generator, dtype=torch.float64)
    factor = 1 + settings.vtlp * (2 * drawn - 1)
    return read_at(spectrogram, band_hz, stretched_hz(band_hz, factor, settings.vtlp_hz, nyquist_hz))


def require_bands(encoder: Encoder, settings: Spectrogram) -> None:
    """Check that an encoder's bands can be stretched as a recipe asks.

    Raises
    ------
    BadInput
        Where the encoder does not say at which frequencies its bands lie, or samples too slowly for ``vtlp_hz``.
    """
    if not settings.vtlp:
        return
    if getattr(encoder, "band_hz", None) is None:
        problem = "the recipe stretches frequencies (vtlp), and this encoder does not say at which its bands lie"
        raise BadInput(encoder.card.id, problem, "give the encoder band_hz, or leave out vtlp")
    nyquist_hz = encoder.card.sample_rate / 2
    if settings.vtlp_hz >= nyquist_hz:
        problem = f"its audio ends at {nyquist_hz:g} Hz, and vtlp_hz is {settings.vtlp_hz:g} Hz"
        raise BadInput(encoder.card.id, problem, f"say a vtlp_hz below {nyquist_hz:g}, such as {0.6 * nyquist_hz:g}")
