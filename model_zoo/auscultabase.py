"""AuscultaBase: OPERA-CT's network, trained by contrast on 322 hours of lung, heart and bowel sounds.

Paper: Wang et al., A generalist audio foundation model for comprehensive body sound auscultation, 2024 (arXiv
2411.07547; its first version was called AuscultaBase: A foundational step towards AI-powered body sound diagnostics).
Checkpoint: https://github.com/applewpj/AuscultaBase (ffc44b5), whose README links
https://drive.google.com/file/d/1DtQ2SK70lQd_R4Aq6vSBHzbKrZYAs2zn; its scripts call the file
``auscultabase_model.ckpt``, a Lightning file {state_dict, hyper_parameters}. Licence: none is stated, neither in the
repository nor for the weights.
Trained on: 11 corpora by the paper, of which the README lists SPRSound, HF Lung, ICBHI, KAUH's lung sounds,
RespiratoryDatabase@TR, three of heart sounds and one of bowel sounds; its code also names a hospital's own heart sounds
(``xinhua_*``). By the README a tenth of a corpus that has no split of its own is held out; the lists are not there, so
that all of each counts as seen.

Unverified: neither the file nor an array of the original was at hand. The front end and the network are read in the
repository, where they are OPERA's own code (``model_zoo/opera.py``, which has parity): silence trimmed at both ends, 64
mel bands at 50-8000 Hz (the code passes 8000), decibels scaled to [0, 1] per clip, HTS-AT tiny; ``published`` is the
mean of the tokens after the last norm.
Policies: ``upstream`` takes the trimmed clip as long as it is, which the original prepares for its tests (spectrograms
``entire``, least length 0); ``zero`` fills clips up to 8 s as the pieces that it was trained on, with zeros behind
whole copies where a clip is shorter than half. Deviation: a clip longer than 8 s is not cut into equal pieces under
``zero``. Projection heads are ignored.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import EncoderCard, Weights
from model_zoo import opera
from model_zoo._adapters.cards import dims

if TYPE_CHECKING:
    from torch import nn

LICENCE = "none stated (github.com/applewpj/AuscultaBase)"

CARDS = (
    EncoderCard(
        id="auscultabase.htsat",
        version=1,
        year=2024,
        sample_rate=opera.RATE,
        dims=dims(768, 2, published=768),
        frontend="silence trimmed, librosa log-mel, 64 bands 50-8000 Hz, 64 ms frames every 32 ms, scaled per clip, "
        "16 kHz",
        citation="Wang et al., A generalist audio foundation model for comprehensive body sound auscultation, 2024",
        licence=LICENCE,
        grid=(0.25, 2),
        layers=4,
        params=27_534_488,
        weights=(
            Weights(
                file="auscultabase_model.ckpt",
                urls=("https://drive.google.com/file/d/1DtQ2SK70lQd_R4Aq6vSBHzbKrZYAs2zn",),
                licence=LICENCE,
                restricted=True,
            ),
        ),
        trained_on=(
            *("sprsound", "hf_lung", "icbhi", "kauh", "copd"),
            *("korean_heart_sounds", "cinc2016", "circor2022", "bowel_sounds"),
        ),
        parity="unverified",
        policies=("upstream", "zero"),
        policy_parity={"zero": "unverified"},
        default_pooling="published",
        notes="zero: short clips are filled up to 8 s. There are 32 tokens whatever the length",
    ),
)


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The encoder with the released weights, or untrained at full size."""
    return opera.build(card, weights, network="opera.ct", fills=card.policy == "zero")
