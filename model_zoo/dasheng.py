"""Dasheng: masked autoencoders on 40 ms frames of the log-mel spectrogram, up to 1.2 billion parameters.

Paper: Dinkel et al., Scaling up masked audio encoder learning for general audio classification, Interspeech 2024
(arXiv 2406.06992). Checkpoints: https://huggingface.co/mispeech/dasheng-base, ``dasheng-0.6B``, ``dasheng-1.2B``, and
https://zenodo.org/records/11511780 (``dasheng_base.pt``, ``dasheng_06b.pt``, ``dasheng_12b.pt``; the same networks as
``{model, config}``), as README and package of https://github.com/RicherMans/Dasheng (db73093) link them; digests are
not known. Licence: Apache-2.0 (the repository's LICENSE; the Hub's pages of ``dasheng-base`` and ``dasheng-0.6B``, not
that of ``dasheng-1.2B``, were seen and say so too). Trained on: 272,000 hours, by the README "mainly" VGGSound,
AudioSet, MTG-Jamendo and ACAV100M, without labels.

Front end, network and geometry: ``_networks/mel_vit.py``. A patch is four frames with all bands, so F' is 1 and a token
lasts 40 ms; frames short of four at a clip's end are dropped. Clips longer than 1,008 frames (10.08 s) are cut into
chunks of 252 tokens, the last one short, as the authors' package (0.0.8) does.

``published`` is the mean of the tokens after the last norm, the authors' embedding for classification (README).
Policy ``evar``: the sigmoid of that mean, which eval-audio-repr takes by asking the Hub's model for its ``logits``
(read in https://github.com/jimbozhang/hf_transformers_custom_model_dasheng; the code on the Hub itself was not seen).
Up to 10.08 s both packages answer alike. Deviations of ``evar`` on longer clips: the Hub's model fills the last chunk
up with zeros that are attended to, loses that chunk where it is full (20.15 s), and mixes the clips of a batch; here
neither happens. The fine-tuned ``dasheng_audioset_mAP497.pt`` (https://zenodo.org/records/13315686) is read as well
when it is named as the weights; its classifier is ignored. No released file was at hand: parity is that of a reduced
network in both formats, whose heads have 64 channels; those of ``dasheng.0_6b`` have 80, and nothing was compared with
that.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import EncoderCard, Weights
from model_zoo._adapters.cards import dims

if TYPE_CHECKING:
    from torch import nn

RATE, SHORTEST = 16000, 480  # Hz; samples of a clip's first token
CHUNK, PATCH = 1008, (64, 4)  # frames that go through the network at a time; bands and frames of a patch
LICENCE = "Apache-2.0"
SIZES = {  # channels, blocks, channels inside the MLP, parameters
    "dasheng.base": (768, 12, 3072, 85_447_808),
    "dasheng.0_6b": (1280, 32, 5120, 630_333_568),
    "dasheng.1_2b": (1536, 40, 6144, 1_134_047_360),
}


def _card(id: str, hub: str, file: str) -> EncoderCard:
    width, depth, _, params = SIZES[id]
    parity = "self-consistent" if id == "dasheng.0_6b" else "golden"
    return EncoderCard(
        id=id,
        version=1,
        year=2024,
        sample_rate=RATE,
        min_s=SHORTEST / RATE,
        dims=dims(width, published=width),
        frontend="log-mel in dB, 64 HTK bands 0-8000 Hz, 32 ms frames every 10 ms, batch norm over bands, chunks of "
        "1,008 frames, 16 kHz",
        citation="Dinkel et al., Scaling up masked audio encoder learning, Interspeech 2024",
        licence=LICENCE,
        grid=(0.04, 1),
        layers=depth,
        params=params,
        weights=(
            Weights(file=hub.partition("/")[2], licence=LICENCE, hub=hub),
            Weights(file=file, urls=(f"https://zenodo.org/records/11511780/files/{file}",), licence=LICENCE),
        ),
        trained_on=("acav100m", "audioset", "vggsound", "mtg_jamendo"),
        parity=parity,
        policies=("upstream", "evar"),
        policy_parity={"evar": parity},
        default_pooling="published",
        notes="published: the tokens' mean, under evar its sigmoid",
    )


CARDS = (
    _card("dasheng.base", "mispeech/dasheng-base", "dasheng_base.pt"),
    _card("dasheng.0_6b", "mispeech/dasheng-0.6B", "dasheng_06b.pt"),
    _card("dasheng.1_2b", "mispeech/dasheng-1.2B", "dasheng_12b.pt"),
)


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The encoder with released weights, or as its training starts at the card's geometry."""
    import torch

    from model_zoo._networks import mel_vit, vit

    width, depth, hidden, _ = SIZES[card.id.partition("@")[0]]
    blocks = mel_vit.with_heads(vit.Geometry(width, depth, hidden))
    family = mel_vit.Family(CHUNK, PATCH, fills=False)
    return mel_vit.build(card, weights, family, blocks, torch.sigmoid if card.policy == "evar" else None)
