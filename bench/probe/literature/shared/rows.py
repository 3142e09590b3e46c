"""Rows as a published training loop takes them, and which of the training rows it validates on."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from bench.base.errors import BadInput
from bench.scores.label_kinds import bits

_SEED = 0  # of the draw: the validation rows do not depend on the probe's own seed


@dataclass(frozen=True)
class LabelledRows:
    """Features and targets of N rows.

    Attributes
    ----------
    x : torch.Tensor of shape (N, D), float32
        Features.
    target : torch.Tensor of shape (N,), (N, K) or (N, 1)
        Class indices, labels as 0 and 1, or values of a regression.
    labels : np.ndarray of shape (N,)
        Labels as the task's kind has them (``bench.scores.label_kinds``).
    """

    x: torch.Tensor
    target: torch.Tensor
    labels: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, labels: np.ndarray, kind: str, n_classes: int, device: str = "cpu") -> LabelledRows:
        """Rows from features (N, D) and labels (N,)."""
        if kind == "multilabel":
            target = torch.as_tensor(bits(labels, n_classes).astype(np.float32))
        elif kind == "regression":
            target = torch.as_tensor(np.asarray(labels, np.float32)[:, None])
        else:
            target = torch.as_tensor(np.asarray(labels).astype(int))
        features = torch.as_tensor(np.ascontiguousarray(x, np.float32))
        return cls(features.to(device), target.to(device), np.asarray(labels))

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.labels)


def draw_validation(labels: np.ndarray, groups: np.ndarray, kind: str, folds: int) -> np.ndarray:
    """Draws validation rows by group: about one row in ``folds``, the same rows whenever asked.

    Stratified by label, but for targets; of the folds, the first that holds the most labels while leaving the most to
    train on.

    Parameters
    ----------
    labels : array-like of shape (N,)
        Labels as the task's kind has them.
    groups : array-like of shape (N,)
        Group (patient) of each row.
    kind : str
        Kind of the task.
    folds : int
        One row in so many validates.

    Returns
    -------
    np.ndarray of shape (N,), bool
        The validation rows.

    Raises
    ------
    BadInput
        Where all rows belong to one group.
    """
    labels, groups = np.asarray(labels), np.asarray(groups)
    used = min(folds, len(np.unique(groups)))
    if used < 2:
        raise BadInput("training rows", "all belong to one group", "choose a task with at least two in train")
    blank = np.zeros(len(labels))
    if kind == "regression":
        splits = GroupKFold(used, shuffle=True, random_state=_SEED).split(blank, labels, groups)
        validation = next(splits)[1]
    else:
        used = min(used, int(np.unique(labels, return_counts=True)[1].max()))
        splitter = StratifiedGroupKFold(max(used, 2), shuffle=True, random_state=_SEED)
        validation = max(
            (out for _, out in _splits_without_warning(splitter, blank, labels, groups)),
            key=lambda out: len(np.unique(labels[out])) + len(np.unique(np.delete(labels, out))),
        )
    return np.isin(np.arange(len(labels)), validation)


def _splits_without_warning(
    splitter: StratifiedGroupKFold, blank: np.ndarray, labels: np.ndarray, groups: np.ndarray
) -> list:
    """The splits, without the warning that a class is rarer than there are folds: that is weighed by the caller."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        return list(splitter.split(blank, labels, groups))
