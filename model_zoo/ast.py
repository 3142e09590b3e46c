"""Audio Spectrogram Transformer: a distilled DeiT-B on spectrogram patches, fine-tuned on AudioSet.

Paper: Gong, Chung, Glass, AST: Audio spectrogram transformer, Interspeech 2021 (arXiv 2104.01778).
Checkpoint: https://github.com/YuanGongND/ast (``audioset_10_10_0.4593.pth`` and other strides), or the transformers
port https://huggingface.co/MIT/ast-finetuned-audioset-10-10-0.4593. Licence: BSD-3-Clause (LICENSE of the repository at
31088be, whose README links the file and says nothing of the weights by themselves; the Hub's page of the port). Trained
on: ImageNet (initialisation), AudioSet (supervised), by that README.

Front end: kaldi log-mel, 128 bands, Hann window, (x - mean) / (2 * std).
Policy ``upstream``: the first 1,024 frames, shorter clips padded **after** the fbank with zeros, AudioSet's mean
-4.2677393 and std 4.5689974, so padding becomes +0.467; tokens are cls, dist and 12 x 101 patches.
Policy ``evar`` (eval-audio-repr): the clip's own frames, at least one patch and at most 1,024; the position table is
fitted to them as the original does, cut from its middle for fewer columns and stretched bilinearly for more; mean and
std of the training clips' log-mels, each at its own length, AudioSet's until they are measured. What unit a clip is
padded to before that is the protocol's business (eval-audio-repr: a fixed one).
Policy ``release-positions``: as ``evar``, but the position table is cut and stretched with frequency and time
exchanged, as released code of Patch-Mix and of others after it does, which hands frames where bands are expected: for
reproduction alone.
``published`` = (cls + dist) / 2 after the final norm, as eval-audio-repr and the original's head take it; ``mean`` is
the plain mean of the patch tokens, padding included; ``cls`` the class token alone.
Geometry is read from the tensors: heads = width // 64, the stride is the one of 10, 12, 14, 16 that gives the stored
number of positions. Deviations: the clip's mean is not removed, because kaldi removes it per frame; layer norms use
the original's epsilon 1e-6 (the port's configuration says 1e-12); the original's half-precision autocast on a GPU is
not imitated. Heads are ignored.

``scratch.ast``, whose card is in ``scratch.py``, is the same network at reduced geometry without released weights, with
clips as under ``evar``. Its class token and positions start from a normal distribution, as the original's do before
ImageNet (timm).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import EncoderCard, Weights
from model_zoo._adapters.cards import dims

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor, nn

RATE, BANDS, FRAMES, PATCH = 16000, 128, 1024, 16
SIZE, HOP = 400, 160  # samples of kaldi's frames
SAMPLES = SIZE + HOP * (FRAMES - 1)  # that fill 1,024 frames
MEAN, STD = -4.2677393, 4.5689974  # over AudioSet, published with the code
SETTINGS = {  # of a Hub folder, what its tensors do not tell
    "model_type": "audio-spectrogram-transformer",
    "hidden_act": "gelu",
    "qkv_bias": True,
    "max_length": FRAMES,
    "num_mel_bins": BANDS,
}
FRONT = {"sampling_rate": RATE, "num_mel_bins": BANDS, "max_length": FRAMES, "mean": MEAN, "std": STD}
STRIDES = (10, 12, 14, 16)
REDUCED = {  # of scratch.ast
    "hidden_size": 192,
    "num_attention_heads": 3,
    "intermediate_size": 768,
    "num_hidden_layers": 4,
    "frequency_stride": PATCH,
    "time_stride": PATCH,
}
ANCHORS = ("v.cls_token", "v.pos_embed", "embeddings.cls_token", "embeddings.position_embeddings")  # of both forms
IGNORED = (r"v\.head(_dist)?\..*", r"mlp_head\..*", r"classifier\..*")

# Names in the original file and in Hub folders, rewritten to those of transformers' ASTModel; q, k, v are split apart.
RENAMES = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"v\.cls_token", "embeddings.cls_token"),
        (r"v\.dist_token", "embeddings.distillation_token"),
        (r"v\.pos_embed", "embeddings.position_embeddings"),
        (r"v\.patch_embed\.proj\.(.*)", r"embeddings.patch_embeddings.projection.\1"),
        (r"v\.blocks\.(\d+)\.norm1\.(.*)", r"layers.\1.layernorm_before.\2"),
        (r"v\.blocks\.(\d+)\.norm2\.(.*)", r"layers.\1.layernorm_after.\2"),
        (r"v\.blocks\.(\d+)\.attn\.proj\.(.*)", r"layers.\1.attention.o_proj.\2"),
        (r"v\.blocks\.(\d+)\.mlp\.(.*)", r"layers.\1.mlp.\2"),
        (r"v\.norm\.(.*)", r"layernorm.\1"),
        (r"encoder\.layer\.(\d+)\.attention\.attention\.query\.(.*)", r"layers.\1.attention.q_proj.\2"),
        (r"encoder\.layer\.(\d+)\.attention\.attention\.key\.(.*)", r"layers.\1.attention.k_proj.\2"),
        (r"encoder\.layer\.(\d+)\.attention\.attention\.value\.(.*)", r"layers.\1.attention.v_proj.\2"),
        (r"encoder\.layer\.(\d+)\.attention\.output\.dense\.(.*)", r"layers.\1.attention.o_proj.\2"),
        (r"encoder\.layer\.(\d+)\.intermediate\.dense\.(.*)", r"layers.\1.mlp.fc1.\2"),
        (r"encoder\.layer\.(\d+)\.output\.dense\.(.*)", r"layers.\1.mlp.fc2.\2"),
        (r"encoder\.layer\.(\d+)\.(layernorm_.*)", r"layers.\1.\2"),
    )
)
QKV = re.compile(r"v\.blocks\.(\d+)\.attn\.qkv\.(weight|bias)")

CARDS = (
    EncoderCard(
        id="ast.base",
        version=1,
        year=2021,
        sample_rate=RATE,
        min_s=0.025,
        max_s=SAMPLES / RATE,
        dims=dims(768, 12, published=768, cls=True),
        frontend="kaldi log-mel, 128 bands, 25 ms frames every 10 ms, Hann window, padded to 1,024 frames, 16 kHz",
        citation="Gong et al., AST: Audio spectrogram transformer, Interspeech 2021",
        licence="BSD-3-Clause",
        grid=(0.1, 12),
        layers=12,
        params=86_187_264,
        weights=(
            Weights(
                file="audioset_10_10_0.4593.pth",
                urls=("https://www.dropbox.com/s/ca0b1v2nlxzyeb4/audioset_10_10_0.4593.pth?dl=1",),
                licence="BSD-3-Clause (code)",
            ),
            Weights(
                file="ast-finetuned-audioset-10-10-0.4593",
                licence="BSD-3-Clause",
                hub="MIT/ast-finetuned-audioset-10-10-0.4593",
            ),
        ),
        trained_on=("imagenet", "audioset"),
        parity="golden",
        default_pooling="published",
        policies=("upstream", "evar", "release-positions"),
        notes="evar (eval-audio-repr): the clip at its own length, normalised by the mean and standard deviation of "
        "the training clips; release-positions: so too, the position table's axes exchanged as in Patch-Mix's release",
    ),
)


def rename_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of the original file or of a Hub folder under the names of transformers' ``ASTModel``."""
    out = {}
    for key, tensor in tensors.items():
        if match := QKV.fullmatch(key):
            for part, piece in zip("qkv", tensor.chunk(3), strict=True):
                out[f"layers.{match[1]}.attention.{part}_proj.{match[2]}"] = piece
            continue
        for pattern, name in RENAMES:
            if match := pattern.fullmatch(key):
                key = match.expand(name)
                break
        out[key] = tensor
    return out


