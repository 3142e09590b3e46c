"""EAT's and SSLAM's network: a post-norm vision transformer on patches of kaldi's log-mel spectrogram.

Papers: Chen et al., EAT: Self-supervised pre-training with efficient audio transformer, IJCAI 2024 (arXiv 2401.03497);
Alex et al., SSLAM: Enhancing self-supervised models with audio mixtures for polyphonic soundscapes, ICLR 2025. Fed the
same tensors both repositories' classes answer alike, so the two differ in weights alone.

Front end: kaldi log-mel, 128 bands, 25/10 ms, Hann window, no dither; frames of zeros behind the clip's last one, then
(x + 4.268) / (2 * 4.569), so padding becomes +0.467. Patches are 16 x 16, time-major (160 ms by 8 bands); stored
positions are added, a class token without one and a layer norm come before the blocks; there is no last norm. Layer
norms have epsilon 1e-6, GELU is exact, heads = width // 64. Geometry is read from the tensors, the longest clip from
the position table.

Policies. ``upstream``: 1,024 frames (10.26 s), shorter clips filled up, longer ones cut; ``published`` is the last
block's class token, the authors' clip vector. ``own``: as many frames as the clip has, rounded up to 16, which the
authors' extractor does; the same vector. ``evar``: the input of ``upstream``, and the mean of all 513 tokens with class
token and padding, which eval-audio-repr takes (read there; its own loop over longer clips cannot run twice, so it cuts
them as well).
Deviation: the clip's mean is not removed, because kaldi removes it per frame (1.6e-4 of a log-mel at most). Clips
longer than the table are cut under ``own``, where the original fails. The positions are frozen, as in the original.

Files: folders of the Hub, and fairseq checkpoints (``modality_encoders.IMAGE.*``), whose decoder and teacher ``_ema``
are ignored; fine-tuned ones of both kinds, whose classifier is ignored.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.base.errors import CheckpointError
from bench.encoders.weights.read import load_content
from bench.encoders.weights.unwrap import unwrap
from bench.types import EncoderCard, Grid, Tokens
from model_zoo._adapters import row_ends
from model_zoo._adapters.adapter import Adapter, full_precision
from model_zoo._adapters.cards import dims
from model_zoo._adapters.checkpoint import load_strict
from model_zoo._adapters.frontend import KaldiFbank
from model_zoo._adapters.settings import require_settings
from model_zoo._networks import vit

RATE, BANDS, FRAMES, PATCH = 16000, 128, 1024, 16
FRAME, HOP = 400, 160  # samples of kaldi's frames
ROWS, COLUMNS = BANDS // PATCH, 768  # patches in frequency; in time, of the released position tables
MEAN, STD = -4.268, 4.569  # over AudioSet, published with the code
BASE = vit.Geometry(768, 12, 3072, norm_first=False)
ANCHORS = ("blocks.0.attn.qkv.weight", "blocks.0.norm1.weight")
RENAMED = {  # what precedes the names in fairseq files, in the order of trial
    "modality_encoders.IMAGE.context_encoder.norm.": "pre_norm.",
    "modality_encoders.IMAGE.": "",
}
IGNORED = (r"decoder\..*", r"fc_norm\..*", r"head\..*")
SETTINGS = {"layer_norm_first": (False,), "norm_eps": (vit.EPS,), "mel_bins": (BANDS,), "patch_size": (PATCH,)}
REMEDY = "take a folder or a file of the release"


def samples(frames: int) -> int:
    """The most samples that give so many frames."""
    return FRAME + HOP * frames - 1


class Eat(nn.Module):
    """The network behind the front end, with positions for ``columns`` patches in time."""

    def __init__(self, blocks: vit.Geometry, columns: int):
        super().__init__()
        self.local_encoder = vit.Patches(blocks.width, (PATCH, PATCH))
        self.fixed_positional_encoder = nn.Module()
        table = nn.Parameter(torch.zeros(1, columns * ROWS, blocks.width), requires_grad=False)
        self.fixed_positional_encoder.positions = table
        self.extra_tokens = nn.Parameter(torch.zeros(1, 1, blocks.width))
        self.pre_norm = nn.LayerNorm(blocks.width, vit.EPS)
        self.blocks = vit.blocks(blocks)

    def initialise(self) -> None:
        """Initialises the network as masked autoencoders are, with sinusoidal positions."""
        vit.initialise(self)
        nn.init.normal_(self.extra_tokens, std=0.02)
        table = self.fixed_positional_encoder.positions
        with torch.no_grad():
            table[0] = vit.sinusoids(table.shape[2], (table.shape[1] // ROWS, ROWS))

    def patches(self, frames: Tensor) -> Tensor:
        """Embeddings (B, T' * F', D), time-major, of frames (B, T' * 16, 128)."""
        return self.local_encoder(frames[:, None]).flatten(2).transpose(1, 2)

    def forward(self, patches: Tensor, mask: Tensor | None = None) -> list[Tensor]:
        """Every block's output (B, 1 + T' * F', D), the class token first; ``mask`` is that of the attention."""
        x = patches + self.fixed_positional_encoder.positions[:, : patches.shape[1]]
        x = self.pre_norm(torch.cat([self.extra_tokens.expand(len(x), -1, -1), x], dim=1))
        return list(vit.outputs(self.blocks, x, mask))


class EatEncoder(Adapter):
    """The network with its front end under the card's policy."""

    offers = frozenset({"spectrogram", "patches"})

    def __init__(self, card: EncoderCard, blocks: vit.Geometry, columns: int = COLUMNS):
        self.own = card.policy == "own"
        longest_s = (FRAME + HOP * (columns * PATCH - 1)) / RATE if self.own else card.max_s
        offered = dims(blocks.width, ROWS, published=blocks.width, cls=True)
        super().__init__(dataclasses.replace(card, dims=offered, layers=blocks.depth, max_s=longest_s))
        self.ragged = self.own
        self.net = Eat(blocks, columns)
        self.frontend = KaldiFbank(RATE, BANDS, window="hanning")

    def columns(self, n: int) -> int:
        """Patches in time of a clip of n samples."""
        return -(-self.frontend.frames(n) // PATCH) if self.own else FRAMES // PATCH

    def batch_length(self, n: int) -> int:
        """The most samples that give as many patches as n, or the samples of 1,024 frames."""
        return samples(self.columns(n) * PATCH)

    @full_precision
    def fbank(self, wave: Tensor, length: Tensor) -> Tensor:
        """Normalised log-mel (B, frames, bands) of wave (B, batch_length), zero behind each clip before normalising."""
        frames = self.frontend(wave)
        real = torch.arange(frames.shape[1], device=wave.device) < self.frontend.frames(length)[:, None]
        return (torch.where(real[..., None], frames, 0) - MEAN) / (2 * STD)

    def encode(self, wave: Tensor, length: Tensor) -> Tokens:
        frames = self.tap("spectrogram", self.fbank(wave, length))
        patches = self.tap("patches", self.net.patches(frames))
        rows = row_ends.ends([self.columns(n) for n in length.tolist()], 1, wave.device)
        outputs = self.net(patches, row_ends.attended(rows and rows.then(lambda n: n * ROWS), 1))
        count = row_ends.tokens(rows, length, patches.shape[1] // ROWS)
        valid = None if self.own else (-(-self.frontend.frames(length) // PATCH)).clamp_max(FRAMES // PATCH)
        layers = tuple(
            Grid(y[:, 1:].unflatten(1, (-1, ROWS)), count, self.card.grid[0], f"block{i}", valid, y[:, 0])
            for i, y in enumerate(outputs, start=1)
        )
        last = outputs[-1]
        return Tokens(layers, last.float().mean(dim=1) if self.card.policy == "evar" else last[:, 0])


def read_geometry(tensors: Mapping[str, Tensor], where: object) -> tuple[vit.Geometry, int]:
    """The blocks' geometry and the position table's patches in time. Raises ``CheckpointError``."""
    blocks = vit.read_geometry(tensors, where)._replace(norm_first=False)
    try:
        patch = tuple(tensors["local_encoder.proj.weight"].shape[1:])
        positions = tensors["fixed_positional_encoder.positions"].shape[1]
    except (KeyError, IndexError) as error:
        raise CheckpointError(where, f"lacks the tensors of EAT ({error})", REMEDY) from error
    if patch != (1, PATCH, PATCH) or positions % ROWS or positions < FRAMES // PATCH * ROWS:
        least = FRAMES // PATCH * ROWS
        problem = f"has {positions} positions of patches {patch}, not {least} or more of {(1, PATCH, PATCH)}"
        raise CheckpointError(where, problem, REMEDY)
    return blocks, positions // ROWS


def build(card: EncoderCard, weights: Path | None) -> nn.Module:
    """The encoder with released weights, or untrained at base geometry. Raises ``CheckpointError``."""
    if weights is None:
        encoder = EatEncoder(card, BASE)
        encoder.net.initialise()
        return encoder.eval()
    content = load_content(weights)
    if isinstance(model := content.get("model"), Mapping):  # of fairseq, with the teacher under the same names in it
        content["model"] = {name: value for name, value in model.items() if name != "_ema"}
    tensors = {_renamed(name): tensor for name, tensor in unwrap(content, ANCHORS, weights).items()}
    blocks, columns = read_geometry(tensors, weights)
    require_settings(weights, SETTINGS | {"num_heads": (blocks.width // blocks.head,)}, REMEDY)
    encoder = EatEncoder(card, blocks, columns)
    load_strict(encoder.net, tensors, IGNORED, weights)
    return encoder.eval()


def _renamed(name: str) -> str:
    start = next((old for old in RENAMED if name.startswith(old)), "")
    return RENAMED.get(start, "") + name.removeprefix(start)
