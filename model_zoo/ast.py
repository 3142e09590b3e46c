"""Audio Spectrogram Transformer: a distilled DeiT-B on spectrogram patches, fine-tuned on AudioSet.

Paper: Gong, Chung, Glass, AST: Audio spectrogram transformer, Interspeech 2021 (arXiv 2104.01778).
Checkpoint: https://github.com/YuanGongND/ast (``audioset_10_10_0.4593.pth`` and other strides), or the transformers
port https://huggingface.co/MIT/ast-finetuned-audioset-10-10-0.4593. Licence: BSD-3-Clause (code; the weights carry no
licence of their own). Trained on: ImageNet (initialisation), AudioSet (supervised).

Front end: kaldi log-mel, 128 bands, Hann window; the first 1,024 frames, shorter clips padded **after** the fbank with
zeros, then (x + 4.2677393) / (2 * 4.5689974), so padding becomes +0.467. Tokens are cls, dist and 12 x 101 patches.
``published`` = (cls + dist) / 2 after the final norm, as eval-audio-repr and the original's head take it; ``mean`` is
the plain mean of the patch tokens, padding included; ``cls`` the class token alone.
Geometry is read from the tensors: heads = width // 64, the stride is the one of 10, 12, 14, 16 that gives the stored
number of positions. Deviations: the clip's mean is not removed, because kaldi removes it per frame; layer norms use
the original's epsilon 1e-6 (the port's configuration says 1e-12); the original's half-precision autocast on a GPU is
not imitated. Heads are ignored.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import EncoderCard, Weights
from model_zoo._cards import dims

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

RATE, BANDS, FRAMES, PATCH = 16000, 128, 1024, 16
SAMPLES = 400 + 160 * (FRAMES - 1)  # that fill 1,024 frames
MEAN, STD = -4.2677393, 4.5689974  # over AudioSet, published with the code
STRIDES = (10, 12, 14, 16)
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
        sample_rate=RATE,
        min_s=0.025,
        max_s=SAMPLES / RATE,
        dims=dims(768, 12, published=768, cls=True),
        frontend="kaldi log-mel, 128 bands, 25/10 ms, Hann window, padded to 1,024 frames, 16 kHz",
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
    ),
)


def renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of the original file or of a Hub folder under the names of transformers' ``ASTModel``."""
    out = {}
    for key, tensor in tensors.items():
        key = key.removeprefix("module.").removeprefix("audio_spectrogram_transformer.")
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


def read(tensors: Mapping[str, Tensor], where: object) -> dict[str, int]:
    """Geometry as ``ASTConfig`` names it. Raises ``CheckpointError``."""
    from bench.errors import CheckpointError

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
            "num_attention_heads": width // 64,
            "intermediate_size": tensors["layers.0.mlp.fc1.weight"].shape[0],
        }
    except (KeyError, ValueError, StopIteration) as error:
        problem = f"lacks the tensors of an AST over {FRAMES} frames ({error!r})"
        raise CheckpointError(where, problem, "take an AudioSet checkpoint of the release") from error


def _patches(size: int, patch: int, stride: int) -> int:
    return (size - patch) // stride + 1


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The transformer with the released weights, or with transformers' own initialisation at base geometry."""
    import dataclasses

    import torch

    from bench.types import Grid, Tokens
    from model_zoo._adapter import Adapter
    from model_zoo._checkpoint import load_strict, load_tensors
    from model_zoo._compat import import_torchaudio
    from model_zoo._frontend import KaldiFbank

    import_torchaudio()
    from transformers import ASTConfig, ASTModel

    class Ast(Adapter):
        def __init__(self, geometry: dict[str, int]):
            config = ASTConfig(layer_norm_eps=1e-6, max_length=FRAMES, num_mel_bins=BANDS, **geometry)
            self.stride = config.time_stride
            self.shape = tuple(_patches(size, config.patch_size, self.stride) for size in (BANDS, FRAMES))  # (F', T')
            width, bands = config.hidden_size, self.shape[0]
            offered = dims(width, bands, published=width, cls=True)
            grid, layers = (self.stride * 0.01, bands), config.num_hidden_layers
            super().__init__(dataclasses.replace(card, dims=offered, grid=grid, layers=layers))
            self.model = ASTModel(config)
            self.frontend = KaldiFbank(RATE, BANDS, window="hanning")

        def batch_length(self, n: int) -> int:
            """The samples of 1,024 frames: all clips share batches, being padded behind the front end."""
            return SAMPLES

        def fbank(self, wave: Tensor, length: Tensor) -> Tensor:
            """Normalised log-mel (B, 1024, bands) of wave (B, batch_length), padded behind each clip's last frame."""
            frames = self.frontend(wave)
            real = torch.arange(FRAMES, device=wave.device) < self.frontend.frames(length)[:, None]  # (B, frames)
            return (frames * real[..., None] - MEAN) / (2 * STD)

        def encode(self, wave: Tensor, length: Tensor) -> Tokens:
            x = self.model.embeddings(self.fbank(wave, length))  # (B, 2 + F' * T', D)
            outputs = []
            for layer in self.model.layers:
                x = layer(x)
                outputs.append(x)
            outputs[-1] = x = self.model.layernorm(x)
            bands, times = self.shape
            count = torch.full_like(length, times)
            valid = (-(-self.frontend.frames(length) // self.stride)).clamp_max(times)
            layers = tuple(
                Grid(
                    y[:, 2:].unflatten(1, (bands, times)).transpose(1, 2),  # frequency-major to (B, T', F', D)
                    count,
                    self.stride * 0.01,
                    f"block{i}",
                    valid,
                    y[:, 0],
                )
                for i, y in enumerate(outputs, start=1)
            )
            return Tokens(layers, (x[:, 0] + x[:, 1]) / 2)

    if weights is None:
        return Ast({}).eval()
    tensors = renamed(load_tensors(weights))
    encoder = Ast(read(tensors, weights))
    load_strict(encoder.model, tensors, IGNORED, weights)
    return encoder.eval()
