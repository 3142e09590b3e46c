"""What a probe's candidates are compared for, whatever the kind of task: labels, targets, folds and the value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from sklearn.model_selection import GroupKFold

from bench import metrics
from bench.errors import BadInput
from bench.kinds import KINDS, bits
from bench.metrics import Roles
from bench.probe._crossfit import assign_folds
from bench.probe._scores import FLOOR
from bench.probe.linear import positions
from bench.types import TaskCard


@dataclass(frozen=True)
class Goal:
    """A task's kind (``bench.kinds``), classes and the metric by which candidates are compared."""

    classes: tuple[str, ...]
    metric: str = "uar"
    kind: str = "multiclass"
    roles: Roles = field(default_factory=Roles)

    @classmethod
    def of(cls, card: TaskCard) -> Goal:
        """The goal that a task card states: its main metric."""
        return cls(tuple(card.classes), card.main_metric, card.kind, Roles.of(card))

    @property
    def columns(self) -> int:
        """Columns of the scores."""
        return 1 if self.kind == "regression" else len(self.classes)

    def labels(self, y: np.ndarray) -> np.ndarray:
        """(N,) labels as numbers. Raises ``BadInput`` for class indices out of range or all alike, a label that all or
        no rows have, and targets that are not finite."""
        if self.kind == "multiclass":
            return positions(np.asarray(y), range(len(self.classes)))[1]
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
        """(N, columns) float64: one-hot classes, bits, or the target itself."""
        match self.kind:
            case "multiclass":
                return np.eye(len(self.classes))[y]
            case "multilabel":
                return bits(y, len(self.classes)).astype(float)
        return y[:, None].astype(float)

    def folds(self, y: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> tuple[np.ndarray, int]:
        """((N,) fold of each row, number of folds): no group lies in two folds. Stratified by class or by the set of
        labels; by group alone for regression. Raises ``BadInput`` for a single group."""
        if self.kind != "regression":
            return assign_folds(np.unique(y, return_inverse=True)[1], groups, folds, seed)
        used = min(folds, len(np.unique(groups)))
        if used < 2:
            raise BadInput("training rows", "all belong to one group", "choose a task with at least two in train")
        assigned = np.empty(len(y), int)
        for fold, (_, held) in enumerate(GroupKFold(used, shuffle=True, random_state=seed).split(y, y, groups)):
            assigned[held] = fold
        return assigned, used

    def value(self, y: np.ndarray, scores: np.ndarray) -> float:
        """The metric of scores (N, columns), negated where low is better."""
        sign = -1 if metrics.get(self.metric).direction == "lower" else 1
        return sign * metrics.evaluate(self.metric, y, KINDS[self.kind].decided(scores), scores, self.roles)

    def best(self, path: Sequence[Mapping]) -> int:
        """Index of the candidate with the highest ``score``, the first of equals. Raises ``BadInput`` where none is
        defined."""
        scores = [candidate["score"] for candidate in path]
        if np.isnan(scores).all():
            raise BadInput("probe", f"{self.metric} is undefined on the training rows", "choose another metric")
        return int(np.nanargmax(scores))

    def blank(self, *shape: int) -> np.ndarray:
        """(*shape, columns) scores that say nothing of any row."""
        return np.full((*shape, self.columns), FLOOR if self.kind == "multiclass" else 0.0)
