"""CED: vision transformers that learnt AudioSet's labels and the answers of an ensemble of teachers.

Paper: Dinkel et al., CED: Consistent ensemble distillation for audio tagging, ICASSP 2024 (arXiv 2308.11957).
Checkpoints: https://huggingface.co/mispeech/ced-base, ``ced-small``, ``ced-mini``, ``ced-tiny``, and
https://zenodo.org/records/8275347 (``small``: 8275319; ``audiotransformer_tiny_mAP_4814.pt`` and so on, the same
networks as bare tensors), as the README of https://github.com/RicherMans/CED (60a0f54) links them; digests are not
known. Licence: Apache-2.0 (the Hub's pages of ``ced-base``, at 54b35a4, and ``ced-mini``; the fields of the other
sizes were not seen, and the Zenodo records' licence neither); the authors' own code is GPL-3.0 (LICENSE), of which
nothing is used here. Trained on: AudioSet, with labels.

Front end, network and geometry: ``_networks/mel_vit.py``. Patches are 16 x 16 bands by frames: 160 ms by 4 bands;
frames short of a patch at a clip's end are dropped, so a clip needs 0.15 s. Clips longer than 1,012 frames (10.12 s)
are cut into chunks of 1,012, of which 63 patches hold 1,008; the last chunk is filled up with zeros behind the batch
norm and its 63 columns of tokens all count, as in the originals.

``published`` is the mean of all tokens after the last norm, padding included: the authors' embedding in the HEAR
benchmark, which eval-audio-repr takes too. ``mean_valid`` leaves out patches that begin behind the clip's end.
Deviations: the originals lose the last chunk of a clip of a whole multiple of 1,012 frames (20.23 s), which is kept
here, and mix the clips of a batch of long ones. The classifier is ignored; files from before the distillation
(``…_mae_as_10s.pt``) are read as well when they are named as the weights. No released file was at hand: parity is that
of a reduced network in both formats.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import EncoderCard, Weights
from model_zoo._adapters.cards import dims

if TYPE_CHECKING:
    from torch import nn

RATE, SHORTEST = 16000, 2400  # Hz; samples of a clip's first column of patches
CHUNK, PATCH = 1012, (16, 16)  # frames that go through the network at a time; bands and frames of a patch
DEPTH, ROWS = 12, 4  # blocks; patches in frequency
LICENCE = "Apache-2.0"
SIZES = {  # channels, parameters
    "ced.tiny": (192, 5_401_088),
    "ced.mini": (256, 9_560_704),
    "ced.small": (384, 21_418_880),
    "ced.base": (768, 85_304_960),
}


def _card(id: str, file: str, record: int = 8275347) -> EncoderCard:
    width, params = SIZES[id]
    hub = id.replace(".", "-")
    return EncoderCard(
        id=id,
        version=1,
        year=2024,
        sample_rate=RATE,
        min_s=SHORTEST / RATE,
        dims=dims(width, ROWS, published=width),
        frontend="log-mel in dB, 64 HTK bands 0-8000 Hz, 32 ms frames every 10 ms, batch norm over bands, chunks of "
        "1,012 frames, 16 kHz",
        citation="Dinkel et al., CED: Consistent ensemble distillation for audio tagging, ICASSP 2024",
        licence=LICENCE,
        grid=(0.16, ROWS),
        layers=DEPTH,
        params=params,
        weights=(
            Weights(file=hub, licence=LICENCE, hub=f"mispeech/{hub}"),
            Weights(file=file, urls=(f"https://zenodo.org/records/{record}/files/{file}",), licence=LICENCE),
        ),
        trained_on=("audioset",),
        parity="golden",
        default_pooling="published",
        notes="fine-tuned on AudioSet's labels; clips over 10.12 s: the last chunk's padding is in the mean",
    )


CARDS = (
    _card("ced.tiny", "audiotransformer_tiny_mAP_4814.pt"),
    _card("ced.mini", "audiotransformer_mini_mAP_4896.pt"),
    _card("ced.small", "audiotransformer_small_mAP_4958.pt", 8275319),
    _card("ced.base", "audiotransformer_base_mAP_4999.pt"),
)


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The encoder with released weights, or as its training starts at the card's geometry."""
    from model_zoo._networks import mel_vit, vit

    width, _ = SIZES[card.id.partition("@")[0]]
    blocks = vit.Geometry(width, DEPTH, 4 * width)
    return mel_vit.build(card, weights, mel_vit.Family(CHUNK, PATCH, fills=True), blocks)
