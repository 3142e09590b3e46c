"""Any audio model of transformers: ``hf.<folder>`` or ``hf.<Hub id>``, by ``AutoModel`` and ``AutoFeatureExtractor``.

Library: Wolf et al., Transformers: State-of-the-art natural language processing, EMNLP 2020 (demos),
https://github.com/huggingface/transformers, Apache-2.0; each model's paper, licence and training data are its own, and
its card cannot tell them. Nothing is downloaded, and code that comes with a model runs only where the user names its
revision (``bench.encoders.weights.code``), which is then the card's ``code``.

A name that starts with ``/``, ``./``, ``../`` or ``~`` is a folder; any other is looked for below the weight folders
(``bench.base.paths.weight_folders``), then as a Hub id in the Hub's cache on this machine. A name below a weight folder
keeps paths out of results. ``@``, ``:`` and ``=`` mean something else in every id, so in a path they are written
``%40``, ``%3A`` and ``%3D`` (and ``%`` as ``%25``).

The model's own feature extractor sees each clip alone, with its default settings (padding and cropping to a fixed
length included). The shortest clip that gives tokens, and how much of a long one the extractor takes, are measured on
noise when the model is loaded and are the card's ``min_s`` and ``max_s``, so that a crop shows in every record; one
that the extractor would make at random is made at the clip's start. Bands to which silence gives no finite value, where
they are divided by their spread, are 0. Layers are the ``hidden_states``, the embedding first, with
``last_hidden_state`` in place of the last one, or behind it where their shapes differ; of a model that has parts, those
of the part that hears. Settings are those of the folder of the weights, else of the folder that the id names. Tokens
are all that the library returns, class tokens and padding included, and have no frequency axis. There is no published
embedding. Missing and misshapen tensors are refused; tensors that the encoder has no place for (heads) are listed in
the card's notes.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from bench.base.errors import CheckpointError, RespBenchError
from bench.encoders.weights.code import refusal
from bench.encoders.weights.folders import folder_of
from bench.encoders.weights.unwrap import BESIDE, OUTSIDE
from bench.types import EncoderCard, Weights
from model_zoo._adapters import model_folder
from model_zoo._adapters.cards import dims
from model_zoo._adapters.clip_limits import SHORTEST_S
from model_zoo._adapters.hearing_part import WRAP, hearing_part, layers_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor, nn

PREFIX = "hf."
OPEN = "hf.<folder or Hub id>: any audio model of transformers on this machine"
MAY_RUN_CODE = True
LISTED = 3  # tensors of each kind that an error names


def card(id: str, trusted: Sequence[str] = ()) -> EncoderCard:
    """The card of a model on this machine, as its settings describe it; its code may run where ``trusted`` names it.

    Raises ``KeyError`` for no id of this family, ``MissingWeights`` where no model has the name, and
    ``CheckpointError`` for a path without one and where its settings are broken or not of an audio model.
    """
    name = unquote(id.removeprefix(PREFIX))
    if not id.startswith(PREFIX) or not name:
        raise KeyError(id)
    place = model_folder.find_folder(name, id, trusted)
    model_folder.require_whole(place)
    config, front = model_folder.model_settings(place), model_folder.require_front(place)
    rate = front["sampling_rate"]
    if config.get("sampling_rate", rate) != rate:
        problem = f"its config.json is of {config['sampling_rate']} Hz, its feature extractor of {rate} Hz"
        raise CheckpointError(place, problem, "fetch the folder again")
    width = next((config[key] for key in ("hidden_size", "d_model") if key in config), 0)
    depth = next((config[key] for key in ("encoder_layers", "num_hidden_layers") if key in config), -1)
    revision = model_folder.revision_of(place, name) if trusted and model_folder.own_code(place) else ""
    return EncoderCard(
        id=id,
        version=3,
        sample_rate=rate,
        min_s=SHORTEST_S,
        dims=dims(width),
        frontend=f"transformers' {front.get('feature_extractor_type', 'feature extractor')}",
        citation="Wolf et al., Transformers, EMNLP 2020, and the model's authors",
        licence="see the model's page",
        layers=depth + 1,
        weights=(Weights(file=str(place), licence="see the model's page", restricted=False),),
        parity="self-consistent",
        settings=model_folder.settings_digest(place, place),
        code=revision if revision in trusted else "",
        notes=f"{config.get('model_type', 'unknown')} model; clips of equal length are batched, because few models of "
        "the library keep padding out of all their layers",
    )


def require_code(card: EncoderCard, trusted: Sequence[str] = ()) -> None:
    """Raises ``CodeNotTrusted`` for a model that the library does not know, and whose own code the user does not trust.

    Raises ``CheckpointError`` for one that the library does not know and that brings no code.
    """
    from transformers import CONFIG_MAPPING
    from transformers.models.auto.feature_extraction_auto import feature_extractor_class_from_name

    place = Path(card.weights[0].file)
    kind = model_folder.model_settings(place).get("model_type")
    front = model_folder.front_settings(place).get("feature_extractor_type")
    own_front = "AutoFeatureExtractor" in (own := model_folder.own_code(place))
    if card.code:
        return
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        why = f"model type {kind!r} is none of the installed transformers' own"
    elif own_front and (not isinstance(front, str) or feature_extractor_class_from_name(front) is None):
        why = f"feature extractor {front!r} is none of the installed transformers' own"
    else:
        return
    if not own:
        problem = f"{why}, and no code comes with it"
        raise CheckpointError(place, problem, f"another version of transformers may know it; else {WRAP}")
    name = unquote(card.id.removeprefix(PREFIX))
    revision = model_folder.revision_of(place, name)
    if model_folder.is_snapshot(place, name) and revision != place.name:
        why += f", the files in its snapshot are not as they were fetched for commit {place.name}"
    raise refusal(card.id, why, place, revision, trusted)


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The model of ``weights``, or an untrained one with the settings of the folder that the card names."""
    import dataclasses
    import inspect

    import torch

    from bench.base.optional_imports import import_torchaudio
    from bench.encoders.weights.read import load_tensors
    from bench.types import Grid, Tokens
    from model_zoo._adapters.adapter import Adapter, full_precision
    from model_zoo._adapters.clip_limits import longest_clip, shortest_clip
    from model_zoo._adapters.foreign import FAULTS, measure_card
    from model_zoo._adapters.model_inputs import ModelInputs

    import_torchaudio()
    from huggingface_hub.errors import StrictDataclassError
    from transformers import MODEL_MAPPING, AutoConfig, AutoFeatureExtractor, AutoModel

    require_code(card)
    place = Path(card.weights[0].file)
    home, front = _homes(card, place, weights)
    local = {"local_files_only": True, "trust_remote_code": bool(card.code)}

    class Model(Adapter):
        threads_may_share = False  # transformers may put hooks on the layers for the time of a call

        def __init__(self, extractor: object, model: nn.Module):
            super().__init__(dataclasses.replace(card, sample_rate=extractor.sampling_rate))
            self.model, self.hop_s = model, 0.0
            self.inputs = ModelInputs(card.id, extractor, model.forward)
            kinds = {parameter.kind for parameter in inspect.signature(model.forward).parameters.values()}
            tells = "output_hidden_states" in self.inputs.accepted or inspect.Parameter.VAR_KEYWORD in kinds
            self.asked = {"output_hidden_states": True} if tells else {}

        @full_precision
        def features(self, wave: Tensor) -> dict[str, Tensor]:
            """The feature extractor's arrays for wave (B, samples), clip by clip, by argument of the model."""
            return self.inputs(wave)

        def encode(self, wave: Tensor, length: Tensor) -> Tokens:
            layers = layers_of(self.model(**self.features(wave), **self.asked), self.card)
            last = layers[-1].shape[1]
            grids = [
                Grid(x[:, :, None], torch.full_like(length, x.shape[1]), self.hop_s * last / x.shape[1], f"hidden{i}")
                for i, x in enumerate(layers)
            ]
            return Tokens(tuple(grids))

        @torch.no_grad()
        def count(self, wave: Tensor) -> int:
            """Tokens of wave (1, samples) in the layer that has the fewest."""
            layers = layers_of(self.model(**self.features(wave), **self.asked), self.card)
            return min(layer.shape[1] for layer in layers)

    @torch.no_grad()
    def measured_hop(encoder: Model) -> float:
        """Seconds a token, by two clips; 0 for a model that pads or crops to a window whatever the clip."""
        rate, seconds = encoder.card.sample_rate, max(1.0, encoder.card.min_s)
        waves = (torch.zeros(1, round(times * seconds * rate)) for times in (1, 2))
        short, long = (layers_of(encoder.model(**encoder.features(w), **encoder.asked), card)[-1] for w in waves)
        more = long.shape[1] - short.shape[1]
        return seconds / more if more > 0 else 0.0

    try:
        config = AutoConfig.from_pretrained(home, **local)
        config.return_dict = True  # some are saved by code that had tuples in their place
        if not card.code and type(config) not in MODEL_MAPPING:
            raise TypeError(f"its AutoModel has none for model type {config.model_type}")
        extractor = AutoFeatureExtractor.from_pretrained(front, **local)
        trust = {"trust_remote_code": bool(card.code)}
        if weights is None:
            model, spare = AutoModel.from_config(config, **trust, dtype=torch.float32), []
        else:
            with torch.device("meta"):
                network = AutoModel.from_config(config, **trust)
            tensors = load_tensors(weights, *_anchors(network), prefixes=[f"{network.base_model_prefix}."])
            with _quiet():
                model, loading_info = type(network).from_pretrained(
                    None,
                    config=config,
                    state_dict=tensors,
                    dtype=torch.float32,
                    ignore_mismatched_sizes=True,  # so that they are told, and refused below
                    output_loading_info=True,
                )
            spare = _spare(model, loading_info, tensors, weights)
        encoder = Model(extractor, hearing_part(model).eval()).eval()
        encoder.unused_tensors = tuple(spare)
        shortest = shortest_clip(encoder.count, encoder.card.sample_rate)
        encoder.card = dataclasses.replace(encoder.card, min_s=shortest / encoder.card.sample_rate)
        encoder.hop_s = measured_hop(encoder)
        longest = longest_clip(encoder.features, encoder.card.sample_rate)
    except RespBenchError:
        raise
    except Exception as error:
        if not card.code and not isinstance(error, (StrictDataclassError, ImportError, *FAULTS)):
            raise  # of the library's own code, whose kinds of faults are known
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        whose = "its own code" if card.code else "transformers"
        problem = f"{whose} cannot run it as an audio encoder ({type(error).__name__}: {reason})"
        remedy = "check that it is an audio model in a whole folder; save the part that hears by itself, with its "
        remedy += f"preprocessor_config.json, where it is a model of its own; else, as of a codec, {WRAP}"
        raise CheckpointError(home, problem, remedy) from error
    if card.code:
        _travels_with_its_code()
    encoder.card = measure_card(encoder)
    notes = encoder.card.notes
    if longest is not None:
        encoder.card = dataclasses.replace(encoder.card, max_s=longest / encoder.card.sample_rate)
        notes += f"; its feature extractor takes the first {encoder.card.max_s:.4g} s of a clip"
    if card.code:
        notes += f"; its own code ran, revision {card.code}"
    encoder.card = dataclasses.replace(encoder.card, notes=notes, settings=model_folder.settings_digest(home, front))
    return encoder


