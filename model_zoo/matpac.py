"""MATPAC++: M2D's encoder, trained to predict latent features of masked patches and their classes.

Papers: Quelennec et al., MATPAC++: Enhanced masked latent prediction for self-supervised audio representation learning,
2025 (arXiv 2508.12709); Masked latent prediction and classification, ICASSP 2025 (arXiv 2502.12031). Checkpoint:
https://github.com/aurianworld/matpac (b0e2dc7), whose inference README lists ``matpac_plus_6s_2048_enconly.pt`` as
"MATPAC++, SSL on AS" in the repository's releases; the repository has the tag ``MATPAC++``, and a public project
fetches the file from there. The digest is not known. Licence: none is stated in the repository, and its encoder is made
from M2D's code, under NTT's evaluation agreement; none of either is in this file. Trained on: AudioSet
(self-supervised).

Front end: 80 Slaney mel bands at 50-8000 Hz of 25/10 ms frames, whole frames alone (M2D's are centred), ln(power +
float32 epsilon), (x + 7.056) / 4.193: constants of the code, in no file. Network, chunks of 608 frames (6.08 s) and
``published`` (5 x 768 = 3840, frequency bands apart): ``_networks/mel_chunks.py``. This is the authors' mode
``precise``, which the papers use; ``fast``, which fills the last chunk up, is not offered.
Geometry is read from the tensors: heads = width // 64, frames of a chunk from the positions. The other released files
are read as well when they are named as the weights; heads and the mel transform's buffers are ignored. The original
loads any file without complaint (``strict=False``); here one that lacks a tensor is refused. No released file was at
hand: parity is that of a reduced network in their format.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import EncoderCard, Weights
from model_zoo._adapters.cards import dims

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from model_zoo._networks.vit import Geometry

RATE, FFT, HOP, BANDS, LOW_HZ = 16000, 400, 160, 80, 50.0
PATCH, FRAMES = (16, 16), 608  # bands and frames of a patch; frames of a chunk
MEAN, STD = -7.056, 4.193  # of the input, set in the code
BASE = (768, 12, 3072)  # channels, blocks, channels inside the MLP
ANCHORS = ("patch_embed.proj.weight", "student_encoder.norm.weight")
ENCODER = "student_encoder."  # before the names of blocks and norm
IGNORED = (r"log_mel\..*", r"head_norm\..*", r"head\..*")
LICENCE = "none stated (github.com/aurianworld/matpac); the encoder derives from M2D, under NTT's evaluation agreement"

CARDS = (
    EncoderCard(
        id="matpac.plus",
        version=1,
        year=2025,
        sample_rate=RATE,
        min_s=FFT / RATE,
        dims=dims(768, 5, published=5 * 768, cls=True),
        frontend="log-mel, 80 Slaney bands 50-8000 Hz, 25 ms frames every 10 ms, chunks of 608 frames, 16 kHz",
        citation="Quelennec et al., MATPAC++: Enhanced masked latent prediction, 2025",
        licence=LICENCE,
        grid=(0.16, 5),
        layers=12,
        params=85_400_832,
        weights=(
            Weights(
                file="matpac_plus_6s_2048_enconly.pt",
                urls=(
                    "https://github.com/aurianworld/matpac/releases/download/MATPAC%2B%2B/"
                    "matpac_plus_6s_2048_enconly.pt",
                ),
                licence=LICENCE,
                restricted=True,
            ),
        ),
        trained_on=("audioset",),
        floor_sensitive=("upstream",),
        parity="golden",
        default_pooling="published",
        notes="frequency bands are kept apart, as the authors publish it",
    ),
)


def read_geometry(tensors: Mapping[str, Tensor], where: object) -> tuple[Geometry, tuple[int, int]]:
    """The blocks' geometry and the grid (F', T') of a chunk, from renamed tensors. Raises ``CheckpointError``."""
    from bench.base.errors import CheckpointError
    from model_zoo._networks import vit

    blocks, bands = vit.read_geometry(tensors, where), BANDS // PATCH[0]
    try:
        patch = tuple(tensors["patch_embed.proj.weight"].shape[1:])
        positions = tensors["pos_embed"].shape[1] - 1
    except (KeyError, IndexError) as error:
        raise CheckpointError(where, f"lacks the tensors of MATPAC ({error})", "take a file of the release") from error
    if patch != (1, *PATCH) or positions < bands or positions % bands:
        problem = f"has {positions} positions of patches {patch}, not {bands} bands of {(1, *PATCH)}"
        raise CheckpointError(where, problem, "take a file of the release")
    return blocks, (bands, positions // bands)


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The encoder with the released weights, or as its training starts at the released geometry."""
    import torch

    from bench.encoders.weights.read import load_tensors
    from model_zoo._adapters.adapter import full_precision
    from model_zoo._adapters.checkpoint import load_strict
    from model_zoo._adapters.frontend import WholeFramesMel
    from model_zoo._networks import vit
    from model_zoo._networks.mel_chunks import ChunkedPatchEncoder

    class Matpac(ChunkedPatchEncoder):
        def __init__(self, blocks: vit.Geometry, grid: tuple[int, int]):
            mel = WholeFramesMel(RATE, FFT, HOP, BANDS, LOW_HZ, RATE / 2)
            super().__init__(card, mel, blocks, PATCH, grid, HOP / RATE)

        @full_precision
        def fbank(self, wave: Tensor, length: Tensor) -> Tensor:
            """Normalised log-mel (B, frames, bands) of wave (B, batch_length)."""
            return ((self.frontend(wave, length) + torch.finfo(torch.float32).eps).log() - MEAN) / STD

    if weights is None:
        encoder = Matpac(vit.Geometry(*BASE), (BANDS // PATCH[0], FRAMES // PATCH[1]))
        encoder.net.initialise()
        return encoder.eval()
    tensors = load_tensors(weights, *ANCHORS)
    tensors = {name.removeprefix(ENCODER): tensor for name, tensor in tensors.items()}
    encoder = Matpac(*read_geometry(tensors, weights))
    load_strict(encoder.net, tensors, IGNORED, weights)
    return encoder.eval()
