"""A recipe: everything about a fine-tuning run but the encoder, the task and the seed, as data that is checked."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.base.errors import BadInput, UnknownId
from bench.base.settings import above, at_least, between, one_of, plain, read, setting
from bench.types import PRECISIONS

INSTALLED = Path(__file__).parent / "recipes"  # where a wheel puts them
FOLDER = INSTALLED if INSTALLED.is_dir() else Path(__file__).parents[2] / "scripts" / "recipes" / "finetune"
LABELS = ("name", "source", "about")  # of a recipe, that no number depends on


@dataclass(frozen=True)
class MethodChoice:
    """The loss, by its name in ``bench.finetune.methods``, and those of its hyper-parameters that are not default."""

    name: str = "ce"
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class HeadChoice:
    """What reads the encoder: ``linear`` and ``mlp`` one vector per clip (``pooling``; the encoder's own where empty),
    ``attentive`` and ``transformer`` the tokens. ``norm`` normalises what the classifier is handed."""

    kind: str = setting("linear", one_of("linear", "mlp", "attentive", "transformer"))
    pooling: str = ""
    norm: str = setting("none", one_of("none", "layer", "batch"))
    dropout: float = setting(0.0, between(0, 1, open_end=True))
    hidden: int = setting(256, at_least(1))  # of mlp: units of its hidden layer
    queries: int = setting(1, at_least(1))  # of attentive
    layers: int = setting(1, at_least(1))  # of transformer
    heads: int = setting(4, at_least(1))  # of transformer


@dataclass(frozen=True)
class Parts:
    """What of the encoder is trained: ``all`` of it, its ``last`` k blocks, ``lora`` adapters, or ``none``.

    ``layer_decay`` multiplies the learning rate once per block on the way from the head to the input. ``norm`` says
    whether BatchNorm keeps its statistics (``frozen``) or measures them while it trains (``train``).
    ``checkpointing`` computes activations of the blocks again in the backward pass, in place of keeping them.
    """

    train: str = setting("all", one_of("all", "last", "lora", "none"))
    last: int = setting(1, at_least(1))
    layer_decay: float = setting(1.0, between(0, 1))
    norm: str = setting("frozen", one_of("frozen", "train"))
    checkpointing: bool = False


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters (Hu et al., LoRA, ICLR 2022) of the linear layers whose names end in one of ``targets``
    (empty: of all)."""

    rank: int = setting(8, at_least(1))
    alpha: float = setting(16.0, above(0))
    dropout: float = setting(0.0, between(0, 1, open_end=True))
    targets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Optimiser:
    """``head_lr`` is that of the head and of the method's own parameters (None: ``lr``). ``weight_decay`` leaves out
    vectors (biases, norms) unless ``decay_vectors``; of ``adam`` it is the L2 penalty. ``clip_norm`` bounds the norm
    of the gradient (0: no bound)."""

    name: str = setting("adamw", one_of("adamw", "adam"))
    lr: float = setting(1e-4, above(0))
    head_lr: float | None = setting(None, above(0))
    weight_decay: float = setting(0.01, at_least(0))
    decay_vectors: bool = False
    betas: tuple[float, float] = setting((0.9, 0.999), between(0, 1, open_end=True))
    clip_norm: float = setting(1.0, at_least(0))


@dataclass(frozen=True)
class Schedule:
    """Learning rate over time: see ``bench.finetune.training.schedule.factor``."""

    kind: str = setting("cosine", one_of("constant", "cosine", "cycle"))
    unit: str = setting("step", one_of("step", "epoch"))
    warmup_epochs: float = setting(0.0, at_least(0))
    floor: float = setting(0.0, between(0, 1))  # share of the rate that is left at the end
    period: int = setting(40, at_least(1))  # epochs of ``cycle`` from the top to the floor


@dataclass(frozen=True)
class Averaging:
    """``ema``: predictions come from a moving average of the weights, which training does not see; ``step``: after
    every step the weights themselves are moved back towards those before it, θ ← decay · θ_before + (1 − decay) · θ."""

    kind: str = setting("none", one_of("none", "ema", "step"))
    decay: float = setting(0.999, between(0, 1, open_end=True))


@dataclass(frozen=True)
class Batches:
    """How clips become batches. ``size`` clips share a forward pass, ``accumulate`` of those a step. Each epoch,
    ``pool`` batches at a time are put together by length; what is left over at its end, less than a batch, waits for
    another epoch. A clip longer than ``crop_s`` is cropped at random. ``balanced`` draws every class as often as any
    other, with replacement."""

    size: int = setting(16, at_least(1))
    accumulate: int = setting(1, at_least(1))
    sampling: str = setting("shuffled", one_of("shuffled", "balanced"))
    pool: int = setting(16, at_least(1))
    crop_s: float | None = setting(None, above(0))
    clip: str = "native"


@dataclass(frozen=True)
class Waveform:
    """Augmentation of the waveform: ``gain_db`` either way, ``shift_s`` either way (what leaves at one end enters at
    the other), white noise at a level drawn from ``noise_snr_db`` below the clip's own. 0 and None leave it out."""

    gain_db: float = setting(0.0, at_least(0))
    shift_s: float = setting(0.0, at_least(0))
    noise_snr_db: tuple[float, float] | None = None


@dataclass(frozen=True)
class Spectrogram:
    """SpecAugment (Park et al., Interspeech 2019) without warping: masks of up to ``band_mask`` bands and
    ``frame_mask`` frames, ``bands`` and ``frames`` of each, filled with the clip's mean or zero."""

    band_mask: int = setting(0, at_least(0))
    bands: int = setting(2, at_least(0))
    frame_mask: int = setting(0, at_least(0))
    frames: int = setting(2, at_least(0))
    fill: str = setting("mean", one_of("mean", "zero"))

    @property
    def used(self) -> bool:
        return bool((self.band_mask and self.bands) or (self.frame_mask and self.frames))


@dataclass(frozen=True)
class Recipe:
    """A fine-tuning run but for encoder, task and seed. ``patience`` epochs without a better validation score end it
    (None: it runs to its last). ``precision`` is that of the network's arithmetic, by autocast."""

    name: str
    source: str = ""
    about: str = ""
    epochs: int = setting(8, at_least(1))
    patience: int | None = setting(None, at_least(1))
    precision: str = setting("float32", one_of(*PRECISIONS))
    method: MethodChoice = field(default_factory=MethodChoice)
    head: HeadChoice = field(default_factory=HeadChoice)
    encoder: Parts = field(default_factory=Parts)
    lora: Lora = field(default_factory=Lora)
    optimiser: Optimiser = field(default_factory=Optimiser)
    schedule: Schedule = field(default_factory=Schedule)
    averaging: Averaging = field(default_factory=Averaging)
    batches: Batches = field(default_factory=Batches)
    waveform: Waveform = field(default_factory=Waveform)
    spectrogram: Spectrogram = field(default_factory=Spectrogram)

    def numbers(self) -> dict[str, Any]:
        """What a record's key holds of it: every setting, defaults written out, without what is told for readers."""
        return {name: value for name, value in plain(self).items() if name not in LABELS}


def recipe_of(data: Mapping[str, Any], where: str = "recipe") -> Recipe:
    """The recipe that plain data says. Raises ``BadInput`` that names the key, ``UnknownId`` for a pooling, a clip
    policy, a method or one of its options that does not exist."""
    from bench.data.clips import clip_policy
    from bench.encoders.pooling import POOLINGS
    from bench.finetune.methods import defaults

    recipe = read(Recipe, data, where)
    if recipe.head.pooling and recipe.head.pooling not in POOLINGS:
        raise UnknownId("pooling", recipe.head.pooling, POOLINGS)
    if recipe.waveform.noise_snr_db and recipe.waveform.noise_snr_db[0] > recipe.waveform.noise_snr_db[1]:
        raise BadInput(f"{where}: waveform: noise_snr_db", "its first level is above its second", "swap them")
    if recipe.schedule.warmup_epochs >= recipe.epochs:
        problem = f"{recipe.schedule.warmup_epochs:g} epochs of warm-up leave none of {recipe.epochs}"
        raise BadInput(f"{where}: schedule", problem, "warm up for fewer")
    if recipe.encoder.checkpointing and recipe.encoder.norm == "train":
        problem = "activations computed twice would be measured twice by BatchNorm"
        raise BadInput(f"{where}: encoder", problem, 'leave out checkpointing, or take norm = "frozen"')
    clip_policy(recipe.batches.clip)
    known = defaults(recipe.method.name)
    for name in recipe.method.options:
        if name not in known:
            raise UnknownId(f"option of the method {recipe.method.name}", name, known)
    return recipe


def load_recipe(name: str | Path) -> Recipe:
    """The recipe of a TOML file, or of that name in ``scripts/recipes/finetune``. Raises as ``recipe_of`` does, and
    ``BadInput`` for a file that is not there or not TOML."""
    path = Path(name)
    if path.suffix != ".toml":
        named = {found.stem: found for found in sorted(FOLDER.glob("*.toml"))}
        if str(name) not in named:
            raise UnknownId("recipe", str(name), named)
        path = named[str(name)]
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(path, f"cannot be read ({error.strerror})", "check the path") from error
    except ValueError as error:
        raise BadInput(path, f"is not TOML ({error})", f"see {FOLDER}") from error
    return recipe_of({"name": path.stem, **data}, str(path))


def changed(recipe: Recipe, epochs: int | None = None, precision: str | None = None) -> Recipe:
    """The recipe with other epochs or in another arithmetic; None leaves either as it is. Raises ``BadInput`` for a
    value that recipes may not have, fewer epochs than those of warm-up among them."""
    given = {"epochs": epochs, "precision": precision}
    return recipe_of(plain(recipe) | {name: value for name, value in given.items() if value is not None}, recipe.name)
