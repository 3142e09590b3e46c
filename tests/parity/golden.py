"""One fixture: the recipe of a checkpoint in its original format, and what the original computes with it.

Checkpoint tensors are not stored: each is drawn from its own key (numpy's generator seeded with the key's CRC-32) and
shaped by its kind, so a full-size checkpoint takes a few kilobytes.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from parity.releases import BESIDE

COMPACT = Path(__file__).parent.parent / "golden"
COMPACT_ALONE = ("openl3", "passt")  # fixtures without a complete one
CLICK_S = 0.3
DURATIONS_S = {"s04": 0.4, "s5": 5.0, "s6": 6.0, "s8": 8.0, "s12": 12.0, "x2016": 20.15, "x2024": 20.23, "s60": 60.0}


def place_of(name: str, complete: Path) -> Path | None:
    """The folder that holds the fixture ``name``: ``complete``, or ``COMPACT`` for one that is nowhere else."""
    place = COMPACT if name in COMPACT_ALONE else complete
    return place if (place / name).is_dir() else None


class Golden:
    """The fixture ``name`` in ``folder``: ``arrays`` by name, checkpoints, input signals."""

    def __init__(self, folder: Path, name: str):
        self.folder, self.name = folder / name, name
        self.arrays = {key: array for path in self.folder.glob("golden*.npz") for key, array in np.load(path).items()}

    @property
    def has_full(self) -> bool:
        """Whether the full-size network's tensors are listed."""
        return (self.folder / "manifest_full.json").is_file()

    def wave(self, signal: str, rate: int) -> np.ndarray:
        """An input (samples,) float32 at ``rate`` Hz."""
        return synthetic_signal(DURATIONS_S[signal], rate)

    def checkpoint(self, folder: Path, form: str = "") -> Path:
        """The reduced network's checkpoint, written to ``folder`` under the name and layout of a released one.

        ``form`` names another layout in which the same weights are released (``skeleton_<form>.pt``).
        """
        skeleton = torch.load(self.folder / (f"skeleton_{form}.pt" if form else "skeleton.pt"), weights_only=True)
        tensors, constants = self._tensors("manifest.json", "bn.npz"), self._load("keep.npz")
        state = {}
        for key, recipe in skeleton["order"]:
            if recipe is not None:
                state[key] = torch.from_numpy(tensors[recipe])
            elif key in constants:  # the compact set leaves out constants that no adapter reads
                state[key] = torch.from_numpy(np.array(constants[key]))
        return self._write(folder, skeleton, state, form)

    def full(self, folder: Path, constants: Callable[[str, tuple[int, ...]], np.ndarray | None] | None = None) -> Path:
        """The full-size network's checkpoint. ``constants`` gives what no recipe does; without it the reduced
        network's constant of the same name and shape is taken, else zeros."""
        skeleton = torch.load(self.folder / "skeleton.pt", weights_only=True)
        tensors, reduced = self._tensors("manifest_full.json", "bn_full.npz"), self._load("keep.npz")
        state = {}
        for key, shape, dtype, _ in self.manifest("manifest_full.json"):
            value = tensors.get(key)
            if value is None and constants:
                value = constants(key, tuple(shape))
            if value is None:
                kept = reduced.get(key)
                value = kept if kept is not None and list(kept.shape) == shape else np.zeros(shape, dtype)
            state[key] = torch.from_numpy(np.array(value, dtype=dtype))
        meta = json.loads((self.folder / "manifest_full.json").read_text())["meta"] or {}
        skeleton["rest"] |= {key: meta[key] for key in skeleton["rest"] if key in meta}  # a configuration in the file
        return self._write(folder, skeleton, state)

    def manifest(self, file: str) -> list[tuple[str, list[int], str, str]]:
        """(key, shape, dtype, kind) of every tensor."""
        return json.loads((self.folder / file).read_text())["tensors"]

    def _load(self, file: str) -> dict[str, np.ndarray]:
        return dict(np.load(self.folder / file)) if (self.folder / file).is_file() else {}

    def _tensors(self, file: str, statistics: str) -> dict[str, np.ndarray]:
        meta = json.loads((self.folder / file).read_text())["meta"] or {}
        prefix = meta.get("synth_key", "").removeprefix("strip ")
        measured, out = self._load(statistics), {}
        for key, shape, dtype, kind in self.manifest(file):
            if kind == "bn":
                out[key] = np.asarray(measured[key])
            elif kind != "keep":
                out[key] = drawn(key.removeprefix(prefix), tuple(shape), kind).astype(dtype).reshape(shape)
        return out

    def _write(self, folder: Path, skeleton: dict, state: dict[str, torch.Tensor], form: str = "") -> Path:
        """Under the folder and file name that the fixture's notes give, where a released name carries meaning; with
        what the release holds beside the network."""
        meta = json.loads((self.folder / "manifest.json").read_text())["meta"] or {}
        path = folder / meta.get("dir", "") / meta.get("file", f"{self.name}.pt")
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {**skeleton["rest"], skeleton["slot"]: state} if skeleton["slot"] else state
        beside = BESIDE.get(f"{self.name}_{form}" if form else self.name, dict)()
        torch.save(_with_what_lies_beside(content, skeleton) | beside, path)
        return path


