"""Speech transformers on the raw waveform, as transformers builds them: wav2vec 2.0, HuBERT, WavLM, data2vec-audio.

What the four families share: 16 kHz samples, convolutions that give a token every 20 ms, transformer blocks. A family's
file names the library's class and its default front end; everything else is here.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bench.base.errors import CheckpointError
from bench.types import EncoderCard
from model_zoo._adapters.cards import dims
from model_zoo._adapters.settings import FRONT_END, MODEL, read_settings, require_settings

if TYPE_CHECKING:
    from torch import Tensor, nn

RATE, HOP, SHORTEST = 16000, 320, 400  # samples; a clip of 400 gives one token
AS_ANY = "name it as hf.<folder> instead"  # which takes what the folder says
VARIANCE_FLOOR = 1e-7  # of the library's feature extractor
# Training only: dropped layers, masked spans (and the vector that fills them), the adapter of speech translation.
OFF = {
    "mask_time_prob": 0.0,
    "mask_feature_prob": 0.0,
    "apply_spec_augment": False,
    "layerdrop": 0.0,
    "add_adapter": False,
}
IGNORED = (
    r"masked_spec_embed",
    r"quantizer\..*",  # pretraining heads
    r"project_(q|hid)\..*",
    r"lm_head\..*",  # heads of fine-tuned models
    r"projector\..*",
    r"classifier\..*",
    r"layer_weights",
    r"tdnn\..*",
    r"objective\..*",
    r"feature_extractor\.(weight|bias)",
)
POSITIONS = "encoder.pos_conv_embed.conv.parametrizations.weight.original"
RENAMES = {  # weight norm before and after torch's parametrisations
    "encoder.pos_conv_embed.conv.weight_g": POSITIONS + "0",
    "encoder.pos_conv_embed.conv.weight_v": POSITIONS + "1",
}


def rename_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of the bare model with weight norm under the names that torch has for it now."""
    return {RENAMES.get(key, key): tensor for key, tensor in tensors.items()}


