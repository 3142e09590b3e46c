"""CLAP: audio towers trained to match captions; Microsoft's of 2022 (CNN14) and 2023 (HTS-AT), LAION's (HTS-AT).

Papers: Elizalde et al., CLAP: Learning audio concepts from natural language supervision, ICASSP 2023 (arXiv
2206.04769; ``ms2022``); Elizalde et al., Natural language supervision for general-purpose audio representations, ICASSP
2024 (arXiv 2309.05767; ``ms2023``); Wu et al., Large-scale contrastive language-audio pretraining with feature fusion
and keyword-to-caption augmentation, ICASSP 2023 (arXiv 2211.06687; ``laion``).
Checkpoints: https://huggingface.co/microsoft/msclap (``CLAP_weights_2022.pth``, ``CLAP_weights_2023.pth``; Zenodo
8378278), https://huggingface.co/lukewys/laion_clap (``630k-audioset-best.pt`` and other files without fusion; beside
the network they hold an optimizer with numpy's scalars, by their training code and public code that reads them).
Licence: Microsoft MIT (code, https://github.com/microsoft/CLAP at e8a6467) and MS-PL (weights, by the Hub's page at
c47d441); LAION CC0-1.0 (repository, https://github.com/LAION-AI/CLAP at 1fd4c37, and the Hub's page). The digest of
``ms2023``'s file is the one that many public projects hold.
Trained on: AudioSet (the towers' initialisation) and pairs of sounds and captions. ``ms2022``: the four corpora of its
card. ``ms2023``: those that section 3 of its paper lists, and findsounds.com; the 22 tasks on which its tower was
trained before are not listed there. ``laion``: what the repository's training scripts name beside AudioSet, whose tower
starts from a network that saw ImageNet too; LAION-Audio-630K stands for the collections that it consists of.

Front end: torchlibrosa log-mel in dB with 64 bands of the file's own mel matrix, FFT 1024. ``ms2022``: 44.1 kHz, hop
320, 5 s; ``ms2023``: 44.1 kHz, hop 320, 7 s, under a mel matrix made for 32 kHz, as the release has it; ``laion``: 48
kHz, hop 480, 10 s. Microsoft repeats a shorter clip until the window is full; LAION repeats it whole as often as it
fits and fills up with zeros.
``published``: Microsoft: the projection (two linear layers, the second behind a GELU and added to the first, layer
norm), 1,024 features, not of unit length, as OPERA takes it from ``ms2022``; LAION: the projection (two linear layers,
ReLU) of unit length, 512 features, as eval-audio-repr takes it.
Policies: ``upstream``: longer clips are cropped at 0 where the originals, OPERA and eval-audio-repr crop at random;
``windows``: consecutive windows of that length, the last one treated as a short clip, tokens one after another,
``published`` averaged (not brought to unit length again).
Deviations: LAION's rounding to 16 bits, which it applies to numpy input alone, is not imitated. Text towers,
classifiers, STFT kernels and LAION's ``audio_transform``, which acts on the projection in training alone, are ignored;
``text_tower()`` of a ``laion`` with weights reads its text tower from the same file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.types import EncoderCard, Weights
from model_zoo._adapters.cards import dims

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

FFT = 1024  # samples
IGNORED = (r"caption_encoder\..*", r"text_.*", r"audio_transform\..*", r"logit_scale(_[at])?")


class Variant(NamedTuple):
    """What is particular to one release.

    ``cnn14`` says whether the trunk is CNN14 (else HTS-AT); ``seconds`` are those of its window, ``hop`` is in samples,
    ``mel_rate`` is the rate in Hz that its mel matrix is made for; ``slot`` is the entry of the file that holds the
    tensors; ``names`` are pairs of prefixes in the file, whatever wraps it, and here; the first that fits is taken.
    """

    cnn14: bool
    seconds: int
    hop: int
    mel_rate: int
    slot: str
    names: tuple[tuple[str, str], ...]


VARIANTS = {
    "clap.ms2022": Variant(True, 5, 320, 44100, "model", (("audio_encoder.", ""),)),
    "clap.ms2023": Variant(
        False, 7, 320, 32000, "model", (("audio_encoder.base.htsat.", "base."), ("audio_encoder.", ""))
    ),
    "clap.laion": Variant(
        False,
        10,
        480,
        48000,
        "state_dict",
        (("audio_branch.", "base."), ("audio_projection.", "projection.")),
    ),
}


def _card(
    id: str,
    rate: int,
    year: int,
    citation: str,
    weights: Weights,
    corpora: tuple[str, ...],
    projected: int,
    params: int,
) -> EncoderCard:
    variant = VARIANTS[id]
    width, token_s = (2048, 32 * variant.hop / rate) if variant.cnn14 else (768, variant.seconds / 32)
    return EncoderCard(
        id=id,
        version=1,
        sample_rate=rate,
        max_s=variant.seconds,
        dims=dims(width, 2, published=projected),
        frontend=f"torchlibrosa log-mel in dB, 64 bands, FFT {FFT}, hop {variant.hop}, {variant.seconds} s, {rate} Hz",
        citation=citation,
        licence=weights.licence,
        year=year,
        grid=(token_s, 2),
        layers=6 if variant.cnn14 else 4,
        params=params,
        weights=(weights,),
        trained_on=("audioset", *corpora),
        parity="golden",
        default_pooling="published",
        policies=("upstream", "windows"),
        notes=f"upstream: the first {variant.seconds} s, shorter clips repeated; windows: averaged over consecutive "
        f"windows of {variant.seconds} s",
    )


MICROSOFT = "https://huggingface.co/microsoft/msclap/resolve/main"
MICROSOFT_LICENCE = "MS-PL (the Hub's page); MIT (code)"
CARDS = (
    _card(
        "clap.ms2022",
        44100,
        2023,
        "Elizalde et al., CLAP: Learning audio concepts from natural language supervision, ICASSP 2023",
        Weights(file="CLAP_weights_2022.pth", urls=(f"{MICROSOFT}/CLAP_weights_2022.pth",), licence=MICROSOFT_LICENCE),
        ("fsd50k", "clotho", "audiocaps", "macs"),
        1024,
        82_821_568,
    ),
    _card(
        "clap.ms2023",
        44100,
        2024,
        "Elizalde et al., Natural language supervision for general-purpose audio representations, ICASSP 2024",
        Weights(
            file="CLAP_weights_2023.pth",
            urls=(f"{MICROSOFT}/CLAP_weights_2023.pth",),
            sha256="2cef4016d47d00eb28d153d522f397222057f95000e9bad6b9583c631284a1e6",
            size=689_950_036,
            licence=MICROSOFT_LICENCE,
        ),
        (
            *("fsd50k", "clotho", "audiocaps", "macs", "wavcaps", "wavtext5k", "sounddescs", "nsynth", "fma"),
            *("cmu-mosi", "cmu-mosei", "meld", "iemocap", "msp-podcast", "cochlscene", "ljspeech", "epic-kitchens"),
            *("kinetics700", "findsounds"),
        ),
        1024,
        29_371_544,
    ),
    _card(
        "clap.laion",
        48000,
        2023,
        "Wu et al., Large-scale contrastive language-audio pretraining, ICASSP 2023",
        Weights(
            file="630k-audioset-best.pt",
            urls=("https://huggingface.co/lukewys/laion_clap/resolve/main/630k-audioset-best.pt",),
            licence="CC0-1.0",
        ),
        ("imagenet", "laion-audio-630k", "audiocaps", "clotho", "fsd50k", "macs", "wavtext5k"),
        512,
        28_190_872,
    ),
)


def rename_tensors(tensors: Mapping[str, Tensor], variant: Variant) -> dict[str, Tensor]:
    """Tensors of a release under this module's names: ``base`` (the trunk) and ``projection``."""
    out = {}
    for key, tensor in tensors.items():
        prefix, name = next((pair for pair in variant.names if key.startswith(pair[0])), ("", ""))
        out[name + key.removeprefix(prefix)] = tensor
    return out


