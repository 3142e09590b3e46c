"""Any audio model of transformers: ``hf.<folder>`` or ``hf.<Hub id>``, by ``AutoModel`` and ``AutoFeatureExtractor``.

Library: Wolf et al., Transformers: State-of-the-art natural language processing, EMNLP 2020 (demos),
https://github.com/huggingface/transformers, Apache-2.0; each model's paper, licence and training data are its own, and
its card cannot tell them. Nothing is downloaded, and code that comes with a model is never run.

A name that starts with ``/``, ``./``, ``../`` or ``~`` is a folder; any other is looked for below the weight folders
(``bench.base.paths.weight_folders``), then as a Hub id in the Hub's cache on this machine. A name below a weight folder
keeps paths out of results. ``@`` introduces a policy in every id, so in a path it is written ``%40`` (and ``%`` as
``%25``).

The model's own feature extractor sees each clip alone, with its default settings (padding and cropping to a fixed
length included). How much of a long clip it takes is measured on noise when the model is loaded and is the card's
``max_s``, so that a crop shows in every record; one that the extractor would make at random is made at the clip's
start. Layers are the model's ``hidden_states``, the embedding first, the last one after the final norm;
an encoder-decoder gives its encoder's. Tokens are all that the library returns, class tokens and padding included, and
have no frequency axis. There is no published embedding. Missing and misshapen tensors are refused; tensors that the
encoder has no place for (heads) are listed in the card's notes.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from bench.base.errors import CheckpointError, MissingWeights
from bench.base.paths import weight_folders
from bench.encoders.weights.unwrap import BESIDE
from bench.types import EncoderCard, Weights
from model_zoo._adapters.cards import dims

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from torch import Tensor, nn

PREFIX = "hf."
OPEN = "hf.<folder or Hub id>: any audio model of transformers on this machine"
STEP_S, DOUBLINGS = 0.1, 11  # of the noise by which the longest clip is measured: up to 205 s
GRAIN = 100  # parts of a second to which a limit is rounded down behind which the crop is random
SHORTEST_S = 0.1  # enough for the convolutions and the frames of every family
LISTED = 3  # spare tensors named in the notes


def model_folder(name: str) -> Path:
    """The folder of a model on this machine. Raises ``MissingWeights``."""
    if name.startswith(("/", "./", "../", "~")):
        places, also, remedy = [Path(name).expanduser()], "", "name a folder with a config.json"
    else:
        places, also = [root / name for root in weight_folders()], " and the Hub's cache"
        remedy = f"name a folder (hf./path/to/folder), or get a Hub id onto this machine: `hf download {name}`"
    for place in [*places, *(_cached(name) if also else [])]:
        if (place / "config.json").is_file():
            return place
    problem = f"no transformers model on this machine (looked in {', '.join(map(str, places))}{also})"
    raise MissingWeights(PREFIX + name, problem, remedy)


def _cached(id: str) -> list[Path]:
    """The snapshot of a Hub id in the Hub's own cache, if it is there."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(id, "config.json")
    except HFValidationError:  # not a Hub id
        return []
    return [Path(cached).parent] if isinstance(cached, str) else []