def read_geometry(tensors: Mapping[str, Tensor], where: object) -> dict:
    """Reads the geometry, in the words of the library's configurations, of files without a ``config.json``.

    Strides are not in the tensors: those of the releases hold. A norm in every convolution goes with pre-norm blocks,
    as in every large release. Raises ``CheckpointError``.
    """
    try:
        convolutions = [
            tensors[f"feature_extractor.conv_layers.{i}.conv.weight"]
            for i in range(_count(tensors, "feature_extractor.conv_layers."))
        ]
        width = tensors["encoder.layer_norm.weight"].shape[0]
        normed = "feature_extractor.conv_layers.1.layer_norm.weight" in tensors
        geometry = {
            "conv_dim": [w.shape[0] for w in convolutions],
            "conv_kernel": [w.shape[2] for w in convolutions],
            "conv_bias": "feature_extractor.conv_layers.0.conv.bias" in tensors,
            "feat_extract_norm": "layer" if normed else "group",
            "do_stable_layer_norm": normed,
            "hidden_size": width,
            "num_hidden_layers": _count(tensors, "encoder.layers."),
            "num_attention_heads": width // 64,
            "intermediate_size": tensors["encoder.layers.0.feed_forward.intermediate_dense.weight"].shape[0],
        }
        if POSITIONS + "1" in tensors:
            _, inside, kernel = tensors[POSITIONS + "1"].shape
            geometry |= {"num_conv_pos_embeddings": kernel, "num_conv_pos_embedding_groups": width // inside}
        else:  # data2vec stacks plain convolutions
            _, inside, kernel = tensors["encoder.pos_conv_embed.layers.0.conv.weight"].shape
            geometry |= {
                "num_conv_pos_embeddings": _count(tensors, "encoder.pos_conv_embed.layers."),
                "conv_pos_kernel_size": kernel,
                "num_conv_pos_embedding_groups": width // inside,
            }
        if (bias := tensors.get("encoder.layers.0.attention.rel_attn_embed.weight")) is not None:
            geometry |= {"num_buckets": bias.shape[0], "num_attention_heads": bias.shape[1]}
        return geometry
    except (KeyError, ValueError, ZeroDivisionError) as error:
        problem = f"lacks the tensors of a speech transformer on the raw waveform ({error})"
        raise CheckpointError(where, problem, "take a transformers folder of this family") from error


def _count(tensors: Mapping[str, Tensor], prefix: str) -> int:
    """Number of consecutive modules ``<prefix>0``, ``<prefix>1``, … among the tensors."""
    return 1 + max(int(key.removeprefix(prefix).partition(".")[0]) for key in tensors if key.startswith(prefix))


def build(
    card: EncoderCard, weights: Path | None, model: str, normalised: bool, untrained: Mapping[str, object] | None = None
) -> nn.Module:
    """The encoder around the library's class ``model``, with weights or at the library's own initialisation.

    ``normalised`` says whether the base release is fed clips of zero mean and unit variance; the folder's
    ``preprocessor_config.json`` decides where there is one, the policy ``raw`` never normalises. ``untrained`` is the
    geometry without weights, in the words of the library's configuration: that of a base model where it says nothing.
    """
    from torch import nn

    from bench.base.optional_imports import import_torchaudio
    from bench.encoders.weights.read import load_tensors
    from bench.types import Grid, Tokens
    from model_zoo._adapters import row_ends
    from model_zoo._adapters.adapter import Adapter, full_precision
    from model_zoo._adapters.checkpoint import load_strict

    import_torchaudio()
    import transformers
    from huggingface_hub.errors import StrictDataclassError

    network = getattr(transformers, model)
    warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask")  # torch's, about WavLM's two masks

    class Speech(Adapter):
        threads_may_share = False  # transformers may put hooks on the layers for the time of a call
        ragged = True

        def __init__(self, config: transformers.PreTrainedConfig, normalised: bool):
            hop_s = math.prod(config.conv_stride) / RATE
            geometry = {"dims": dims(config.hidden_size), "grid": (hop_s, 1), "layers": config.num_hidden_layers}
            super().__init__(dataclasses.replace(card, **geometry))
            self.model = network(config)
            self.normalised = normalised and card.policy != "raw"

        @full_precision
        def waveform(self, wave: Tensor, rows: row_ends.Rows | None = None) -> Tensor:
            """The network's input (B, samples): each clip at zero mean and unit variance, or as it is."""
            if not self.normalised:
                return wave
            centred = wave - row_ends.mean(wave, rows, (1,), keepdim=True)
            return centred / (row_ends.mean(centred.square(), rows, (1,), keepdim=True) + VARIANCE_FLOOR).sqrt()

        def apart(self, wave: Tensor, samples: row_ends.Rows) -> tuple[list[Tensor], row_ends.Rows | None]:
            """Every block's output (B, T', D) of clips of several lengths, and where its rows end.

            The library's parts are called one by one, because its own mask of padding reaches the first layer of the
            positions and the attention, but neither the group norm nor the further layers of the positions.
            """
            x, rows, encoder = self.waveform(wave, samples)[:, None], samples.along(2), self.model.encoder
            for layer in self.model.feature_extractor.conv_layers:
                rows = row_ends.after(layer.conv, rows)
                if isinstance(norm := getattr(layer, "layer_norm", None), nn.GroupNorm):
                    x = layer.activation(row_ends.apart(norm, layer.conv(x), rows))
                else:
                    x = layer(x)
            x = self.model.feature_projection(x.transpose(1, 2))
            x = x[0] if isinstance(x, tuple) else x  # with what is quantised in pretraining
            x = row_ends.zero_behind(x, rows and rows.along(1))
            if (stack := getattr(encoder.pos_conv_embed, "layers", None)) is None:
                x = x + encoder.pos_conv_embed(x)
            else:
                positions = x.transpose(1, 2)
                for layer in stack:
                    positions = row_ends.zero_behind(layer(positions), rows)
                x = x + positions.transpose(1, 2)
            last_normed = type(encoder).__name__.endswith("StableLayerNorm")  # settings of data2vec may say otherwise
            x = x if last_normed else encoder.layer_norm(x)
            gated, bias, states = hasattr(encoder.layers[0].attention, "gru_rel_pos_const"), None, []
            mask = rows and rows.inside if gated else row_ends.attended(rows)
            for layer in encoder.layers:
                if gated:  # WavLM's blocks hand the bias of positions on
                    x, bias = layer(x, mask, bias)
                else:
                    x = layer(x, mask)
                states.append(x)
            if last_normed:
                states[-1] = encoder.layer_norm(x)
            return states, rows

        def encode(self, wave: Tensor, length: Tensor) -> Tokens:
            if samples := row_ends.ends(length.tolist(), 1, wave.device):
                states, rows = self.apart(wave, samples)
            else:
                out, rows = self.model(self.waveform(wave), output_hidden_states=True), None
                states = [*out.hidden_states[1:-1], out.last_hidden_state]  # without the embedding; the last, normed
            count = row_ends.tokens(rows, length, states[-1].shape[1])
            hop_s, _ = self.card.grid
            return Tokens(tuple(Grid(x[:, :, None], count, hop_s, f"block{i}") for i, x in enumerate(states, start=1)))

    def usually_normalised(config: Mapping[str, object]) -> bool:
        """A norm in every convolution goes with training on normalised clips."""
        return normalised or config["feat_extract_norm"] == "layer"

    if weights is None:
        config = network.config_class(**OFF, **(untrained or {}))
        return Speech(config, usually_normalised(config.to_dict())).eval()
    given = read_settings(weights, MODEL)
    require_settings(weights, {"sampling_rate": RATE}, AS_ANY, FRONT_END)
    if (kind := given.get("model_type", network.config_class.model_type)) != network.config_class.model_type:
        raise CheckpointError(weights, f"is a {kind} model, not {model}", AS_ANY)
    anchors = ("feature_extractor.conv_layers.0.conv.weight", "feature_projection.projection.weight")
    tensors = rename_tensors(load_tensors(weights, *anchors, prefixes=[f"{network.base_model_prefix}."]))
    geometry = read_geometry(tensors, weights) | given
    try:
        config = network.config_class.from_dict(geometry | OFF | {"dtype": "float32"})
        encoder = Speech(config, read_settings(weights, FRONT_END).get("do_normalize", usually_normalised(geometry)))
    except (StrictDataclassError, ValueError, TypeError, ZeroDivisionError) as error:
        problem = f"config.json and tensors give no {model} ({str(error).strip().splitlines()[-1].strip()})"
        raise CheckpointError(weights, problem, "fetch the folder again") from error
    if (hop := math.prod(config.conv_stride)) != HOP:
        problem = f"its config.json gives a token every {hop} samples (conv_stride), and this family has {HOP}"
        raise CheckpointError(weights, problem, AS_ANY)
    load_strict(encoder.model, tensors, IGNORED, weights)
    return encoder.eval()
