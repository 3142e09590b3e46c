"""Masked Modeling Duo: a ViT-B that predicts the features of masked spectrogram patches.

Papers: Niizumi et al., Masked modeling duo: Towards a universal audio pre-training framework, IEEE/ACM TASLP 2024
(arXiv 2404.06095; first ICASSP 2023, arXiv 2210.14648); M2D-CLAP, Interspeech 2024 (arXiv 2406.02032) and 2025
(arXiv 2503.22104); M2D+Resp: Towards pre-training an effective respiratory audio foundation model, Interspeech 2025
(arXiv 2505.15307). Checkpoints: https://github.com/nttcslab/m2d/releases and
https://github.com/nttcslab/eval-audio-repr/releases, zip archives of a folder whose name tells the geometry.
**Licence of the weights: NTT's evaluation agreement: internal testing and analysis only; no distribution, no
modification, no reverse engineering** (LICENSE.pdf of nttcslab/m2d at f0c4128, LICENSE of nttcslab/eval-audio-repr at
88ba772). None of NTT's code is in this file. Trained on: AudioSet; ``m2d.clap`` also on captions of it; ``m2d.resp``
also on ICBHI (the official train recordings), CoughVID (recordings in which a cough was detected) and HF Lung V2, of
which the notebooks in ``plugin/OPERA`` of the latter repository make the 400,000 respiratory entries of its name. The
released file has a later date than the run that their README tells; that it had the same data is unverified.

Front end: 80 Slaney mel bands of 25/10 ms frames, 50 Hz to half the rate, ln(power + float32 epsilon), then
(x - mean) / std with the file's ``norm_stats``; files of 2022, which have none, stand for -7.1 and 4.2, and any other
without them is refused. Frames are padded at the end with zeros to whole
patches and cut into chunks of the input width; tokens of all chunks are joined over time; a last, shorter chunk takes
the first columns of the position grid. Padded columns stay in every mean.
``published`` = ``freq`` of the last layer, after the norm: the mean over time with the frequency bands kept apart (5 x
768 = 3840), as eval-audio-repr takes it. ``cls`` is the mean of the chunks' class tokens.
Geometry: patch and widths from the tensors (heads = width // 64); bands and the rate from the folder's name where it
is kept (``…-80x608p16x16p16k-…/checkpoint-300.pth``: 80 bands, 608 frames, patches of 16 x 16, 16 kHz; ``p32k`` is
32 kHz), else 80 bands and the card's rate. Names in fine-tuned files begin with ``module.ar.runtime.backbone.``, in
others with ``backbone.`` or with nothing. Deviations: none known. Decoders, momentum networks, heads and text towers
are ignored. ``m2d.clap`` gives the audio encoder's features, not those projected into the space of its texts.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.encoders.weights.unwrap import BESIDE, OUTSIDE
from bench.types import EncoderCard, Weights
from model_zoo._adapters.cards import dims

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from model_zoo._networks.vit import Geometry

BANDS, RATE, LOW_HZ, HOP_S = 80, 16000, 50.0, 0.01
NORM_STATS = (-7.1, 4.2)  # mean and standard deviation that the code sets for the files of 2022, which have none
FROM_2022 = re.compile(r"-22\d{4}(?!\d)")  # the date in a released folder's name
PREFIXES = ("module.ar.runtime.backbone.", "backbone.")
IGNORED = (
    r"mask_token",
    r"(decoder|target|momentum|predictor|head|fc_norm|audio|text|semantic|clap)(_.*|\..*)",
    r"logit_scale",
    r"module\..*",  # of a fine-tuned file, whose encoder is under the first prefix
)
NAMED = re.compile(r"(\d+)x(\d+)p(\d+)x(\d+)(?:p(\d+)k)?")  # bands, frames, patch, kHz
BASE = (768, 12, 3072)  # channels, blocks, channels inside the MLP
LICENCE = "NTT evaluation licence: internal testing only, no distribution, no modification"
M2D = "https://github.com/nttcslab/m2d/releases/download/v0.1.0"
EVAR = "https://github.com/nttcslab/eval-audio-repr/releases/download/0.1.0"
NOTE = (
    "weights under NTT's evaluation licence; geometry and sampling rate are read from the name of the folder in the "
    "released archive"
)


class Sizes(NamedTuple):
    """What a folder's name says: mel bands, frames of a chunk, a patch (bands, frames), rate in Hz."""

    bands: int
    frames: int
    patch: tuple[int, int]
    rate: int


