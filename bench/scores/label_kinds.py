"""What differs between kinds of task: what a label is, what a probe's scores are, and how one becomes the other.

=============  =====================================  ===========================================  ====================
kind           label                                  scores (N, K)                                decision
=============  =====================================  ===========================================  ====================
multiclass     index into the classes                 log probability of every class               the highest
multilabel     sum of 2^k over the classes present    log odds of every class                      those above 0
regression     the target, in its own unit            the prediction (N, 1)                        the prediction
=============  =====================================  ===========================================  ====================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.types import TaskCard


class Multiclass:
    """One class a clip; the base of the other kinds."""

    integer = True
    per_class = "recall"  # metric of one class, told by its index; empty for none
    auroc = "auroc"  # the metric of all classes together that no threshold enters; empty for none

    def valid(self, labels: np.ndarray, classes: Sequence[str]) -> np.ndarray:
        """(N,) bool: which labels are possible."""
        return np.isin(labels, range(len(classes)))

    def of_class(self, labels: np.ndarray, k: int) -> np.ndarray:
        """(N,) bool: which clips have class k."""
        return labels == k

    def decided(self, scores: np.ndarray) -> np.ndarray:
        """(N,) predictions, in the form of labels, from scores (N, K)."""
        return scores.argmax(axis=1)

    def of_number(self, number: float, n_classes: int) -> float | None:
        """The label that a number states; None where it states none."""
        return int(number) if number.is_integer() and 0 <= number < n_classes else None

    def of_class_index(self, k: int) -> int:
        """The label of clips that have class k alone."""
        return k

    def of_parts(self, parts: Sequence[str], names: Mapping[str, int]) -> int | None:
        """The label that names joined by ``+`` state, parted; None where they state none."""
        return names.get("+".join(parts))

    def counts(self, labels: np.ndarray, classes: Sequence[str]) -> dict[str, int]:
        """{class: number of clips that have it}."""
        return {name: int(self.of_class(labels, k).sum()) for k, name in enumerate(classes)}


class Multilabel(Multiclass):
    """Any number of classes a clip, none included."""

    per_class = "auroc.bit"
    auroc = "auroc.bits"

    def valid(self, labels: np.ndarray, classes: Sequence[str]) -> np.ndarray:
        """(N,) bool: which labels are sums of bits of the classes."""
        return np.isin(labels, range(2 ** len(classes)))

    def of_class(self, labels: np.ndarray, k: int) -> np.ndarray:
        """(N,) bool: which clips have bit k."""
        return bits(labels, k + 1)[:, k]

    def decided(self, scores: np.ndarray) -> np.ndarray:
        """(N,) sums of the bits whose log odds are above 0."""
        return (scores > 0) @ (1 << np.arange(scores.shape[1]))

    def of_number(self, number: float, n_classes: int) -> float | None:
        """A sum of bits of the classes."""
        return super().of_number(number, 2**n_classes)

    def of_class_index(self, k: int) -> int:
        """The bit of class k."""
        return 1 << k

    def of_parts(self, parts: Sequence[str], names: Mapping[str, int]) -> int | None:
        """The sum of the bits of the names; ``normal`` and ``none`` are no class where no class is named so."""
        parts = [part for part in parts if part in names or part not in ("", "none", "normal")]
        return sum(1 << names[part] for part in set(parts)) if all(part in names for part in parts) else None


class Regression(Multiclass):
    """A number a clip."""

    integer = False
    per_class = ""
    auroc = ""

    def valid(self, labels: np.ndarray, classes: Sequence[str]) -> np.ndarray:
        """(N,) bool: which targets are finite."""
        return np.isfinite(np.asarray(labels, float))

    def of_class(self, labels: np.ndarray, k: int) -> np.ndarray:
        """(N,) bool: all clips with a target."""
        return np.isfinite(np.asarray(labels, float))

    def decided(self, scores: np.ndarray) -> np.ndarray:
        """(N,) predictions themselves."""
        return scores[:, 0]

    def of_number(self, number: float, n_classes: int) -> float | None:
        """The number itself."""
        return number


KINDS: dict[str, Multiclass] = {
    "multiclass": Multiclass(),
    "multilabel": Multilabel(),
    "regression": Regression(),
}


def of(task: TaskCard | Mapping[str, Any]) -> Multiclass:
    """The kind of a task's card, or of a record's copy of it (which names it only where it is not multiclass)."""
    return KINDS[task.kind if isinstance(task, TaskCard) else task.get("kind", "multiclass")]


def bits(labels: np.ndarray, n_classes: int) -> np.ndarray:
    """(N, K) bool of multilabel labels (N,)."""
    return (np.asarray(labels).astype(int)[:, None] >> np.arange(n_classes)) & 1 == 1
