"""Whisper's encoder: a transformer trained on weakly supervised speech recognition.

Paper: Radford et al., Robust speech recognition via large-scale weak supervision, ICML 2023 (arXiv 2212.04356).
Checkpoint: https://huggingface.co/openai/whisper-base (a transformers folder; an export of the encoder half alone is
complete). Licence: MIT, code and weights. Trained on: 680,000 hours of speech from the web.

Front end: 80 Slaney mel bands, 25/10 ms, log10 clamped to 8 below the clip's maximum, (x + 4) / 4.
Policy ``upstream`` pads with silence to 30 s: 1,500 tokens of 20 ms whatever the clip. Policy ``short`` pads to a
multiple of 0.1 s, at least 2 s, and cuts the position table to match: an approximation, some twenty times cheaper on
short clips. Its frames are the first frames of ``upstream``; the tokens differ because less silence is attended to.
Layers are the outputs of the blocks, the last one after the final layer norm; the embedding (convolutions and
positions) is not counted. There is no published pooled embedding. The decoder is ignored. Geometry is read from the
tensors (heads = width // 64). Half-precision tensors are computed with in float32.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import EncoderCard, Weights
from model_zoo._adapters.cards import dims

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

RATE, FFT, HOP = 16000, 400, 160
TOKEN = 2 * HOP  # samples
FULL_S, SHORTEST_S, STEP_S = 30.0, 2.0, 0.1
SETTINGS = {"model_type": "whisper", "activation_function": "gelu", "scale_embedding": False}  # not told by tensors
FRONT = {"sampling_rate": RATE, "n_fft": FFT, "hop_length": HOP, "chunk_length": round(FULL_S)}
IGNORED = (r"decoder\..*", r"proj_out\..*")

CARDS = (
    EncoderCard(
        id="whisper.base",
        version=1,
        sample_rate=RATE,
        max_s=FULL_S,
        dims=dims(512),
        frontend="Whisper log-mel, 80 Slaney bands, 25 ms frames every 10 ms, clamped per clip, 16 kHz",
        citation="Radford et al., Robust speech recognition via large-scale weak supervision, ICML 2023",
        licence="MIT",
        year=2023,
        grid=(TOKEN / RATE, 1),
        layers=6,
        params=20_590_592,
        weights=(
            Weights(file="whisper-base", licence="MIT", hub="openai/whisper-base"),
            Weights(file="whisper-base-encoder", licence="MIT"),
        ),
        trained_on=("whisper-680k",),
        parity="golden",
        default_pooling="mean_valid",
        policies=("upstream", "short"),
        notes="short: padded to the length of the clip (at least 2 s) instead of 30 s, which is an approximation",
    ),
)


def read_geometry(tensors: Mapping[str, Tensor], where: object) -> dict[str, int]:
    """Reads the geometry, as ``WhisperConfig`` names it, from the encoder's tensors. Raises ``CheckpointError``."""
    from bench.base.errors import CheckpointError
    from model_zoo._adapters.checkpoint import attention_heads

    try:
        width, bands, _ = tensors["conv1.weight"].shape
        return {
            "d_model": width,
            "num_mel_bins": bands,
            "encoder_layers": 1 + max(int(k.split(".")[1]) for k in tensors if k.startswith("layers.")),
            "encoder_attention_heads": attention_heads(width, where),
            "encoder_ffn_dim": tensors["layers.0.fc1.weight"].shape[0],
            "max_source_positions": tensors["embed_positions.weight"].shape[0],
        }
    except (KeyError, ValueError) as error:
        problem = f"lacks the tensors of a Whisper encoder ({error})"
        raise CheckpointError(where, problem, "take a transformers folder of a Whisper model") from error


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The encoder with the released weights, or with transformers' own initialisation at base's geometry."""
    import dataclasses

    import torch
    from torch import nn

    from bench.base.optional_imports import import_torchaudio
    from bench.encoders.weights.read import load_tensors
    from bench.types import Grid, Tokens
    from model_zoo._adapters import row_ends
    from model_zoo._adapters.adapter import Adapter, full_precision
    from model_zoo._adapters.checkpoint import load_strict
    from model_zoo._adapters.settings import FRONT_END, require_settings

    import_torchaudio()
    from transformers import WhisperConfig
    from transformers.audio_utils import mel_filter_bank
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    class Whisper(Adapter):
        ragged = card.policy == "short"

        def __init__(self, geometry: dict[str, int]):
            layers, width = geometry.get("encoder_layers", card.layers), geometry.get("d_model", card.dims["mean"])
            super().__init__(dataclasses.replace(card, dims=dims(width), layers=layers))
            self.encoder = WhisperEncoder(WhisperConfig(**geometry))
            bank = mel_filter_bank(FFT // 2 + 1, self.encoder.num_mel_bins, 0.0, 8000.0, RATE, "slaney", "slaney")
            self.register_buffer("mel", torch.from_numpy(bank.T.copy()).to(torch.float32), persistent=False)
            self.register_buffer("window", torch.hann_window(FFT), persistent=False)

        def batch_length(self, n: int) -> int:
            """30 s, or under ``short`` the next multiple of 0.1 s from 2 s on."""
            if card.policy == "upstream":
                return round(FULL_S * RATE)
            step = round(STEP_S * RATE)
            return max(round(SHORTEST_S * RATE), -(-n // step) * step)

        @full_precision
        def log_mel(self, wave: Tensor, rows: row_ends.Rows | None = None) -> Tensor:
            """Normalised log-mel (B, bands, L // 160) of wave (B, L), L a multiple of 160.

            ``rows`` says where the frames of shorter clips end, each padded to its own length.
            """
            margin = FFT // 2
            mode = "reflect" if wave.shape[1] == round(FULL_S * RATE) else "constant"  # the full 30 s end in a mirror
            framed = nn.functional.pad(wave[:, None], (margin, 0), mode="reflect")
            framed = nn.functional.pad(framed, (0, margin), mode=mode)[:, 0]
            spectrum = torch.stft(framed, FFT, HOP, window=self.window, center=False, return_complex=True)[..., :-1]
            power = spectrum.real.square() + spectrum.imag.square()
            log = (self.mel @ power).clamp_min(1e-10).log10()
            return (torch.maximum(log, row_ends.amax(log, rows, (1, 2), keepdim=True) - 8.0) + 4.0) / 4.0

        def encode(self, wave: Tensor, length: Tensor) -> Tokens:
            net, act = self.encoder, nn.functional.gelu
            rows = row_ends.ends([self.batch_length(n) // HOP for n in length.tolist()], 2, wave.device)
            hidden, rows = row_ends.through(net.conv1, self.log_mel(wave, rows), rows)
            hidden, rows = row_ends.through(net.conv2, act(hidden), rows)
            hidden = act(hidden).transpose(1, 2)  # (B, T', D)
            hidden = hidden + net.embed_positions.weight[: hidden.shape[1]]
            mask, outputs = row_ends.attended(rows), []
            for layer in net.layers:
                hidden = layer(hidden, mask)
                outputs.append(hidden)
            outputs[-1] = net.layer_norm(hidden)
            count, valid = row_ends.tokens(rows, length, hidden.shape[1]), -(-length // TOKEN)
            grids = (
                Grid(x[:, :, None], count, TOKEN / RATE, f"block{i}", valid) for i, x in enumerate(outputs, start=1)
            )
            return Tokens(tuple(grids))

    if weights is None:
        base = {"d_model": 512, "encoder_layers": 6, "encoder_attention_heads": 8, "encoder_ffn_dim": 2048}
        return Whisper(base).eval()
    tensors = load_tensors(weights, "conv1.weight", "conv2.weight", prefixes=["encoder."])
    geometry = read_geometry(tensors, weights)
    remedy = "take a whole folder of a Whisper model, or name it as hf.<folder>"
    require_settings(weights, SETTINGS | geometry, remedy)
    require_settings(weights, FRONT | {"feature_size": geometry["num_mel_bins"]}, remedy, FRONT_END)
    whisper = Whisper(geometry)
    load_strict(whisper.encoder, tensors, IGNORED, weights)
    return whisper.eval()
