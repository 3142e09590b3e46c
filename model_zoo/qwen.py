"""Audio towers of Qwen's audio language models: Whisper large-v3's encoder, trained on with a language model.

``2_audio_7b`` is Qwen2-Audio's: Chu et al., Qwen2-Audio technical report, 2024 (arXiv 2407.10759), checkpoint
https://huggingface.co/Qwen/Qwen2-Audio-7B, tensors ``audio_tower.*``. ``2_5_omni_7b`` is Qwen2.5-Omni's: Xu et al.,
Qwen2.5-Omni technical report, 2025 (arXiv 2503.20215), checkpoint https://huggingface.co/Qwen/Qwen2.5-Omni-7B, tensors
``thinker.audio_tower.*``. Both are transformers folders in shards; only shards that hold tensors of the tower are
fetched, and only these tensors are read, so that the language model is never in memory. Neither folder was at hand, and
the digests are not known. Licence: Apache-2.0 (Qwen2-Audio by the Hub's page, its repository has none; Qwen2.5-Omni by
the LICENSE of https://github.com/QwenLM/Qwen2.5-Omni at f8bf58c and by a copy of its Hub page, whose head says
``license: other``, ``license_name: apache-2.0`` and points to the folder's LICENSE, which was not seen). Trained on:
what Whisper large-v3 was, then pairs of text with speech, sounds and music that neither report lists: no recording of a
corpus can be ruled out.

Front end: Whisper's log-mel with 128 bands. Qwen2-Audio fills clips up to 30 s with silence, and its tokens look at the
clip's own alone: so all that lies two frames behind the end is left out here, which changes nothing of them. Qwen2.5-
Omni takes the clip's own frames, up to 300 s, in windows of 2 s: neither convolutions, behind whose ends are zeros, nor
attention reach over a window's edge, and positions start anew in each.
Layers are the outputs of the blocks, every 20 ms, the last one averaged in pairs and then normed, every 40 ms (a token
that has no pair is dropped); Omni's last layer is its projection to the 3584 channels of the language model, as the
tower gives it. Qwen2-Audio's projection lies outside its tower and is left out. There is no published pooled embedding.
Geometry is read from the tensors (heads = width // 64); half-precision tensors are computed with in float32.
Parity: front end and tokens equal transformers' own feature extractor and towers on the same random tensors.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import EncoderCard, Weights
from model_zoo._adapters.cards import dims

if TYPE_CHECKING:
    from torch import Tensor, nn

    from model_zoo._adapters import row_ends

RATE, TOKEN_S, PAIR = 16000, 0.04, 2
TOWER = "audio_tower"
OMNI = "qwen.2_5_omni_7b"
WINDOW = 200  # frames of Omni's
SIZE = {  # of both without weights, as WhisperConfig names it
    **{"d_model": 1280, "encoder_layers": 32, "encoder_attention_heads": 20, "encoder_ffn_dim": 5120},
    **{"num_mel_bins": 128},
}
PROJECTED = 3584  # channels of Omni's language model
CONFIGURED = {  # where a folder's config.json has the tower's settings
    "qwen.2_audio_7b": ("qwen2_audio", "audio_config"),
    OMNI: ("qwen2_5_omni", "thinker_config.audio_config"),
}
IGNORED = (
    r"audio_bos_eos_token\..*",  # embeddings that stand around the tower's tokens in the language model
    r"positional_embedding\..*",  # sines, which are computed
    r"(thinker\.|model\.)?(language_model|multi_modal_projector|visual|model|lm_head)\..*",
    r"(talker|token2wav|lm_head)\..*",
)


def _card(size: str, release: str, width: int, **facts: object) -> EncoderCard:
    return EncoderCard(
        id=f"qwen.{size}",
        version=1,
        sample_rate=RATE,
        min_s=0.04,
        dims=dims(width),
        frontend="Whisper log-mel, 128 Slaney bands, 25 ms frames every 10 ms, clamped per clip, 16 kHz",
        licence="Apache-2.0",
        grid=(TOKEN_S, 1),
        weights=(Weights(file=release, licence="Apache-2.0", hub=f"Qwen/{release}", part=TOWER),),
        parity="golden",
        **facts,
    )


CARDS = (
    _card(
        "2_audio_7b",
        "Qwen2-Audio-7B",
        1280,
        year=2024,
        max_s=30.0,
        layers=32,
        params=636_968_960,
        citation="Chu et al., Qwen2-Audio technical report, 2024",
        trained_on=("whisper-5m", "qwen2-audio"),
        notes="the audio tower alone; trained on recordings that are not listed",
    ),
    _card(
        "2_5_omni_7b",
        "Qwen2.5-Omni-7B",
        PROJECTED,
        year=2025,
        max_s=300.0,
        layers=33,
        params=639_640_064,
        citation="Xu et al., Qwen2.5-Omni technical report, 2025",
        trained_on=("whisper-5m", "qwen2.5-omni"),
        notes="the audio tower alone, projection included; trained on recordings that are not listed",
    ),
)


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The tower with the released weights, or with transformers' own initialisation at full size."""
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
    from model_zoo._networks import whisper as network

    import_torchaudio()
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder, sinusoids

    full = round(card.max_s * RATE)

    class Tower(Adapter):
        """Qwen2-Audio's."""

        ragged = True
        offers = frozenset({"spectrogram"})
        behind = 2  # frames behind the clip's last that its last token's convolutions see

        def __init__(self, geometry: dict[str, int], width: int):
            super().__init__(dataclasses.replace(card, dims=dims(width), layers=self.depth(geometry)))
            self.net = self.network(geometry, width)
            self.frontend = network.LogMel(self.net.num_mel_bins, full)

        def depth(self, geometry: dict[str, int]) -> int:
            """Number of layers."""
            return geometry["encoder_layers"]

        def network(self, geometry: dict[str, int], width: int) -> nn.Module:
            """The network, its tensors as the tower names them."""
            return WhisperEncoder(WhisperConfig(**geometry))

        def batch_length(self, n: int) -> int:
            """Whole tokens, and behind them the frames that their convolutions see; no more than a clip can have."""
            tokens = -(-n // network.TOKEN)
            return min(tokens * network.TOKEN + self.behind * network.HOP, full)

        @full_precision
        def log_mel(self, wave: Tensor, rows: row_ends.Rows | None = None) -> Tensor:
            """Normalised log-mel (B, bands, L // 160) of wave (B, L), L a multiple of 160; ``rows``: where they end."""
            return self.frontend(wave, rows)

        def encode(self, wave: Tensor, length: Tensor) -> Tokens:
            sizes = length.clamp(max=full).tolist()
            rows = row_ends.ends([self.batch_length(n) // network.HOP for n in sizes], 2, wave.device)
            mel = self.tap("spectrogram", self.log_mel(wave, rows).transpose(1, 2)).transpose(1, 2)
            blocks = self.block_outputs(mel, rows, sizes)
            counts = [-(-n // network.TOKEN) for n in sizes]
            count, pairs = (torch.tensor([n // by for n in counts], device=wave.device) for by in (1, PAIR))
            last = blocks[-1][:, : max(counts) // PAIR * PAIR].unflatten(1, (-1, PAIR)).mean(dim=2)
            grids = [
                Grid(x[:, :, None], count, TOKEN_S / PAIR, f"block{i}") for i, x in enumerate(blocks[:-1], start=1)
            ]
            for name, x in self.ends(last):
                grids.append(Grid(x[:, :, None], pairs, TOKEN_S, name))
            return Tokens(tuple(grids))

        def block_outputs(self, mel: Tensor, rows: row_ends.Rows | None, sizes: list[int]) -> list[Tensor]:
            """Every block's output (B, T', D) for mel (B, bands, frames) of clips of ``sizes`` samples."""
            counts = [-(-n // network.TOKEN) for n in sizes]
            hidden = network.convolved(self.net, mel, rows)[0][:, : max(counts)]
            hidden = hidden + self.net.embed_positions.weight[: hidden.shape[1]]
            return network.block_outputs(self.net, hidden, row_ends.ends(counts, 1, mel.device))

        def ends(self, last: Tensor) -> list[tuple[str, Tensor]]:
            """(name, what the tower makes) of the averaged output of the last block."""
            return [(f"block{len(self.net.layers)}", self.net.layer_norm(last))]

    class Omni(Tower):
        """Qwen2.5-Omni's."""

        def depth(self, geometry: dict[str, int]) -> int:
            return geometry["encoder_layers"] + 1

        def network(self, geometry: dict[str, int], width: int) -> nn.Module:
            net = super().network(geometry, width)
            del net.embed_positions
            net.ln_post = net.layer_norm
            del net.layer_norm
            net.proj = nn.Linear(geometry["d_model"], width)
            positions = sinusoids(WINDOW // PAIR, geometry["d_model"])
            net.register_buffer("positions", positions, persistent=False)
            return net

        def block_outputs(self, mel: Tensor, rows: row_ends.Rows | None, sizes: list[int]) -> list[Tensor]:
            frames = [-(-n // network.HOP) for n in sizes]
            pieces = [-(-n // WINDOW) for n in frames]
            inside = [min(n - at, WINDOW) for n in frames for at in range(0, n, WINDOW)]
            x = nn.functional.pad(mel.transpose(1, 2), (0, 0, 0, WINDOW))[:, : max(pieces) * WINDOW]
            x = row_ends.pieces_of(x, pieces, WINDOW)[:, : max(inside)].transpose(1, 2)
            hidden, windows = network.convolved(self.net, x, row_ends.ends(inside, 2, mel.device))
            hidden = hidden + self.net.positions[: hidden.shape[1]]
            return [row_ends.joined(y, pieces) for y in network.block_outputs(self.net, hidden, windows)]

        def ends(self, last: Tensor) -> list[tuple[str, Tensor]]:
            normed = self.net.ln_post(last)
            return [(f"block{len(self.net.layers)}", normed), ("projected", self.net.proj(normed))]

    kind = Omni if card.id == OMNI else Tower
    if weights is None:
        return kind(SIZE, card.dims["mean"]).eval()
    tensors = load_tensors(weights, "conv1.weight", "conv2.weight", prefixes=[f"{TOWER}."], part=TOWER)
    geometry = network.read_geometry(tensors, weights, "Qwen audio")
    remedy = f"take a folder of {card.weights[0].hub}"
    model, place = CONFIGURED[card.id]
    told = network.SETTINGS | geometry | ({"n_window": WINDOW // 2} if kind is Omni else {})
    require_settings(
        weights, {"model_type": model} | {f"{place}.{name}": value for name, value in told.items()}, remedy
    )
    require_settings(weights, network.FRONT | {"feature_size": geometry["num_mel_bins"]}, remedy, FRONT_END)
    projected = tensors.get("proj.weight") if kind is Omni else None
    encoder = kind(geometry, geometry["d_model"] if projected is None else projected.shape[0])
    load_strict(encoder.net, tensors, IGNORED, weights)
    return encoder.eval()