def read_geometry(tensors: Mapping[str, Tensor], where: object) -> dict[str, int]:
    """Reads the geometry, as ``ASTConfig`` names it, from a checkpoint's tensors. Raises ``CheckpointError``."""
    from bench.base.errors import CheckpointError
    from model_zoo._adapters.checkpoint import attention_heads

    try:
        width, _, patch, _ = tensors["embeddings.patch_embeddings.projection.weight"].shape
        positions = tensors["embeddings.position_embeddings"].shape[1] - 2
        stride = next(s for s in STRIDES if _patches(BANDS, patch, s) * _patches(FRAMES, patch, s) == positions)
        return {
            "hidden_size": width,
            "patch_size": patch,
            "frequency_stride": stride,
            "time_stride": stride,
            "num_hidden_layers": 1 + max(int(k.split(".")[1]) for k in tensors if k.startswith("layers.")),
            "num_attention_heads": attention_heads(width, where),
            "intermediate_size": tensors["layers.0.mlp.fc1.weight"].shape[0],
        }
    except (KeyError, ValueError, StopIteration) as error:
        problem = f"lacks the tensors of an AST over {FRAMES} frames ({error!r})"
        raise CheckpointError(where, problem, "take an AudioSet checkpoint of the release") from error


def _patches(size: int, patch: int, stride: int) -> int:
    """The number of patches along an axis of ``size``."""
    return (size - patch) // stride + 1