def _homes(card: EncoderCard, place: Path, weights: Path | None) -> tuple[Path, Path]:
    """The folders of the settings of model and front end: the checkpoint's own, where it has some, else the card's.

    Raises ``CheckpointError`` for a checkpoint of another kind of model, and where code would run on other settings
    than those that it came with.
    """
    own = folder_of(weights) if weights is not None else place
    model_folder.require_whole(own)
    if own == place or not (own / "config.json").is_file():
        return place, place
    kinds = [model_folder.model_settings(folder).get("model_type") for folder in (own, place)]
    by_itself = f"name it by itself: {PREFIX}{own}"
    if kinds[0] != kinds[1]:
        raise CheckpointError(own, f"is of model type {kinds[0]}, {card.id} of {kinds[1]}", by_itself)
    front = own if "sampling_rate" in model_folder.front_settings(own) else place
    if not card.code:
        return own, front
    if model_folder.settings_digest(own, front) != card.settings:
        problem = f"has other settings than {card.id}, on which its code is trusted to run"
        raise CheckpointError(own, problem, by_itself)
    return place, place


def _travels_with_its_code() -> None:
    """Lets workers have classes of the model's own code as they are here, not as files on their disk define them."""
    import sys

    import cloudpickle

    for name, module in list(sys.modules.items()):
        if name.startswith("transformers_modules."):
            cloudpickle.register_pickle_by_value(module)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps transformers from showing its progress bar and its table of tensors, which the card's notes have."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


