"""Controls that measure a clip's surface and not its content: duration, level, silence, bandwidth.

Paper: none. Checkpoint: none. Licence: this project's. Trained on: nothing.

Events of different classes often differ in length (crackles are short, wheezes long), and recording and annotation
habits leave traces in level, pauses and bandwidth; an encoder that does not beat these controls has not been shown to
use the sound. Rates are no higher than a control needs: only ``bandwidth`` looks beyond 4 kHz.

* ``duration``: natural logarithm of the clip's unpadded duration in seconds.
* ``level``: root mean square and peak, in dB relative to full scale.
* ``silence``: share of the 20 ms frames that are digital silence, and of those 40 dB or more below the loudest.
* ``bandwidth``: natural logarithm of the frequency in Hz below which 99 % of the energy lies, and the energy above 2
  and above 4 kHz in dB relative to all of it. A recorder's sampling rate shows here after any resampling.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import EncoderCard

if TYPE_CHECKING:
    from torch import Tensor, nn

_FLOOR_DB = -120.0
_SILENCE_DB = -100.0  # half a step of 16 bits
_QUIET_DB = -40.0
_FRAME_S = 0.020


def _card(name: str, width: int, sample_rate: int, notes: str) -> EncoderCard:
    return EncoderCard(
        id=f"meta.{name}",
        version=1,
        sample_rate=sample_rate,
        dims={"published": width, "mean": width},
        frontend="none",
        citation="a control of this project",
        licence="MIT",
        parity="self-consistent",
        default_pooling="published",
        notes=f"control: {notes}",
    )


CARDS = (
    _card("duration", 1, 8000, "natural logarithm of the clip's duration in seconds"),
    _card("level", 2, 8000, "root mean square and peak in dB"),
    _card("silence", 2, 8000, "shares of silent and of quiet 20 ms frames"),
    _card("bandwidth", 3, 16000, "frequency below which 99 % of the energy lies, energy above 2 and 4 kHz"),
)


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The weightless encoder; ``weights`` is not used."""
    import torch

    from bench.types import Grid, Tokens
    from model_zoo._adapters.adapter import Adapter

    measure = _MEASURES[card.id.partition(".")[2].partition("@")[0]]

    class Control(Adapter):
        reads_lengths_alone = measure is _duration
        ragged = True

        def encode(self, wave: Tensor, length: Tensor) -> Tokens:
            parts = [(wave, length)]
            if bool((length < wave.shape[1]).any()):
                parts = [(row[None, :n], n[None]) for row, n in zip(wave, length, strict=True)]
            values = torch.cat([measure(*part, card.sample_rate) for part in parts]).to(torch.float32)  # (B, D)
            grid = Grid(values[:, None, None], torch.ones_like(length), 0.0, card.id)
            return Tokens((grid,), values)

    return Control(card).eval()


def _duration(wave: Tensor, length: Tensor, rate: int) -> Tensor:
    import torch

    return (length / rate).to(torch.float32).log()[:, None]


def _level(wave: Tensor, length: Tensor, rate: int) -> Tensor:
    import torch

    return torch.stack([_decibel(wave.square().mean(dim=1)), _decibel(wave.abs().amax(dim=1).square())], dim=1)


def _silence(wave: Tensor, length: Tensor, rate: int) -> Tensor:
    """Frames do not overlap; samples after the last whole frame do not count, but for a clip shorter than one."""
    import torch

    size = min(round(_FRAME_S * rate), wave.shape[1])
    frames = wave[:, : wave.shape[1] // size * size].unflatten(1, (-1, size))
    level = _decibel(frames.square().mean(dim=2))  # (B, frames)
    silent = level < _SILENCE_DB
    quiet = level <= level.amax(dim=1, keepdim=True) + _QUIET_DB
    return torch.stack([silent.double().mean(dim=1), quiet.double().mean(dim=1)], dim=1)


def _bandwidth(wave: Tensor, length: Tensor, rate: int) -> Tensor:
    import torch
    from scipy.fft import next_fast_len

    size = next_fast_len(wave.shape[1], real=True)  # zeros behind a clip move no energy
    power = torch.fft.rfft(wave.double(), size).abs().square()  # (B, bins)
    hertz = torch.fft.rfftfreq(size, 1 / rate, dtype=torch.float64, device=wave.device)
    total = power.sum(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    share = power / total
    edge = hertz[(share.cumsum(dim=1) < 0.99).sum(dim=1).clamp_max(len(hertz) - 1)].clamp_min(1.0).log()
    above = [_decibel(share[:, hertz > limit].sum(dim=1)) for limit in (2000.0, 4000.0)]
    return torch.stack([edge, *above], dim=1)


def _decibel(power: Tensor) -> Tensor:
    """10 log10 of a power, not below the floor."""
    return 10 * power.double().clamp_min(10 ** (_FLOOR_DB / 10)).log10()


_MEASURES = {"duration": _duration, "level": _level, "silence": _silence, "bandwidth": _bandwidth}
