"""A recipe: everything about a fine-tuning run but the encoder, the task and the seed, as validated data."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.base.errors import BadInput, UnknownId
from bench.base.settings import above, at_least, between, one_of, plain, read, setting
from bench.types import PRECISIONS

_INSTALLED = Path(__file__).parent / "recipes"  # where a wheel puts the recipes
_CHECKOUT = Path(__file__).parents[2] / "scripts" / "recipes" / "finetune"
RECIPE_FOLDER = _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT
LATER = {
    "spectrogram": ("shared", "carried", "skipped", "mixstyle", "mixstyle_alpha", "vtlp", "vtlp_hz")
}  # {table: settings that came after records had been made}
# settings of a recipe on which no number depends
DESCRIPTIVE = ("name", "source", "about", "needs", "published", "differences")


@dataclass(frozen=True)
class MethodChoice:
    """The method, by its name in ``bench.finetune.methods``, and those of its hyper-parameters that are not default."""

    name: str = "ce"
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class HeadChoice:
    """What reads the encoder.

    ``linear`` and ``mlp`` read one vector per clip (``pooling``; the encoder's default where empty), ``attentive`` and
    ``transformer`` its tokens. ``norm`` normalises what the classifier reads.
    """

    kind: str = setting("linear", one_of("linear", "mlp", "attentive", "transformer"))
    pooling: str = ""
    norm: str = setting("none", one_of("none", "layer", "batch"))
    dropout: float = setting(0.0, between(0, 1, open_end=True))
    hidden: int = setting(256, at_least(1))  # of mlp: units of its hidden layer
    queries: int = setting(1, at_least(1))  # of attentive
    layers: int = setting(1, at_least(1))  # of transformer
    heads: int = setting(4, at_least(1))  # of transformer


@dataclass(frozen=True)
class TrainedParts:
    """Which parts of the encoder are trained: ``all`` of it, its ``last`` k blocks, ``lora`` adapters, or ``none``.

    ``layer_decay`` multiplies the learning rate once per block on the way from the head to the input. ``norm`` says
    whether BatchNorm keeps its statistics (``frozen``) or measures them while it trains (``train``).
    ``checkpointing`` recomputes activations of the blocks in the backward pass, which saves memory.
    """

    train: str = setting("all", one_of("all", "last", "lora", "none"))
    last: int = setting(1, at_least(1))
    layer_decay: float = setting(1.0, between(0, 1))
    norm: str = setting("frozen", one_of("frozen", "train"))
    checkpointing: bool = False


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters (Hu et al., LoRA, ICLR 2022) of linear layers.

    ``targets`` are the last parts of the names of the layers to adapt; empty: all layers.
    """

    rank: int = setting(8, at_least(1))
    alpha: float = setting(16.0, above(0))
    dropout: float = setting(0.0, between(0, 1, open_end=True))
    targets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Optimiser:
    """The optimiser's settings.

    ``head_lr`` is the learning rate of the head and of the method's own parameters (None: ``lr``). ``weight_decay``
    leaves out vectors (biases, norms) unless ``decay_vectors``; of ``adam`` it is the L2 penalty. ``clip_norm`` bounds
    the norm of the gradient (0: no bound).
    """

    name: str = setting("adamw", one_of("adamw", "adam"))
    lr: float = setting(1e-4, above(0))
    head_lr: float | None = setting(None, above(0))
    weight_decay: float = setting(0.01, at_least(0))
    decay_vectors: bool = False
    betas: tuple[float, float] = setting((0.9, 0.999), between(0, 1, open_end=True))
    clip_norm: float = setting(1.0, at_least(0))


@dataclass(frozen=True)
class Schedule:
    """Learning rate over time: see ``bench.finetune.training.schedule.rate_factor``."""

    kind: str = setting("cosine", one_of("constant", "cosine", "cycle"))
    unit: str = setting("step", one_of("step", "epoch"))
    warmup_epochs: float = setting(0.0, at_least(0))
    floor: float = setting(0.0, between(0, 1))  # share of the rate that is left at the end
    period: int = setting(40, at_least(1))  # epochs of ``cycle`` from the top to the floor


@dataclass(frozen=True)
class Averaging:
    """Moving averages of weights.

    ``ema``: predictions are made with a moving average of the weights, which training does not use. ``step``: after
    every step the weights themselves are moved back towards those before it, θ ← decay · θ_before + (1 − decay) · θ.
    """

    kind: str = setting("none", one_of("none", "ema", "step"))
    decay: float = setting(0.999, between(0, 1, open_end=True))


@dataclass(frozen=True)
class Batches:
    """How clips become batches.

    ``size`` clips share a forward pass, ``accumulate`` of those a step. Each epoch, ``pool`` batches at a time are
    formed of clips of similar length; the clips left over at the end of an epoch, less than a batch, are left out of
    it. A clip longer than ``crop_s`` seconds is cropped at random. ``balanced`` draws every class equally often, with
    replacement. ``clip`` names a clip policy.
    """

    size: int = setting(16, at_least(1))
    accumulate: int = setting(1, at_least(1))
    sampling: str = setting("shuffled", one_of("shuffled", "balanced"))
    pool: int = setting(16, at_least(1))
    crop_s: float | None = setting(None, above(0))
    clip: str = "native"


@dataclass(frozen=True)
class Waveform:
    """Augmentation of the waveform; 0 and None leave it out.

    ``gain_db`` bounds the change of level in either direction, ``shift_s`` the circular shift in seconds in either
    direction; white noise is added at a signal-to-noise ratio drawn from the range ``noise_snr_db``.
    """

    gain_db: float = setting(0.0, at_least(0))
    shift_s: float = setting(0.0, at_least(0))
    noise_snr_db: tuple[float, float] | None = None


@dataclass(frozen=True)
class Spectrogram:
    """SpecAugment (Park et al., Interspeech 2019) without time warping, behind Freq-MixStyle, behind VTLP.

    ``bands`` masks of up to ``band_mask`` bands and ``frames`` masks of up to ``frame_mask`` frames are filled with
    the clip's mean, zero, or the ``batch``'s mean at that moment, of bands before frames. ``shared``: the clips of a
    batch have the same masks. ``carried``: a later view also has the masks of those before it, at the same bands and
    frames; it is stretched and mixed once, as drawn for itself.
    ``skipped`` is the share of clips (``shared``: of batches) that a view leaves unmasked.

    ``mixstyle`` is the share of views in which each clip's mean and deviation in each band are drawn towards those of
    another clip of the batch, by shares from Beta(``mixstyle_alpha``, ``mixstyle_alpha``) (Zhou et al., MixStyle, ICLR
    2021; by bands: Schmid et al., DCASE workshop 2022).

    ``vtlp`` is how far from 1 the factor may lie by which each clip's frequencies are stretched, ``vtlp_hz`` the
    frequency in Hz from which on the stretch gives way (vocal tract length perturbation, Jaitly and Hinton, ICML
    workshop 2013).
    """

    band_mask: int = setting(0, at_least(0))
    bands: int = setting(2, at_least(0))
    frame_mask: int = setting(0, at_least(0))
    frames: int = setting(2, at_least(0))
    fill: str = setting("mean", one_of("mean", "zero", "batch"))
    shared: bool = False
    carried: bool = False
    skipped: float = setting(0.0, between(0, 1))
    mixstyle: float = setting(0.0, between(0, 1))
    mixstyle_alpha: float = setting(0.3, above(0))
    vtlp: float = setting(0.0, between(0, 1, open_end=True))
    vtlp_hz: float = setting(4800.0, above(0))

    @property
    def used(self) -> bool:
        """Whether anything is masked, mixed or stretched."""
        masked = (self.band_mask and self.bands) or (self.frame_mask and self.frames)
        return bool(masked or self.mixstyle or self.vtlp)


@dataclass(frozen=True)
class Distillation:
    """Soft labels from an ensemble of teachers, beside any method; without teachers there are none.

    ``teachers`` are results folders (relative to where the command is run): every honest run of the task and seed in
    them teaches, by the weights that it kept. ``weight`` is the share of the loss on soft labels, ``temperature`` what
    logits of teachers and student are divided by there (Hinton et al., arXiv:1503.02531).
    """

    teachers: tuple[str, ...] = ()
    weight: float = setting(0.5, between(0, 1))
    temperature: float = setting(2.0, above(0))


@dataclass(frozen=True)
class Recipe:
    """A fine-tuning run but for encoder, task and seed.

    ``needs`` says in words what a run takes, and where. ``published`` is what the source reports of it, and
    ``differences`` are sentences that say what differs here from the source. ``patience`` epochs without a better
    validation score end the run (None: it trains all ``epochs``). ``precision`` is that of the network's arithmetic,
    by autocast.
    """

    name: str
    source: str = ""
    about: str = ""
    needs: str = ""
    published: str = ""
    differences: tuple[str, ...] = ()
    epochs: int = setting(8, at_least(1))
    patience: int | None = setting(None, at_least(1))
    precision: str = setting("float32", one_of(*PRECISIONS))
    method: MethodChoice = field(default_factory=MethodChoice)
    head: HeadChoice = field(default_factory=HeadChoice)
    encoder: TrainedParts = field(default_factory=TrainedParts)
    lora: Lora = field(default_factory=Lora)
    optimiser: Optimiser = field(default_factory=Optimiser)
    schedule: Schedule = field(default_factory=Schedule)
    averaging: Averaging = field(default_factory=Averaging)
    batches: Batches = field(default_factory=Batches)
    waveform: Waveform = field(default_factory=Waveform)
    spectrogram: Spectrogram = field(default_factory=Spectrogram)
    distillation: Distillation = field(default_factory=Distillation)

    def numbers(self) -> dict[str, Any]:
        """Return what enters a record's key: every setting, defaults too, without the descriptive ones.

        Settings that recipes did not always have (``LATER``) are left out at their defaults, under which they change
        nothing, so that earlier records keep their keys. So is ``distillation``, which names folders: a record says
        which teachers were in them.
        """
        out = {name: value for name, value in plain(self).items() if name not in (*DESCRIPTIVE, "distillation")}
        before = plain(Recipe(""))
        for table, names in LATER.items():
            out[table] = {n: v for n, v in out[table].items() if n not in names or v != before[table][n]}
        return out


def recipe_of(data: Mapping[str, Any], where: str = "recipe") -> Recipe:
    """Read a recipe from plain data, such as the content of a TOML file.

    Parameters
    ----------
    data
        {setting: value}, nested as ``Recipe``.
    where
        What errors name.

    Raises
    ------
    BadInput
        For a value that cannot be; the error names the setting.
    UnknownId
        For a pooling, a clip policy, a method or one of its options that does not exist.
    """
    from bench.data.clips import clip_policy  # here, because they import torch
    from bench.encoders.pooling import POOLINGS
    from bench.finetune.methods import default_options

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
    if recipe.distillation != Distillation() and not recipe.distillation.teachers:
        raise BadInput(f"{where}: distillation", "has no teachers", "name results folders in teachers, or leave it out")
    clip_policy(recipe.batches.clip)
    known = default_options(recipe.method.name)
    for name in recipe.method.options:
        if name not in known:
            raise UnknownId(f"option of the method {recipe.method.name}", name, known)
    return recipe


def load_recipe(name: str | Path) -> Recipe:
    """Load the recipe of a TOML file, or the one of that name in ``scripts/recipes/finetune``.

    Raises
    ------
    BadInput
        For a file that does not exist or is not TOML, and as ``recipe_of``.
    UnknownId
        For a name without a recipe, and as ``recipe_of``.
    """
    path = Path(name)
    if path.suffix != ".toml":
        shipped = {file.stem: file for file in sorted(RECIPE_FOLDER.glob("*.toml"))}
        if str(name) not in shipped:
            raise UnknownId("recipe", str(name), shipped)
        path = shipped[str(name)]
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(path, f"cannot be read ({error.strerror})", "check the path") from error
    except ValueError as error:
        raise BadInput(path, f"is not TOML ({error})", f"see {RECIPE_FOLDER}") from error
    return recipe_of({"name": path.stem, **data}, str(path))


def with_overrides(recipe: Recipe, epochs: int | None = None, precision: str | None = None) -> Recipe:
    """Return the recipe with other epochs or another precision; None leaves either as it is.

    Raises
    ------
    BadInput
        For a value that a recipe may not have, such as fewer epochs than those of warm-up.
    """
    overrides = {"epochs": epochs, "precision": precision}
    return recipe_of(
        plain(recipe) | {name: value for name, value in overrides.items() if value is not None}, recipe.name
    )
