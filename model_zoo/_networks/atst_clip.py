"""ATST-Clip: a teacher-student transformer whose class tokens of two parts of one clip were made to agree.

Papers: Li, Li, ATST: Audio representation learning with teacher-student transformer, Interspeech 2022 (arXiv
2204.12076); Li, Shao, Li, Self-supervised audio teacher-student transformer for both clip-level and frame-level tasks,
IEEE/ACM TASLP 2024 (arXiv 2306.04186, ATST-Clip). Checkpoint: https://github.com/Audio-WestlakeU/audiossl (ec3a14d),
``audiossl/methods/atst``, whose README links ``base.ckpt`` and ``small.ckpt`` at
https://checkpointstorage.oss-cn-beijing.aliyuncs.com/atst/; size and digest are those that a third party lists.
Licence: MIT (code), CC BY 4.0 (weights), both by its LICENSE. Trained on: AudioSet (self-supervised).

Front end: that of ATST-Frame (``model_zoo/atst.py``). A token is four frames with all their bands (40 ms). Chunks of
601 frames (6 s) go through the network one by one, a class token before their patches; frames short of four at a
chunk's end are dropped. All layers are given after the last norm. Heads = width // 64.

Policies. ``upstream``: clips over 12 s are cut to their middle 12 s; ``published`` = the class tokens of all 12 blocks,
then the averages of all 12, each the mean over chunks that count the same: the first, and a second one of more than 300
frames. As in the original **an average divides by the patches of all that is left of the clip**, not of the chunk, so
of a clip of 10 s it is (0.6 m1 + m2) / 2 for means m1 and m2 over the patches of its chunks, and of one of 8 s 0.75 m1.
``evar``: the same of the last block alone, which eval-audio-repr takes. ``whole`` (ours): nothing is cut, every chunk
with a token counts by its tokens; ``published`` of all blocks.
Under every policy the poolings act on the tokens of all chunks. Geometry is read from the tensors; ``small.ckpt``, a
Lightning file, is read as well when it is named as the weights. Student, projectors, predictor and mask token are
ignored. No released file was at hand: parity is that of a reduced network in both formats.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import EncoderCard, Weights
from model_zoo._adapters.cards import dims

if TYPE_CHECKING:
    from torch import Tensor, nn

RATE, BANDS, HOP = 16000, 64, 160
LONGEST = 12 * RATE  # samples that are kept of a clip
CHUNK, LEAST = 601, 300  # frames of a chunk; a second chunk counts if it has more
BASE = (768, 12, 3072, False)  # channels, blocks, channels inside the MLP, whether qkv has a bias
PATCH, POSITIONS = 4, 250  # frames of a token; tokens that the position table has room for
ANCHORS = ("patch_embed.patch_embed.weight", "norm.weight")
ENTRY = "teacher"  # of base.ckpt, whose student has the same names
PREFIXES = ("module.backbone.", "model.teacher.encoder.")
IGNORED = (
    r"mask_embed",
    r"module\.head\..*",
    r"model\.student\..*",
    r"model\.teacher\.(projector|predictor)\..*",
)

CARD = EncoderCard(
    id="atst.clip",
    version=1,
    sample_rate=RATE,
    min_s=0.0321,
    year=2022,
    dims=dims(768, published=24 * 768, cls=True),
    frontend="log-mel in dB, 64 HTK bands 60-7800 Hz, 64 ms frames every 10 ms, scaled to [-1, 1], "
    "chunks of 6 s, 16 kHz",
    citation="Li and Li, ATST: Audio representation learning with teacher-student transformer, Interspeech 2022",
    licence="MIT",
    grid=(0.04, 1),
    layers=12,
    params=85_419_264,
    weights=(
        Weights(
            file="ATST-Clip/base.ckpt",
            urls=("https://checkpointstorage.oss-cn-beijing.aliyuncs.com/atst/base.ckpt",),
            sha256="7b20168cae0d1488a0e3334f17ca1cefb9365cbaa2401c11aa98d6ffaa668496",
            size=1_459_530_207,
            licence="CC BY 4.0",
        ),
    ),
    trained_on=("audioset",),
    parity="golden",
    policies=("upstream", "evar", "whole"),
    policy_parity={"evar": "golden"},
    default_pooling="published",
    notes="upstream: the middle 12 s, class tokens and averages of all blocks, an average divided as in the original; "
    "evar: of the last block; whole: nothing cut, chunks by their length",
)


def chunk_frames(frames: int, patch: int) -> list[int]:
    """Frames of each chunk of a clip that has a token."""
    chunks = [CHUNK] * (frames // CHUNK) + [frames % CHUNK] * (frames % CHUNK >= patch)
    return chunks or [frames]


def shares(frames: int, patch: int, whole: bool) -> tuple[list[float], list[float]]:
    """What each chunk's class token, and each chunk's sum over its patches, weigh in a clip's embedding."""
    chunks = chunk_frames(frames, patch)
    tokens = [n // patch for n in chunks]
    if whole:
        return [n / sum(tokens) for n in tokens], [1 / sum(tokens)] * len(chunks)
    left = [frames - CHUNK * i for i in range(len(chunks))]  # from each chunk's beginning to the clip's end
    counts = [i == 0 or n > LEAST for i, n in enumerate(left)]
    number = sum(counts)
    return (
        [counted / number for counted in counts],
        [counted / number / (n // patch) for counted, n in zip(counts, left, strict=True)],
    )


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The teacher with the released weights, or as its training starts at base geometry."""
    import dataclasses

    import torch
    from torch import nn

    from bench.encoders.weights.read import load_tensors
    from bench.types import Grid, Tokens
    from model_zoo._adapters import row_ends
    from model_zoo._adapters.checkpoint import load_strict
    from model_zoo._networks import vit
    from model_zoo._networks.atst_frontend import AtstAdapter, Layout, Patches, initialise, read_layout

    whole, last_alone = card.policy == "whole", card.policy == "evar"

    class Teacher(nn.Module):
        """A linear embedding of frames in groups, a class token, learnt positions, blocks, a norm for their outputs."""

        def __init__(self, layout: Layout):
            super().__init__()
            width = layout.blocks.width
            self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
            self.pos_embed = nn.Parameter(torch.zeros(1, 1 + layout.positions, width))
            self.patch_embed = Patches(BANDS, layout.patch, width)
            self.blocks = vit.blocks(layout.blocks)
            self.norm = nn.LayerNorm(width, vit.EPS)

        def forward(self, x: Tensor, rows: row_ends.Rows | None = None) -> list[Tensor]:
            """Every block's patches (B, T', D), then every block's class token (B, 1, D), of patches x (B, T', D)."""
            x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embed[:, : 1 + x.shape[1]]
            outputs = [self.norm(y) for y in vit.outputs(self.blocks, x, row_ends.attended(rows, 1))]
            return [y[:, 1:] for y in outputs] + [y[:, :1] for y in outputs]

    class AtstClip(AtstAdapter):
        def __init__(self, layout: Layout):
            width, depth = layout.blocks.width, layout.blocks.depth
            offered = dims(width, published=2 * width * (1 if last_alone else depth), cls=True)
            facts = {"dims": offered, "grid": (layout.patch * HOP / RATE, 1), "layers": depth}
            super().__init__(dataclasses.replace(card, **facts))
            self.teacher = Teacher(layout)
            self.patch, self.chunk_tokens = layout.patch, CHUNK // layout.patch

        def kept(self, wave: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
            """The middle 12 s of each longer clip, as (wave (B, T), length (B,)), zero behind each clip's end."""
            if whole or int(length.max()) <= LONGEST:
                return wave, length
            kept = length.clamp_max(LONGEST)
            place = torch.arange(self.frontend.samples(int(kept.max())), device=wave.device)
            source = ((length - kept) // 2)[:, None] + place
            return wave.gather(1, source.clamp_max(wave.shape[1] - 1)) * (place < kept[:, None]), kept

        def encode(self, wave: Tensor, length: Tensor) -> Tokens:
            wave, length = self.kept(wave, length)
            frames = self.tap("spectrogram", self.fbank(wave, length))
            (patches,) = vit.chunked(frames, CHUNK, lambda chunk: [self.teacher.patch_embed(chunk)])
            patches = self.tap("patches", patches)
            counts = [self.frontend.frames(n) for n in length.tolist()]
            tokens = [sum(n // self.patch for n in chunk_frames(frames, self.patch)) for frames in counts]
            rows = row_ends.ends(tokens, 1, wave.device)
            if rows:
                outputs = vit.chunked_rows(patches, rows, self.chunk_tokens, self.teacher)
            else:
                outputs = vit.chunked(patches, self.chunk_tokens, self.teacher)
            hidden, cls = outputs[: len(outputs) // 2], outputs[len(outputs) // 2 :]
            chosen = slice(-1, None) if last_alone else slice(None)
            of_cls, of_sums = self.weights_of(counts, hidden[0].shape[1], wave.device)
            clip = [(of_cls[..., None] * y.float()).sum(dim=1) for y in cls]
            clip, averages = clip[chosen], [(of_sums[..., None] * y.float()).sum(dim=1) for y in hidden[chosen]]
            count = row_ends.tokens(rows, length, hidden[0].shape[1])
            layers = tuple(
                Grid(
                    y[:, :, None], count, self.card.grid[0], f"block{i}", cls=(of_cls[..., None] * c.float()).sum(dim=1)
                )
                for i, (y, c) in enumerate(zip(hidden, cls, strict=True), start=1)
            )
            return Tokens(layers, torch.cat([*clip, *averages], dim=1))

        def weights_of(self, frames: list[int], tokens: int, device: torch.device) -> tuple[Tensor, Tensor]:
            """What every chunk's class token (B, chunks) and every patch (B, tokens) weigh in the embeddings."""
            chunks = -(-tokens // self.chunk_tokens)
            of_cls, of_sums = torch.zeros(len(frames), chunks), torch.zeros(len(frames), chunks)
            for i, n in enumerate(frames):
                first, second = shares(n, self.patch, whole)
                of_cls[i, : len(first)], of_sums[i, : len(second)] = torch.tensor(first), torch.tensor(second)
            of_tokens = of_sums.repeat_interleave(self.chunk_tokens, dim=1)[:, :tokens]
            return of_cls.to(device), of_tokens.to(device)

    if weights is None:
        encoder = AtstClip(Layout(vit.Geometry(*BASE), PATCH, POSITIONS))
        initialise(encoder.teacher)
        return encoder.eval()
    tensors = load_tensors(weights, *ANCHORS, entry=ENTRY, prefixes=PREFIXES)
    encoder = AtstClip(read_layout(tensors, weights, CHUNK, "ATST-Clip", "take base.ckpt or small.ckpt of the release"))
    load_strict(encoder.teacher, tensors, IGNORED, weights)
    return encoder.eval()
