"""Named evaluation protocols as data, and the probe that each one stands for.

``version`` is raised whenever a protocol's numbers change; name and version are part of every record's key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.errors import UnknownId
from bench.progress import Progress, silent
from bench.types import Protocol, TaskCard

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "linear",
            1,
            "frozen",
            "pooled out-of-fold main metric, StratifiedGroupKFold(5) by group inside train",
            "standardise on train; L2 logistic regression, C in 10^-6..10^2 by decades x class weight "
            "{none, balanced}; ties to the smaller C; refit on all train; argmax",
        ),
        Protocol(
            "knn",
            1,
            "frozen",
            "none: k and temperature are fixed",
            "standardise on train; the 10 training clips of largest cosine similarity vote with exp(similarity / 0.07)",
        ),
        Protocol(
            "control",
            1,
            "control",
            "none",
            "no features: predictions from the training labels alone",
            stochastic=True,
        ),
    )
}


def get(name: str) -> Protocol:
    """The protocol of that name. Raises ``UnknownId``."""
    if name not in PROTOCOLS:
        raise UnknownId("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]


def selection_metric(card: TaskCard) -> Callable[[np.ndarray, np.ndarray, np.ndarray], float]:
    """``(y_true (N,), y_pred (N,), scores (N, K)) -> float``, larger is better: the card's main metric."""
    from bench import metrics

    sign = 1.0 if metrics.get(card.main_metric).direction == "higher" else -1.0
    part = metrics.Roles.of(card)

    def value(y_true: np.ndarray, y_pred: np.ndarray, scores: np.ndarray) -> float:
        return sign * metrics.evaluate(card.main_metric, y_true, y_pred, scores, part)

    return value


def probe(protocol: Protocol, card: TaskCard, seed: int, progress: Progress = silent) -> Any:
    """An unfitted probe: ``fit(X, y, groups)``, ``predict_proba(X) -> (N, K)``, ``best_params_``, ``path_``."""
    if protocol.name == "linear":
        from bench.probe.linear import LinearProbe

        return LinearProbe(seed=seed, metric=selection_metric(card), n_classes=len(card.classes), progress=progress)
    if protocol.name == "knn":
        from bench.probe.knn import KnnProbe

        return KnnProbe(n_classes=len(card.classes))
    raise UnknownId("probe protocol", protocol.name, [name for name in PROTOCOLS if name != "control"])
