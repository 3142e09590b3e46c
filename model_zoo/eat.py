"""EAT: a transformer that learnt a teacher's features of masked spectrogram patches and of the whole clip.

Paper: Chen et al., EAT: Self-supervised pre-training with efficient audio transformer, IJCAI 2024 (arXiv 2401.03497).
Checkpoint: https://huggingface.co/worstchan/EAT-base_epoch30_pretrain (``config.json``, ``model.safetensors``), and a
fairseq file of the same network (https://drive.google.com/file/d/19hfzLgHCkyqTOYmHt8dqVa9nm-weBq4f), as the README of
https://github.com/cwx-worst-one/EAT (06c1c34) links them. The digest is the one that a third party lists for the
folder's tensors; the name of the fairseq file, ``EAT-base_epoch30_pt.pt``, is inferred from that of the tenth epoch
(``EAT-base_epoch10_pt.pt``, as SSLAM's README has it) and unverified. Licence: MIT (the repository's LICENSE; the
licence field of the folder's own page was not seen, a copy of the page of the checkpoint fine-tuned from it says MIT).
Trained on: AudioSet (self-supervised).

Front end, network, policies, geometry and deviations: ``_networks/eat.py``. The files that were fine-tuned on AudioSet
and those of the large network are read as well when they are named as the weights. No released file was at hand: parity
is that of a reduced network in all three formats.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import EncoderCard, Weights
from model_zoo._adapters.cards import dims

if TYPE_CHECKING:
    from torch import nn

LICENCE = "MIT"

CARDS = (
    EncoderCard(
        id="eat.base",
        version=1,
        year=2024,
        sample_rate=16000,
        min_s=0.025,
        max_s=10.255,
        dims=dims(768, 8, published=768, cls=True),
        frontend="kaldi log-mel, 128 bands, 25 ms frames every 10 ms, Hann window, padded to 1,024 frames, 16 kHz",
        citation="Chen et al., EAT: Self-supervised pre-training with efficient audio transformer, IJCAI 2024",
        licence=LICENCE,
        grid=(0.16, 8),
        layers=12,
        params=89_972_736,
        weights=(
            Weights(
                file="EAT-base_epoch30_pretrain",
                sha256="8623072d09aac4f3ad1168b4fed3a24e4f68fe1da25b9fe733375efb237e5f48",
                licence=LICENCE,
                hub="worstchan/EAT-base_epoch30_pretrain",
            ),
            Weights(
                file="EAT-base_epoch30_pt.pt",
                urls=("https://drive.google.com/file/d/19hfzLgHCkyqTOYmHt8dqVa9nm-weBq4f",),
                licence=LICENCE,
            ),
        ),
        trained_on=("audioset",),
        parity="golden",
        policies=("upstream", "own", "evar"),
        policy_parity={"own": "golden", "evar": "golden"},
        default_pooling="published",
        notes="upstream: the first 10.2 s, padded to them, class token; own: the clip's length; evar: all tokens' mean",
    ),
)


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The encoder with released weights, or untrained at base geometry."""
    from model_zoo._networks import eat

    return eat.build(card, weights)
