"""Parity with the original implementations: what every encoder family is compared with, array by array.

``tests/golden/`` holds a compact set of fixtures (checkpoint recipes and the originals' outputs); the complete set,
which also has the encoders whose licence forbids passing arrays on, is used where it lies beside the recordings.
One module per family declares ``CASES``. The tests and ``scripts/parity.py`` run the same comparisons.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from bench.base import registry
from bench.encoders.batches import collate
from bench.encoders.pooling import pool
from bench.encoders.weights.find import find
from bench.types import Encoder, Tokens
from parity.golden import Golden

# absolute and relative part of what two computations of the same thing may differ by
GATES = {
    "embedding": (1e-4, 1e-4),
    "tokens": (3e-4, 3e-4),
    "kaldi fbank": (2e-4, 2e-4),
    "M2D fbank": (2e-4, 2e-4),
    "dB mel": (5e-3, 0.0),
    "librosa mel": (1e-5, 1e-5),
    "zero-padded OPERA-CE": (1e-2, 1e-2),
    "HeAR image": (5e-4, 0.0),
    "HeAR embedding": (2e-5, 0.0),  # exact GELU in the place of its tanh form moves it by 2e-4
    "count": (0.5, 0.0),
}
SIGNALS = ("s04", "s5", "s12")


@dataclass(frozen=True)
class Case:
    """An encoder id (with its policy) against one fixture.

    ``outputs(encoder, tokens, wave (1, T), length (1,)) -> {array name: (gate, ours)}`` for one signal, in the
    fixture's layout; ``frontend`` names the gate's family in the report. ``skip`` says of an array why it is not
    compared here. ``extra(encoder, golden) -> {array name: (gate, ours)}`` compares what belongs to no single signal.
    ``constants(key, shape) -> array | None`` supplies tensors of the full-size checkpoint that no recipe gives.
    ``paper_params`` is the number of parameters that the paper states for the full-size network. ``released`` marks a
    fixture that was made with the encoder's released weights instead of a recipe.
    """

    fixture: str
    encoder: str
    outputs: Callable[[Encoder, Tokens, torch.Tensor, torch.Tensor], Mapping[str, tuple[str, torch.Tensor]]]
    skip: Mapping[str, str] = field(default_factory=dict)
    extra: Callable[[Encoder, Golden], Mapping[str, tuple[str, torch.Tensor]]] | None = None
    constants: Callable[[str, tuple[int, ...]], np.ndarray | None] | None = None
    paper_params: str = ""
    signals: tuple[str, ...] = SIGNALS
    released: bool = False

    def __str__(self) -> str:
        return f"{self.fixture}:{self.encoder}"

    def weights(self, golden: Golden, folder: Path) -> Path:
        """The checkpoint behind the fixture: rebuilt in ``folder``, or the released file where it is at hand. Raises
        ``MissingWeights``."""
        return find(registry.encoder_card(self.encoder)) if self.released else golden.checkpoint(folder)


@dataclass(frozen=True)
class Difference:
    """How far one array is from the original's: ``largest`` absolute difference, ``share`` of what the gate allows."""

    case: str
    array: str
    gate: str
    largest: float
    share: float


def cases() -> list[Case]:
    """Every case of every family, in file order."""
    names = [info.name for info in pkgutil.iter_modules(__path__) if info.name not in ("golden", "releases")]
    return [case for name in names for case in importlib.import_module(f"parity.{name}").CASES]


def build(case: Case, path: Path, device: str = "cpu") -> Encoder:
    """The case's encoder with the checkpoint at ``path``, through the family's own ``build``."""
    card = registry.encoder_card(case.encoder)
    return registry.family(registry.ENCODERS, case.encoder).build(card, path).eval().to(device)


def batch(encoder: Encoder, golden: Golden, signal: str) -> tuple[torch.Tensor, torch.Tensor]:
    """One signal at the encoder's rate as a batch of one."""
    return collate(encoder, [golden.wave(signal, encoder.card.sample_rate)])


def differences(case: Case, golden: Golden, encoder: Encoder) -> Iterator[Difference]:
    """Every array of the fixture against ours. Raises ``AssertionError`` for an array that is neither compared nor
    skipped with a reason, or whose shape differs."""
    compared: dict[str, tuple[str, torch.Tensor]] = {}
    with torch.inference_mode():
        for signal in case.signals:
            wave, length = batch(encoder, golden, signal)
            ours = case.outputs(encoder, encoder(wave, length), wave, length)
            compared |= {f"{signal}/{name}": value for name, value in ours.items()}
        if case.extra:
            compared |= case.extra(encoder, golden)
    seen = set()
    for name, (gate, ours) in compared.items():
        if name in golden.arrays:  # the compact set holds the long arrays of one signal only
            seen.add(name)
            yield difference(str(case), name, gate, ours.float().cpu().numpy(), golden.arrays[name])
    left = [n for n in golden.arrays if n not in seen and not any(n.endswith(s) for s in case.skip)]
    assert not left, f"{case}: never compared: {', '.join(left)}"


def difference(case: str, name: str, gate: str, ours: np.ndarray, theirs: np.ndarray) -> Difference:
    """One array's largest difference and its share of the gate."""
    assert ours.shape == theirs.shape, f"{case} {name}: ours {ours.shape}, the original's {theirs.shape}"
    assert ours.size and np.isfinite(ours).all(), f"{case} {name}: empty or not finite"
    absolute, relative = GATES[gate]
    gap = np.abs(ours.astype(np.float64) - theirs)
    return Difference(case, name, gate, float(gap.max()), float((gap / (absolute + relative * np.abs(theirs))).max()))


def pooled(encoder: Encoder, tokens: Tokens, *poolings: str) -> dict[str, tuple[str, torch.Tensor]]:
    """{pooling: ("embedding", vector)} of a batch of one at the card's pooled layer."""
    return {p: ("embedding", pool(tokens, encoder.card.pool_layer, p)[0]) for p in poolings}
