"""PaSST: an audio spectrogram transformer whose training drops patches (patchout), tagger of AudioSet.

Paper: Koutini et al., Efficient training of audio transformers with patchout, Interspeech 2022 (arXiv 2110.05069).
Checkpoint: ``passt-s-f128-p16-s10-ap.476-swa.pt`` of https://github.com/kkoutini/PaSST, release v0.0.1-audioset, which
its code calls ``passt_s_swa_p16_128_ap476``; the address is the code's (https://github.com/kkoutini/passt_hear21,
5f1cce6), the file was not at hand, and the digest is the one that five public projects hold. Other releases for 10 s
and a hop of 10 ms are read too when they are named as the weights. Licence: Apache-2.0 (LICENSE of kkoutini/PaSST at
2a5c818); nothing is said of the weights by themselves. Trained on: ImageNet (initialisation, by the paper), AudioSet
(supervised, by the README).

Front end: 32 kHz, pre-emphasis, kaldi log-mel of 128 bands up to 15 kHz, 25 ms every 10 ms, ln(power + 1e-5),
(x + 4.5) / 5, each clip mirrored about its own ends. Patches of 16 x 16 every 10 frames and bands.
``published`` is what the authors submitted to HEAR 2021 (``hear21passt.base``): 527 logits, then 768 features, the mean
of class and distillation token. A clip of up to 10 s is taken at its own length; a longer one in windows of 10 s every
2.5 s, of the clip mirrored by 5 s at either end, and ``published`` is their mean. Tokens of such windows lie one after
another, so that parts of the clip come in several of them.
Layers are the outputs of the blocks, the last one after the final norm; ``cls`` is the class token. The second tagger
(``head_dist``), which the original computes nothing with, is ignored. Deviation: clips are batched, each mirrored at
its own end. Parity: front end, tokens and embeddings of a reduced network in the released format, computed by the
authors' own code.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import EncoderCard, Weights
from model_zoo._adapters.cards import dims

if TYPE_CHECKING:
    from torch import Tensor, nn

    from model_zoo._networks.passt import Geometry

RATE = 32000
LONGEST, STEP = 10 * RATE, 5 * RATE // 2  # samples of a window, and between the starts of two
ANCHORS = ("freq_new_pos_embed", "patch_embed.proj.weight")
IGNORED = (r"head_dist\..*",)
RELEASE = "https://github.com/kkoutini/PaSST/releases/download/v0.0.1-audioset"

CARDS = (
    EncoderCard(
        id="passt.s",
        version=1,
        year=2022,
        sample_rate=RATE,
        min_s=0.16,
        dims=dims(768, 12, published=527 + 768, cls=True),
        frontend="pre-emphasis, kaldi log-mel, 128 bands 0-15 kHz, 25 ms frames every 10 ms, 32 kHz",
        citation="Koutini et al., Efficient training of audio transformers with patchout, Interspeech 2022",
        licence="Apache-2.0",
        grid=(0.1, 12),
        layers=12,
        params=85_748_495,
        weights=(
            Weights(
                file="passt-s-f128-p16-s10-ap.476-swa.pt",
                urls=(f"{RELEASE}/passt-s-f128-p16-s10-ap.476-swa.pt",),
                sha256="302903fa8c4aee817b11dc982da0b29aaf8d11a3e722420476d0a12c9db70c2c",
                size=344_665_734,
                licence="Apache-2.0 (repository)",
            ),
        ),
        trained_on=("imagenet", "audioset"),
        parity="golden",
        default_pooling="published",
        notes="published: logits of AudioSet's classes, then features, as submitted to HEAR 2021; clips over 10 s in "
        "windows that overlap",
    ),
)


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The transformer with the released weights, or untrained at full size."""
    import dataclasses

    import torch

    from bench.encoders.weights.read import load_tensors
    from bench.types import Grid, Tokens
    from model_zoo._adapters import row_ends
    from model_zoo._adapters.adapter import Adapter, full_precision
    from model_zoo._adapters.checkpoint import load_strict
    from model_zoo._adapters.frontend import EmphasisedMel, pad_reflected
    from model_zoo._networks import passt as network

    def windows(wave: Tensor, length: Tensor, counts: list[int]) -> tuple[Tensor, Tensor]:
        """The windows (N, samples) of the clips of wave (B, T), ``counts`` of each, and their lengths (N,)."""
        if max(counts) == 1:
            return wave, length
        parts, sizes = [], []
        for clip, n, count in zip(wave, length.tolist(), counts, strict=True):
            if count == 1:
                parts.append(torch.nn.functional.pad(clip, (0, LONGEST))[None, :LONGEST])
            else:
                own = pad_reflected(clip[None, :n], length.new_tensor([n]), LONGEST // 2)[0]
                parts.append(own.unfold(0, LONGEST, STEP))
            sizes += [min(n, LONGEST)] * count
        return torch.cat(parts), length.new_tensor(sizes)

    class Passt(Adapter):
        ragged = True
        offers = frozenset({"spectrogram", "patches"})

        def __init__(self, geometry: Geometry):
            width, net = geometry.blocks.width, network.Passt(geometry)
            offered = dims(width, net.bands, published=geometry.classes + width, cls=True)
            hop_s = geometry.stride * EmphasisedMel.hop / RATE
            facts = {"dims": offered, "grid": (hop_s, net.bands), "layers": geometry.blocks.depth}
            super().__init__(dataclasses.replace(card, **facts))
            self.net, self.frontend = net, EmphasisedMel()

        def batch_length(self, n: int) -> int:
            """The most samples that give as many frames as n; of a clip in windows, its own."""
            return n if n > LONGEST else self.frontend.samples(n)

        @full_precision
        def fbank(self, wave: Tensor, length: Tensor) -> Tensor:
            """Normalised log-mel (B, frames, bands) of wave (B, samples), of up to 10 s."""
            return self.frontend(wave, length)

        def encode(self, wave: Tensor, length: Tensor) -> Tokens:
            counts = [n // STEP + 1 if n > LONGEST else 1 for n in length.tolist()]
            wave, sizes = windows(wave, length, counts)
            columns = [self.net.columns(self.frontend.frames(n)) for n in sizes.tolist()]
            pieces = max(counts)
            x = self.tap("spectrogram", self.fbank(wave, sizes), pieces)
            rows = row_ends.ends(columns, 1, wave.device)
            outputs, logits = self.net(x, rows, lambda patches: self.tap("patches", patches, pieces))
            last = outputs[-1][:, : network.LEADING].mean(dim=1)
            first = [sum(counts[:i]) for i in range(len(counts))]
            inside = length.new_tensor([count * columns[i] for i, count in zip(first, counts, strict=True)])
            grids = []
            for i, y in enumerate(outputs, start=1):
                tokens = y[:, network.LEADING :].unflatten(1, (self.net.bands, -1)).transpose(1, 2)
                cls = row_ends.mean_of_pieces(y[:, 0], counts)
                grids.append(Grid(row_ends.joined(tokens, counts), inside, self.card.grid[0], f"block{i}", None, cls))
            clip = row_ends.mean_of_pieces(torch.cat([logits, last], dim=1), counts)
            return Tokens(tuple(grids), clip)

    if weights is None:
        encoder = Passt(network.FULL)
        encoder.net.initialise()
        return encoder.eval()
    tensors = load_tensors(weights, *ANCHORS)
    encoder = Passt(network.read_geometry(tensors, weights))
    load_strict(encoder.net, tensors, IGNORED, weights)
    return encoder.eval()
