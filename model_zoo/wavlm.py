"""WavLM: HuBERT's masked prediction on overlapped and noisy speech, with gated relative positions.

Paper: Chen et al., WavLM: Large-scale self-supervised pre-training for full stack speech processing, IEEE JSTSP 2022
(arXiv 2110.13900). Checkpoints: https://huggingface.co/microsoft/wavlm-base and
https://huggingface.co/microsoft/wavlm-large (transformers folders; either id takes any size, with or without a head;
neither folder was at hand, their digests are not known). Licence: MIT (Microsoft's code); the Hub's pages state none
for the weights and point to the licence of microsoft/UniSpeech, CC BY-SA 3.0 (LICENSE at 40d3227). Trained on, by the
same pages and by the README there: LibriSpeech, 960 hours (base); Libri-Light (60,000 hours), GigaSpeech (10,000) and
VoxPopuli (24,000; large).

Front end: the waveform at 16 kHz, as it is for the base models; brought to zero mean and unit variance per clip where
the folder's ``preprocessor_config.json`` says so, and without one for the large model, as it was trained.
Tokens every 20 ms. Layers are the outputs of the blocks, the last one after the final norm where the model has one; the
embedding (convolutions and positions) is not counted. There is no published pooled embedding. Geometry comes from
``config.json``, without one from the tensors. Heads and mask vector are ignored; half-precision tensors are computed
with in float32.
Parity: front end and every layer equal transformers' own feature extractor and model, and the layers also Microsoft's
network as s3prl carries it, on the same random tensors. Deviation: Microsoft's normalisation of the large model has an
epsilon of 1e-5 where the feature extractor has 1e-7.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import EncoderCard, Weights
from model_zoo._adapters.cards import dims

if TYPE_CHECKING:
    from torch import nn

LICENCE = "not stated with the weights; their page points to CC-BY-SA-3.0 (microsoft/UniSpeech)"
LARGE = {
    **{"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096},
    **{"feat_extract_norm": "layer", "do_stable_layer_norm": True},
}


def _card(size: str, width: int, **facts: object) -> EncoderCard:
    return EncoderCard(
        id=f"wavlm.{size}",
        version=1,
        sample_rate=16000,
        min_s=0.025,
        dims=dims(width),
        citation="Chen et al., WavLM, IEEE JSTSP 2022",
        licence="CC-BY-SA-3.0",
        year=2022,
        grid=(0.02, 1),
        weights=(Weights(file=f"wavlm-{size}", licence=LICENCE, hub=f"microsoft/wavlm-{size}"),),
        parity="golden",
        **facts,
    )


CARDS = (
    _card("base", 768, layers=12, params=94_381_168, frontend="waveform, 16 kHz", trained_on=("librispeech",)),
    _card(
        "large",
        1024,
        layers=24,
        params=315_452_096,
        frontend="waveform at zero mean and unit variance, 16 kHz",
        trained_on=("libri-light", "gigaspeech", "voxpopuli"),
    ),
)


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The encoder with the released weights, or at transformers' own initialisation and the card's geometry."""
    from model_zoo._adapters import speech_transformers

    large = card.id == "wavlm.large"
    return speech_transformers.build(card, weights, "WavLMModel", normalised=False, untrained=LARGE if large else None)
