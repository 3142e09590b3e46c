"""What a probe's candidates are compared for, whatever the kind of task: labels, targets, folds and the value."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, StratifiedKFold

from bench.base.errors import BadArray, BadInput
from bench.probe.log_probabilities import FLOOR
from bench.scores import metrics
from bench.scores.label_kinds import KINDS, bits
from bench.scores.metrics import Roles
from bench.types import TaskCard

CLASS_WEIGHTS: tuple[str | None, ...] = (None, "balanced")  # that trained probes compare


@dataclass(frozen=True)
class Goal:
    """What a probe's candidates are compared for.

    Attributes
    ----------
    classes : tuple of str
        Names of the task's classes or labels, K of them.
    metric : str
        Metric of ``bench.scores.metrics`` by which candidates are compared.
    kind : str
        Kind of the task, see ``bench.scores.label_kinds``.
    roles : Roles
        Classes of a special role for the metric.
    """

    classes: tuple[str, ...]
    metric: str = "uar"
    kind: str = "multiclass"
    roles: Roles = field(default_factory=Roles)

    @classmethod
    def of(cls, card: TaskCard) -> Goal:
        """Takes the goal from a task card: its main metric."""
        return cls(tuple(card.classes), card.main_metric, card.kind, Roles.of(card))

    @property
    def columns(self) -> int:
        """Number of columns of the scores: K, or 1 for a regression."""
        return 1 if self.kind == "regression" else len(self.classes)

    def labels(self, y: np.ndarray) -> np.ndarray:
        """Checks labels and turns them into numbers.

        Parameters
        ----------
        y : array-like of shape (N,)
            Class indices, bit masks of labels, or targets.

        Returns
        -------
        np.ndarray of shape (N,)
            Class indices or bit masks (int), or targets (float).

        Raises
        ------
        BadInput
            For class indices out of range or all alike, a label that all or no rows have, and targets that are not
            finite.
        """
        if self.kind == "multiclass":
            return class_positions(np.asarray(y), range(len(self.classes)))[1]
        y = np.asarray(y)
        if self.kind == "regression":
            if not np.isfinite(y.astype(float)).all():
                raise BadInput("targets", "some are not finite", "leave out clips without a target")
            return y.astype(float)
        for name, column in zip(self.classes, bits(y, len(self.classes)).T, strict=True):
            if column.all() or not column.any():
                share = "every" if column.all() else "no"
                raise BadInput(f"label {name}", f"{share} training clip has it", "complete the corpus")
        return y.astype(int)

    def targets(self, y: np.ndarray) -> np.ndarray:
        """Labels (N,) as float64 (N, columns): one-hot classes, bits, or the target itself."""
        match self.kind:
            case "multiclass":
                return np.eye(len(self.classes))[y]
            case "multilabel":
                return bits(y, len(self.classes)).astype(float)
        return y[:, None].astype(float)

    def folds(self, y: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> tuple[np.ndarray, int]:
        """Assigns rows to folds, no group to two of them.

        Stratified by class or by the set of labels; by group alone for regression.

        Parameters
        ----------
        y : np.ndarray of shape (N,)
            Labels as ``labels`` returns them.
        groups : np.ndarray of shape (N,)
            Group (patient) of each row.
        folds : int
            Most folds.
        seed : int
            Seed of the assignment.

        Returns
        -------
        tuple of (np.ndarray of shape (N,), int)
            Fold of each row, and the number of folds.

        Raises
        ------
        BadArray
            For rows that cannot be dealt into two folds (``too_few``).
        """
        if self.kind != "regression":
            return assign_folds(np.unique(y, return_inverse=True)[1], groups, folds, seed)
        require_folds(y, groups, self.kind)
        used = min(folds, len(np.unique(groups)))
        assigned = np.empty(len(y), int)
        for fold, (_, held_out) in enumerate(GroupKFold(used, shuffle=True, random_state=seed).split(y, y, groups)):
            assigned[held_out] = fold
        return assigned, used

    def value(self, y: np.ndarray, scores: np.ndarray) -> float:
        """Value of the metric for labels (N,) and scores (N, columns), negated where low is better."""
        sign = -1 if metrics.get(self.metric).direction == "lower" else 1
        return sign * metrics.evaluate(self.metric, y, KINDS[self.kind].decided(scores), scores, self.roles)

    def best(self, path: Sequence[Mapping]) -> int:
        """Index of the candidate with the highest ``score``, the first of equals.

        Raises
        ------
        BadInput
            Where the score of no candidate is defined.
        """
        scores = [candidate["score"] for candidate in path]
        if np.isnan(scores).all():
            raise BadInput("probe", f"{self.metric} is undefined on the training rows", "choose another metric")
        return int(np.nanargmax(scores))

    def blank(self, *shape: int) -> np.ndarray:
        """Scores (*shape, columns) that say nothing of any row."""
        return np.full((*shape, self.columns), FLOOR if self.kind == "multiclass" else 0.0)


def assign_folds(y: np.ndarray, groups: np.ndarray | None, folds: int, seed: int) -> tuple[np.ndarray, int]:
    """Assigns rows to folds stratified by class, no group to two of them.

    Folds are reduced to the number of groups, or of the most frequent class's rows; a class rarer than that is missing
    from some folds.

    Parameters
    ----------
    y : np.ndarray of shape (N,), int
        Class indices.
    groups : np.ndarray of shape (N,), optional
        Group (patient) of each row; by default every row is its own.
    folds : int
        Most folds.
    seed : int
        Seed of the assignment.

    Returns
    -------
    tuple of (np.ndarray of shape (N,), int)
        Fold of each row, and the number of folds.

    Raises
    ------
    BadArray
        For rows that cannot be dealt into two folds (``too_few``).
    """
    require_folds(y, groups)
    n_groups = len(y) if groups is None else len(np.unique(groups))
    used = min(folds, n_groups, int(np.bincount(y).max()))
    splitter = StratifiedKFold if groups is None else StratifiedGroupKFold
    assigned = np.empty(len(y), int)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        splits = splitter(used, shuffle=True, random_state=seed).split(np.zeros(len(y)), y, groups)
        for fold, (_, held_out) in enumerate(splits):
            assigned[held_out] = fold
    return assigned, used


def too_few(y: np.ndarray, groups: np.ndarray | None, kind: str = "multiclass") -> str:
    """Why rows cannot be dealt into two folds, as every choice of a candidate needs; empty where they can.

    Parameters
    ----------
    y : np.ndarray of shape (N,)
        Labels as the task's kind has them.
    groups : np.ndarray of shape (N,), optional
        Group (patient) of each row; by default every row is its own.
    kind : str
        The task's kind (``bench.scores.label_kinds``).
    """
    if groups is not None and any(group is None or group != group for group in groups):  # NaN differs from itself
        return "some have no group"
    n_groups = len(y) if groups is None else len(np.unique(groups))
    if n_groups < 2:
        return "all belong to one group"
    if kind != "regression" and np.unique(y, return_counts=True)[1].max() < 2:
        return "no two of them have the same label"
    return ""


def require_folds(y: np.ndarray, groups: np.ndarray | None, kind: str = "multiclass") -> None:
    """Raises ``BadArray`` where ``too_few`` says why."""
    if problem := too_few(y, groups, kind):
        raise BadArray("training rows", problem, "train on two patients or more, and on two clips of some class")


def class_positions(y: np.ndarray, classes: Sequence | None) -> tuple[np.ndarray, np.ndarray]:
    """Position of each label among the classes.

    Parameters
    ----------
    y : np.ndarray of shape (N,)
        Labels.
    classes : sequence, optional
        All K classes; by default those that occur.

    Returns
    -------
    tuple of np.ndarray of shapes (K,) and (N,)
        The classes, and each label's position among them.

    Raises
    ------
    BadArray
        For a label that is none of the classes and for a single class.
    """
    known = np.unique(y) if classes is None else np.asarray(classes)
    order = np.argsort(known)
    position = order[np.searchsorted(known, y, sorter=order).clip(max=len(known) - 1)]
    if (known[position] != y).any():
        unknown = y[known[position] != y][0]
        raise BadArray("labels", f"{unknown} is none of the {len(known)} classes", "check the task's classes")
    if position.min() == position.max():
        raise BadArray("labels", f"every training row has class {y[0]}", "train on rows of at least two classes")
    return known, position