def fill_window(wave: Tensor, length: Tensor, whole: bool) -> Tensor:
    """Repeats the first ``length`` samples of each row of wave (N, size) to the end.

    With ``whole``, they are repeated only as often as they fit, and zeros follow.
    """
    import torch

    size = wave.shape[1]
    time = torch.arange(size, device=wave.device)
    repeated = wave.gather(1, time % length[:, None])
    return repeated * (time < (size // length * length)[:, None]) if whole else repeated


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The audio tower with the released weights, or with its trunk's initialisation at full size."""
    import dataclasses
    import functools

    import torch
    from torch import nn

    from bench.base.errors import CheckpointError
    from bench.encoders.blocks import split_around_stack
    from bench.encoders.weights.read import load_tensors
    from bench.types import Grid, Tokens
    from model_zoo._adapters.adapter import full_precision
    from model_zoo._adapters.checkpoint import load_strict
    from model_zoo._adapters.text_tower import read_text_tower
    from model_zoo._adapters.windows import Windowed
    from model_zoo._networks import cnn14 as cnn14_network
    from model_zoo._networks import swin

    id, rate = card.id.partition("@")[0], card.sample_rate
    variant, laion = VARIANTS[id], id == "clap.laion"
    trunk = cnn14_network if variant.cnn14 else swin

    class Microsoft(nn.Module):
        """The projection (B, E) of the trunk's embedding (B, D)."""

        def __init__(self, width: int, projected: int):
            super().__init__()
            self.linear1 = nn.Linear(width, projected, bias=False)
            self.linear2 = nn.Linear(projected, projected, bias=False)
            self.layer_norm = nn.LayerNorm(projected)

        def forward(self, x: Tensor) -> Tensor:
            x = self.linear1(x)
            return self.layer_norm(x + self.linear2(nn.functional.gelu(x)))

    class Laion(nn.Sequential):
        """The projection (B, E) of the trunk's embedding (B, D), of unit length."""

        def __init__(self, width: int, projected: int):
            super().__init__(nn.Linear(width, projected), nn.ReLU(), nn.Linear(projected, projected))

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.normalize(super().forward(x), dim=1)

    class Tower(nn.Module):
        def __init__(self, geometry: cnn14_network.Geometry | swin.Geometry, projected: int):
            super().__init__()
            self.base = cnn14_network.Cnn14(geometry) if variant.cnn14 else swin.HTSAT(geometry)
            width = geometry.embedding if variant.cnn14 else geometry.widths[-1]
            self.projection = (Laion if laion else Microsoft)(width, projected)

        def embedding(self, hidden: Tensor) -> Tensor:
            """The trunk's embedding (B, D) of its last layer (B, T', F', C)."""
            return self.base.embedding((hidden, None)) if variant.cnn14 else hidden.mean(dim=(1, 2))

    class Clap(Windowed):
        offers = frozenset({"spectrogram"} if variant.cnn14 else {"spectrogram", "patches"})

        def __init__(
            self, geometry: cnn14_network.Geometry | swin.Geometry, projected: int, bank: Tensor | None = None
        ):
            offered = dims(geometry.widths[-1], 2, published=projected)
            layers = len(geometry.widths)
            super().__init__(dataclasses.replace(card, dims=offered, layers=layers), variant.seconds * rate)
            self.net = Tower(geometry, projected)
            self.frontend = cnn14_network.LogMel(variant.mel_rate, FFT, variant.hop, bank=bank)

        @full_precision
        def fbank(self, wave: Tensor, length: Tensor) -> Tensor:
            """Log-mel in dB (N, frames, 64) of wave (N, window), zero after each row's ``length``."""
            return self.frontend(fill_window(wave, length, laion), torch.full_like(length, self.size))

        def _patches(self, x: Tensor) -> Tensor:
            """HTS-AT's patch embeddings (N, H, W, D)."""
            patches = self.net.base.patches(x)
            return self.tap("patches", patches.flatten(1, 2), self.pieces).unflatten(1, patches.shape[1:3])

        def blocks(self) -> list[nn.Module]:
            """The trunk's blocks, then what makes its output the published embedding."""
            base, projection = self.net.base, self.net.projection
            if variant.cnn14:
                return split_around_stack(self, base.stages(), [base.fc1, projection])
            return split_around_stack(self, base.blocks(), [base.norm, projection])

        def window(self, wave: Tensor, length: Tensor) -> Tokens:
            x = self.tap("spectrogram", self.net.base.normalised(self.fbank(wave, length)), self.pieces)
            outputs = [y for y, _ in self.net.base(x)] if variant.cnn14 else self.net.base(self._patches(x))
            audio = self.size // length * length if laion else torch.full_like(length, self.size)
            layers = []
            for i, y in enumerate(outputs):
                hop_s = cnn14_network.STRIDES[i] * variant.hop / rate if variant.cnn14 else variant.seconds / y.shape[1]
                valid = -(-audio * y.shape[1] // self.size)
                name = f"{'block' if variant.cnn14 else 'stage'}{i + 1}"
                layers.append(Grid(y, torch.full_like(length, y.shape[1]), hop_s, name, valid))
            return Tokens(tuple(layers), self.net.projection(self.net.embedding(outputs[-1])))

    if weights is None:
        return Clap(cnn14_network.FULL if variant.cnn14 else swin.TINY, card.dims["published"]).eval()
    (trunk_prefix, _), *_ = variant.names
    anchors = [trunk_prefix + name for name in ("bn0.weight", "base.bn0.weight")]
    tensors = rename_tensors(load_tensors(weights, *anchors, entry=variant.slot), variant)
    base = {key.removeprefix("base."): tensor for key, tensor in tensors.items() if key.startswith("base.")}
    first = "projection.0.weight" if laion else "projection.linear1.weight"
    if first not in tensors:
        raise CheckpointError(weights, f"lacks the audio projection of {id} ({first})", "check file and encoder")
    bank = cnn14_network.stored_bank(base, FFT, weights)
    encoder = Clap(trunk.read_geometry(base, weights), len(tensors[first]), bank)
    load_strict(encoder.net, tensors, (*IGNORED, *(rf"base\.{pattern}" for pattern in trunk.IGNORED)), weights)
    if laion:
        encoder.text_tower = functools.partial(read_text_tower, weights)
    return encoder.eval()