def _with_what_lies_beside(content: dict, skeleton: dict) -> dict:
    """The content with what a release holds beside its encoder: other tensors ``{entry/entry: [[key, shape, kind]]}``,
    drawn from entry and key, options as a namespace, numpy's scalars."""
    for entries, tensors in skeleton.get("also", {}).items():
        place = content
        for entry in filter(None, entries.split("/")):
            place = place.setdefault(entry, {})
        place |= {k: torch.from_numpy(drawn(f"{entries}/{k}", tuple(shape), kind)) for k, shape, kind in tensors}
    content |= {key: argparse.Namespace(**content[key]) for key in skeleton.get("namespaces", ())}
    return content | {key: np.float64(content[key]) for key in skeleton.get("scalars", ())}


def drawn(key: str, shape: tuple[int, ...], kind: str) -> np.ndarray:
    """The value of one checkpoint tensor, from its own key."""
    noise = np.random.default_rng([0, zlib.crc32(key.encode())]).standard_normal(shape).astype(np.float32)
    fan_in = int(np.prod(shape[1:])) or 1
    match kind:
        case "matrix":
            return noise * np.float32(fan_in**-0.5)
        case "matrix_relu":
            return noise * np.float32((2 / fan_in) ** 0.5)
        case "gain":
            return np.float32(1) + np.float32(0.1) * noise
        case "small":
            return np.float32(0.05) * noise
        case "var":
            return np.exp(np.float32(0.3) * noise)
        case "posemb":
            return np.float32(0.2) * noise
    raise ValueError(kind)


def synthetic_signal(seconds: float, rate: int) -> np.ndarray:
    """Two tones and a chirp under a breathing envelope, damped clicks and a noise floor: float32 in (-1, 1)."""
    n = round(seconds * rate)
    t, rng = np.arange(n) / rate, np.random.default_rng(0)
    wave = 0.25 * np.sin(2 * np.pi * 180 * t) + 0.12 * np.sin(2 * np.pi * 410 * t + 0.5)
    wave += 0.08 * np.sin(2 * np.pi * (600 * t + 40 * t * t))
    wave *= 0.55 - 0.45 * np.cos(2 * np.pi * 0.3 * t + 0.7)
    for _ in range(max(2, int(6 * seconds))):
        start, frequency, height = rng.uniform(0, seconds), rng.uniform(200, 3000), rng.uniform(0.1, 0.5)
        heard = slice(*np.searchsorted(t, [start, start + CLICK_S]))  # what comes later changes no bit of float32
        since = t[heard] - start
        wave[heard] += height * np.exp(-since / 0.006) * np.sin(2 * np.pi * frequency * since)
    wave += 2e-3 * rng.standard_normal(n)
    return (wave / 1.6).astype(np.float32)
