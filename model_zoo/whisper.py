"""Whisper's encoder: a transformer trained on weakly supervised speech recognition.

Paper: Radford et al., Robust speech recognition via large-scale weak supervision, ICML 2023 (arXiv 2212.04356).
Checkpoints: https://huggingface.co/openai/whisper-base and https://huggingface.co/openai/whisper-large-v3
(transformers folders; an export of the encoder half alone is complete; either id takes any size). large-v3's folder was
not at hand, and its digest is not known: its ``model.safetensors`` holds half precision, and copies of it list
``model.fp32-0000N-of-00002.safetensors`` beside it, which is not read. Licence: MIT (code and weights, by the README of
https://github.com/openai/whisper, c0d2f62); the Hub's pages of both folders say Apache-2.0. Trained on: 680,000 hours
of speech from the web (base); by its page, 1 million hours of the kind and 4 million hours that large-v2 labelled
(large-v3). Nobody lists what these are.

Front end: 80 Slaney mel bands (large-v3: 128), 25/10 ms, log10 clamped to 8 below the clip's maximum, (x + 4) / 4.
Policy ``upstream`` pads with silence to 30 s: 1,500 tokens of 20 ms whatever the clip. Policy ``short`` pads to a
multiple of 0.1 s, at least 2 s, and cuts the position table to match: an approximation, some twenty times cheaper on
short clips. Its frames are the first frames of ``upstream``; the tokens differ because less silence is attended to.
Layers are the outputs of the blocks, the last one after the final layer norm; the embedding (convolutions and
positions) is not counted. There is no published pooled embedding. The decoder is ignored, and neither read nor kept in
memory. Geometry is read from the tensors (heads = width // 64). Half-precision tensors are computed with in float32.
Parity: front end and tokens equal transformers' own feature extractor and encoder, with 80 bands and with 128.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import EncoderCard, Weights
from model_zoo._adapters.cards import dims

if TYPE_CHECKING:
    from torch import Tensor, nn

    from model_zoo._adapters import row_ends

RATE, TOKEN_S = 16000, 0.02
FULL_S, SHORTEST_S, STEP_S = 30.0, 2.0, 0.1
HALF = "encoder"  # of the folder's tensors
IGNORED = (r"decoder\..*", r"proj_out\..*")
HUB_LICENCE = "MIT (openai/whisper); Apache-2.0 (the Hub's page)"
SIZES = {  # as WhisperConfig names them, of the encoder without weights
    "whisper.base": {"d_model": 512, "encoder_layers": 6, "encoder_attention_heads": 8, "encoder_ffn_dim": 2048},
    "whisper.large_v3": {
        **{"d_model": 1280, "encoder_layers": 32, "encoder_attention_heads": 20, "encoder_ffn_dim": 5120},
        **{"num_mel_bins": 128},
    },
}


def _card(size: str, width: int, bands: int, **facts: object) -> EncoderCard:
    return EncoderCard(
        id=f"whisper.{size}",
        version=1,
        sample_rate=RATE,
        max_s=FULL_S,
        dims=dims(width),
        frontend=f"Whisper log-mel, {bands} Slaney bands, 25 ms frames every 10 ms, clamped per clip, 16 kHz",
        citation="Radford et al., Robust speech recognition via large-scale weak supervision, ICML 2023",
        licence="MIT",
        year=2023,
        grid=(TOKEN_S, 1),
        parity="golden",
        default_pooling="mean_valid",
        policies=("upstream", "short"),
        notes="short: padded to the length of the clip (at least 2 s) instead of 30 s, which is an approximation",
        **facts,
    )


CARDS = (
    _card(
        "base",
        512,
        80,
        layers=6,
        params=20_590_592,
        weights=(
            Weights(file="whisper-base", licence=HUB_LICENCE, hub="openai/whisper-base"),
            Weights(file="whisper-base-encoder", licence="MIT"),
        ),
        trained_on=("whisper-680k",),
    ),
    _card(
        "large_v3",
        1280,
        128,
        layers=32,
        params=636_968_960,
        weights=(Weights(file="whisper-large-v3", licence=HUB_LICENCE, hub="openai/whisper-large-v3"),),
        trained_on=("whisper-5m",),
    ),
)


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The encoder with the released weights, or with transformers' own initialisation at the card's geometry."""
    import dataclasses

    from bench.base.optional_imports import import_torchaudio
    from bench.encoders.weights.read import load_tensors
    from bench.types import Grid, Tokens
    from model_zoo._adapters import row_ends
    from model_zoo._adapters.adapter import Adapter, full_precision
    from model_zoo._adapters.checkpoint import load_strict
    from model_zoo._adapters.settings import FRONT_END, require_settings
    from model_zoo._networks import whisper as network

    import_torchaudio()
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    full = round(FULL_S * RATE)

    class Whisper(Adapter):
        ragged = card.policy == "short"
        offers = frozenset({"spectrogram"})

        def __init__(self, geometry: dict[str, int]):
            layers, width = geometry["encoder_layers"], geometry["d_model"]
            super().__init__(dataclasses.replace(card, dims=dims(width), layers=layers))
            self.encoder = WhisperEncoder(WhisperConfig(**geometry))
            self.frontend = network.LogMel(self.encoder.num_mel_bins, full)

        def batch_length(self, n: int) -> int:
            """30 s, or under ``short`` the next multiple of 0.1 s from 2 s on."""
            if card.policy == "upstream":
                return full
            step = round(STEP_S * RATE)
            return max(round(SHORTEST_S * RATE), -(-n // step) * step)

        @full_precision
        def log_mel(self, wave: Tensor, rows: row_ends.Rows | None = None) -> Tensor:
            """Normalised log-mel (B, bands, L // 160) of wave (B, L), L a multiple of 160.

            ``rows`` says where the frames of shorter clips end, each padded to its own length.
            """
            return self.frontend(wave, rows)

        def encode(self, wave: Tensor, length: Tensor) -> Tokens:
            net = self.encoder
            rows = row_ends.ends([self.batch_length(n) // network.HOP for n in length.tolist()], 2, wave.device)
            mel = self.tap("spectrogram", self.log_mel(wave, rows).transpose(1, 2)).transpose(1, 2)
            hidden, rows = network.convolved(net, mel, rows)
            hidden = hidden + net.embed_positions.weight[: hidden.shape[1]]
            outputs = network.block_outputs(net, hidden, rows)
            outputs[-1] = net.layer_norm(outputs[-1])
            count, valid = row_ends.tokens(rows, length, hidden.shape[1]), -(-length // network.TOKEN)
            grids = (Grid(x[:, :, None], count, TOKEN_S, f"block{i}", valid) for i, x in enumerate(outputs, start=1))
            return Tokens(tuple(grids))

    if weights is None:
        return Whisper(SIZES[card.id.partition("@")[0]]).eval()
    tensors = load_tensors(weights, "conv1.weight", "conv2.weight", prefixes=[f"{HALF}."], part=HALF)
    geometry = network.read_geometry(tensors, weights)
    remedy = "take a whole folder of a Whisper model, or name it as hf.<folder>"
    require_settings(weights, {"model_type": "whisper"} | network.SETTINGS | geometry, remedy)
    front = network.FRONT | {"chunk_length": round(FULL_S), "feature_size": geometry["num_mel_bins"]}
    require_settings(weights, front, remedy, FRONT_END)
    whisper = Whisper(geometry)
    load_strict(whisper.encoder, tensors, IGNORED, weights)
    return whisper.eval()
