"""OPERA: respiratory acoustic foundation models.

They were trained without labels on 440 hours of breath, cough and lung sound.

Paper: Zhang et al., Towards open respiratory acoustic foundation models: Pretraining and benchmarking, NeurIPS 2024
Datasets and Benchmarks (arXiv 2406.16148). Checkpoints: https://huggingface.co/evelyn0414/OPERA, as the README of
https://github.com/evelyn0414/OPERA (3622310) links them; the digests are those that public projects hold of the Hub's
revision d8de432. Licence: MIT (code; the README says nothing of the weights, and the Hub's page was not seen: one
public project notes CC-BY-NC-4.0 for them, another MIT). Trained on: COVID-19 Sounds, UK COVID-19, CoughVID, ICBHI
(official train recordings) and HF Lung, by the repository's training scripts.

``opera.ct`` (contrastive, HTS-AT tiny), ``opera.ce`` (contrastive, EfficientNet-b0 behind a 3 x 3 convolution),
``opera.gt`` (masked autoencoder, ViT-S on 4 x 4 patches). Front end (``_adapters/opera_audio.py``): silence trimmed at
both ends, clips shorter than 8 s (gt: 8.18 s) filled up, 64 mel bands at 50-8000 Hz, decibels scaled to [0, 1] per
clip. Nothing is cut: ct stretches up to 1,024 frames (32.7 s) to 1,024, and splits longer spectrograms into overlapping
crops of 1,024 frames of which the tail is lost; gt splits clips into chunks that overlap by half, plus one last chunk
filled up in front, and scales each by itself. Tokens of crops and chunks are concatenated over time. ``published``:
mean of the tokens after the last norm (ct, 768), global average pool (ce, 1280), mean over tokens before the norm, then
the norm, then mean over chunks (gt, 384). Layers are the stages' outputs (ct before merging; ce followed by the last
convolution) and the blocks' (gt).

Policies: ``upstream`` fills up with copies of the clip, its end at the end; ``zero`` with zeros at the end, behind
whole copies where the clip is shorter than half (OPERA's pad0 option); ``2s`` as ``upstream`` but only up to 2 s, as
OPERA does for CoughVID, UK COVID-19 and (ce) Coswara. Not offered: the minimum of 1, 5, 20 or 30 s that OPERA takes for
MMLung and NoseMic, and eval-audio-repr's variant of ct, which trims and scales a whole batch jointly, so that a clip's
embedding depends on its batch mates (alone it is ``upstream``).
Deviations: spectrograms in float64 where the original computes in float32; 1,025 frames, with which the original
fails, give one crop; no stochastic depth in training. Decoder and projection heads are ignored.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import EncoderCard, Weights
from model_zoo._adapters.cards import dims

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from model_zoo._adapters.row_ends import Rows
    from model_zoo._networks import efficientnet, swin, vit

RATE, HOP = 16000, 512
SIZE, SHORT, CHUNK = 8 * RATE, 2 * RATE, 130_880  # samples that clips are filled up to; CHUNK fills 256 frames
CROP, CROP_STEP = 1024, 512  # frames
PATCH, GRID = 4, (64, 16)  # patches of a chunk in time and frequency
HEADS = (r"g\..*", r"layer_norm\..*", r"linear\..*", r"middle\..*")  # of the contrastive training
DECODER = (r"mask_token", r"decoder_.*")
ANCHORS = {
    "opera.ct": ("patch_embed.proj.weight", "layers.0.blocks.0.attn.qkv.weight"),
    "opera.ce": ("efficientnet._conv_stem.weight", "efficientnet._conv_head.weight"),
    "opera.gt": ("patch_embed.proj.weight", "blocks.0.attn.qkv.weight"),
}
PREFIX = {"opera.ct": "encoder.encoder.htsat.", "opera.ce": "encoder.", "opera.gt": ""}
LICENCE = "unknown for the weights (CC-BY-NC-4.0 or MIT by third parties); MIT (code)"


def _weights(letters: str, sha256: str) -> tuple[Weights, ...]:
    file = f"encoder-opera{letters}.ckpt"
    url = f"https://huggingface.co/evelyn0414/OPERA/resolve/main/{file}"
    return (Weights(file=file, urls=(url,), sha256=sha256, licence=LICENCE),)


SHARED = {
    "version": 1,
    "sample_rate": RATE,
    "citation": "Zhang et al., Towards open respiratory acoustic foundation models, NeurIPS 2024",
    "licence": "MIT",
    "year": 2024,
    "trained_on": ("covid19_sounds", "covid_uk", "coughvid", "icbhi", "hf_lung"),
    "parity": "golden",
    "default_pooling": "published",
}
FRONTEND = (
    "silence trimmed, at least {} s, librosa log-mel, 64 bands 50-8000 Hz, 64 ms frames every 32 ms, scaled per {}, "
    "16 kHz"
)
FILLING = (
    "zero: short clips are filled up with zeros, not with copies; 2s: filled up to 2 s only (not compared with the "
    "original)"
)

CARDS = (
    EncoderCard(
        id="opera.ct",
        dims=dims(768, 2, published=768),
        frontend=FRONTEND.format(8, "clip"),
        grid=(0.25, 2),
        layers=4,
        params=27_534_488,
        weights=_weights("CT", "83c35b435518ad5f395bf4d34e552caa088faf9e63f6b8058d5288e9abb350ae"),
        policies=("upstream", "zero", "2s"),
        policy_parity={"zero": "golden"},
        notes=f"{FILLING}. There are 32 tokens whatever the length, so those of clips longer than 8 s span more time. "
        "The variant of eval-audio-repr, which trims and scales a whole batch jointly, is not offered",
        **SHARED,
    ),
    EncoderCard(
        id="opera.ce",
        dims=dims(1280, published=1280),
        frontend=FRONTEND.format(8, "clip"),
        grid=(32 * HOP / RATE, 1),
        layers=8,
        params=4_007_578,
        weights=_weights("CE", "2e18765ad90e584f7122dd739cd9e9b56d9013ce25660042ab8f6690cce74d39"),
        policies=("upstream", "zero", "2s"),
        policy_parity={"zero": "golden"},
        notes=FILLING,
        **SHARED,
    ),
    EncoderCard(
        id="opera.gt",
        dims=dims(384, 16, published=384, cls=True),
        frontend=FRONTEND.format(8.18, "chunk of 8.18 s"),
        grid=(PATCH * HOP / RATE, 16),
        layers=12,
        params=21_301_248,
        weights=_weights("GT", "64dff121368e30ee7b1c9b2e526eaf2af93ac63ce4a8712efd60ecda84618cb8"),
        notes="chunks overlap by half, so tokens of two chunks cover the same audio; published takes the mean before "
        "the norm",
        **SHARED,
    ),
)


def read_geometry(
    id: str, tensors: Mapping[str, Tensor], where: object
) -> swin.Geometry | efficientnet.Geometry | vit.Geometry:
    """Reads the geometry of the network ``id`` in ``tensors``, whose ``PREFIX`` is stripped.

    Raises ``CheckpointError``.
    """
    from model_zoo._networks import efficientnet, swin, vit

    if id == "opera.ce":
        return efficientnet.read_geometry({k.removeprefix("efficientnet."): t for k, t in tensors.items()}, where)
    return (swin if id == "opera.ct" else vit).read_geometry(tensors, where)


def positions(width: int) -> Tensor:
    """The fixed sine and cosine table (1, 1 + tokens, width) of an untrained gt, zero for the class token.

    As in the original, it numbers the tokens as 16 rows of 64, although they come as 64 times of 16 bands.
    """
    import torch

    times, bands = GRID
    frequency = 10000.0 ** -(torch.arange(width // 4) / (width // 4))
    token = torch.arange(times * bands)
    angles = [place[:, None] * frequency for place in (token % times, token // times)]
    table = torch.cat([wave for angle in angles for wave in (angle.sin(), angle.cos())], dim=1)
    return torch.cat([torch.zeros(1, width), table])[None]


def build(card: EncoderCard, weights: Path | None = None, network: str = "", fills: bool = True) -> nn.Module:
    """The encoder with the released weights, or with an initialisation like the original's at full size.

    ``network`` is the id of this family whose network a card of another family has; without ``fills`` its clips are not
    filled up.
    """
    import dataclasses

    import torch
    from torch import nn

    from bench.encoders.blocks import split_around_stack
    from bench.encoders.weights.read import load_tensors
    from bench.types import Grid, Tokens
    from model_zoo._adapters import row_ends
    from model_zoo._adapters.adapter import Adapter
    from model_zoo._adapters.checkpoint import load_strict
    from model_zoo._adapters.opera_audio import (
        LogMel,
        fill_with_copies,
        fill_with_zeros,
        overlapping_chunks,
        trim_silence,
    )
    from model_zoo._networks import efficientnet, swin, vit

    class Opera(Adapter):
        """Clips are trimmed before they are sorted by length."""

        ragged = True
        offers = frozenset({"spectrogram"})
        net: nn.Module

        def __init__(self, card: EncoderCard):
            super().__init__(card)
            self.mel = LogMel()
            self.centres = self.mel.centres

        def forward(self, wave: Tensor, length: Tensor) -> Tokens:
            return super().forward(*trim_silence(wave, length))

        def fbank(self, wave: Tensor, length: Tensor) -> Tensor:
            """Log-mel in [0, 1] (B, frames, 64) of wave (B, T) once trimmed and filled up."""
            return self.spectrogram(*trim_silence(wave, length))

    class Filled(Opera):
        """Clips filled up to a least length: those of equal frame count share a batch."""

        def __init__(self, card: EncoderCard):
            super().__init__(card)
            least = SHORT if card.policy == "2s" else SIZE
            self.size, self.nominal_s = least if fills else 1, least / RATE

        def batch_length(self, n: int) -> int:
            """The most samples that give as many frames as n, or as the least length."""
            return self.mel.samples(max(n, self.size))

        def spectrogram(self, wave: Tensor, length: Tensor) -> Tensor:
            """Log-mel of trimmed clips."""
            fill = fill_with_zeros if card.policy == "zero" else fill_with_copies
            wave, length, *_ = fill(wave, length, self.size)
            return self.mel(wave, length)

        def encode(self, wave: Tensor, length: Tensor) -> Tokens:
            filled = fill_with_zeros(wave, length, self.size)[2] if card.policy == "zero" else None
            grids = []
            mel = self.tap("spectrogram", self.spectrogram(wave, length))
            frames = [self.mel.frames(max(n, self.size)) for n in length.tolist()]
            maps = self.maps(mel, row_ends.ends(frames, 1, wave.device))
            for i, (hidden, hop_s, rows) in enumerate(maps, start=1):
                count = row_ends.tokens(rows, length, hidden.shape[1])
                valid = None if filled is None else (filled / (RATE * hop_s)).ceil().long().clamp(max=count)
                grids.append(Grid(hidden, count, hop_s, f"stage{i}", valid))
            return Tokens(tuple(grids), row_ends.mean(hidden, rows, (1, 2)))

    class Ct(Filled):
        offers = frozenset({"spectrogram", "patches"})

        def __init__(self, geometry: swin.Geometry):
            super().__init__(card)
            self.net = swin.HTSAT(geometry)
            layers, width = len(geometry.widths), geometry.widths[-1]
            side = swin.SIZE // swin.PATCH >> (layers - 1)  # tokens of the last image: time quarters by bands, times
            bands = side // swin.QUARTERS
            offered = dims(width, bands, published=width)
            grid = (self.nominal_s / (side * swin.QUARTERS), bands)
            self.card = dataclasses.replace(card, dims=offered, grid=grid, layers=layers)

        def blocks(self) -> list[nn.Module]:
            """The trunk's blocks, then its norm."""
            return split_around_stack(self, self.net.blocks(), [self.net.norm])

        def maps(self, mel: Tensor, rows: Rows | None = None) -> list[tuple[Tensor, float, Rows | None]]:
            """Every stage's tokens (B, T', F', D), seconds per token at the least length, and where its rows end."""
            if rows is None:
                patches = self.patches(mel)
                crops = [patches.shape[1]] * len(mel)
            else:
                each = row_ends.by_count(lambda frames, clips: self.patches(mel[clips, :frames]), rows.counts)
                crops, patches = [len(clip) for clip in each], torch.cat(each)[None]
            height, width = patches.shape[2:4]
            tapped = self.tap("patches", patches.flatten(0, 1).flatten(1, 2), crops[0])
            return [
                (
                    row_ends.joined(x, crops),
                    self.nominal_s / x.shape[1],
                    row_ends.ends([count * x.shape[1] for count in crops], 1, x.device),
                )
                for x in self.net(tapped.unflatten(1, (height, width)))
            ]

        def patches(self, mel: Tensor) -> Tensor:
            """Patch embeddings (B, crops, H, W, D) of clips of equal frame count."""
            count = max(1, -(-(mel.shape[1] - CROP - 1) // CROP_STEP))
            crops = mel[:, None] if count == 1 else mel.unfold(1, CROP, CROP_STEP)[:, :count].transpose(2, 3)
            patches = self.net.patches(self.net.normalised(crops[:, :, :CROP].flatten(0, 1)))
            return patches.unflatten(0, (-1, count))

    class Ce(Filled):
        def __init__(self, geometry: efficientnet.Geometry):
            width = geometry.head
            super().__init__(dataclasses.replace(card, dims=dims(width, published=width)))
            self.net = nn.Module()
            self.net.cnn1 = nn.Conv2d(1, 3, 3)
            self.net.efficientnet = efficientnet.EfficientNet(geometry)
            self.net.to(memory_format=torch.channels_last)

        def maps(self, mel: Tensor, rows: Rows | None = None) -> list[tuple[Tensor, float, Rows | None]]:
            """Every stage's map (B, T', F', D), the seconds per token, and where its rows end."""
            image = mel[:, None].contiguous(memory_format=torch.channels_last)
            image, rows = row_ends.through(self.net.cnn1, image, rows and rows.along(2))
            maps = zip(self.net.efficientnet(image, rows), efficientnet.MAP_STRIDES, strict=True)
            return [(x.permute(0, 2, 3, 1), stride * HOP / RATE, rows and rows.along(1)) for (x, rows), stride in maps]

    class Gt(Opera):
        offers = frozenset({"spectrogram", "patches"})

        def __init__(self, geometry: vit.Geometry):
            width = geometry.width
            offered = dims(width, GRID[1], published=width, cls=True)
            super().__init__(dataclasses.replace(card, dims=offered, layers=geometry.depth))
            self.net = nn.Module()
            self.net.cls_token = nn.Parameter(torch.zeros(1, 1, width))
            self.net.register_buffer("pos_embed", positions(width))
            self.net.patch_embed = vit.Patches(width, (PATCH, PATCH))
            self.net.blocks = vit.blocks(geometry)
            self.net.norm = nn.LayerNorm(width, vit.EPS)

        def batch_length(self, n: int) -> int:
            """The most samples that give as many chunks as n."""
            return CHUNK + max(0, (self.chunks(n) - 1) * (CHUNK // 2) - 1)

        def chunks(self, n: int) -> int:
            """Chunks of n samples."""
            return 1 if n <= CHUNK else 2 + (n - CHUNK) // (CHUNK // 2)

        def spectrogram(self, wave: Tensor, length: Tensor) -> Tensor:
            """Log-mel of trimmed clips that share ``batch_length``, chunk after chunk: (B, chunks * 256, 64)."""
            short = int(length[0]) <= CHUNK
            chunks = (
                fill_with_copies(wave, length, CHUNK)[0][:, None] if short else overlapping_chunks(wave, length, CHUNK)
            )
            mel = self.mel(chunks.flatten(0, 1), length.new_full((chunks.shape[0] * chunks.shape[1],), CHUNK))
            return mel.unflatten(0, (len(wave), -1)).flatten(1, 2)

        def encode(self, wave: Tensor, length: Tensor) -> Tokens:
            net, frames = self.net, GRID[0] * PATCH  # of a chunk
            counts = [self.chunks(n) for n in length.tolist()]
            if len(set(counts)) == 1:
                mel = self.tap("spectrogram", self.spectrogram(wave, length)).unflatten(1, (-1, frames)).flatten(0, 1)
            else:
                each = row_ends.by_count(lambda _, clips: self.spectrogram(wave[clips], length[clips]), counts)
                mel = torch.cat([clip.unflatten(0, (-1, frames)) for clip in each])
            x = net.patch_embed(mel[:, None]).flatten(2).transpose(1, 2)  # (all chunks, tokens, D), time-major
            x = self.tap("patches", x, counts[0])
            x = torch.cat([net.cls_token.expand(len(x), -1, -1), x], dim=1) + net.pos_embed
            outputs = list(vit.outputs(net.blocks, x))
            clip = net.norm(outputs[-1][:, 1:].mean(dim=1))
            outputs[-1] = net.norm(outputs[-1])
            grids, tokens = [], GRID[0] * torch.tensor(counts, device=length.device)
            for i, y in enumerate(outputs, start=1):
                hidden = row_ends.joined(y[:, 1:].unflatten(1, GRID), counts)  # (B, T', F', D)
                cls = row_ends.mean_of_pieces(y[:, 0], counts)
                grids.append(Grid(hidden, tokens, PATCH * HOP / RATE, f"block{i}", cls=cls))
            return Tokens(tuple(grids), row_ends.mean_of_pieces(clip, counts))

    id = network or card.id.partition("@")[0]
    kind, ignored = {
        "opera.ct": (Ct, swin.IGNORED + HEADS),
        "opera.ce": (Ce, HEADS),
        "opera.gt": (Gt, DECODER),
    }[id]
    if weights is None:
        full = {Ct: swin.TINY, Ce: efficientnet.b0_geometry(), Gt: vit.Geometry(384, 12, 4 * 384)}[kind]
        encoder = kind(full)
        if kind is Gt:
            vit.initialise(encoder.net)
        return encoder.eval()
    tensors = load_tensors(weights, *ANCHORS[id], entry="state_dict", prefixes=[PREFIX[id]])
    encoder = kind(read_geometry(id, tensors, weights))
    load_strict(encoder.net, tensors, ignored, weights)
    return encoder.eval()
