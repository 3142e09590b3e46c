"""Standardised features in their principal axes: what all probes on the same rows share, made once.

An L2 penalty keeps the optimum in the span of the rows, and a rotation changes neither penalty nor logits. So N rows
of D features are worth min(N, D) coordinates, found from the smaller of their two Gram matrices by one
eigendecomposition in float64; no fit on them costs more than that many features, however wide the embedding is.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bench.base.errors import BadArray
from bench.probe.linear.kernel import Kernel


@dataclass(frozen=True)
class Scaler:
    """Train mean and standard deviation. ``kept`` (D,) bool: features that vary at all; the others are left out."""

    mean: np.ndarray
    scale: np.ndarray
    kept: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(N, kept) float64 standardised features."""
        x = np.asarray(x) if self.kept.all() else np.asarray(x)[:, self.kept]
        z = np.subtract(x, self.mean, dtype=float)
        z /= self.scale
        return z


def check_features(x: np.ndarray) -> np.ndarray:
    """The (N, D) array itself. Raises ``BadArray`` where it is not a matrix of finite numbers."""
    x = np.asarray(x)
    if x.ndim != 2:
        raise BadArray(
            "features", f"expected a matrix (clips, features), found shape {x.shape}", "pool the tokens first"
        )
    if np.isfinite(x.sum()):  # one pass where all is well
        return x
    bad = ~np.isfinite(x).all(axis=1)
    if bad.any():
        raise BadArray(
            "features",
            f"{int(bad.sum())} of {len(x)} rows hold NaN or infinity, the first is row {int(np.flatnonzero(bad)[0])}",
            "find the clips that break the encoder",
        )
    return x


def standardise(x: np.ndarray) -> tuple[np.ndarray, Scaler]:
    """((N, kept) float64 standardised features, the scaler). A feature is dropped only if it is exactly constant, so
    features of any magnitude count alike. Raises ``BadArray`` for features that are not finite."""
    x = check_features(x)
    kept = x.max(axis=0) > x.min(axis=0)
    z = (x if kept.all() else x[:, kept]).astype(float)
    mean = z.mean(axis=0)
    z -= mean
    scale = np.sqrt(np.einsum("nd,nd->d", z, z) / len(z))
    z /= scale
    return z, Scaler(mean, scale, kept)


@dataclass(frozen=True)
class Design:
    """Rows (N, D) as coordinates ``x`` (N, r) float64 in orthonormal axes of their span, r = rank <= min(N, D).

    ``x32`` is the same in float32, ``squares`` its element-wise square, ``norms`` (N,) the squared row norms with the
    intercept's 1. ``_axes`` maps coordinates to features: (D, r) axes, or where N < D the (N, r) combinations of the
    rows ``_rows`` (N, D) that give them.
    """

    x: torch.Tensor
    x32: torch.Tensor
    squares: torch.Tensor
    norms: torch.Tensor
    _axes: torch.Tensor
    _rows: torch.Tensor | None

    @classmethod
    def of(cls, z: np.ndarray, device: str = "cpu") -> Design:
        """The design of standardised features (N, D), held on ``device``."""
        rows = torch.from_numpy(np.ascontiguousarray(z)).to(device)
        wide = rows.shape[0] < rows.shape[1]
        values, vectors = torch.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
        # directions whose length is rounding noise of the longest carry nothing, at any strength of the penalty
        floor = values.amax() * max(rows.shape) * torch.finfo(values.dtype).eps if len(values) else 0.0
        values, vectors = values[values > floor], vectors[:, values > floor]
        length = values.sqrt()
        x = (vectors * length if wide else rows @ vectors).contiguous()
        x32 = x.float()
        axes = vectors / length if wide else vectors
        return cls(x, x32, x32.square(), x.square().sum(1) + 1, axes, rows if wide else None)

    @property
    def width(self) -> int:
        """Coordinates of a fit."""
        return self.x.shape[1]

    @property
    def device(self) -> torch.device:
        return self.x.device

    @property
    def nbytes(self) -> int:
        """What it holds in memory."""
        held = (self.x, self.x32, self.squares, self._axes, self._rows)
        return sum(each.nbytes for each in held if each is not None)

    def coefficients(self, w: torch.Tensor) -> torch.Tensor:
        """(..., D) coefficients of the standardised features from those of the coordinates (..., r)."""
        of_axes = w @ self._axes.T
        return of_axes if self._rows is None else of_axes @ self._rows


def suited(z: np.ndarray) -> type[Design] | type[Kernel]:
    """The kind of design on which fits on standardised features (N, D) take least time."""
    return Kernel if Kernel.serves(*z.shape) else Design


class Designs:
    """Designs of rows (N, D), each made once: several seeds, tasks and protocols refit on the same rows. And the latest
    path solved on them, for tasks that differ in nothing but the metric that chooses from it; folds are drawn by seed
    and labels, so that their own designs serve no other path.

    Both are known by the content of the arrays; designs least recently used go first where all hold more than
    ``max_bytes``. With 0, the default, nothing is kept. ``threads``: folds fitted side by side at most, as many as
    there are cores by default; results do not depend on it. ``made`` and ``solved`` count designs and paths.
    """

    def __init__(self, device: str = "cpu", max_bytes: int = 0, threads: int | None = None):
        self.device, self.max_bytes, self.threads = device, max_bytes, threads
        self._known: OrderedDict[str, tuple[Any, Scaler]] = OrderedDict()
        self._lock = threading.Lock()
        self._path: tuple[str, np.ndarray] | None = None
        self.made = self.solved = 0

    def of(self, x: np.ndarray, principal: bool = True, keep: bool = True) -> tuple[Any, Scaler]:
        """The design of features (N, D), in principal axes or else of the kind that is ``suited``, and the scaler that
        standardised them. ``keep``: for others that ask for the same rows."""
        key = f"{principal} {_digest(x)}" if keep and self.max_bytes else ""
        with self._lock:
            if key and key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        z, scaler = standardise(x)
        found = (Design if principal else suited(z)).of(z, self.device), scaler
        with self._lock:
            self.made += 1
            if key:
                self._known[key] = found
                while (
                    sum(design.nbytes for design, _ in self._known.values()) > self.max_bytes and len(self._known) > 1
                ):
                    self._known.popitem(last=False)
        return found

    def path(self, problem: tuple, solve: Callable[[], np.ndarray]) -> np.ndarray:
        """What ``solve`` gives, read-only; not solved again where ``problem``, of arrays and what has a ``repr``, is
        that of the call before."""
        key = ""
        if self.max_bytes:
            key = " ".join(_digest(each) if isinstance(each, np.ndarray) else repr(each) for each in problem)
            if (known := self._path) and known[0] == key:
                return known[1]
        self._path = None  # the one before is freed first
        found = solve()
        found.flags.writeable = False
        with self._lock:
            self.solved += 1
        if self.max_bytes:
            self._path = key, found
        return found


def _digest(x: np.ndarray) -> str:
    x = np.ascontiguousarray(x)
    return hashlib.blake2b(repr((x.shape, x.dtype.str)).encode() + x.data, digest_size=16).hexdigest()
