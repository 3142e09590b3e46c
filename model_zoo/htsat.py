"""HTS-AT fine-tuned on AudioSet: a Swin transformer over a clip's log-mel spectrogram, stacked into a square image.

Paper: Chen et al., HTS-AT: A hierarchical token-semantic audio transformer for sound classification and detection,
ICASSP 2022 (arXiv 2202.00874). Checkpoint: https://github.com/RetroCirce/HTS-Audio-Transformer (2e29471),
``HTSAT_AudioSet_Saved_1.ckpt`` (to ``_6``) in the Google Drive folder 1f5VYMk0uos_YnuBshgmaTVioXbs7Kmz6, which the
README links; the file's own address was not seen, and its digest in one public project alone, which reads it with
torch's safe reader as it is. Licence: MIT (the repository's LICENSE; none is stated for the weights). Trained on:
AudioSet, with labels; the paper's best network starts from a Swin transformer trained on ImageNet, and whether this
file did is unverified (the repository's settings start from none), so it counts as seen.

Front end: torchlibrosa's log-mel at **32 kHz** (the repository's ``predict.py`` resamples to 16 kHz, which is not
followed): 64 Slaney bands 50-14000 Hz, 32 ms frames every 10 ms, decibels without a lower limit but 1e-10, then the
batch norm over bands. Clips are cut into pieces of 10 s, each a waveform of its own that is mirrored at its ends.
The network, its four quarters of time and its geometry: ``_networks/swin.py``. There are 32 steps of time by 2 bands a
piece, whatever its length.

``published`` is the mean of a piece's tokens after the last norm, averaged over pieces that count the same however
short the last one is (``latent_output``, which eval-audio-repr takes). Policies: ``upstream`` repeats the frames of a
short piece as often as they fit into 1,024 and stretches them to fill it (``infer_mode``); ``stretch`` does not repeat
them (the network's training mode); ``pad10`` fills each piece up with zeros to 10 s, which the respiratory benchmarks
of eval-audio-repr in effect do.
Deviations: a last piece of 512 samples (16 ms) or fewer, on which the original fails, is left out, but for ``pad10``.
The mel matrix is computed; a file with another one is refused. Classifiers are ignored. The released file was not at
hand: parity is that of a reduced network in its format.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import EncoderCard, Weights
from model_zoo._adapters.cards import dims

if TYPE_CHECKING:
    from torch import Tensor, nn

RATE, FFT, HOP, HIGH_HZ = 32000, 1024, 320, 14000.0
PIECE, SHORTEST = 10 * RATE, FFT // 2 + 1  # samples of a piece, and of the shortest that can be mirrored
PIECE_FRAMES = PIECE // HOP + 1
ANCHORS = ("bn0.weight", "layers.0.blocks.0.norm1.weight")
LIKE = 1e-5  # by which a file's mel matrix may differ from the computed one, whose largest value is 0.03

CARDS = (
    EncoderCard(
        id="htsat.audioset",
        version=1,
        sample_rate=RATE,
        min_s=0.0161,
        year=2022,
        dims=dims(768, 2, published=768),
        frontend="torchlibrosa log-mel in dB, 64 bands 50-14000 Hz, FFT 1024, hop 320, batch norm over bands, pieces "
        "of 10 s, 32 kHz",
        citation="Chen et al., HTS-AT: A hierarchical token-semantic audio transformer, ICASSP 2022",
        licence="MIT",
        grid=(10 / 32, 2),
        layers=4,
        params=27_534_488,
        weights=(
            Weights(
                file="HTSAT_AudioSet_Saved_1.ckpt",
                urls=("https://drive.google.com/drive/folders/1f5VYMk0uos_YnuBshgmaTVioXbs7Kmz6",),
                licence="MIT (repository)",
            ),
        ),
        trained_on=("imagenet", "audioset"),
        parity="golden",
        policies=("upstream", "stretch", "pad10"),
        policy_parity={"stretch": "golden"},
        default_pooling="published",
        notes="pieces of 10 s of 32 tokens in time each, whatever their length; upstream: repeated and stretched; "
        "stretch: stretched; pad10: filled up with zeros",
    ),
)


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The network with released weights, or with the original's initialisation at full size."""
    import dataclasses

    import torch
    from torch.nn.functional import pad
    from torch.nn.utils.rnn import pad_sequence

    from bench.base.errors import CheckpointError
    from bench.encoders.blocks import split_around_stack
    from bench.encoders.weights.read import load_tensors
    from bench.types import Grid, Tokens
    from model_zoo._adapters import row_ends
    from model_zoo._adapters.adapter import Adapter, full_precision
    from model_zoo._adapters.checkpoint import load_strict
    from model_zoo._networks import cnn14, swin

    repeats, pads = card.policy == "upstream", card.policy == "pad10"

    class Htsat(Adapter):
        ragged = True
        offers = frozenset({"spectrogram", "patches"})

        def __init__(self, geometry: swin.Geometry):
            side = swin.SIZE // swin.PATCH >> (len(geometry.widths) - 1)  # of the last image, time quarters by bands
            bands = side // swin.QUARTERS
            facts = {
                "dims": dims(geometry.widths[-1], bands, published=geometry.widths[-1]),
                "grid": (PIECE / RATE / (side * swin.QUARTERS), bands),
                "layers": len(geometry.widths),
            }
            super().__init__(dataclasses.replace(card, **facts))
            self.net = swin.HTSAT(geometry)
            self.frontend = cnn14.LogMel(RATE, FFT, HOP, HIGH_HZ)

        def blocks(self) -> list[nn.Module]:
            """The trunk's blocks, then its norm."""
            return split_around_stack(self, self.net.blocks(), [self.net.norm])

        def pieces(self, n: int) -> list[int]:
            """Samples of each piece of a clip of n samples, as the front end is given it."""
            whole, rest = divmod(n, PIECE)
            if pads:
                return [PIECE] * (whole + bool(rest))
            return [PIECE] * whole + [rest] * (rest >= SHORTEST or not whole)

        def batch_length(self, n: int) -> int:
            """The most samples that give as many frames in as many pieces as n."""
            *before, last = self.pieces(n)
            return max(n, len(before) * PIECE + min(PIECE, self.frontend.samples(last)))

        @full_precision
        def fbank(self, wave: Tensor, length: Tensor) -> Tensor:
            """Log-mel in dB (B, frames of all pieces, 64) of wave (B, batch_length), piece by piece."""
            pieces = [self.pieces(n) for n in length.tolist()]
            most = max(map(len, pieces))
            wave = pad(wave, (0, max(0, most * PIECE - wave.shape[1])))
            parts = row_ends.pieces_of(wave, [len(clip) for clip in pieces], PIECE)
            mel = self.frontend(parts, torch.tensor([n for clip in pieces for n in clip], device=wave.device))
            clips = zip(mel.split([len(clip) for clip in pieces]), pieces, strict=True)
            rows = [
                torch.cat([part[: self.frontend.frames(n)] for part, n in zip(parts, clip, strict=True)])
                for parts, clip in clips
            ]
            return pad_sequence(rows, batch_first=True)

        def images(self, frames: Tensor, counts: list[int]) -> Tensor:
            """Patch embeddings (N, H, W, D) of the clips' pieces, ``counts`` frames of each clip (B, T, 64)."""
            parts = [part for row, n in zip(frames, counts, strict=True) for part in row[:n].split(PIECE_FRAMES)]

            def patches(count: int, indices: list[int]) -> Tensor:
                same = torch.stack([parts[i] for i in indices])
                return self.net.patches(same.repeat(1, swin.FRAMES // count, 1) if repeats else same)

            return torch.stack(row_ends.by_count(patches, [len(part) for part in parts]))

        def encode(self, wave: Tensor, length: Tensor) -> Tokens:
            frames = self.tap("spectrogram", self.net.normalised(self.fbank(wave, length)))
            samples = [self.pieces(n) for n in length.tolist()]
            counts = [len(clip) for clip in samples]
            images = self.images(frames, [sum(map(self.frontend.frames, clip)) for clip in samples])
            height, width = images.shape[1:3]
            images = self.tap("patches", images.flatten(1, 2), counts[0]).unflatten(1, (height, width))
            layers, pieces = [], torch.tensor(counts, device=wave.device)
            for i, y in enumerate(self.net(images), start=1):
                valid = (-(-length * y.shape[1] // PIECE)).clamp_min(1) if pads else None
                grid = row_ends.joined(y, counts)
                layers.append(Grid(grid, y.shape[1] * pieces, PIECE / RATE / y.shape[1], f"stage{i}", valid))
            return Tokens(tuple(layers), row_ends.mean_of_pieces(y.float().mean(dim=(1, 2)), counts))

    if weights is None:
        return Htsat(swin.TINY).eval()
    tensors = load_tensors(weights, *ANCHORS, entry="state_dict", prefixes=["sed_model."])
    encoder = Htsat(swin.read_geometry(tensors, weights))
    own = encoder.frontend.mel
    bank = tensors.get(cnn14.BANK, own)
    if bank.shape != own.shape or not bool(((bank.float() - own).abs() <= LIKE).all()):
        problem = f"has another mel matrix ({cnn14.BANK}) than that of 64 bands, 50-14000 Hz at 32 kHz"
        raise CheckpointError(weights, problem, "take the release that was trained on AudioSet")
    load_strict(encoder.net, tensors, swin.IGNORED, weights)
    return encoder.eval()