def card(id: str) -> EncoderCard:
    """The card of a model on this machine, as its settings describe it.

    Raises ``KeyError`` for no id of this family, ``MissingWeights`` where there is no such model and
    ``CheckpointError`` where its settings are broken or not of an audio model.
    """
    name = unquote(id.removeprefix(PREFIX))
    if not id.startswith(PREFIX) or not name:
        raise KeyError(id)
    place = model_folder(name)
    config, front = _config(place), _frontend(place)
    rate = front["sampling_rate"]
    if config.get("sampling_rate", rate) != rate:
        problem = f"its config.json is of {config['sampling_rate']} Hz, its feature extractor of {rate} Hz"
        raise CheckpointError(place, problem, "fetch the folder again")
    width = next((config[key] for key in ("hidden_size", "d_model") if key in config), 0)
    depth = next((config[key] for key in ("encoder_layers", "num_hidden_layers") if key in config), -1)
    return EncoderCard(
        id=id,
        version=2,
        sample_rate=rate,
        min_s=SHORTEST_S,
        dims=dims(width),
        frontend=f"transformers' {front.get('feature_extractor_type', 'feature extractor')}",
        citation="Wolf et al., Transformers, EMNLP 2020, and the model's authors",
        licence="see the model's page",
        layers=depth + 1,
        weights=(Weights(file=str(place), licence="see the model's page", restricted=False),),
        parity="self-consistent",
        notes=f"{config.get('model_type', 'unknown')} model; clips of equal length are batched, because few models of "
        "the library keep padding out of all their layers",
    )


def _config(place: Path) -> dict:
    """The model's settings, those of its audio half in front."""
    from model_zoo._adapters.settings import MODEL, read_settings

    config = read_settings(place, MODEL)
    return config.get("audio_config", {}) | config


def _frontend(place: Path) -> dict:
    """The feature extractor's settings. Raises ``CheckpointError`` where there are none for audio."""
    from model_zoo._adapters.settings import FRONT_END, read_settings

    front = read_settings(place, FRONT_END)
    front = front or read_settings(place, "processor_config.json").get("feature_extractor", {})
    if "sampling_rate" not in front:
        problem = "names no sampling rate in a preprocessor_config.json"
        raise CheckpointError(place, problem, "it is not an audio model, or fetch the folder again")
    return front


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The model of ``weights``, or an untrained one with the settings of the folder that the card names."""
    import dataclasses
    import inspect

    import torch

    from bench.base.optional_imports import import_torchaudio
    from bench.encoders.weights.read import load_tensors
    from bench.types import Grid, Tokens
    from model_zoo._adapters.adapter import Adapter, full_precision
    from model_zoo._adapters.foreign import FAULTS, measure_card

    import_torchaudio()
    from huggingface_hub.errors import StrictDataclassError
    from transformers import CONFIG_MAPPING, AutoConfig, AutoFeatureExtractor, AutoModel

    place = weights or Path(card.weights[0].file)
    if (kind := _config(place).get("model_type")) not in CONFIG_MAPPING:
        problem = f"model type {kind!r} is none of transformers' own, and code that comes with a model is never run"
        raise CheckpointError(place, problem, "write a HEAR module around it instead (hear.<module>)")
    local = {"local_files_only": True, "trust_remote_code": False}

    class Model(Adapter):
        threads_may_share = False  # transformers may put hooks on the layers for the time of a call

        def __init__(self, extractor: object, model: nn.Module):
            super().__init__(dataclasses.replace(card, sample_rate=extractor.sampling_rate))
            self.extractor, self.model, self.hop_s = extractor, model, 0.0
            self.accepted = inspect.signature(model.forward).parameters
            with torch.no_grad():
                clips = (torch.zeros(1, seconds * self.card.sample_rate) for seconds in (1, 2))
                short, long = (self.encode(clip, torch.tensor([0])).layers[-1].hidden.shape[1] for clip in clips)
            self.hop_s = 1 / (long - short) if long > short else 0.0  # 0: padded to a window whatever the clip

        @full_precision
        def features(self, wave: Tensor) -> dict[str, Tensor]:
            """The feature extractor's arrays for wave (B, samples), clip by clip, by argument of the model."""
            clips = [
                self.extractor(clip, sampling_rate=self.card.sample_rate, return_tensors="pt")
                for clip in wave.detach().cpu().numpy()
            ]
            return {
                name: torch.cat([clip[name] for clip in clips]).to(wave.device)
                for name in clips[0]
                if name in self.accepted
            }

        def encode(self, wave: Tensor, length: Tensor) -> Tokens:
            out = self.model(**self.features(wave), output_hidden_states=True)
            states = list(out.hidden_states)
            if out.last_hidden_state.shape == states[-1].shape:
                states[-1] = out.last_hidden_state
            count = torch.full_like(length, states[-1].shape[1])
            return Tokens(tuple(Grid(x[:, :, None], count, self.hop_s, f"hidden{i}") for i, x in enumerate(states)))

    try:
        config = AutoConfig.from_pretrained(place, **local)
        extractor = AutoFeatureExtractor.from_pretrained(place, **local)
        if weights is None:
            model, spare = AutoModel.from_config(config, trust_remote_code=False, dtype=torch.float32), []
        else:
            with torch.device("meta"):
                network = AutoModel.from_config(config, trust_remote_code=False)
            tensors = load_tensors(place, *_anchors(network), prefixes=[f"{network.base_model_prefix}."])
            with _quiet():
                model, loading_info = type(network).from_pretrained(
                    None,
                    config=config,
                    state_dict=tensors,
                    dtype=torch.float32,
                    ignore_mismatched_sizes=True,  # so that they are told, and refused below
                    output_loading_info=True,
                )
            spare = _spare(model, loading_info, place)
        encoder = Model(extractor, _encoder(model).eval()).eval()
        longest = longest_clip(encoder.features, encoder.card.sample_rate)
    except (StrictDataclassError, *FAULTS) as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        problem = f"transformers cannot run it as an audio encoder ({type(error).__name__}: {reason})"
        raise CheckpointError(place, problem, "check that it is an audio model in a whole folder") from error
    encoder.card = measure_card(encoder)
    if longest is not None:
        max_s = longest / encoder.card.sample_rate
        notes = f"{card.notes}; its feature extractor takes the first {max_s:.4g} s of a clip"
        encoder.card = dataclasses.replace(encoder.card, max_s=max_s, notes=notes)
    if spare:
        listed = ", ".join(spare[:LISTED]) + (", …" if len(spare) > LISTED else "")
        notes = f"{encoder.card.notes}; {len(spare)} tensors not used: {listed}"
        encoder.card = dataclasses.replace(encoder.card, notes=notes)
    return encoder