def sizes_in_name(name: str) -> Sizes | None:
    """The sizes in a name, None where there are none; the rate is 16 kHz unless the name says otherwise."""
    if not (match := NAMED.search(name)):
        return None
    bands, frames, high, wide, khz = (int(size or 0) for size in match.groups())
    return Sizes(bands, frames, (high, wide), khz * 1000 or RATE)


def _card(id: str, folder: str, file: str, release: str, **facts: object) -> EncoderCard:
    bands, frames, (high, wide), rate = sizes_in_name(folder)
    rows = bands // high
    shared = {
        "version": 1,
        "sample_rate": rate,
        "min_s": 0.02,
        "year": 2024,
        "dims": dims(BASE[0], rows, published=rows * BASE[0], cls=True),
        "frontend": _frontend(rate, bands, frames // wide * wide),
        "citation": "Niizumi et al., Masked modeling duo, IEEE/ACM TASLP 2024",
        "licence": LICENCE,
        "grid": (wide * HOP_S, rows),
        "layers": BASE[1],
        "weights": (Weights(f"{folder}/{file}", (f"{release}/{folder}.zip",), licence=LICENCE),),
        "trained_on": ("audioset",),
        "parity": "golden",
        "default_pooling": "published",
        "notes": NOTE,
    }
    return EncoderCard(id=id, **(shared | facts))


def _frontend(rate: int, bands: int, width: int) -> str:
    bank = f"log-mel, {bands} Slaney bands from 50 Hz, 25 ms frames every 10 ms"
    return f"{bank}, chunks of {width} frames, {rate // 1000} kHz"


CARDS = (
    _card(
        "m2d.80x608p16x16",
        "m2d_vit_base-80x608p16x16-221006-mr7",
        "checkpoint-300.pth",
        M2D,
        params=85_400_832,
    ),
    _card(
        "m2d.80x200p16x4",
        "m2d_vit_base-80x200p16x4-230529",
        "checkpoint-300.pth",
        M2D,
        params=85_299_456,
    ),
    _card(
        "m2d.resp",
        "m2d_vit_base-80x608p16x16p16k-250826-AS+Resp400K",
        "checkpoint-50.pth",
        EVAR,
        params=85_400_832,
        year=2025,
        citation="Niizumi et al., Towards pre-training an effective respiratory audio foundation model, "
        "Interspeech 2025",
        trained_on=("audioset", "coughvid", "icbhi", "hf_lung"),
        notes=NOTE + "; trained on what its authors' notebooks collect, as far as is known: the release lists no files",
    ),
    _card(
        "m2d.clap",
        "m2d_clap_vit_base-80x608p16x16-240128",
        "checkpoint-300.pth",
        M2D,
        params=85_400_832,
        citation="Niizumi et al., M2D-CLAP: Masked modeling duo meets CLAP, Interspeech 2024",
        parity="self-consistent",
        notes=NOTE + "; gives the audio encoder's features, not those projected into the space of texts",
    ),
)


class Layout(NamedTuple):
    """What tensors and folder say of an encoder.

    ``blocks`` are the sizes of the transformer blocks, ``bands`` the mel bands, ``patch`` is (bands, frames), ``grid``
    is (F', T'), ``rate`` in Hz (None where no folder names it).
    """

    blocks: Geometry
    bands: int
    patch: tuple[int, int]
    grid: tuple[int, int]
    rate: int | None = None


def read_geometry(tensors: Mapping[str, Tensor], where: object) -> Layout:
    """The layout of an M2D encoder whose file is at ``where``. Raises ``CheckpointError``."""
    from bench.base.errors import CheckpointError
    from model_zoo._networks import vit

    remedy = "take a checkpoint of the releases, in the folder that it came in"
    blocks = vit.read_geometry(tensors, where)
    try:
        _, _, high, wide = tensors["patch_embed.proj.weight"].shape
        positions = tensors["pos_embed"].shape[1] - 1
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointError(where, f"lacks the tensors of M2D ({error})", remedy) from error
    in_folder = sizes_in_name(Path(str(where)).parent.name)
    bands = in_folder.bands if in_folder else BANDS
    rows = bands // high
    grid = (rows, in_folder.frames // wide if in_folder else positions // max(rows, 1))
    if positions < 1 or positions != grid[0] * grid[1] or (in_folder and in_folder.patch != (high, wide)):
        expectation = f"its folder says {in_folder}" if in_folder else f"{bands} bands do not give"
        raise CheckpointError(where, f"has {positions} positions of {high} x {wide} patches, {expectation}", remedy)
    return Layout(blocks, bands, (high, wide), grid, in_folder.rate if in_folder else None)


def with_statistics(tensors: Mapping[str, Tensor], where: object) -> dict[str, Tensor]:
    """The tensors with the mean and standard deviation of the input among them, as ``norm_stats``.

    A file may hold these outside the network's prefix; those of 2022 were released without. Raises ``CheckpointError``
    for a file of another name that has none: what it was trained with cannot be known; and for one that has several.
    """
    import torch

    from bench.base.errors import CheckpointError

    if "norm_stats" in tensors:
        return dict(tensors)
    outside = [name for name in tensors if re.fullmatch(rf"({BESIDE}|{OUTSIDE})(.*\.)?norm_stats", name)]
    if len(outside) == 1:
        return {"norm_stats" if name in outside else name: tensor for name, tensor in tensors.items()}
    if outside:
        listed = ", ".join(name.removeprefix(BESIDE).removeprefix(OUTSIDE) for name in outside)
        problem = f"holds several norm_stats ({listed}), and which are the encoder's is open"
        raise CheckpointError(where, problem, "save the tensors that are meant in a file of their own")
    if FROM_2022.search(Path(str(where)).parent.name):
        return {**tensors, "norm_stats": torch.tensor(NORM_STATS)}
    problem = "lacks norm_stats, the mean and standard deviation of its input, which only files of 2022 may leave out"
    raise CheckpointError(where, problem, "take the released file, in the folder that it came in")


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The encoder with the released weights, or as its training starts at the card's geometry."""
    import dataclasses

    import torch

    from bench.base.errors import CheckpointError
    from bench.encoders.weights.read import load_tensors
    from model_zoo._adapters.adapter import full_precision
    from model_zoo._adapters.checkpoint import load_strict
    from model_zoo._adapters.frontend import MelSpectrogram
    from model_zoo._networks import vit
    from model_zoo._networks.mel_chunks import ChunkedPatchEncoder

    class M2d(ChunkedPatchEncoder):
        def __init__(self, layout: Layout):
            rate = layout.rate or card.sample_rate
            frontend = _frontend(rate, layout.bands, layout.grid[1] * layout.patch[1])
            mel = MelSpectrogram(rate, rate // 40, rate // 100, layout.bands, LOW_HZ, rate / 2)
            told = dataclasses.replace(card, sample_rate=rate, frontend=frontend)
            super().__init__(told, mel, layout.blocks, layout.patch, layout.grid, HOP_S)
            self.net.register_buffer("norm_stats", torch.tensor(NORM_STATS))

        @full_precision
        def fbank(self, wave: Tensor, length: Tensor) -> Tensor:
            """Normalised log-mel (B, frames, bands) of wave (B, batch_length)."""
            mean, std = self.net.norm_stats
            return ((self.frontend(wave, length) + torch.finfo(torch.float32).eps).log() - mean) / std

    if weights is None:
        bands, frames, patch, _ = sizes_in_name(card.weights[0].file)
        layout = Layout(vit.Geometry(*BASE), bands, patch, (bands // patch[0], frames // patch[1]))
        encoder = M2d(layout)
        encoder.net.initialise()
        return encoder.eval()
    anchors = ("patch_embed.proj.weight", "blocks.0.attn.qkv.weight")
    tensors = load_tensors(weights, *anchors, entry="model", prefixes=PREFIXES)
    layout, own = read_geometry(tensors, weights), sizes_in_name(card.id)
    if own and own.patch != layout.patch:
        problem = "has patches of {} x {} (bands x frames)".format(*layout.patch)
        raise CheckpointError(weights, problem + f", {card.id} others", "take the id that fits the file")
    encoder = M2d(layout)
    load_strict(encoder.net, with_statistics(tensors, weights), IGNORED, weights)
    return encoder.eval()
