"""OpenL3: a convolutional network that learned which sounds and images of videos belong together.

Papers: Cramer et al., Look, listen, and learn more: Design choices for deep audio embeddings, ICASSP 2019; Arandjelovic
and Zisserman, Look, listen and learn, ICCV 2017 (arXiv 1705.08168). Original: https://github.com/marl/openl3 (b0bf9b6),
Keras, weights ``openl3_audio_mel256_env.h5`` in its branch ``models``, which cannot be read here. Checkpoints: those of
its port https://github.com/torchopenl3/torchopenl3 (3cf5485), ``torchopenl3_mel256_{env,music}_512.pth.tar`` in
https://github.com/torchopenl3/torchopenl3-models, addresses as the port's code has them; they were not at hand, and
their digests are not known. Licence: CC BY 4.0 (the original's weights) and Apache-2.0 (the port's), each by its
README; the original's code is MIT. Trained on: videos of AudioSet, of environmental sounds (``env``) or music; their
lists were not seen.

Front end: 48 kHz, windows of 1 s every 0.1 s, the first one centred on the clip's beginning, zeros behind the last; FFT
2048 every 242 samples, 256 mel bands of the file's own matrix, their power's square root in decibels, 0 at a window's
maximum and at least -80.
``published`` are 512 features, the map's maxima in each window, averaged over windows; tokens are the authors' other
embedding (6144), maxima in 4 bands and 3 steps of a window, and windows overlap, so that a sound comes in ten of them.
Policy ``hop1`` takes a window every second, at a tenth of the cost (the same function with another hop). Layers are the
three blocks' maps and the last one, all in these 4 x 3 cells; the authors embed with the last alone.
Unverified: front end and network equal the port's code, whose README tells a mean absolute difference of 1e-6 from the
original over 100 files; the original was not run. Which mel matrix its kapre 0.1.4 computed could not be seen: without
a file it is, as in the port, HTK's scale and filters of equal area.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.types import EncoderCard, Weights
from model_zoo._adapters.cards import dims

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

RATE, FFT, HOP, BANDS = 48000, 2048, 242, 256
WINDOW, CENTRE = RATE, RATE // 2  # samples of a window; zeros before the clip
HOPS = {"upstream": RATE // 10, "hop1": RATE}  # samples between windows
CELLS = (4, 3)  # bands and steps of a window's tokens
AT_ONCE = 8  # windows, whose maps are large
RANGE_DB, FLOOR = 80.0, 1e-10
CONVOLUTIONS = (*(f"conv2d_{i}" for i in range(1, 8)), "audio_embedding_layer")
MEL = "speclayer.mel_basis"
IGNORED = (r"speclayer\..*",)
RELEASE = "https://github.com/torchopenl3/torchopenl3-models/raw/master"
LICENCE = "CC BY 4.0 (original); Apache-2.0 (port)"


def _card(content: str) -> EncoderCard:
    file = f"torchopenl3_mel256_{content}_512.pth.tar"
    return EncoderCard(
        id=f"openl3.{content}",
        version=1,
        year=2019,
        sample_rate=RATE,
        dims=dims(512, CELLS[0], published=512),
        frontend="mel in dB below each window's maximum, 256 bands 0-24 kHz, FFT 2048, hop 242, windows of 1 s, 48 kHz",
        citation="Cramer et al., Look, listen, and learn more: Design choices for deep audio embeddings, ICASSP 2019",
        licence="MIT (code)",
        grid=(WINDOW / RATE / CELLS[1], CELLS[0]),
        layers=4,
        params=4_687_042,
        weights=(Weights(file=file, urls=(f"{RELEASE}/{file}",), licence=LICENCE),),
        trained_on=("audioset",),
        parity="unverified",
        default_pooling="published",
        policies=("upstream", "hop1"),
        policy_parity={"hop1": "unverified"},
        floor_sensitive=("upstream", "hop1"),
        notes="hop1: a window every second, not every 0.1 s",
    )


CARDS = (_card("env"), _card("music"))


class Geometry(NamedTuple):
    """Channels of the eight convolutions."""

    channels: tuple[int, ...]


FULL = Geometry((64, 64, 128, 128, 256, 256, 512, 512))


def read_geometry(tensors: Mapping[str, Tensor], where: object) -> Geometry:
    """The geometry of a checkpoint's tensors. Raises ``CheckpointError``, as where the mel matrix is not among them."""
    from bench.base.errors import CheckpointError

    try:
        geometry = Geometry(tuple(len(tensors[f"{name}.weight"]) for name in CONVOLUTIONS))
        bank = tuple(tensors[MEL].shape)
    except KeyError as error:
        problem = f"lacks the tensors of OpenL3's port ({error})"
        raise CheckpointError(where, problem, "take a file of torchopenl3-models") from error
    if bank != (BANDS, FFT // 2 + 1):
        problem = f"has a mel matrix of {bank}, not {(BANDS, FFT // 2 + 1)}"
        raise CheckpointError(where, problem, "take a file of mel256")
    return geometry


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The network with the released weights, or initialised as the original's at full size."""
    import dataclasses
    import warnings

    import torch
    from torch import nn

    from bench.encoders.blocks import ParameterGroup, split_around_stack
    from bench.encoders.weights.read import load_tensors
    from bench.types import Grid, Tokens
    from model_zoo._adapters import row_ends
    from model_zoo._adapters.adapter import Adapter, full_precision
    from model_zoo._adapters.checkpoint import load_strict
    from model_zoo._adapters.frontend import decibels, mel_bank, mel_centres

    hop = HOPS[card.policy]

    class Net(nn.Module):
        """Windows (N, bands, frames) to four maps (N, D, F', T'), under the port's names."""

        def __init__(self, geometry: Geometry):
            super().__init__()
            inside = (1, *geometry.channels[:-1])
            for i, (name, *sizes) in enumerate(zip(CONVOLUTIONS, inside, geometry.channels, strict=True), start=1):
                self.add_module(f"batch_normalization_{i}", nn.BatchNorm2d(sizes[0], eps=1e-3, momentum=0.01))
                self.add_module(name, nn.Conv2d(*sizes, 3, padding=1))
                nn.init.kaiming_normal_(self.get_submodule(name).weight)
                nn.init.zeros_(self.get_submodule(name).bias)

        def forward(self, x: Tensor) -> list[Tensor]:
            x, maps = x[:, None], []
            for i, name in enumerate(CONVOLUTIONS, start=1):
                x = self.get_submodule(f"batch_normalization_{i}")(x)
                x = x.relu() if i > 1 else x
                if i in (3, 5, 7):
                    x = nn.functional.max_pool2d(x, 2)
                    maps.append(x)
                x = self.get_submodule(name)(x)
            return [*maps, x]

        def stages(self) -> list[nn.Module]:
            """The parameters of each of the four blocks."""
            layers = [
                (self.get_submodule(f"batch_normalization_{i}"), self.get_submodule(name))
                for i, name in enumerate(CONVOLUTIONS, start=1)
            ]
            return [ParameterGroup([*first, *second]) for first, second in zip(layers[::2], layers[1::2], strict=True)]

    class OpenL3(Adapter):
        ragged = True
        offers = frozenset({"spectrogram"})

        def __init__(self, geometry: Geometry, bank: Tensor | None = None):
            width = geometry.channels[-1]
            super().__init__(dataclasses.replace(card, dims=dims(width, CELLS[0], published=width)))
            self.net = Net(geometry)
            if bank is None:
                with warnings.catch_warnings(action="ignore"):  # bands narrower than a bin are empty, as in the port
                    bank = mel_bank(RATE, FFT, BANDS, 0.0, RATE / 2, "htk").T
            bank = bank.float()
            self.register_buffer("mel", bank.contiguous(), persistent=False)
            self.register_buffer("window", torch.hann_window(FFT), persistent=False)
            self.centres = mel_centres(RATE, BANDS, 0.0, RATE / 2, "htk")

        def windows(self, n: int) -> int:
            """Windows of a clip of n samples."""
            return 1 + max(0, -(-(n - CENTRE) // hop))

        def batch_length(self, n: int) -> int:
            """The most samples that give as many windows as n."""
            return CENTRE + hop * (self.windows(n) - 1)

        def blocks(self) -> list[nn.Module]:
            """The blocks of two convolutions each, with the batch norms before them."""
            return split_around_stack(self, self.net.stages())

        @full_precision
        def window_db(self, windows: Tensor) -> Tensor:
            """Decibels (N, frames, bands) of windows (N, samples), 0 at the maximum of each."""
            padding = FFT - WINDOW % HOP
            framed = nn.functional.pad(windows, (padding // 2, padding - padding // 2))
            spectrum = torch.stft(framed, FFT, HOP, window=self.window, center=False, return_complex=True)
            power = spectrum.real.square() + spectrum.imag.square()
            db = decibels((self.mel @ power).sqrt(), FLOOR)
            return (db - db.amax(dim=(1, 2), keepdim=True)).clamp_min(-RANGE_DB).transpose(1, 2)

        def encode(self, wave: Tensor, length: Tensor) -> Tokens:
            counts = [self.windows(n) for n in length.tolist()]
            unfolded = nn.functional.pad(wave, (CENTRE, WINDOW - CENTRE)).unfold(1, WINDOW, hop)
            pieces = row_ends.pieces_of(unfolded, counts, 1)[:, 0]
            x = self.tap(
                "spectrogram", torch.cat([self.window_db(part) for part in pieces.split(AT_ONCE)]), max(counts)
            )
            cells = []
            for part in x.split(AT_ONCE):
                maps = self.net(part.transpose(1, 2))
                cells.append([nn.functional.adaptive_max_pool2d(y, CELLS).permute(0, 3, 2, 1) for y in maps])
            outputs = [torch.cat(parts) for parts in zip(*cells, strict=True)]  # each (N, T', F', D)
            tokens = CELLS[1] * length.new_tensor(counts)
            names = [*(f"block{i}" for i in range(1, len(outputs))), "embedding"]
            layers = tuple(
                Grid(row_ends.joined(y, counts), tokens, self.card.grid[0], name)
                for y, name in zip(outputs, names, strict=True)
            )
            return Tokens(layers, row_ends.mean_of_pieces(outputs[-1].amax(dim=(1, 2)), counts))

    if weights is None:
        return OpenL3(FULL).eval()
    tensors = load_tensors(weights, "conv2d_1.weight", "audio_embedding_layer.weight")
    encoder = OpenL3(read_geometry(tensors, weights), tensors[MEL])
    load_strict(encoder.net, tensors, IGNORED, weights)
    return encoder.eval()
