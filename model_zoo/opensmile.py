"""openSMILE's functionals: hand-designed statistics of low-level descriptors, computed by openSMILE itself.

Papers: Eyben, Wöllmer, Schuller, openSMILE, ACM Multimedia 2010 (``emobase``, 988 features); Eyben et al., The Geneva
minimalistic acoustic parameter set, IEEE TAFFC 2016 (``egemaps``: eGeMAPSv02, 88); Schuller et al., The Interspeech
2016 computational paralinguistics challenge (``compare``: ComParE_2016, 6,373).
Checkpoint: none; the Python package ``opensmile`` is the extra ``pip install 'respbench[opensmile]'``. Licence:
audEERING Research License, which excludes commercial use but for research and evaluation before a product (LICENSE of
https://github.com/audeering/opensmile-python at 95f3071); it is openSMILE's, not this project's. Trained on: nothing.

``published`` is the functionals over the whole clip at 16 kHz, clip by clip, in the package's own order; the one token
of the one layer is the same vector. Very short clips: openSMILE gives NaN for a clip shorter than its longest frame of
60 ms, so clips are zero-padded to that at least (``min_s``). No NaN has been seen from there on, for silence, constants
and clicks either; should openSMILE answer one feature with NaN or infinity, it becomes 0. Features without voiced
frames are 0 by openSMILE's own convention. Whatever the network precision, openSMILE computes in float32.
``weights_digest`` is openSMILE's version, so that another version is another encoder.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import EncoderCard

if TYPE_CHECKING:
    from torch import nn

RATE = 16000
FEATURE_SETS = {"emobase": "emobase", "egemaps": "eGeMAPSv02", "compare": "ComParE_2016"}


def _card(name: str, size: int, year: int, citation: str) -> EncoderCard:
    return EncoderCard(
        id=f"opensmile.{name}",
        version=1,
        year=year,
        sample_rate=RATE,
        min_s=0.06,
        dims={"published": size},
        frontend=f"openSMILE {FEATURE_SETS[name]} functionals, 16 kHz",
        citation=citation,
        licence="audEERING Research License (no commercial use)",
        parity="golden",
        default_pooling="published",
        notes="no learning: functionals computed by openSMILE, which is installed separately and has its own licence",
    )


CARDS = (
    _card("emobase", 988, 2010, "Eyben et al., openSMILE, ACM Multimedia 2010"),
    _card("egemaps", 88, 2016, "Eyben et al., The Geneva minimalistic acoustic parameter set, IEEE TAFFC 2016"),
    _card("compare", 6373, 2016, "Schuller et al., The Interspeech 2016 computational paralinguistics challenge"),
)


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The feature extractor; ``weights`` is not used.

    Raises ``NotInstalled`` where openSMILE is not there, ``BadInput`` where it cannot be imported.
    """
    import numpy as np
    import torch
    from torch import Tensor

    from bench.base.errors import BadInput, NotInstalled
    from bench.types import Grid, Tokens
    from model_zoo._adapters.adapter import Adapter

    try:
        import opensmile
    except ImportError as error:
        kind = NotInstalled if isinstance(error, ModuleNotFoundError) else BadInput
        problem = f"needs openSMILE, which cannot be imported ({error})"
        raise kind(card.id, problem, "run `pip install 'respbench[opensmile]'`") from error

    class OpenSmile(Adapter):
        threads_may_share = False  # the library's state belongs to one call at a time
        ragged = True

        def __init__(self) -> None:
            super().__init__(card)
            feature_set = opensmile.FeatureSet[FEATURE_SETS[card.id.partition(".")[2]]]
            self.smile = opensmile.Smile(feature_set=feature_set, feature_level=opensmile.FeatureLevel.Functionals)
            self.weights_digest = f"smile-{opensmile.__version__}"

        def functionals(self, clip: Tensor) -> Tensor:
            """The features (E,) of one clip (samples,)."""
            values = self.smile(clip.cpu().numpy(), RATE)  # (channels, E, 1)
            return torch.from_numpy(np.asarray(values, np.float32).reshape(-1)).nan_to_num(0.0, 0.0, 0.0)

        def forward(self, wave: Tensor, length: Tensor) -> Tokens:
            clips = [self.functionals(clip[:n]) for clip, n in zip(wave, length.tolist(), strict=True)]
            values = torch.stack(clips).to(wave.device)
            return Tokens((Grid(values[:, None, None], torch.ones_like(length), 0.0, "functionals"),), values)

    return OpenSmile().eval()