def longest_clip(features: Callable[[Tensor], Mapping[str, Tensor]], rate: int) -> int | None:
    """The samples that a feature extractor takes of a longer clip, found by trying; None where it takes all of it.

    ``features`` maps wave (1, samples) to arrays. A clip is too long where it gives what it gives without its end
    (and so do clips of twice and four times the limit), or something else at every call. What differs at every call of
    the shortest clip too is noise that the extractor adds, not a crop; whether it also crops at random is then not
    seen. Limits of more than 200 s are not found, nor those of an extractor that refuses clips of twice the limit.
    """
    import numpy as np
    import torch

    from model_zoo._adapters.foreign import FAULTS

    step = round(STEP_S * rate)
    noise = 0.1 * torch.randn(1, step << DOUBLINGS, generator=torch.Generator().manual_seed(0))

    def answer(n: int, seed: int = 0, start: int = 0) -> Mapping[str, Tensor]:
        copies = -(-(start + n) // noise.shape[1])
        wave = (noise.repeat(1, copies) if copies > 1 else noise)[:, start : start + n]
        state = np.random.get_state()  # extractors draw from numpy's global generator
        np.random.seed(seed)
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                return features(wave)
        finally:
            np.random.set_state(state)

    def alike(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
        return a.keys() == b.keys() and all(torch.equal(array, b[name]) for name, array in a.items())

    def at_random(n: int) -> bool:
        first = answer(n)  # with one seed, random crops of two lengths may start alike
        return not all(alike(first, answer(n, seed)) for seed in (1, 2))

    def without_its_end(n: int) -> bool:
        """Whether the end changes nothing, though the rest does, as it would not before a first window is complete."""
        return alike(answer(n), answer(n - step)) and not alike(answer(n), answer(n, start=step))

    def gives(cropped: Mapping[str, Tensor], n: int) -> bool:
        return alike(answer(n), cropped)

    def crops(limit: int) -> bool:
        """Whether the limit holds far beyond it, as it does not where incomplete windows are dropped."""
        cropped = answer(limit)
        if not gives(cropped, 2 * limit):
            return False
        try:
            return gives(cropped, 4 * limit)
        except FAULTS:  # it may refuse what is longer still
            return True

    def first_too_long(fits: int, over: int, too_long: Callable[[int], bool]) -> int:
        while over - fits > 1:
            middle = (fits + over) // 2
            fits, over = (fits, middle) if too_long(middle) else (middle, over)
        return over

    try:
        noisy = at_random(step)
        for over in (step << doubling for doubling in range(1, DOUBLINGS + 1)):
            if not noisy and at_random(over):
                fits = first_too_long(over // 2, over, at_random) - 1
                return fits * GRAIN // rate * rate // GRAIN
            if without_its_end(over):
                fits = max(over // 2 - step, step - 1)  # what is cropped by less than a step has not been noticed
                limit = first_too_long(fits, over, partial(gives, answer(over)))
                if crops(limit):
                    return limit
    except FAULTS:  # it refuses a clip, so that no crop goes unnoticed
        return None
    return None


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


def _encoder(model: nn.Module) -> nn.Module:
    """The encoder half of an encoder-decoder, else the model itself."""
    return model.get_encoder() if getattr(model.config, "is_encoder_decoder", False) else model


def _anchors(network: nn.Module) -> list[str]:
    """Names by which the network's tensors are found in a file: of every part the deepest, which no other part has.

    Of every part, because the library has renamed some since older files were written.
    """
    names = sorted(network.state_dict(), key=lambda name: name.count("."))
    return list({name.partition(".")[0]: name for name in names if name.count(".") > 1}.values())


def _spare(model: nn.Module, loading_info: Mapping, where: Path) -> list[str]:
    """Tensors of the file that were not used. Raises ``CheckpointError`` for what the encoder lacks."""
    from model_zoo._adapters.checkpoint import idle_counter

    encoder_half = _encoder(model)
    name = next(name for name, module in model.named_modules() if module is encoder_half)
    own = {f"{name}." * bool(name) + key for key in encoder_half.state_dict()}
    missing = sorted(key for key in own & set(loading_info["missing_keys"]) if not idle_counter(model, key))
    wrong = sorted({key for key, *_ in loading_info["mismatched_keys"]} & own)
    further = sorted(key for key in loading_info["unexpected_keys"] if _is_part(key, encoder_half, name))
    problems = {"missing": missing, "misshapen": wrong, "for which config.json leaves no place": further}
    told = [f"{len(keys)} tensors {what}: {', '.join(keys[:LISTED])}" for what, keys in problems.items() if keys]
    if told:
        raise CheckpointError(
            where, "; ".join(told), "config.json and tensors are not of one model: fetch the folder again"
        )
    return sorted(key.removeprefix(BESIDE) for key in loading_info["unexpected_keys"])


def _is_part(key: str, encoder: nn.Module, name: str) -> bool:
    """Whether a tensor of a file would belong to the encoder ``name``, were the encoder larger, or its parts fuller."""
    inside = f"{name}." * bool(name)
    key = key.removeprefix(inside) if key.startswith(inside) else BESIDE
    number = re.compile(r"(?<=\.)\d+(?=\.)")
    own = {number.sub("0", one) for one, _ in encoder.named_parameters()}
    layer, _, _ = key.rpartition(".")
    holds = {module for module, part in encoder.named_modules() if module and any(True for _ in part.parameters(False))}
    kept = {buffer for buffer, _ in encoder.named_buffers()}  # which files of older versions have among the tensors
    return key not in kept and (number.sub("0", key) in own or layer in holds)
