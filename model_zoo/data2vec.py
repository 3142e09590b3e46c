"""data2vec for audio: a transformer trained to predict an averaged teacher's representations of masked speech.

Paper: Baevski et al., data2vec: A general framework for self-supervised learning in speech, vision and language, ICML
2022 (arXiv 2202.03555). Checkpoint: https://huggingface.co/facebook/data2vec-audio-base (a transformers folder; any
size, with or without a head). Licence: Apache-2.0 (the Hub's page), MIT (fairseq, whose README extends it to its
models). Trained on: LibriSpeech, which the Hub's page names, 960 hours.

Front end: the waveform at 16 kHz, each clip brought to zero mean and unit variance unless the folder's
``preprocessor_config.json`` says otherwise. Tokens every 20 ms. Layers are the outputs of the blocks; the embedding
(convolutions and positions) is not counted. There is no published pooled embedding. Geometry comes from
``config.json``, without one from the tensors. Heads and mask vector are ignored; half-precision tensors are computed
with in float32.
Parity: front end and every layer equal transformers' own feature extractor and model, and the layers also fairseq's
network as s3prl carries it, on the same random tensors. Deviation: fairseq's normalisation has an epsilon of 1e-5 where
the feature extractor has 1e-7.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import EncoderCard, Weights
from model_zoo._adapters.cards import dims

if TYPE_CHECKING:
    from torch import nn

CARDS = (
    EncoderCard(
        id="data2vec.base",
        version=1,
        sample_rate=16000,
        min_s=0.025,
        dims=dims(768),
        frontend="waveform at zero mean and unit variance, 16 kHz",
        citation="Baevski et al., data2vec, ICML 2022",
        licence="Apache-2.0",
        year=2022,
        grid=(0.02, 1),
        layers=12,
        params=93_163_520,
        weights=(Weights(file="data2vec-audio-base", licence="Apache-2.0", hub="facebook/data2vec-audio-base"),),
        trained_on=("librispeech",),
        parity="golden",
    ),
)


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The encoder with the released weights, or at transformers' own initialisation and base geometry."""
    from model_zoo._adapters import speech_transformers

    return speech_transformers.build(card, weights, "Data2VecAudioModel", normalised=True)
