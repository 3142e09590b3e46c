"""Whisper's encoder in parts, which its family and the audio towers that grew out of it share.

Radford et al., Robust speech recognition via large-scale weak supervision, ICML 2023 (arXiv 2212.04356). The network
itself is transformers' ``WhisperEncoder``, whose tensors have the names that all of these are released under; its parts
are called one by one, so that rows of different lengths can share a batch and positions can be cut. Geometry is read
from the tensors (heads = width // 64).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from bench.base.errors import CheckpointError
from model_zoo._adapters import row_ends
from model_zoo._adapters.checkpoint import attention_heads
from model_zoo._adapters.frontend import mel_bank, mel_centres

if TYPE_CHECKING:
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

RATE, FFT, HOP = 16000, 400, 160
TOKEN = 2 * HOP  # samples between two tokens
SETTINGS = {"activation_function": "gelu", "scale_embedding": False}  # not told by tensors
FRONT = {"sampling_rate": RATE, "n_fft": FFT, "hop_length": HOP}


class LogMel(nn.Module):
    """Normalised log-mel of Whisper: Slaney bands, 25/10 ms, log10 clamped to 8 below the clip's maximum, (x + 4) / 4.

    ``forward(wave (B, L), rows) -> (B, bands, L // 160)``, L a multiple of 160. ``rows`` says where the frames of
    shorter clips end. A wave begins in a mirror; it ends in one where it is ``full`` samples long, which the feature
    extractor fills every clip up to, and in silence before that.
    """

    def __init__(self, bands: int, full: int):
        super().__init__()
        self.full = full
        self.register_buffer("mel", mel_bank(RATE, FFT, bands, 0.0, RATE / 2).T.contiguous(), persistent=False)
        self.register_buffer("window", torch.hann_window(FFT), persistent=False)
        self.centres = mel_centres(RATE, bands, 0.0, RATE / 2)

    def forward(self, wave: Tensor, rows: row_ends.Rows | None = None) -> Tensor:
        margin = FFT // 2
        framed = nn.functional.pad(wave[:, None], (margin, 0), mode="reflect")
        mode = "reflect" if wave.shape[1] == self.full else "constant"
        framed = nn.functional.pad(framed, (0, margin), mode=mode)[:, 0]
        spectrum = torch.stft(framed, FFT, HOP, window=self.window, center=False, return_complex=True)[..., :-1]
        power = spectrum.real.square() + spectrum.imag.square()
        log = (self.mel @ power).clamp_min(1e-10).log10()
        return (torch.maximum(log, row_ends.amax(log, rows, (1, 2), keepdim=True) - 8.0) + 4.0) / 4.0


def read_geometry(tensors: Mapping[str, Tensor], where: object, model: str = "Whisper") -> dict[str, int]:
    """Reads the geometry, as ``WhisperConfig`` names it, from the encoder's tensors. Raises ``CheckpointError``.

    ``model`` is how an error names the family. The length of the position table is left out where none is stored.
    """
    try:
        width, bands, _ = tensors["conv1.weight"].shape
        geometry = {
            "d_model": width,
            "num_mel_bins": bands,
            "encoder_layers": 1 + max(int(k.split(".")[1]) for k in tensors if k.startswith("layers.")),
            "encoder_attention_heads": attention_heads(width, where),
            "encoder_ffn_dim": tensors["layers.0.fc1.weight"].shape[0],
        }
    except (KeyError, ValueError) as error:
        problem = f"lacks the tensors of a {model} encoder ({error})"
        raise CheckpointError(where, problem, f"take a transformers folder of a {model} model") from error
    if (positions := tensors.get("embed_positions.weight")) is not None:
        geometry["max_source_positions"] = positions.shape[0]
    return geometry


def convolved(net: WhisperEncoder, mel: Tensor, rows: row_ends.Rows | None) -> tuple[Tensor, row_ends.Rows | None]:
    """What both convolutions make of mel (B, bands, frames), (B, T', D) without positions, and where its rows end."""
    hidden, rows = row_ends.through(net.conv1, mel, rows)
    hidden, rows = row_ends.through(net.conv2, nn.functional.gelu(hidden), rows)
    return nn.functional.gelu(hidden).transpose(1, 2), rows


def block_outputs(net: WhisperEncoder, hidden: Tensor, rows: row_ends.Rows | None) -> list[Tensor]:
    """Every block's output (B, T', D) for hidden (B, T', D) with positions; the final norm is not applied."""
    mask, outputs = row_ends.attended(rows), []
    for layer in net.layers:
        hidden = layer(hidden, mask)
        outputs.append(hidden)
    return outputs