def fit_positions(table: Tensor, shape: tuple[int, int], times: int) -> Tensor:
    """Fits the position table (1, 2 + F' * T', D) of a grid ``shape`` = (F', T') to ``times`` columns.

    Fewer columns are those around the middle, more are a bilinear stretch; the two leading tokens keep their positions.
    """
    import torch
    from torch.nn import functional

    bands, columns = shape
    if times == columns:
        return table
    grid = table[:, 2:].unflatten(1, shape).permute(0, 3, 1, 2)  # (1, D, F', T')
    if times < columns:
        start = columns // 2 - times // 2
        grid = grid[..., start : start + times]
    else:
        grid = functional.interpolate(grid, size=(bands, times), mode="bilinear")
    return torch.cat([table[:, :2], grid.flatten(2).transpose(1, 2)], dim=1)


def cross_positions(table: Tensor, shape: tuple[int, int], times: int) -> Tensor:
    """Fits the position table (1, 2 + F' * T', D) of a grid ``shape`` = (F', T') to ``times`` columns, axes exchanged.

    The middle F' of the T' columns are kept and the rows stretched to ``times``, or cut to those around the middle. The
    table of ``times`` rows of F' is then laid out row by row over patches that stand frequency by frequency. This is
    what https://github.com/raymin0223/patch-mix_contrastive_learning computes by handing the two sizes the wrong way
    round; it has no meaning of its own.
    """
    import torch
    from torch.nn import functional

    bands = shape[0]
    exchanged = fit_positions(table, shape, bands)  # columns around the middle, as many as bands
    grid = exchanged[:, 2:].unflatten(1, (bands, bands)).permute(0, 3, 1, 2)
    if times < bands:
        start = bands // 2 - times // 2
        grid = grid[:, :, start : start + times]
    elif times > bands:
        grid = functional.interpolate(grid, size=(times, bands), mode="bilinear")
    return torch.cat([table[:, :2], grid.flatten(2).transpose(1, 2)], dim=1)


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The transformer with the released weights, or with transformers' own initialisation at base geometry."""
    import dataclasses

    import torch

    from bench.base.optional_imports import import_torchaudio
    from bench.encoders.weights.read import load_tensors
    from bench.types import Grid, Tokens
    from model_zoo._adapters import row_ends
    from model_zoo._adapters.adapter import Adapter, full_precision
    from model_zoo._adapters.checkpoint import load_strict
    from model_zoo._adapters.frontend import KaldiFbank
    from model_zoo._adapters.settings import FRONT_END, require_settings
    from model_zoo._networks.on_log_mel import seeded

    import_torchaudio()
    from transformers import ASTConfig, ASTModel

    class Ast(Adapter):
        """Under ``upstream``: 1,024 frames."""

        offers = frozenset({"spectrogram", "patches"})
        fit = staticmethod(fit_positions)

        def __init__(self, geometry: dict[str, int]):
            config = ASTConfig(layer_norm_eps=1e-6, max_length=FRAMES, num_mel_bins=BANDS, **geometry)
            self.patch, self.stride = config.patch_size, config.time_stride
            self.shape = tuple(_patches(size, self.patch, self.stride) for size in (BANDS, FRAMES))  # (F', T')
            width, bands = config.hidden_size, self.shape[0]
            offered = dims(width, bands, published=width, cls=True)
            grid, layers = (self.stride * HOP / RATE, bands), config.num_hidden_layers
            super().__init__(dataclasses.replace(card, dims=offered, grid=grid, layers=layers))
            self.model = ASTModel(config)
            self.frontend = KaldiFbank(RATE, BANDS, window="hanning")
            self.register_buffer("mean", torch.tensor(MEAN), persistent=False)
            self.register_buffer("std", torch.tensor(STD), persistent=False)

        def batch_length(self, n: int) -> int:
            """The samples of 1,024 frames: all clips share batches, being padded behind the front end."""
            return SAMPLES

        @full_precision
        def fbank(self, wave: Tensor, length: Tensor) -> Tensor:
            """Normalised log-mel (B, 1024, bands) of wave (B, batch_length), padded behind each clip's last frame."""
            return (self.frontend(wave) * self.real(length, FRAMES)[..., None] - self.mean) / (2 * self.std)

        def real(self, length: Tensor, frames: int) -> Tensor:
            """(B, frames), True for the frames within each clip."""
            return torch.arange(frames, device=length.device) < self.frontend.frames(length)[:, None]

        def columns(self, length: Tensor) -> row_ends.Rows | None:
            """Where the clips' columns of patches end: all have as many."""
            return None

        def positions(self, rows: row_ends.Rows | None, times: int) -> Tensor:
            """The position table (1 or B, 2 + F' * T', D) of ``times`` columns, fitted to each row's own."""
            table = self.model.embeddings.position_embeddings
            if rows is None:
                return self.fit(table, self.shape, times)
            fitted = []
            for count in rows.counts:
                leading, grid = self.fit(table, self.shape, count).split([2, self.shape[0] * count], dim=1)
                grid = torch.nn.functional.pad(grid.unflatten(1, (-1, count)), (0, 0, 0, times - count))
                fitted.append(torch.cat([leading, grid.flatten(1, 2)], dim=1))
            return torch.cat(fitted)

        def encode(self, wave: Tensor, length: Tensor) -> Tokens:
            embeddings, fbank = self.model.embeddings, self.tap("spectrogram", self.fbank(wave, length))
            bands, times = self.shape[0], _patches(fbank.shape[1], self.patch, self.stride)
            rows = self.columns(length)
            leading = torch.cat([embeddings.cls_token, embeddings.distillation_token], dim=1).expand(len(wave), -1, -1)
            patches = self.tap("patches", embeddings.patch_embeddings(fbank))  # (B, F' * T', D)
            x = torch.cat([leading, patches], dim=1)
            x = x + self.positions(rows, times)
            mask, outputs = row_ends.attended(rows, 2, bands), []
            for layer in self.model.layers:
                x = layer(x, mask)
                outputs.append(x)
            outputs[-1] = x = self.model.layernorm(x)
            count = row_ends.tokens(rows, length, times)
            valid = (-(-self.frontend.frames(length) // self.stride)).clamp(max=count)
            layers = tuple(
                Grid(
                    y[:, 2:].unflatten(1, (bands, times)).transpose(1, 2),  # frequency-major to (B, T', F', D)
                    count,
                    self.stride * HOP / RATE,
                    f"block{i}",
                    valid,
                    y[:, 0],
                )
                for i, y in enumerate(outputs, start=1)
            )
            return Tokens(layers, (x[:, 0] + x[:, 1]) / 2)

    class Evar(Ast):
        """Under ``evar``: the clip's own length and the training clips' statistics."""

        needs_stats = ragged = True

        def columns(self, length: Tensor) -> row_ends.Rows | None:
            counts = [_patches(self.frames(n), self.patch, self.stride) for n in length.tolist()]
            return row_ends.ends(counts, 1, length.device)

        def frames(self, n: int) -> int:
            """Frames of a clip of n samples, padded to at least one patch."""
            return self.frontend.frames(max(n, SIZE + HOP * (self.patch - 1)))

        def batch_length(self, n: int) -> int:
            """The most samples that give as many patches as n."""
            patches = _patches(self.frames(n), self.patch, self.stride)
            return SIZE + HOP * (self.patch + self.stride * patches - 1) - 1

        @full_precision
        def fbank(self, wave: Tensor, length: Tensor) -> Tensor:
            """Normalised log-mel (B, frames of the longest clip, bands) of wave (B, batch_length)."""
            return (self.frontend(wave)[:, : self.frames(int(length.max()))] - self.mean) / (2 * self.std)

        @torch.no_grad()
        def fit_stats(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
            """Measures mean and standard deviation over all log-mels of ``batches`` of (wave, length)."""
            count, total, squares = 0, 0.0, 0.0
            for wave, length in batches:
                values = self.frontend(wave)
                values = values[self.real(length, values.shape[1])].double() - MEAN  # near zero: no cancellation
                count, total = count + values.numel(), total + float(values.sum())
                squares += float(values.square().sum())
            mean = total / count
            self.mean.fill_(MEAN + mean)
            self.std.fill_(max(squares / count - mean**2, 1e-12) ** 0.5)

    class CrossPositions(Evar):
        """Under ``release-positions``."""

        fit = staticmethod(cross_positions)

    class Reduced(Evar):
        """``scratch.ast``."""

        def network(self) -> nn.Module:
            """A network initialised from torch's global generator."""
            model = ASTModel(self.model.config)
            for leading in (name for name, _ in model.embeddings.named_parameters(recurse=False)):
                torch.nn.init.trunc_normal_(getattr(model.embeddings, leading), std=model.config.initializer_range)
            return model

        def reset(self, seed: int) -> None:
            """Puts the parameters back to an initialisation by ``seed``, the same on every device."""
            self.model.load_state_dict(seeded(seed, self.network).state_dict())

    if card.from_scratch:
        reduced = seeded(0, lambda: Reduced(REDUCED))
        reduced.reset(0)
        return reduced.eval()
    kind = {"evar": Evar, "release-positions": CrossPositions}.get(card.policy, Ast)
    if weights is None:
        return kind({}).eval()
    tensors = rename_tensors(load_tensors(weights, *ANCHORS))
    geometry = read_geometry(tensors, weights)
    remedy = "take a folder of the release, or name it as hf.<folder>"
    require_settings(weights, SETTINGS | geometry, remedy)
    require_settings(weights, FRONT, remedy, FRONT_END)
    encoder = kind(geometry)
    load_strict(encoder.model, tensors, IGNORED, weights)
    return encoder.eval()
