"""w2v-BERT 2.0: a conformer trained on 4.5 million hours of unlabelled speech, the speech encoder of Seamless.

Paper: Seamless Communication, Seamless: Multilingual expressive and streaming speech translation, 2023 (arXiv
2312.05187), section 3.2.1. Checkpoint: https://huggingface.co/facebook/w2v-bert-2.0 (a transformers folder, with or
without a head); it was not at hand, and its digest is not known. Licence: MIT, by the Hub's page and by the README of
https://github.com/facebookresearch/seamless_communication (90e2b57). Trained on: 4.5 million hours of audio in more
than 143 languages, by the Hub's page; which recordings is not told.

Front end: kaldi log-mel of the waveform times 2^15, 80 bands, 25/10 ms, each band brought to zero mean and unit
variance over the clip (n - 1 degrees of freedom, epsilon 1e-7), two frames to a token of 20 ms. The odd last frame
counts in mean and variance alone: the feature extractor makes a token of it and masks it out, here there is none.
A band that holds rounding alone, such as those above the Nyquist frequency of a recording, is brought to unit variance
too: rounding is then as loud as breath (``floor_sensitive``).
Layers are the outputs of the blocks; the projection of the input is not counted. There is no published pooled
embedding. Geometry is read from the tensors (heads = width // 64); what trains the encoder and the adapter of some
fine-tuned models lie outside it. A folder whose ``config.json`` says other positions is refused.
Network: ``_networks/conformer.py``, written anew, because transformers' own needs memory for every pair of tokens.
Parity: front end and every layer equal transformers' own feature extractor and model on the same random tensors; Meta's
network in fairseq2, from which that was converted, was not run.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import EncoderCard, Weights
from model_zoo._adapters.cards import dims

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from model_zoo._networks.conformer import Geometry

RATE, SIZE, HOP, BANDS, STRIDE = 16000, 400, 160, 80, 2  # samples, samples, samples, bands, frames of a token
SCALE, VARIANCE_FLOOR = 2.0**15, 1e-7
FULL = (1024, 24, 16, 4096, 31, BANDS * STRIDE)
ANCHORS = ("feature_projection.projection.weight", "encoder.layers.0.self_attn.linear_q.weight")
IGNORED = (r"masked_spec_embed", r"lm_head\..*", r"projector\..*", r"classifier\..*", r"layer_weights")
SETTINGS = {
    "model_type": "wav2vec2-bert",
    "position_embeddings_type": "relative_key",
    "left_max_position_embeddings": 64,
    "right_max_position_embeddings": 8,
    "hidden_act": "swish",
    "layer_norm_eps": 1e-5,
    "add_adapter": False,
}
FRONT = {"sampling_rate": RATE, "num_mel_bins": BANDS, "stride": STRIDE}

CARDS = (
    EncoderCard(
        id="w2v_bert.2_0",
        version=1,
        year=2023,
        sample_rate=RATE,
        min_s=(SIZE + HOP) / RATE,
        dims=dims(1024),
        frontend="kaldi log-mel, 80 bands, per-clip mean and variance, 25 ms frames every 10 ms, 16 kHz",
        citation="Seamless Communication, Seamless: Multilingual expressive and streaming speech translation, 2023",
        licence="MIT",
        grid=(STRIDE * HOP / RATE, 1),
        layers=24,
        params=580_492_096,
        weights=(Weights(file="w2v-bert-2.0", licence="MIT", hub="facebook/w2v-bert-2.0"),),
        trained_on=("seamless-4.5m",),
        floor_sensitive=("upstream",),
        parity="golden",
    ),
)


def read_geometry(tensors: Mapping[str, Tensor], where: object) -> Geometry:
    """The geometry of a checkpoint's tensors. Raises ``CheckpointError``."""
    from bench.base.errors import CheckpointError
    from model_zoo._adapters.checkpoint import attention_heads
    from model_zoo._networks.conformer import Geometry

    try:
        width, inputs = tensors["feature_projection.projection.weight"].shape
        hidden = tensors["encoder.layers.0.ffn1.intermediate_dense.weight"].shape[0]
        kernel = tensors["encoder.layers.0.conv_module.depthwise_conv.weight"].shape[2]
        depth = 1 + max(int(k.split(".")[2]) for k in tensors if k.startswith("encoder.layers."))
    except (KeyError, ValueError, IndexError) as error:
        problem = f"lacks the tensors of w2v-BERT 2.0 ({error})"
        raise CheckpointError(where, problem, "take a folder of facebook/w2v-bert-2.0") from error
    return Geometry(width, depth, attention_heads(width, where), hidden, kernel, inputs)


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The encoder with the released weights, or with torch's own initialisation of each layer at full size."""
    import dataclasses

    from bench.base.errors import CheckpointError
    from bench.encoders.weights.read import load_tensors
    from bench.types import Grid, Tokens
    from model_zoo._adapters import row_ends
    from model_zoo._adapters.adapter import Adapter, full_precision
    from model_zoo._adapters.checkpoint import load_strict
    from model_zoo._adapters.frontend import KaldiFbank
    from model_zoo._adapters.settings import FRONT_END, require_settings
    from model_zoo._networks.conformer import Conformer, Geometry

    class W2vBert(Adapter):
        ragged = True

        def __init__(self, geometry: Geometry):
            super().__init__(dataclasses.replace(card, dims=dims(geometry.width), layers=geometry.depth))
            self.net = Conformer(geometry)
            self.frontend = KaldiFbank(RATE, BANDS, scale=SCALE)

        def batch_length(self, n: int) -> int:
            """The most samples that give as many frames as n."""
            return SIZE + HOP * self.frontend.frames(n) - 1

        @full_precision
        def fbank(self, wave: Tensor, length: Tensor) -> Tensor:
            """Normalised log-mel (B, frames, bands) of wave (B, samples)."""
            rows = row_ends.ends([self.frontend.frames(n) for n in length.tolist()], 1, wave.device)
            x = self.frontend(wave)
            x = x - row_ends.mean(x, rows, (1,), keepdim=True)
            frames = row_ends.tokens(rows, length, x.shape[1])[:, None, None]
            variance = row_ends.mean(x.square(), rows, (1,), keepdim=True) * frames / (frames - 1)
            return x / (variance + VARIANCE_FLOOR).sqrt()

        def encode(self, wave: Tensor, length: Tensor) -> Tokens:
            frames = [self.frontend.frames(n) for n in length.tolist()]
            x = self.fbank(wave, length)[:, : max(frames) // STRIDE * STRIDE]
            rows = row_ends.ends([n // STRIDE for n in frames], 1, wave.device)
            outputs = self.net(x.unflatten(1, (-1, STRIDE)).flatten(2), rows)
            count = row_ends.tokens(rows, length, outputs[-1].shape[1])
            hop_s, _ = card.grid
            grids = (Grid(y[:, :, None], count, hop_s, f"block{i}") for i, y in enumerate(outputs, start=1))
            return Tokens(tuple(grids))

    if weights is None:
        return W2vBert(Geometry(*FULL)).eval()
    tensors = load_tensors(weights, *ANCHORS, prefixes=["wav2vec2_bert."])
    geometry = read_geometry(tensors, weights)
    if geometry.inputs != BANDS * STRIDE:
        problem = f"takes {geometry.inputs} values a token, not {STRIDE} frames of {BANDS} bands"
        raise CheckpointError(weights, problem, "name it as hf.<folder> instead")
    told = {
        **{"hidden_size": geometry.width, "num_hidden_layers": geometry.depth, "num_attention_heads": geometry.heads},
        **{"intermediate_size": geometry.hidden, "conv_depthwise_kernel_size": geometry.kernel},
    }
    require_settings(weights, SETTINGS | told, "name it as hf.<folder> instead")
    require_settings(weights, FRONT, "name it as hf.<folder> instead", FRONT_END)
    encoder = W2vBert(geometry)
    load_strict(encoder.net, tensors, IGNORED, weights)
    return encoder.eval()
