"""What published probes have in common: training rows of which some only validate, raw features in, scores out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.base import BaseEstimator

from bench.base.errors import BadInput
from bench.base.threads import workers
from bench.probe.linear.design import check_features
from bench.probe.literature._rows import Rows, drawn
from bench.probe.literature._stack import Stack
from bench.probe.literature._training import Criterion, Progress
from bench.scores.metrics import Roles


@dataclass(frozen=True)
class Outcome:
    """One trained probe: the network of the state kept, what chose it, and every state compared (``score``: higher is
    better)."""

    network: Stack
    chosen: Mapping
    path: Sequence[Mapping]
    at_edge: bool


class LiteratureProbe(BaseEstimator):
    """Base of the published probes: trains on some training rows and keeps what validates best on the others.

    ``kind``, ``n_classes``, ``metric`` and ``roles`` are the task's; ``validation_folds``: where the task has no
    validation split of its own, one row in so many validates, drawn by group. ``progress`` is called with the share
    of the work that is done. Bits depend on neither the number of cores nor on the other seeds of a run.

    After ``fit``: ``best_params_``, ``path_``, ``at_edge_``, and ``folds_`` (N,) 0 for the validation rows and -1 for
    the others where they were drawn.
    """

    kinds: tuple[str, ...] = ("multiclass",)

    def __init__(
        self,
        kind: str = "multiclass",
        n_classes: int = 2,
        metric: str = "auroc",
        roles: Roles | None = None,
        seed: int = 0,
        validation_folds: int = 5,
        device: str = "cpu",
        progress: Progress | None = None,
    ):
        self.kind = kind
        self.n_classes = n_classes
        self.metric = metric
        self.roles = roles
        self.seed = seed
        self.validation_folds = validation_folds
        self.device = device
        self.progress = progress

    def fit(
        self, X: np.ndarray, y: np.ndarray, groups: np.ndarray, validation: np.ndarray | None = None
    ) -> LiteratureProbe:
        """Itself, fitted on features (N, D), labels (N,) and groups (N,). ``validation`` (N,) bool: the task's own
        validation rows, where it has some. Raises ``BadInput`` for features that are not finite, a kind of task that
        the protocol has no form for, one group alone, and validation rows on which nothing can be judged."""
        return fitted_together([self], X, y, groups, validation)[0]

    def predict_scores(self, X: np.ndarray) -> np.ndarray:
        """(N, K) scores as the task's kind has them (``bench.scores.label_kinds``)."""
        x = self._input(check_features(X))
        outputs = _alone(lambda: _outputs(self.network_, torch.as_tensor(x, device=self.device)))
        return Criterion(self.kind, self.metric).scores(outputs)

    def _input(self, x: np.ndarray) -> np.ndarray:
        """(N, D) float32 features as the network takes them."""
        return np.ascontiguousarray(x, np.float32)

    def _prepare(self, x: np.ndarray) -> None:
        """Learns from the rows trained on what ``_input`` needs."""

    def _outcomes(self, seeds: Sequence[int], rows: Rows, held: Rows) -> list[Outcome]:
        """One outcome per seed."""
        raise NotImplementedError


def fitted_together(
    probes: Sequence[LiteratureProbe],
    X: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray,
    validation: np.ndarray | None = None,
) -> Sequence[LiteratureProbe]:
    """``probes`` that differ in their seed alone, fitted in one pass where the protocol has one. Raises as ``fit``."""
    first = probes[0]
    if first.kind not in first.kinds:
        problem = (
            f"{type(first).__name__} was published for {' and '.join(first.kinds)} tasks, this one is {first.kind}"
        )
        raise BadInput("protocol", problem, "take the protocol linear")
    X, y = check_features(X), np.asarray(y)
    own = validation is not None and bool(np.any(validation))
    held = np.asarray(validation) if own else drawn(y, groups, first.kind, first.validation_folds)
    first._prepare(X[~held])
    rows, judged = (
        Rows.of(first._input(X[part]), y[part], first.kind, first.n_classes, first.device) for part in (~held, held)
    )
    outcomes = _alone(lambda: first._outcomes([probe.seed for probe in probes], rows, judged))
    whose = "the task's own" if own else f"drawn by group, one in {first.validation_folds}"
    for probe, outcome in zip(probes, outcomes, strict=True):
        probe.__dict__ |= {name: value for name, value in vars(first).items() if name.startswith("scaler_")}
        probe.network_, probe.path_, probe.at_edge_ = outcome.network, list(outcome.path), outcome.at_edge
        probe.best_params_ = {**outcome.chosen, "validation": f"{whose}: {len(judged)} of {len(y)} rows"}
        if not own:
            probe.folds_ = np.where(held, 0, -1)
    return probes


@torch.no_grad()
def _outputs(network: Stack, x: torch.Tensor) -> np.ndarray:
    return network.logits(x)[0].double().cpu().numpy()


def _alone(work: Callable):
    """What ``work`` returns, with one thread in every product: the same bits on any core count."""
    with workers(1) as pool:
        return pool.submit(work).result()
