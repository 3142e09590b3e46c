"""AudioMAE: a ViT-B pre-trained by reconstructing masked patches of AudioSet spectrograms.

Paper: Huang et al., Masked autoencoders that listen, NeurIPS 2022 (arXiv 2207.06405).
Checkpoint: https://github.com/facebookresearch/AudioMAE (bd60e29), whose README links ``pretrained.pth``
(https://drive.google.com/file/d/1ni_DV4dRf7GxM8k-Eirx71WP9Gg89wwu; "ViT-B, AS-2M pretrained"); its training code saves
optimizer and options (``argparse.Namespace``) beside the network. Licence of code and weights: the README says CC-BY
4.0, the LICENSE file to which it points CC-BY-NC 4.0; take it as non-commercial. Trained on: AudioSet
(self-supervised).

Front end: kaldi log-mel, 128 bands, Hann window. Tokens are cls and 64 x 8 patches (time x frequency).
``published`` = mean of the patch tokens before the final norm, then a layer norm of gain 1 and bias 0: the authors'
pooling for classification, whose norm is trained only in fine-tuning. ``mean``, ``freq`` and the other poolings act
on tokens after the file's own final norm, padding included.
Policies: ``upstream`` keeps the first 1,024 frames, pads shorter clips with zeros **after** the fbank, then
(x + 4.2677393) / (2 * 4.5689974), so padding becomes +0.467. ``opera`` is the input that the OPERA benchmark gives to
the same network: silence trimmed at both ends (60 dB below the loudest 0.1 s), consecutive pieces of 10 s, of which a
last one of at most 400 samples is dropped, each padded with zero frames to 1,024 and **not normalised**; embeddings
are averaged over pieces, tokens concatenated (64 a piece, the last one of which is padding in a full piece).
Geometry is read from the tensors: heads = width // 64; the 512 positions are 64 x 8 patches of 16 x 16. Deviations:
the clip's mean is not removed, because kaldi removes it per frame; a clip of which the trim would leave no whole
frame is kept whole (OPERA gives NaN). The position table is frozen, as in the original. The decoder is ignored.
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

RATE, BANDS, FRAMES, PATCH = 16000, 128, 1024, 16
GRID = (FRAMES // PATCH, BANDS // PATCH)  # (T', F')
SAMPLES = 400 + 160 * (FRAMES - 1)  # that fill 1,024 frames
BASE = (768, 12, 3072)  # channels, blocks, channels inside the MLP
PIECE = 10 * RATE  # samples of OPERA's pieces
SHORTEST = 400  # samples: OPERA drops pieces that are no longer
MEAN, STD = -4.2677393, 4.5689974  # over AudioSet, published with the code
IGNORED = (r"mask_token", r"decoder_.*")

CARDS = (
    EncoderCard(
        id="audiomae.base",
        version=1,
        sample_rate=RATE,
        min_s=0.026,
        max_s=SAMPLES / RATE,
        year=2022,
        dims=dims(768, GRID[1], published=768, cls=True),
        frontend="kaldi log-mel, 128 bands, 25 ms frames every 10 ms, Hann window, padded to 1,024 frames, 16 kHz",
        citation="Huang et al., Masked autoencoders that listen, NeurIPS 2022",
        licence="CC-BY-NC 4.0 (LICENSE file; the README says CC-BY 4.0)",
        grid=(PATCH * 0.01, GRID[1]),
        layers=12,
        params=85_648_128,
        weights=(
            Weights(
                file="AudioMAE/pretrained.pth",
                urls=("https://drive.google.com/file/d/1ni_DV4dRf7GxM8k-Eirx71WP9Gg89wwu",),
                licence="CC-BY-NC 4.0 (LICENSE file; the README says CC-BY 4.0)",
            ),
        ),
        trained_on=("audioset",),
        parity="self-consistent",  # its front end equals the original's; the arrays of the network are under opera
        policy_parity={"opera": "golden"},
        default_pooling="published",
        policies=("upstream", "opera"),
        notes="upstream: the first 10.2 s, normalised; opera (the OPERA benchmark): silence trimmed, averaged over "
        "pieces of 10 s, not normalised",
    ),
)


def read_geometry(tensors: Mapping[str, Tensor], where: object) -> Geometry:
    """Reads the geometry of an AudioMAE encoder from its tensors. Raises ``CheckpointError``."""
    from bench.base.errors import CheckpointError
    from model_zoo._networks import vit

    remedy = "take pretrained.pth of the release"
    geometry = vit.read_geometry(tensors, where)
    try:
        patch, positions = tensors["patch_embed.proj.weight"].shape[2:], tensors["pos_embed"].shape[1] - 1
    except (KeyError, IndexError) as error:
        raise CheckpointError(where, f"lacks the tensors of AudioMAE ({error})", remedy) from error
    if tuple(patch) != (PATCH, PATCH) or positions != GRID[0] * GRID[1]:
        problem = f"has {positions} positions of {tuple(patch)} patches, not {GRID[0] * GRID[1]} of {PATCH} x {PATCH}"
        raise CheckpointError(where, problem, remedy)
    return geometry


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The encoder with the released weights, or as its training starts at base geometry."""
    import dataclasses

    import torch
    from torch.nn.functional import layer_norm, pad

    from bench.encoders.weights.read import load_tensors
    from bench.types import Grid, Tokens
    from model_zoo._adapters.adapter import Adapter, full_precision
    from model_zoo._adapters.checkpoint import load_strict
    from model_zoo._adapters.frontend import KaldiFbank
    from model_zoo._adapters.opera_audio import trim_silence
    from model_zoo._networks import vit

    opera = card.policy == "opera"

    class AudioMae(Adapter):
        ragged = opera
        offers = frozenset({"spectrogram", "patches"})

        def __init__(self, geometry: Geometry):
            offered = dims(geometry.width, GRID[1], published=geometry.width, cls=True)
            longest = None if opera else card.max_s
            super().__init__(dataclasses.replace(card, dims=offered, layers=geometry.depth, max_s=longest))
            self.net = vit.PatchEncoder(geometry, (PATCH, PATCH), GRID)
            self.net.pos_embed.requires_grad_(False)
            self.frontend = KaldiFbank(RATE, BANDS, window="hanning")

        def batch_length(self, n: int) -> int:
            """The samples of 1,024 frames, being padded behind the front end; under ``opera`` whole pieces."""
            return -(-n // PIECE) * PIECE if opera else SAMPLES

        def fbank(self, wave: Tensor, length: Tensor) -> Tensor:
            """Log-mel (B, P * 1024, bands) of a clip's P pieces one after another, padded each to 1,024 frames."""
            return self.spectra(*self.pieces(wave, length)).flatten(1, 2)

        @full_precision
        def pieces(self, wave: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
            """Pieces (B, P, samples) of each clip, and their lengths (B, P): 0 for one that a clip does not have."""
            if not opera:
                return wave[:, None], length[:, None]
            trimmed, remaining = trim_silence(wave, length)
            whole = remaining <= SHORTEST
            trimmed = pad(trimmed, (0, wave.shape[1] - trimmed.shape[1]))
            wave, length = torch.where(whole[:, None], wave, trimmed), torch.where(whole, length, remaining)
            wave = wave[:, : -(-int(length.max()) // PIECE) * PIECE].unflatten(1, (-1, PIECE))
            left = length[:, None] - PIECE * torch.arange(wave.shape[1], device=wave.device)
            return wave, torch.where(left > SHORTEST, left.clamp_max(PIECE), 0)

        @full_precision
        def spectra(self, pieces: Tensor, length: Tensor) -> Tensor:
            """Log-mel (B, P, 1024, bands) of pieces (B, P, samples), padded behind each one's last frame."""
            frames = self.frontend(pieces.flatten(0, 1)).unflatten(0, length.shape)
            real = torch.arange(frames.shape[2], device=frames.device) < self.frontend.frames(length)[..., None]
            frames = pad(torch.where(real[..., None], frames, 0), (0, 0, 0, FRAMES - frames.shape[2]))
            return frames if opera else (frames - MEAN) / (2 * STD)

        def encode(self, wave: Tensor, length: Tensor) -> Tokens:
            pieces, samples = self.pieces(wave, length)
            present = samples > 0  # (B, P), in the first places of each clip
            count = present.sum(dim=1)
            spectra = self.tap("spectrogram", self.spectra(pieces, samples).flatten(1, 2)).unflatten(1, (-1, FRAMES))
            patches = self.net.patch_embed(spectra[present][:, None])  # (N, D, T', F')
            if "patches" in self.taps:
                placed = _placed(patches.flatten(2).transpose(1, 2), present).flatten(0, 1)
                tapped = self.tap("patches", placed, present.shape[1]).unflatten(0, present.shape)[present]
                patches = tapped.transpose(1, 2).unflatten(2, GRID)
            outputs = self.net(patches)  # each (N, 513, D)
            last = outputs[-1]
            clip = layer_norm(last[:, 1:].float().mean(dim=1), last.shape[2:], eps=vit.EPS)
            outputs[-1] = self.net.norm(last)
            last_samples = samples.gather(1, count[:, None] - 1)[:, 0]  # of the last piece
            filled = (-(-self.frontend.frames(last_samples) // PATCH)).clamp_max(GRID[0])
            layers = tuple(
                Grid(
                    _placed(y[:, 1:].unflatten(1, GRID), present).flatten(1, 2),
                    GRID[0] * count,
                    PATCH * 0.01,
                    f"block{i}",
                    GRID[0] * (count - 1) + filled,
                    _placed(y[:, 0].float(), present).sum(dim=1) / count[:, None],
                )
                for i, y in enumerate(outputs, start=1)
            )
            return Tokens(layers, _placed(clip, present).sum(dim=1) / count[:, None])

    def _placed(values: Tensor, present: Tensor) -> Tensor:
        """Values (N, …) of the pieces that are there, put at their places (B, P, …); zero elsewhere."""
        out = values.new_zeros(*present.shape, *values.shape[1:])
        out[present] = values
        return out

    if weights is None:
        encoder = AudioMae(vit.Geometry(*BASE))
        encoder.net.initialise()
        return encoder.eval()
    tensors = load_tensors(weights, "patch_embed.proj.weight", "blocks.0.attn.qkv.weight", entry="model")
    encoder = AudioMae(read_geometry(tensors, weights))
    load_strict(encoder.net, tensors, IGNORED, weights)
    return encoder.eval()
