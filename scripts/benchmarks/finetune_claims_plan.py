"""What is run to test claims about fine-tuning: methods, corpora, recipe and seeds, fixed before the runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from finetune_claims_corpora import EVEN, LONG_TAIL, NO_SHORTCUT, NO_SIGNATURE, PATIENTS, SHORTCUT, WORN
from finetune_claims_rules import (
    ANGULAR,
    BASE,
    BY_CLASS,
    BY_QUALITY,
    FIXED,
    HALF_EVEN,
    MIXSTYLE,
    NO_MARGIN,
    PATCH_MIX,
    SMALL_PAFA,
)

from bench.finetune.recipe import Recipe, recipe_of

SEEDS = (0, 1, 2, 3, 4)
CORPUS_SEED = 11


@dataclass(frozen=True)
class Row:
    """A method with the options that are not its defaults, and settings of the spectrogram beside the recipe's."""

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    spectrogram: Mapping[str, Any] = field(default_factory=dict)


_LINEAR = {"classifier": "linear"}
_LADDER = {
    FIXED: Row("qlung", _LINEAR | {"margin": "fixed"}),
    BY_QUALITY: Row("qlung", _LINEAR | {"margin": "quality"}),
    BY_CLASS: Row("qlung", _LINEAR),
}
_CE, _DAT = {BASE: Row("ce")}, {"dat": Row("dat")}
_MIXED = {MIXSTYLE: Row("ce", spectrogram={"mixstyle": 0.5})}
_OF_PATIENTS = _CE | {
    "pafa": Row("pafa"),
    SMALL_PAFA: Row("pafa", {"cohesion": 5.0, "alignment": 0.005, "attention": False}),
    "pc-mcl-style": Row("pc-mcl-style"),
}
METHODS: Mapping[str, Mapping[str, Row]] = {  # {corpus: {row's name: what is run}}
    LONG_TAIL.name: {
        **_CE,
        "ce-weighted": Row("ce-weighted"),
        NO_MARGIN: Row("log-margin", {"target": 0.0}),
        "log-margin": Row("log-margin"),
        "quality-margin": Row("quality-margin"),
        PATCH_MIX: Row("patchmix-cl"),
        **_LADDER,
        ANGULAR: Row("qlung"),
        "dual-axis-patchmix-style": Row("dual-axis-patchmix-style"),
    },
    EVEN.name: _CE | _LADDER,
    WORN.name: _CE | {name: _LADDER[name] for name in (FIXED, BY_QUALITY)},
    SHORTCUT.name: {**_CE, **_DAT, "supcon-dat": Row("supcon-dat"), **_MIXED},
    NO_SHORTCUT.name: _CE | _DAT | _MIXED,
    PATIENTS.name: _OF_PATIENTS,
    NO_SIGNATURE.name: _OF_PATIENTS,
}
AFTER: Mapping[str, Row] = {HALF_EVEN: Row("log-margin", {"gamma": 0.5})}  # quality-margin's own share
RECIPE = {  # the same for every method
    "epochs": 20,
    "optimiser": {"name": "adamw", "lr": 3e-3, "weight_decay": 0.01},
    "schedule": {"kind": "cosine", "warmup_epochs": 1.0},
    "batches": {"size": 16},
    "waveform": {"gain_db": 6.0, "shift_s": 0.1},
    "spectrogram": {"band_mask": 8, "frame_mask": 8},
}


@dataclass(frozen=True)
class Plan:
    """What is run; tests shrink it. ``patients``: of every split, in place of its own number."""

    seeds: Sequence[int] = SEEDS
    corpus_seed: int = CORPUS_SEED
    epochs: int = RECIPE["epochs"]
    patients: int | None = None
    methods: Mapping[str, Mapping[str, Row]] = field(default_factory=lambda: METHODS)
    after: Mapping[str, Row] = field(default_factory=lambda: AFTER)

    def recipe(self, name: str, row: Row) -> Recipe:
        """The recipe with that row's method."""
        changed = {
            "name": name,
            "epochs": self.epochs,
            "method": {"name": row.method, "options": dict(row.options)},
            "spectrogram": RECIPE["spectrogram"] | dict(row.spectrogram),
        }
        return recipe_of(RECIPE | changed)
