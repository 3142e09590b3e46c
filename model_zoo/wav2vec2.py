"""wav2vec 2.0: a transformer trained to tell masked spans of speech from distractors.

Paper: Baevski et al., wav2vec 2.0: A framework for self-supervised learning of speech representations, NeurIPS 2020
(arXiv 2006.11477). Checkpoint: https://huggingface.co/facebook/wav2vec2-base (a transformers folder; any size, with or
without a head). Licence: Apache-2.0 (the Hub's page), MIT (fairseq, whose README extends it to its models). Trained on:
LibriSpeech, which the Hub's page names, 960 hours.

Front end: the waveform at 16 kHz. Policy ``upstream`` brings each clip to zero mean and unit variance where the
folder's ``preprocessor_config.json`` says so, or where there is none; ``raw`` leaves it as it is, which is how fairseq
trained the base model: the group norm of the first convolution hides most of the difference.
Tokens every 20 ms. Layers are the outputs of the blocks, the last one after the final norm where the model has one; the
embedding (convolutions and positions) is not counted. There is no published pooled embedding. Geometry comes from
``config.json``, without one from the tensors. Quantiser, heads and mask vector are ignored; half-precision tensors are
computed with in float32.
Parity: front end and every layer equal transformers' own feature extractor and model, and the layers also fairseq's
network as s3prl carries it, on the same random tensors. Deviation: fairseq's normalisation of the large models has an
epsilon of 1e-5 where the feature extractor has 1e-7.
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
        id="wav2vec2.base",
        version=1,
        sample_rate=16000,
        min_s=0.025,
        dims=dims(768),
        frontend="waveform at zero mean and unit variance, 16 kHz",
        citation="Baevski et al., wav2vec 2.0, NeurIPS 2020",
        licence="Apache-2.0",
        year=2020,
        grid=(0.02, 1),
        layers=12,
        params=94_370_944,
        weights=(Weights(file="wav2vec2-base", licence="Apache-2.0", hub="facebook/wav2vec2-base"),),
        trained_on=("librispeech",),
        parity="golden",
        policies=("upstream", "raw"),
        notes="raw: the waveform without normalisation, as fairseq trained the model",
    ),
)


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The encoder with the released weights, or at transformers' own initialisation and base geometry."""
    from model_zoo._adapters import speech_transformers

    return speech_transformers.build(card, weights, "Wav2Vec2Model", normalised=True)
