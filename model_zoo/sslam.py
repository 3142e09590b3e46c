"""SSLAM: EAT's training continued on mixtures of clips, whose sources the features must keep.

Paper: Alex et al., SSLAM: Enhancing self-supervised models with audio mixtures for polyphonic soundscapes, ICLR 2025
(https://openreview.net/forum?id=odU59TxdiB). Checkpoint: https://huggingface.co/ta012/SSLAM_pretrain (``config.json``,
``model.safetensors``), as the README of https://github.com/ta012/SSLAM (0a3c0ff) links it; a fairseq file lies in the
Google Drive folder 1aA65-qQCHSCrkiDeLGUtn1PiEjJi5HS8, under a name that was not seen. The digest is the one that a
third party lists for the folder's tensors. Licence: MIT (the repository's LICENSE; the licence field of the Hub's page
was not seen). Trained on: AudioSet (self-supervised), from EAT's tenth epoch, by that README.

Front end, network, policies, geometry and deviations are EAT's: ``_networks/eat.py``. ``ta012/SSLAM_AS2M_Finetuned`` is
read as well when it is named as the weights. No released file was at hand: parity is that of a reduced network.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import EncoderCard, Weights
from model_zoo import eat

if TYPE_CHECKING:
    from torch import nn

CARDS = (
    dataclasses.replace(
        eat.CARDS[0],
        id="sslam.base",
        year=2025,
        citation="Alex et al., SSLAM: Enhancing self-supervised models with audio mixtures, ICLR 2025",
        weights=(
            Weights(
                file="SSLAM_pretrain",
                sha256="8ec670adb241c710422ddd894ff1bade142ef0b25cf1ee68577aa45f89432298",
                licence=eat.LICENCE,
                hub="ta012/SSLAM_pretrain",
            ),
        ),
    ),
)


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The encoder with released weights, or untrained at base geometry."""
    return eat.build(card, weights)
