"""Front ends shared by several encoder families, vectorised over a batch of ragged clips."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from bench.base.optional_imports import import_torchaudio
from model_zoo._adapters.row_ends import Rows, ends

GROUPS = 4  # of mel bands, each multiplied with the bins that it covers: fewer waste arithmetic, more waste calls
CACHED = 1024  # frames at a time, whose buffers stay in a processor's cache
KALDI_FLOOR = torch.finfo(torch.float32).eps  # kaldi's floor below the logarithm


class KaldiFbank(nn.Module):
    """Kaldi log-mel filter bank (natural logarithm of power): 25 ms frames every 10 ms, no partial frames.

    Povey et al., The Kaldi speech recognition toolkit, ASRU 2011.

    ``forward(wave (B, T)) -> (B, frames, bands)`` equals ``torchaudio.compliance.kaldi.fbank`` with ``htk_compat``,
    no energy and no dither, for each clip (gate 2e-4): per frame the mean is removed, pre-emphasis 0.97 applied with
    the first sample repeated, windowed, zero-padded to a power of two. Frame t sees samples
    [t * hop, t * hop + size) alone, so padding behind a clip reaches none of its own frames.

    Where a recording has no energy, a band holds the rounding noise of what came before, and its logarithm shows it:
    so every step up to the Fourier transform rounds as Kaldi's does, in the same order and without fused
    multiply-adds. What is left to gain is memory traffic: on a CPU frames go through buffers that fit the cache, and
    each group of bands is multiplied with the bins that it covers, real and imaginary parts squared side by side.

    With ``noise`` the floor of each band is not Kaldi's but the power that white noise of this variance, in units of
    the scaled waveform, is expected to have in it.
    """

    def __init__(
        self, rate: int = 16000, bands: int = 128, window: str = "povey", scale: float = 1.0, noise: float = 0.0
    ):
        super().__init__()
        self.size, self.hop, self.scale = rate // 40, rate // 100, scale
        self.fft, self.bands = 1 << (self.size - 1).bit_length(), bands
        hann = torch.hann_window(self.size, periodic=False)
        self.register_buffer("window", hann**0.85 if window == "povey" else hann, persistent=False)
        mel = kaldi_mel(bands, self.fft, rate, 20.0, rate / 2)
        self.centres = mel_centres(rate, bands, 20.0, rate / 2, "kaldi")
        floor = (noise * self._white_power() @ mel.T.double()).clamp_min(KALDI_FLOOR).float()
        self.register_buffer("floor", floor, persistent=False)
        mel = mel.repeat_interleave(2, dim=1)  # of (re, im, re, im, …)
        self.covered = []  # of each group of bands: its first band, its first column, one past its last column
        start = 0
        for index, group in enumerate(mel.tensor_split(GROUPS)):
            columns = group.any(0).nonzero()[:, 0]
            first, end = int(columns[0]), int(columns[-1]) + 1
            self.register_buffer(f"mel{index}", group[:, first:end].T.contiguous(), persistent=False)
            self.covered.append((start, first, end))
            start += len(group)

    def _white_power(self) -> Tensor:
        """(bins,) expected power of white noise of variance 1: all steps of a frame are linear, so it is a sum."""
        steps = torch.eye(self.size, dtype=torch.float64)
        steps = steps - steps.mean(dim=-1, keepdim=True)
        steps = steps - 0.97 * torch.cat([steps[..., :1], steps[..., :-1]], dim=-1)
        return torch.fft.rfft(steps * self.window.double(), n=self.fft).abs().square().sum(dim=0)

    def frames(self, n: int | Tensor) -> int | Tensor:
        """Number of whole frames in n samples (n at least one frame long)."""
        return 1 + (n - self.size) // self.hop

    def forward(self, wave: Tensor) -> Tensor:
        frame = (wave * self.scale).unfold(1, self.size, self.hop)  # (B, frames, size)
        if wave.device.type != "cpu" or wave.requires_grad:
            return self._log_mel(frame)
        out = wave.new_empty(*frame.shape[:2], self.bands)
        scratch = self._scratch(min(CACHED, frame.shape[1]), wave.dtype)
        for clip, target in zip(frame, out, strict=True):
            for part, rows in zip(clip.split(CACHED), target.split(CACHED), strict=True):
                self._log_mel_into(rows, part, *(array[: len(part)] for array in scratch))
        return out

    def _log_mel(self, frame: Tensor) -> Tensor:
        """(…, size) to (…, bands): any device, differentiable."""
        frame = frame - frame.mean(dim=-1, keepdim=True)
        frame = frame - 0.97 * torch.cat([frame[..., :1], frame[..., :-1]], dim=-1)
        power = torch.view_as_real(torch.fft.rfft(frame * self.window, n=self.fft)).flatten(-2).square()
        bands = [power[..., first:end] @ mel for mel, (_, first, end) in self._groups()]
        return torch.cat(bands, dim=-1).clamp_min(self.floor).log()

    def _log_mel_into(self, out: Tensor, frame: Tensor, padded: Tensor, delayed: Tensor, spectrum: Tensor) -> None:
        """The same, bit for bit, within given buffers."""
        inside = padded[:, : self.size]  # what lies behind stays zero
        torch.sub(frame, frame.mean(dim=1, keepdim=True), out=inside)
        torch.mul(inside[:, :-1], 0.97, out=delayed)
        inside[:, 0].sub_(delayed[:, 0])
        inside[:, 1:].sub_(delayed)
        inside.mul_(self.window)
        power = torch.view_as_real(torch.fft.rfft(padded, out=spectrum)).flatten(1).square_()
        for mel, (start, first, end) in self._groups():
            torch.mm(power[:, first:end], mel, out=out[:, start : start + mel.shape[1]])
        out.clamp_min_(self.floor).log_()

    def _groups(self) -> list[tuple[Tensor, tuple[int, int, int]]]:
        return [(getattr(self, f"mel{index}"), covered) for index, covered in enumerate(self.covered)]

    def _scratch(self, rows: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        padded = torch.zeros(rows, self.fft, dtype=dtype)
        return (
            padded,
            padded.new_empty(rows, self.size - 1),
            padded.new_empty(rows, self.fft // 2 + 1, dtype=dtype.to_complex()),
        )


class MelFrames(nn.Module):
    """What mel spectrograms share: frames of ``fft`` samples every ``hop``, and where the clips' frames end.

    ``forward(wave (B, T), length (B,)) -> (B, frames, bands)`` of wave as long as the longest clip's ``samples(n)``.
    ``centres`` (bands,) are the bands' centre frequencies in cycles a sample.
    """

    fft: int
    hop: int
    centres: Tensor

    def frames(self, n: int | Tensor) -> int | Tensor:
        """Number of frames of n samples."""
        raise NotImplementedError

    def samples(self, n: int) -> int:
        """The most samples that give as many frames as n."""
        raise NotImplementedError

    def rows(self, length: Tensor, axis: int) -> Rows | None:
        """Where the clips' frames end in arrays whose time is along ``axis``."""
        return ends([self.frames(n) for n in length.tolist()], axis, length.device)


