"""BEATs: a transformer on spectrogram patches, pretrained to predict the labels of acoustic tokenizers.

Paper: Chen et al., BEATs: Audio pre-training with acoustic tokenizers, ICML 2023 (arXiv 2212.09058).
Checkpoint: https://github.com/microsoft/unilm/tree/master/beats (OneDrive links; the copies on the Hub are named by
revision and pinned by digest). ``beats.iter3`` is ``BEATs_iter3.pt``, self-supervised; ``beats.iter3_ft`` is
``BEATs_iter3_finetuned_on_AS2M_cpt1.pt``, fine-tuned on AudioSet's labels. ``beats.iter3_plus_as2m`` and
``beats.iter3_plus_as20k`` are ``BEATs_iter3_plus_AS2M.pt`` and ``BEATs_iter3_plus_AS20K.pt``: their tokenizer was
distilled from a model fine-tuned on the labels of AudioSet's whole or balanced training set, so that they have seen
labels indirectly; ``…_ft`` and ``…_ft2`` are the two runs of fine-tuning of each (``cpt1``, ``cpt2``). All are one
network, built from the file's ``cfg`` (README of microsoft/unilm: that at b51f767 has these links, that at 5bdcf47 has
others under the same names). Their digests are those that a public loader holds of all fifteen files, which gives for
``iter3``, ``iter3_ft`` and ``iter3_plus_as2m`` the ones of the copies on the Hub; no released file of iter3+ was at
hand. Tokenizers, released beside them, are refused as files that lack the network's tensors. The other iterations are
read as well when they are named as the weights. Licence: MIT (the repository's LICENSE, to which that README points; it
says nothing of the weights by themselves). Trained on: AudioSet.

Front end: waveform scaled by 2^15, kaldi log-mel with its defaults (Povey window, 128 bands from 20 Hz, 25/10 ms), no
dither, (x - 15.41663) / (2 * 6.55582), the whole clip in one pass. Patches are 16 x 16 frames by bands; the last
frames that do not fill one are left out, so a clip needs 0.175 s. Tokens are time-major: 0.16 s by 8 bands.
``published`` is the mean of the last block's tokens, which eval-audio-repr takes and the fine-tuned classifier
averages (it is linear in them). Class probabilities are never returned: ``predictor.*`` of a fine-tuned file is
ignored.

Policy ``upstream``: each clip as if alone, without padding or mask. Policy ``upstream-mask``: each clip as the original
answers it in a batch whose longest clip lasts 10 s (AudioSet's length): zero-padded to 10 s and masked; a longer clip
is itself the longest and needs no mask. The original's mask counts samples in steps of samples // frames and tokens in
steps of frames // tokens, so it ends inside a column of patches and lets a little padding in: ``published`` is the mean
over the unmasked tokens, every other pooling counts the columns that the mask leaves whole. Because the companion's
length is fixed, an embedding does not depend on what it is batched with.

The geometry is read from the tensors, must agree with the file's ``cfg``, and takes from it what shapes do not tell
(largest distance, deep norm). The position table is tied: layer 0's serves all, the copies of the other layers are
ignored. Deviations: dropout and layer drop do not exist here; the scaling of gradients from layer to layer
(``layer_wise_gradient_decay_ratio``) is not imitated in fine-tuning. The untrained twin has the original's
initialisation.
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

    from model_zoo._networks.beats import Geometry

RATE, BANDS, PATCH = 16000, 128, 16
FRAME, HOP = 400, 160  # samples of kaldi's frames
MEAN, STD = 15.41663, 6.55582  # over AudioSet, published with the code
BATCH_S = 10.0  # of the longest clip of a batch under upstream-mask
TIED = r"encoder\.layers\.[1-9]\d*\.self_attn\.relative_attention_bias\.weight"
IGNORED = (r"predictor\..*", TIED)
WRITTEN = {  # the options of a ``cfg`` that this network is written for
    "activation_fn": "gelu",
    "layer_norm_first": False,
    "relative_position_embedding": True,
    "gru_rel_pos": True,
}
HUB = "https://huggingface.co/lpepino/beats_ckpts/resolve/5b53b0404df452a3a607d7e67687227730e5bad1"
ONEDRIVE = "https://1drv.ms/u/s!AqeByhGUtINrgcp"
TEACHER = "by a tokenizer whose teacher had learnt AudioSet's labels"


def _onedrive(file: str, link: str, sha256: str) -> Weights:
    """A file that is linked on OneDrive alone, by the end of its address."""
    return Weights(file=file, urls=(ONEDRIVE + link,), sha256=sha256, licence="MIT")


def _card(name: str, weights: Weights, notes: str) -> EncoderCard:
    return EncoderCard(
        id=f"beats.{name}",
        version=1,
        year=2023,
        sample_rate=RATE,
        min_s=(FRAME + HOP * (PATCH - 1)) / RATE,
        dims=dims(768, BANDS // PATCH, published=768),
        frontend="kaldi log-mel x 2^15, 128 bands from 20 Hz, 25 ms frames every 10 ms, Povey window, 16 kHz",
        citation="Chen et al., BEATs: Audio pre-training with acoustic tokenizers, ICML 2023",
        licence="MIT",
        grid=(PATCH * HOP / RATE, BANDS // PATCH),
        layers=12,
        params=90_311_792,
        weights=(weights,),
        trained_on=("audioset",),
        parity="golden",
        policy_parity={"upstream-mask": "golden"},
        default_pooling="published",
        policies=("upstream", "upstream-mask"),
        floor_sensitive=("upstream", "upstream-mask"),
        notes=f"{notes}; upstream-mask: padded to 10 s and masked, as the original does in a batch",
    )


CARDS = (
    _card(
        "iter3",
        Weights(
            file="BEATs_iter3.pt",
            urls=(f"{HUB}/BEATs_iter3.pt", "https://1drv.ms/u/s!AqeByhGUtINrgcpxJUNDxg4eU0r-vA?e=qezPJ5"),
            sha256="8d1b234032a9ccff353612dc6c20982346dc2968b205b79d97303eb5e77bfb34",
            size=361_499_833,
            licence="MIT",
        ),
        "self-supervised",
    ),
    _card(
        "iter3_ft",
        Weights(
            file="BEATs_iter3_finetuned_on_AS2M_cpt1.pt",
            urls=(
                f"{HUB}/BEATs_iter3_finetuned_on_AS2M_cpt1.pt",
                "https://1drv.ms/u/s!AqeByhGUtINrgcplb48ll1zIt82eWQ?e=XyxrX7",
            ),
            sha256="379369a41d0b3749f746cdcea8036de506cb3aedecce84de7db0a75fda2a4fe7",
            size=363_145_291,
            licence="MIT",
        ),
        "fine-tuned on AudioSet's labels",
    ),
    _card(
        "iter3_plus_as2m",
        Weights(
            file="BEATs_iter3_plus_AS2M.pt",
            urls=(f"{HUB}/BEATs_iter3_plus_AS2M.pt", f"{ONEDRIVE}ke6_lRSZEKD5j2Q?e=A3FpOf"),
            sha256="d43cbfad4d7b56381c061d7a24774f908d4d94c72961f6eb1d9090ff18cd8d34",
            size=361_499_833,
            licence="MIT",
        ),
        f"self-supervised, {TEACHER}",
    ),
    _card(
        "iter3_plus_as2m_ft",
        _onedrive(
            "BEATs_iter3_plus_AS2M_finetuned_on_AS2M_cpt1.pt",
            "oZecQbiXeaUjN8A?e=DasbeC",
            "7f9362028ac6e5c049e8dc314d87e90e4f82a15a8e472deb56af55d7f9b34d6a",
        ),
        "fine-tuned on AudioSet's labels, first run",
    ),
    _card(
        "iter3_plus_as2m_ft2",
        _onedrive(
            "BEATs_iter3_plus_AS2M_finetuned_on_AS2M_cpt2.pt",
            "j8ujXH1YUtxooEg?e=E9Ncea",
            "e5815275a04b6885e7b8af63d120b29bffae2cd2225cf4915e1ec6d819d3022c",
        ),
        "fine-tuned on AudioSet's labels, second run",
    ),
    _card(
        "iter3_plus_as20k",
        _onedrive(
            "BEATs_iter3_plus_AS20K.pt",
            "vdNz8-aYim60CIg?e=53V8pg",
            "8008b126bb5e8ab08912c60c58847ed676d32e64a5864c922356b7c2522fb2f8",
        ),
        f"self-supervised, {TEACHER} (balanced subset)",
    ),
    _card(
        "iter3_plus_as20k_ft",
        _onedrive(
            "BEATs_iter3_plus_AS20K_finetuned_on_AS2M_cpt1.pt",
            "2YHUCT1uZx2Kysw?e=nvu1Dw",
            "2c366278dcf835e9bdefad4f7147b0edba4b940c59146fd05dc49a401fa82ff8",
        ),
        "fine-tuned on AudioSet's labels, first run",
    ),
    _card(
        "iter3_plus_as20k_ft2",
        _onedrive(
            "BEATs_iter3_plus_AS20K_finetuned_on_AS2M_cpt2.pt",
            "092af0h7P3kXKFA?e=kUkPhN",
            "6d28b32bfa7bcaaf84ab834186581c2a360c6669e372e808d054cf0ef4d5c2d2",
        ),
        "fine-tuned on AudioSet's labels, second run",
    ),
)


def read_geometry(checkpoint: Mapping, where: object) -> Geometry:
    """Reads the geometry of a checkpoint ``{cfg, model}``. Raises ``CheckpointError``."""
    from bench.base.errors import CheckpointError
    from model_zoo._networks.beats import Geometry

    remedy = "take a BEATs_iter*.pt file of the release"
    try:
        cfg, tensors = checkpoint["cfg"], checkpoint["model"]
        width, group, kernel = tensors["encoder.pos_conv.0.weight_v"].shape
        first = "encoder.layers.0.self_attn"
        geometry_options = {
            "encoder_layers": 1 + max(int(k.split(".")[2]) for k in tensors if k.startswith("encoder.layers.")),
            "encoder_embed_dim": width,
            "encoder_ffn_embed_dim": tensors["encoder.layers.0.fc1.weight"].shape[0],
            "encoder_attention_heads": tensors[f"{first}.grep_a"].shape[1],
            "embed_dim": tensors["patch_embedding.weight"].shape[0],
            "input_patch_size": tensors["patch_embedding.weight"].shape[2],
            "conv_bias": "patch_embedding.bias" in tensors,
            "conv_pos": kernel,
            "conv_pos_groups": width // group,
            "num_buckets": tensors[f"{first}.relative_attention_bias.weight"].shape[0],
        }
        options = {key: (cfg.get(key, value), value) for key, value in (geometry_options | WRITTEN).items()}
        differing = [
            f"{key} {given!r} instead of {value!r}" for key, (given, value) in options.items() if given != value
        ]
        geometry = Geometry(
            *geometry_options.values(), distance=int(cfg["max_distance"]), deep_norm=bool(cfg["deep_norm"])
        )
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, ZeroDivisionError) as error:
        raise CheckpointError(where, f"lacks the cfg or the tensors of BEATs ({error!r})", remedy) from error
    if differing:
        raise CheckpointError(where, f"its cfg says {', '.join(differing)}", remedy)
    return geometry


def require_variant(card: EncoderCard, tensors: Mapping[str, Tensor], where: object) -> None:
    """Raises ``CheckpointError`` where a fine-tuned file is loaded as a self-supervised one or the reverse."""
    from bench.base.errors import CheckpointError

    tuned = any(key.startswith("predictor.") for key in tensors)
    plain = re.sub(r"_ft2?$", "", asked := card.id.partition("@")[0])
    if tuned != (plain != asked):
        kinds = ("a self-supervised file", plain), ("a fine-tuned file (it has a classifier)", f"{plain}_ft")
        kind, id = kinds[tuned]
        raise CheckpointError(where, f"is {kind}, not one for {card.id}", f"load it as {id}")


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The transformer with the released weights, or with the original's initialisation at the released geometry."""
    import dataclasses

    import torch

    from bench.encoders.blocks import split_around_stack
    from bench.encoders.weights.read import load_content
    from bench.encoders.weights.unwrap import unwrap
    from bench.types import Grid, Tokens
    from model_zoo._adapters.adapter import Adapter, full_precision
    from model_zoo._adapters.checkpoint import load_strict
    from model_zoo._adapters.frontend import KaldiFbank
    from model_zoo._networks.beats import Beats, Geometry, initialise

    class BeatsEncoder(Adapter):
        ragged = True
        offers = frozenset({"spectrogram", "patches"})

        def __init__(self, size: Geometry):
            self.patch, self.bands = size.patch, BANDS // size.patch
            super().__init__(
                dataclasses.replace(
                    card,
                    min_s=(FRAME + HOP * (size.patch - 1)) / RATE,
                    dims=dims(size.width, self.bands, published=size.width),
                    grid=(size.patch * HOP / RATE, self.bands),
                    layers=size.layers,
                )
            )
            self.net = Beats(size)
            self.frontend = KaldiFbank(RATE, BANDS, window="povey", scale=2.0**15)
            self.masked = card.policy == "upstream-mask"

        def batch_length(self, n: int) -> int:
            """The most samples that give as many patches as n; under ``upstream-mask`` n, but at least 10 s."""
            if self.masked:
                return max(n, round(BATCH_S * RATE))
            columns = self.frontend.frames(n) // self.patch
            return FRAME + HOP * (self.patch * (columns + 1) - 1) - 1

        @full_precision
        def fbank(self, wave: Tensor, length: Tensor) -> Tensor:
            """Normalised log-mel (B, frames of the longest clip, bands) of wave (B, batch_length of the longest).

            Under ``upstream-mask`` it includes the frames of the padding.
            """
            longest = wave.shape[1] if self.masked else int(length.max())
            return (self.frontend(wave)[:, : self.frontend.frames(longest)] - MEAN) / (2 * STD)

        def unmasked(self, length: Tensor, samples: int | Tensor) -> Tensor:
            """Tokens (B,) that the original leaves unmasked of clips padded to ``samples``, one number or (B,)."""
            frames = self.frontend.frames(samples)
            tokens = frames // self.patch * self.bands
            unmasked = length
            for size, steps in ((samples, frames), (frames, tokens)):
                unmasked = (-(-unmasked // (size // steps))).clamp(max=steps)
            return unmasked

        def counted(self, length: Tensor, samples: int) -> Tensor:
            """Tokens (B,) that count of clips in a batch of ``samples``: all, or the unmasked ones."""
            if self.masked:
                return self.unmasked(length, length.clamp_min(min(samples, round(BATCH_S * RATE))))
            return self.frontend.frames(length) // self.patch * self.bands

        def blocks(self) -> list[nn.Module]:
            """Patches and positions, then the transformer's blocks."""
            return split_around_stack(self, self.net.encoder.layers)

        def encode(self, wave: Tensor, length: Tensor) -> Tokens:
            fbank = self.tap("spectrogram", self.fbank(wave, length))
            columns, hop_s = fbank.shape[1] // self.patch, self.card.grid[0]
            tokens = columns * self.bands
            number = self.counted(length, wave.shape[1])
            counted = torch.arange(tokens, device=wave.device) < number[:, None]  # (B, N)
            patches = self.tap("patches", self.net.patches(fbank))
            hides = self.masked or bool((number < tokens).any())
            outputs = self.net(patches, ~counted if hides else None)
            clip = (outputs[-1].float() * counted[..., None]).sum(dim=1) / number[:, None]
            count = (number // self.bands).clamp_min(1)
            layers = (
                Grid(y.unflatten(1, (columns, self.bands)), count, hop_s, f"block{i}")
                for i, y in enumerate(outputs, start=1)
            )
            return Tokens(tuple(layers), clip)

    if weights is None:
        encoder = BeatsEncoder(Geometry())
        initialise(encoder.net)
        return encoder.eval()
    checkpoint = load_content(weights)
    anchors = ("patch_embedding.weight", "encoder.pos_conv.0.weight_v")
    checkpoint |= {"model": unwrap(checkpoint, anchors, weights, entry="model")}
    encoder = BeatsEncoder(read_geometry(checkpoint, weights))
    require_variant(card, checkpoint["model"], weights)
    load_strict(encoder.net, checkpoint["model"], IGNORED, weights)
    return encoder.eval()
