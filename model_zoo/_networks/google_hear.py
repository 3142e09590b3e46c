"""HeAR, Google's health acoustic representations: a ViT-L on windows of 2 s, trained to fill in what was masked.

Paper: Baur et al., HeAR: Health acoustic representations, 2024 (arXiv 2403.02522). Checkpoint:
https://huggingface.co/google/hear-pytorch, gated: its terms must be accepted there before the fetch (``config.json``
and ``pytorch_model.bin``; the digest is that of revision f791cd42, as public work pins it). Licence: Health AI
Developer Foundations terms (weights), Apache-2.0 (code), both by the README of https://github.com/Google-Health/hear
(18b27f1); the Hub's page of the TensorFlow original asks for these terms, that of ``hear-pytorch`` was not seen.
Trained on: 313 million two-second clips from YouTube (YT-NS in the paper), picked by a detector of health sounds,
without labels.

Front end, of a window of 32,000 samples that zeros fill up: scaled so that its extremes become -1 and 1, 240 zeros
behind; power spectra of 25 ms frames every 10 ms under a periodic Hann window; 128 mel bands at 0-8000 Hz, triangles
linear on the mel scale of 2595 log10(1 + f / 700), of which bands 0, 3, 6 and 13 hold no bin and are always zero;
per-channel energy normalisation (Wang et al., Trainable frontend for robust and far-field keyword spotting, ICASSP
2017) with smoothing 0.04, gain exponent 0.8, offset 2 and power 0.5; 200 frames resized to 192. Level and constant
offset of a window cancel. The network: 16 x 16 patches, time-major (12 steps of 167 ms by 8 bands), a class token,
pre-norm blocks with the tanh form of GELU and layer norms of epsilon 1e-6, a last norm, and a linear layer of the class
token to 512 features, without activation. The tensors do not tell these three; a ``config.json`` beside them that says
otherwise is refused.

``published`` is the linear layer's output, the authors' embedding, averaged over windows: they have no rule for longer
clips. Policy ``upstream``: consecutive windows, the last zero-padded, each scaled by itself. Policy ``joint``: all
windows of a clip are scaled by the clip's extremes, which the original does to the windows in one call.
Deviations: the original takes the extremes over **everything in the batch**, so that a clip's embedding depends on what
it shares the batch with (a mate 26 dB louder moves it by 29 %), and overwrites its input; here neither happens, and
numbers made with batches across recordings cannot be met. The windows of its classifier notebook (every 1.8 s, the tail
dropped, quiet ones skipped) are not offered. The released weights were not at hand: parity is that of a reduced network
in their format.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import EncoderCard, Weights
from model_zoo._adapters.cards import dims

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from model_zoo._networks.vit import Geometry

RATE, SIZE = 16000, 32000  # a window's samples
BANDS, FFT, HOP = 128, 400, 160
FRAMES, ROWS, PATCH = 200, 192, 16  # frames of a window, rows that they are resized to
GRID = (ROWS // PATCH, BANDS // PATCH)  # patches in time and frequency
SMOOTHING, GAIN, OFFSET, POWER, TINY = 0.04, 0.8, 2.0, 0.5, 1e-8  # of the energy normalisation
LARGE, FEATURES = (1024, 24, 4096), 512  # channels, blocks, channels inside the MLP; features of the embedding
ANCHORS = ("embeddings.cls_token", "pooler.dense.weight")
SETTINGS = {  # of config.json, what the tensors do not tell
    "hidden_act": ("gelu_fast", "gelu_new", "gelu_pytorch_tanh"),  # three names of one function
    "layer_norm_eps": 1e-6,
    "pooler_act": "linear",
}
# Names in the released file and in files that newer transformers save, rewritten to those of ``_networks/vit.py``.
RENAMES = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"embeddings\.cls_token", "cls_token"),
        (r"embeddings\.position_embeddings", "pos_embed"),
        (r"embeddings\.patch_embeddings\.projection\.(.*)", r"patch_embed.proj.\1"),
        (r"(?:encoder\.layer|layers)\.(\d+)\.layernorm_before\.(.*)", r"blocks.\1.norm1.\2"),
        (r"(?:encoder\.layer|layers)\.(\d+)\.layernorm_after\.(.*)", r"blocks.\1.norm2.\2"),
        (r"encoder\.layer\.(\d+)\.attention\.output\.dense\.(.*)", r"blocks.\1.attn.proj.\2"),
        (r"encoder\.layer\.(\d+)\.intermediate\.dense\.(.*)", r"blocks.\1.mlp.fc1.\2"),
        (r"encoder\.layer\.(\d+)\.output\.dense\.(.*)", r"blocks.\1.mlp.fc2.\2"),
        (r"layers\.(\d+)\.attention\.o_proj\.(.*)", r"blocks.\1.attn.proj.\2"),
        (r"layers\.(\d+)\.mlp\.(.*)", r"blocks.\1.mlp.\2"),
        (r"layernorm\.(.*)", r"norm.\1"),
        (r"pooler\.dense\.(.*)", r"pooler.\1"),
    )
)
PARTS = ("query", "key", "value")
SPLIT = re.compile(
    r"(?:encoder\.layer\.(?P<old>\d+)\.attention\.attention\.(?P<part>query|key|value)"
    r"|layers\.(?P<new>\d+)\.attention\.(?P<letter>[qkv])_proj)\.(?P<kind>weight|bias)"
)

CARD = EncoderCard(
    id="hear.google",
    version=1,
    year=2024,
    sample_rate=RATE,
    min_s=0.025,
    dims=dims(LARGE[0], GRID[1], published=FEATURES, cls=True),
    frontend="windows of 2 s scaled to [-1, 1], 128 HTK mel bands, 25 ms frames every 10 ms, per-channel energy "
    "normalisation, 16 kHz",
    citation="Baur et al., HeAR: Health acoustic representations, 2024",
    licence="Apache-2.0 (front end); Health AI Developer Foundations terms (weights)",
    grid=(SIZE / RATE / GRID[0], GRID[1]),
    layers=LARGE[1],
    params=303_199_744,
    weights=(
        Weights(
            file="hear-pytorch",
            sha256="d44d355816ee4315f67d7810da274409e9b1a6570325fc5ba9ae27555fd81723",
            licence="Health AI Developer Foundations terms "
            "(https://developers.google.com/health-ai-developer-foundations/terms)",
            hub="google/hear-pytorch",
            restricted=True,
        ),
    ),
    trained_on=("yt-ns",),
    parity="golden",
    policies=("upstream", "joint"),
    policy_parity={"joint": "golden"},
    floor_sensitive=("upstream", "joint"),
    default_pooling="published",
    notes="windows of 2 s, averaged; the original scales all that shares a batch together, which no policy does; "
    "joint: the windows of a clip are scaled together",
)


def rename_tensors(tensors: Mapping[str, Tensor], where: object) -> dict[str, Tensor]:
    """Tensors of a folder of transformers' ``ViTModel`` under the names of ``_networks/vit.py``, q, k and v joined.

    Raises ``CheckpointError`` where one of the three is missing or of another shape.
    """
    import torch

    from bench.base.errors import CheckpointError

    out: dict[str, Tensor] = {}
    parts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        if match := SPLIT.fullmatch(key):
            name = f"blocks.{match['old'] or match['new']}.attn.qkv.{match['kind']}"
            parts.setdefault(name, {})[(match["part"] or match["letter"])[0]] = tensor
            continue
        for pattern, name in RENAMES:
            if match := pattern.fullmatch(key):
                key = match.expand(name)
                break
        out[key] = tensor
    for name, found in parts.items():
        three = [found.get(part[0]) for part in PARTS]
        shapes = {None if tensor is None else tuple(tensor.shape) for tensor in three}
        if len(shapes) > 1 or () in shapes:
            problem = f"lacks query, key or value of one shape for {name.removesuffix('.qkv' + name[-7:])}"
            raise CheckpointError(where, problem, "check that the file belongs to this encoder")
        out[name] = torch.cat([tensor for tensor in three if tensor is not None])
    return out


def read_geometry(tensors: Mapping[str, Tensor], where: object) -> tuple[Geometry, int]:
    """The blocks' geometry and the features of the embedding, from renamed tensors. Raises ``CheckpointError``."""
    from bench.base.errors import CheckpointError
    from model_zoo._networks import vit

    geometry = vit.read_geometry(tensors, where)._replace(gelu="tanh")
    try:
        patch = tuple(tensors["patch_embed.proj.weight"].shape[1:])
        positions = tensors["pos_embed"].shape[1]
        features = tensors["pooler.weight"].shape[0]
    except (KeyError, IndexError) as error:
        problem = f"lacks the tensors of HeAR ({error})"
        raise CheckpointError(where, problem, "take the folder google/hear-pytorch") from error
    if patch != (1, PATCH, PATCH) or positions != 1 + GRID[0] * GRID[1]:
        problem = f"has {positions} positions of patches {patch}, not {1 + GRID[0] * GRID[1]} of {(1, PATCH, PATCH)}"
        raise CheckpointError(where, problem, "take the folder google/hear-pytorch")
    return geometry, features


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The network with the released weights, or untrained at the released geometry."""
    import dataclasses

    import torch
    from torch import nn

    from bench.encoders.weights.read import load_tensors
    from bench.types import Grid, Tokens
    from model_zoo._adapters import row_ends
    from model_zoo._adapters.adapter import Adapter, full_precision
    from model_zoo._adapters.checkpoint import load_strict
    from model_zoo._adapters.frontend import mel_centres
    from model_zoo._adapters.settings import require_settings
    from model_zoo._adapters.windows import encode_windows
    from model_zoo._networks import vit

    def mel_bank() -> Tensor:
        """Triangles (201, 128) that are linear on the mel scale, bin 0 left out; computed in float64."""

        def mel(hz: Tensor) -> Tensor:
            return 2595 * (1 + hz / 700).log10()

        bins = mel(torch.linspace(0, RATE / 2, FFT // 2 + 1, dtype=torch.float64))[1:, None]
        top = float(mel(torch.tensor(RATE / 2, dtype=torch.float64)))
        edges = torch.linspace(0, top, BANDS + 2, dtype=torch.float64)
        low, centre, high = edges[:-2], edges[1:-1], edges[2:]
        bank = torch.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)).clamp_min(0)
        return nn.functional.pad(bank, (0, 0, 1, 0)).float()

    def smoother() -> Tensor:
        """(200, 200): rows are the weights of the smoothed energy, s[0] = m[0], s[t] = 0.04 m[t] + 0.96 s[t - 1]."""
        age = torch.arange(FRAMES, dtype=torch.float64)[:, None] - torch.arange(FRAMES)
        weight = SMOOTHING * (1 - SMOOTHING) ** age.clamp_min(0) * (age >= 0)
        weight[:, 0] /= SMOOTHING
        return weight.float()

    class Hear(Adapter):
        ragged = True
        offers = frozenset({"spectrogram", "patches"})

        def __init__(self, geometry: vit.Geometry, features: int):
            offered = dims(geometry.width, GRID[1], published=features, cls=True)
            super().__init__(dataclasses.replace(card, dims=offered, layers=geometry.depth))
            self.net = vit.PatchEncoder(geometry, (PATCH, PATCH), GRID)
            self.net.pooler = nn.Linear(geometry.width, features)
            self.register_buffer("hann", torch.hann_window(FFT), persistent=False)
            self.register_buffer("mel", mel_bank(), persistent=False)
            self.centres = mel_centres(RATE, BANDS, 0.0, RATE / 2, "htk")
            self.register_buffer("smoother", smoother(), persistent=False)

        def batch_length(self, n: int) -> int:
            """The samples of as many windows as hold n."""
            return SIZE * -(-n // SIZE)

        @full_precision
        def scaled(self, wave: Tensor, length: Tensor) -> Tensor:
            """Each row of wave (B, T) scaled by the extremes of the windows that hold it, to [-1, 1]."""
            rows = row_ends.ends([self.batch_length(n) for n in length.tolist()], 1, wave.device)
            lowest = -row_ends.amax(-wave, rows, (1,), keepdim=True)
            highest = row_ends.amax(wave - lowest, rows, (1,), keepdim=True)
            return 2 * ((wave - lowest) / (highest + TINY)) - 1

        @full_precision
        def image(self, scaled: Tensor) -> Tensor:
            """The network's input (N, 192, 128) of scaled windows (N, 32000)."""
            padded = nn.functional.pad(scaled, (0, FFT + HOP * (FRAMES - 1) - SIZE))
            power = torch.fft.rfft(padded.unfold(1, FFT, HOP) * self.hann).abs().square()  # (N, 200, 201)
            energy = power @ self.mel
            smooth = self.smoother @ energy
            levelled = (energy / (TINY + smooth) ** GAIN + OFFSET) ** POWER - OFFSET**POWER
            return nn.functional.interpolate(levelled[:, None], (ROWS, BANDS), mode="bilinear")[:, 0]

        def fbank(self, wave: Tensor, length: Tensor) -> Tensor:
            """The input (B, windows * 192, 128) of clips of as many windows, one window after another."""
            scaled = self.scaled(wave, length) if card.policy == "joint" else wave
            windows = scaled.unflatten(1, (-1, SIZE)).flatten(0, 1)
            if card.policy != "joint":
                windows = self.scaled(windows, length.new_full((len(windows),), SIZE))
            return self.image(windows).unflatten(0, (len(wave), -1)).flatten(1, 2)

        def encode(self, wave: Tensor, length: Tensor) -> Tokens:
            joint, pieces = card.policy == "joint", wave.shape[1] // SIZE

            def window(part: Tensor, left: Tensor) -> Tokens:
                scaled = part if joint else self.scaled(part, torch.full_like(left, SIZE))
                image = self.tap("spectrogram", self.image(scaled), pieces)
                patches = self.net.patch_embed(image[:, None]).flatten(2).transpose(1, 2)  # time-major
                patches = self.tap("patches", patches, pieces).transpose(1, 2).unflatten(2, GRID)
                outputs = self.net(patches)
                outputs[-1] = self.net.norm(outputs[-1])
                count, valid = torch.full_like(left, GRID[0]), -(-left * GRID[0] // SIZE)
                layers = tuple(
                    Grid(y[:, 1:].unflatten(1, GRID), count, self.card.grid[0], f"block{i}", valid, y[:, 0])
                    for i, y in enumerate(outputs, start=1)
                )
                return Tokens(layers, self.net.pooler(outputs[-1][:, 0]))

            return encode_windows(window, self.scaled(wave, length) if joint else wave, length, SIZE)

    if weights is None:
        encoder = Hear(vit.Geometry(*LARGE, gelu="tanh"), FEATURES)
        vit.initialise(encoder.net)
        return encoder.eval()
    tensors = rename_tensors(load_tensors(weights, *ANCHORS), weights)
    geometry, features = read_geometry(tensors, weights)
    sizes = {
        "hidden_size": geometry.width,
        "num_hidden_layers": geometry.depth,
        "num_attention_heads": geometry.width // geometry.head,
        "intermediate_size": geometry.hidden,
        "patch_size": PATCH,
        "pooler_output_size": features,
    }
    newest = "take the folder google/hear-pytorch at its newest revision"
    require_settings(weights, SETTINGS | sizes, newest)
    encoder = Hear(geometry, features)
    load_strict(encoder.net, tensors, (), weights)
    return encoder.eval()