class WholeFramesMel(MelFrames):
    """Mel spectrogram of whole frames alone, without padding: power under a periodic Hann window of ``fft`` samples.

    1 + (n - fft) // hop frames of the power spectrum, times librosa's mel matrix (slaney/slaney), computed in float64.
    """

    def __init__(self, rate: int, fft: int, hop: int, bands: int, low_hz: float, high_hz: float):
        super().__init__()
        self.fft, self.hop = fft, hop
        self.register_buffer("window", torch.hann_window(fft), persistent=False)
        self.register_buffer("mel", mel_bank(rate, fft, bands, low_hz, high_hz), persistent=False)
        self.centres = mel_centres(rate, bands, low_hz, high_hz)

    def frames(self, n: int | Tensor) -> int | Tensor:
        """Number of whole frames in n samples (n at least one frame long)."""
        return 1 + (n - self.fft) // self.hop

    def samples(self, n: int) -> int:
        """The most samples that give as many frames as n."""
        return self.fft + self.hop * self.frames(n) - 1

    def forward(self, wave: Tensor, length: Tensor) -> Tensor:
        frames = wave.unfold(1, self.fft, self.hop)[:, : self.frames(int(length.max()))]
        spectrum = torch.fft.rfft(frames * self.window)
        return (spectrum.real.square() + spectrum.imag.square()) @ self.mel