def _anchors(network: nn.Module) -> list[str]:
    """Names by which the network's tensors are found in a file: of every part the deepest, which no other part has.

    Of every part, because the library has renamed some since older files were written.
    """
    names = sorted(network.state_dict(), key=lambda name: name.count("."))
    return list({name.partition(".")[0]: name for name in names if name.count(".") > 1}.values())


def _spare(model: nn.Module, loading_info: Mapping, tensors: Mapping[str, Tensor], where: Path) -> list[str]:
    """Tensors of the file that were not used. Raises ``CheckpointError`` for what the encoder lacks or cannot use."""
    from model_zoo._adapters.checkpoint import idle_counter

    encoder_half = hearing_part(model)
    name = next(name for name, module in model.named_modules() if module is encoder_half)
    own = {f"{name}." * bool(name) + key for key in encoder_half.state_dict()}
    missing = sorted(key for key in own & set(loading_info["missing_keys"]) if not idle_counter(model, key))
    wrong = sorted({key for key, *_ in loading_info["mismatched_keys"]} & own)
    further = sorted(key for key in loading_info["unexpected_keys"] if _is_part(key, encoder_half, name))
    weights = {f"{name}." * bool(name) + key: weight for key, weight in encoder_half.named_parameters()}
    problems = {
        "missing": missing,
        "misshapen": wrong,
        "for which config.json leaves no place": further,
        "of whole numbers in the place of weights": sorted(
            key for key in weights.keys() & tensors.keys() if not tensors[key].is_floating_point()
        ),
        "not finite": sorted(key for key, weight in weights.items() if not bool(weight.isfinite().all())),
    }
    told = [f"{len(keys)} tensors {what}: {', '.join(keys[:LISTED])}" for what, keys in problems.items() if keys]
    if told:
        raise CheckpointError(
            where, "; ".join(told), "config.json and tensors are not of one model: fetch the folder again"
        )
    return sorted(key.removeprefix(BESIDE).removeprefix(OUTSIDE) for key in loading_info["unexpected_keys"])


def _is_part(key: str, encoder: nn.Module, name: str) -> bool:
    """Whether a tensor of a file would belong to the encoder ``name``, were the encoder larger, or its parts fuller."""
    inside = f"{name}." * bool(name)
    key = key.removeprefix(inside) if key.startswith(inside) else BESIDE
    from torch import nn

    number = re.compile(r"(?<=\.)\d+(?=\.)")
    own = {number.sub("0", one) for one, _ in encoder.named_parameters()}
    layer, _, _ = key.rpartition(".")
    holds = {module for module, part in encoder.named_modules() if module and any(True for _ in part.parameters(False))}
    # of a network that the settings leave without layers, whose names no parameter has
    empty = [
        f"{module}." for module, part in encoder.named_modules() if isinstance(part, nn.ModuleList) and not len(part)
    ]
    kept = {buffer for buffer, _ in encoder.named_buffers()}  # which files of older versions have among the tensors
    return key not in kept and (number.sub("0", key) in own or layer in holds or key.startswith(tuple(empty)))
