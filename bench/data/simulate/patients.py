"""Who is ill, on which side of the split, and what is written about each clip: the draws behind a simulated corpus.

Patients belong to phenotypes, which set how often each class occurs in their clips. Phenotypes are apportioned within
each side of the split and devices are dealt out evenly over phenotypes, so that, with every knob at zero, neither
the split nor the device tells a label.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from bench.data.simulate.sounds import Chest, chest

Stream = Callable[..., np.random.Generator]


def generator(*key: Any) -> np.random.Generator:
    """A generator for one purpose; ``key`` is the seed and then the purpose's names."""
    seed, *names = key
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=[zlib.crc32(str(n).encode()) for n in names]))


@dataclass(frozen=True)
class Phenotype:
    """A kind of patient: its share of patients, how often each class occurs in its clips, and its diagnoses."""

    share: float
    rates: tuple[float, ...]
    diagnoses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Patient:
    """``number`` from 0; ``test`` where the split has the patient in test, ``leaked`` where in train as well."""

    number: int
    phenotype: Phenotype
    test: bool
    leaked: bool
    device: str
    child: bool
    body: Chest


def cohort(
    draw: Stream,
    kinds: Sequence[Phenotype],
    *,
    patients: int,
    train_share: float,
    leak: float,
    devices: Sequence[str],
    child_share: float,
) -> list[Patient]:
    """The patients by number; ``round(leak · test patients)`` of them leak, spread evenly over phenotypes."""
    n_train = round(train_share * patients)
    numbers = iter(draw("numbers").permutation(patients).tolist())
    people = []
    for test, size in ((False, n_train), (True, patients - n_train)):
        leaking = spread(round(leak * size) if test else 0, size)
        order = draw("devices", test).permutation(len(devices))
        for k, kind in enumerate(_apportioned(kinds, size)):
            number = next(numbers)
            child = bool(draw("child", number).random() < child_share)
            acoustics = chest(draw("chest", number), child=child)
            device = devices[order[k % len(devices)]]
            people.append(Patient(number, kinds[kind], test, bool(leaking[k]), device, child, acoustics))
    return sorted(people, key=lambda person: person.number)


def _apportioned(kinds: Sequence[Phenotype], patients: int) -> list[int]:
    """The phenotype of each patient of one side, in order: two of each where there is room, the rest by share."""
    counts = np.full(len(kinds), min(2, patients // len(kinds)))
    for _ in range(patients - counts.sum()):
        counts[np.argmin([n / kind.share for n, kind in zip(counts, kinds)])] += 1
    return np.repeat(np.arange(len(kinds)), counts).tolist()


def spread(count: int, among: int) -> np.ndarray:
    """Marks ``count`` of ``among`` places, evenly spread: (among,) bool."""
    return np.diff(np.arange(among + 1) * count // max(1, among)) > 0


def classes(rng: np.random.Generator, rates: Sequence[float], clips: int) -> list[int]:
    """Class of each clip of a patient, as frequent as ``rates`` to within one clip (systematic sampling)."""
    at = (rng.permutation(clips) + rng.random()) / max(1, clips)
    return np.minimum(np.searchsorted(np.cumsum(rates), at, side="right"), len(rates) - 1).tolist()


def mislabelled(rng: np.random.Generator, truth: Sequence[int], fraction: float, abnormal: Sequence[int]) -> list[int]:
    """Labels with exactly ``round(fraction · n)`` wrong: normal (0) as one of ``abnormal``, abnormal as normal."""
    labels, instead = list(truth), rng.choice(abnormal, size=len(truth))
    for index in rng.permutation(len(truth))[: round(fraction * len(truth))]:
        labels[index] = 0 if labels[index] else int(instead[index])
    return labels


def runs(values: Sequence[int], lengths: Iterable[int]) -> list[tuple[int, ...]]:
    """``values`` cut into consecutive runs of the given lengths."""
    ends = np.cumsum([0, *lengths])
    return [tuple(values[start:end]) for start, end in pairwise(ends)]


def spans_s(rng: np.random.Generator, clips: int, *, median_s: float, lead_s: float, gap_s: float) -> tuple:
    """((start_s, end_s), …) in whole milliseconds: log-normal lengths, gaps of one to two times ``gap_s``."""
    lengths_ms = np.round(1000 * np.clip(median_s * np.exp(rng.normal(0.0, 0.2, clips)), 0.3 * median_s, 8.0))
    gaps_ms = np.round(1000 * gap_s * rng.uniform(1.0, 2.0, clips))
    ends_ms = np.round(1000 * lead_s) + np.cumsum(lengths_ms + gaps_ms) - gaps_ms
    return tuple((float(end - n) / 1000, float(end) / 1000) for end, n in zip(ends_ms, lengths_ms))