class MelSpectrogram(MelFrames):
    """Centred mel spectrogram, each clip mirrored about its own ends; linear, so every family takes its own logarithm.

    ``forward(wave (B, T), length (B,)) -> (B, frames, bands)`` of wave as long as the longest clip's ``samples(n)``:
    n // hop + 1 frames, behind which the row of a shorter clip holds anything finite, of the power (or magnitude)
    spectrum under a periodic Hann window, times a mel matrix computed in float64. ``scale`` and ``norm`` name the
    family: slaney/slaney is librosa's default, torchlibrosa's and nnAudio's; htk/None is torchaudio's default. ``bank``
    (fft // 2 + 1, bands) takes the place of the computed matrix where a checkpoint carries one. Clips must be longer
    than fft // 2 samples.
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
        self.centres = mel_centres(rate, bands, low_hz, high_hz, scale)

    def frames(self, n: int | Tensor) -> int | Tensor:
        """Number of frames of n samples."""
        return n // self.hop + 1

    def samples(self, n: int) -> int:
        """The most samples that give as many frames as n."""
        return self.frames(n) * self.hop - 1

    def forward(self, wave: Tensor, length: Tensor) -> Tensor:
        framed = pad_reflected(wave, length, self.fft // 2)
        spectrum = torch.stft(framed, self.fft, self.hop, len(self.window), self.window, False, return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square()  # (B, bins, frames)
        power = power if self.power == 2 else power.sqrt()
        return power[..., : self.frames(int(length.max()))].transpose(1, 2) @ self.mel


class EmphasisedMel(MelFrames):
    """Log-mel of PaSST and EfficientAT, which was distilled from it: 25/10 ms at 32 kHz, 128 kaldi bands up to 15 kHz.

    Pre-emphasis 0.97 over neighbouring samples, centred frames under a symmetric Hann window, each clip mirrored about
    its own ends, ln(power + 1e-5), (x + 4.5) / 5. Clips must be longer than fft // 2 + 1 samples.
    """

    rate, bands, fft, hop, size, high_hz = 32000, 128, 1024, 320, 800, 15000.0

    def __init__(self):
        super().__init__()
        self.register_buffer("window", torch.hann_window(self.size, periodic=False), persistent=False)
        self.register_buffer("mel", kaldi_mel(self.bands, self.fft, self.rate, 0.0, self.high_hz), persistent=False)
        self.centres = mel_centres(self.rate, self.bands, 0.0, self.high_hz, "kaldi")

    def frames(self, n: int | Tensor) -> int | Tensor:
        """Number of frames of n samples."""
        return -(-n // self.hop)

    def samples(self, n: int) -> int:
        """The most samples that give as many frames as n."""
        return self.frames(n) * self.hop

    def forward(self, wave: Tensor, length: Tensor) -> Tensor:
        emphasised = wave[:, 1:] - 0.97 * wave[:, :-1]
        framed = pad_reflected(emphasised, length - 1, self.fft // 2)
        spectrum = torch.stft(
            framed, self.fft, self.hop, self.size, self.window, center=False, onesided=True, return_complex=True
        )
        power = spectrum.real.square() + spectrum.imag.square()
        return (((self.mel @ power + 1e-5).log() + 4.5) / 5).transpose(1, 2)


def mel_bank(
    rate: int, fft: int, bands: int, low_hz: float, high_hz: float, scale: str = "slaney", norm: str | None = "slaney"
) -> Tensor:
    """Triangular mel filters (fft // 2 + 1, bands), computed in float64 and returned in float32.

    ``scale`` and ``norm`` are those of ``transformers.audio_utils.mel_filter_bank``.
    """
    import_torchaudio()  # transformers.audio_utils belongs to a package that imports it
    from transformers.audio_utils import mel_filter_bank

    return torch.from_numpy(mel_filter_bank(fft // 2 + 1, bands, low_hz, high_hz, rate, norm, scale)).to(torch.float32)


def mel_centres(rate: int, bands: int, low_hz: float, high_hz: float, scale: str = "slaney") -> Tensor:
    """Centre frequencies (bands,) in cycles a sample, float64, of triangular filters that share a mel axis evenly.

    ``scale`` is slaney, htk or kaldi, as in ``transformers.audio_utils.hertz_to_mel``.
    """
    import_torchaudio()
    from transformers.audio_utils import hertz_to_mel, mel_to_hertz

    edges = np.linspace(hertz_to_mel(low_hz, scale), hertz_to_mel(high_hz, scale), bands + 2)
    return torch.from_numpy(mel_to_hertz(edges[1:-1], scale) / rate)


def decibels(power: Tensor, amin: float = 1e-10) -> Tensor:
    """10 log10 of power against reference 1, floored at ``amin`` (librosa's and torchlibrosa's convention)."""
    return 10.0 * power.clamp_min(amin).log10()


def kaldi_mel(bands: int, fft: int, rate: int, low_hz: float, high_hz: float) -> Tensor:
    """Kaldi's triangular mel filters (bands, fft // 2 + 1), Nyquist bin zero."""
    import_torchaudio()
    from torchaudio.compliance.kaldi import get_mel_banks

    banks, _ = get_mel_banks(bands, fft, float(rate), low_hz, high_hz, 100.0, -500.0, 1.0)
    return nn.functional.pad(banks.to(torch.float32), (0, 1))


def pad_reflected(wave: Tensor, length: Tensor, margin: int) -> Tensor:
    """Extends wave (B, T) by ``margin`` samples mirrored about each clip's own ends: (B, T + 2 margin).

    ``length`` (B,) may be shorter than T; clips must be longer than ``margin``. What lies behind a clip's mirrored
    end keeps the padding's values, which no frame of the clip reaches.
    """
    out = nn.functional.pad(wave, (margin, margin))
    out[:, :margin] = wave[:, 1 : margin + 1].flip(1)
    behind = torch.arange(margin, device=wave.device)
    last = length[:, None] - 1
    return out.scatter(1, margin + 1 + last + behind, wave.gather(1, last - 1 - behind))
