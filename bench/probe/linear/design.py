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
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from bench.base.errors import BadArray
from bench.probe.linear.kernel import Kernel

CONSTANT = 1e-3  # of a feature's largest magnitude: a standard deviation up to it is that of rounding and rare outliers


@dataclass(frozen=True)
class Scaler:
    """Standardises features with the mean and standard deviation of the training rows.

    Attributes
    ----------
    mean, scale : np.ndarray of shape (kept,)
        Mean and standard deviation of the features that vary.
    kept : np.ndarray of shape (D,), bool
        Features that vary; the others are left out, see ``standardise``.
    """

    mean: np.ndarray
    scale: np.ndarray
    kept: np.ndarray

    @property
    def left_out(self) -> int:
        """Number of features that are left out."""
        return int((~self.kept).sum())

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Standardised features (N, kept), float64, of features (N, D)."""
        x = np.asarray(x) if self.kept.all() else np.asarray(x)[:, self.kept]
        z = np.subtract(x, self.mean, dtype=float)
        z /= self.scale
        return z


def check_features(x: np.ndarray) -> np.ndarray:
    """Checks that features are a matrix of finite numbers.

    Parameters
    ----------
    x : array-like of shape (N, D)
        Features of N clips.

    Returns
    -------
    np.ndarray of shape (N, D)
        The array itself.

    Raises
    ------
    BadArray
        Where it is no matrix, or holds NaN or infinity.
    """
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
    """Standardises features to mean 0 and standard deviation 1.

    A feature counts as constant, and is left out, where its standard deviation is at most ``CONSTANT`` of its largest
    magnitude; features of any magnitude count alike otherwise. What varies less is rounding and a few outliers, which
    would be enlarged to the rank of a feature: float32's mean over time of a constant rounds by how many frames there
    are, and so tells a clip's duration, differently on every make of processor.

    Parameters
    ----------
    x : np.ndarray of shape (N, D)
        Features.

    Returns
    -------
    tuple of (np.ndarray of shape (N, kept), Scaler)
        Standardised features in float64, and the scaler that does the same to other rows.

    Raises
    ------
    BadArray
        For features that are no matrix or not finite.
    """
    x = check_features(x)
    low, high = x.min(axis=0), x.max(axis=0)
    z = x.astype(float)
    mean = z.mean(axis=0)
    z -= mean
    scale = np.sqrt(np.einsum("nd,nd->d", z, z) / len(z))
    # the first condition holds for constants too small to be told from the rounding of their mean
    kept = (high > low) & (scale > CONSTANT * np.maximum(-low, high).astype(float))
    if not kept.all():
        z, mean, scale = z[:, kept], mean[kept], scale[kept]
    z /= scale
    return z, Scaler(mean, scale, kept)


@dataclass(frozen=True)
class Design:
    """Rows (N, D) as coordinates in orthonormal axes of their span, of rank r <= min(N, D).

    Attributes
    ----------
    x : torch.Tensor of shape (N, r), float64
        Coordinates of the rows.
    x32 : torch.Tensor of shape (N, r), float32
        The same in single precision.
    squares : torch.Tensor of shape (N, r), float32
        Element-wise square of ``x32``.
    norms : torch.Tensor of shape (N,)
        Squared norms of the rows, with the intercept's 1.
    """

    x: torch.Tensor
    x32: torch.Tensor
    squares: torch.Tensor
    norms: torch.Tensor
    _axes: torch.Tensor  # (D, r) axes; where N < D, the (N, r) combinations of ``_rows`` that give them
    _rows: torch.Tensor | None  # (N, D) where N < D

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
        """Number of coordinates of a fit, r."""
        return self.x.shape[1]

    @property
    def device(self) -> torch.device:
        """The device that holds it."""
        return self.x.device

    @property
    def nbytes(self) -> int:
        """Memory that it holds."""
        arrays = (self.x, self.x32, self.squares, self._axes, self._rows)
        return sum(array.nbytes for array in arrays if array is not None)

    def coefficients(self, w: torch.Tensor) -> torch.Tensor:
        """Coefficients (..., D) of the standardised features from those of the coordinates (..., r)."""
        of_axes = w @ self._axes.T
        return of_axes if self._rows is None else of_axes @ self._rows

    def coordinates(self, z: torch.Tensor) -> torch.Tensor:
        """Other standardised rows (n, D) in the coordinates (n, r) by which w gives their logits."""
        return (z if self._rows is None else z @ self._rows.T) @ self._axes

    def without_rows(self) -> Design:
        """The same for fits alone, which takes less memory: without the features of the rows."""
        return self if self._rows is None else replace(self, _rows=self._rows[:0])


def suited(z: np.ndarray) -> type[Design] | type[Kernel]:
    """The kind of design on which fits on standardised features (N, D) take least time."""
    return Kernel if Kernel.serves(*z.shape) else Design


def solving_device(device: str) -> str:
    """The device on which probes of features from a device are solved: the same if it is CUDA's, else the CPU.

    Others have no float64.
    """
    return device if device.startswith("cuda") else "cpu"


class Designs:
    """Makes and keeps designs: several seeds, tasks and protocols refit on the same rows.

    It also keeps the latest paths solved on them, as far as their first block, for tasks that differ in nothing but the
    metric that chooses from them and says where they end; folds are drawn by seed and labels, so that their own designs
    serve no other path. Both are known by the content of
    the arrays; designs least recently used go first where all hold more than ``max_bytes``.

    Parameters
    ----------
    device : str
        torch's name of the device that holds the designs.
    max_bytes : int
        Memory that kept designs may take; with 0, nothing is kept.
    threads : int or None
        Folds fitted side by side at most, as many as there are cores by default; results do not depend on it.

    Attributes
    ----------
    made, solved : int
        Number of designs made and of paths solved so far.
    """

    def __init__(self, device: str = "cpu", max_bytes: int = 0, threads: int | None = None):
        self.device, self.max_bytes, self.threads = device, max_bytes, threads
        self._known: OrderedDict[str, tuple[Any, Scaler]] = OrderedDict()
        self._lock = threading.Lock()
        self._path: tuple[str, list[Any]] | None = None
        self.made = self.solved = 0

    def of(self, x: np.ndarray, principal: bool = True, keep: bool = True) -> tuple[Any, Scaler]:
        """The design of some rows, and the scaler that standardised them.

        Parameters
        ----------
        x : np.ndarray of shape (N, D)
            Features.
        principal : bool
            Whether the design has to be in principal axes; else it is of the kind that is ``suited``.
        keep : bool
            Whether to keep the design for others that ask for the same rows.

        Returns
        -------
        tuple of (Design or Kernel, Scaler)
            The design and the scaler.

        Raises
        ------
        BadArray
            For features that are no matrix or not finite.
        """
        key = f"{principal} {_digest(x)}" if keep and self.max_bytes else ""
        with self._lock:
            if key and key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        z, scaler = standardise(x)
        design_and_scaler = (Design if principal else suited(z)).of(z, self.device), scaler
        with self._lock:
            self.made += 1
            if key:
                self._known[key] = design_and_scaler
                while (
                    sum(design.nbytes for design, _ in self._known.values()) > self.max_bytes and len(self._known) > 1
                ):
                    self._known.popitem(last=False)
        return design_and_scaler

    def path(self, problem: tuple, start: Callable[[], list[Any]]) -> list[Any]:
        """The paths of every fold after their first block, made unless they are those of the call before.

        Parameters
        ----------
        problem : tuple
            What determines the paths: arrays, and values known by their ``repr``.
        start : callable
            Makes them; each knows its ``nbytes``.

        Returns
        -------
        list
            What ``start`` returned, which others may be given too.
        """
        key = ""
        if self.max_bytes:
            key = " ".join(_digest(each) if isinstance(each, np.ndarray) else repr(each) for each in problem)
            if (known := self._path) and known[0] == key:
                return known[1]
        self._path = None  # the one before is freed first
        paths = start()
        with self._lock:
            self.solved += 1
        if self.max_bytes and sum(each.nbytes for each in paths) <= self.max_bytes:
            self._path = key, paths
        return paths


def _digest(x: np.ndarray) -> str:
    x = np.ascontiguousarray(x)
    return hashlib.blake2b(repr((x.shape, x.dtype.str)).encode() + x.data, digest_size=16).hexdigest()
