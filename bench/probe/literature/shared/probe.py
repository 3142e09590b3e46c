"""What published probes have in common: training rows of which some only validate, raw features in, scores out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.base import BaseEstimator

from bench.base.errors import BadInput
from bench.base.parallel.threads import workers
from bench.probe.linear.design import check_features
from bench.probe.literature.shared.loop import Criterion, ReportShare
from bench.probe.literature.shared.replicas import Replicas
from bench.probe.literature.shared.rows import LabelledRows, draw_validation
from bench.scores.metrics import Roles


@dataclass(frozen=True)
class Outcome:
    """One trained probe.

    Attributes
    ----------
    network : Replicas
        The network (R = 1) in the state that validates best.
    chosen : mapping
        Settings of that state.
    path : sequence of mapping
        Every state compared, with its ``score``: higher is better.
    at_edge : bool
        Whether the state lies at an end of what was compared.
    """

    network: Replicas
    chosen: Mapping
    path: Sequence[Mapping]
    at_edge: bool


class LiteratureProbe(BaseEstimator):
    """Base of the published probes: trains on some training rows and keeps what validates best on the others.

    Bits depend on neither the number of cores nor on the other seeds of a run. A subclass gives ``outcomes`` and, where
    it needs them, ``prepare`` and ``network_input``.

    Parameters
    ----------
    kind : str
        The task's kind (``bench.scores.label_kinds``).
    n_classes : int
        Number of the task's classes or labels, K.
    metric : str
        The task's main metric.
    roles : Roles, optional
        Classes of a special role for the metric.
    seed : int
        Seed of the training.
    validation_folds : int
        Where the task has no validation split of its own, one row in so many validates, drawn by group.
    device : str
        torch's name of the device to compute on.
    progress : callable, optional
        Called with the share of the work that is done.

    Attributes
    ----------
    best_params_ : dict
        Settings of the state kept, and which rows validated.
    path_ : list of dict
        Every state compared, with its ``score``.
    at_edge_ : bool
        Whether the state kept lies at an end of what was compared.
    folds_ : np.ndarray of shape (N,)
        0 for the validation rows and -1 for the others, only where they were drawn.
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
        progress: ReportShare | None = None,
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
        """Trains as published.

        Parameters
        ----------
        X : np.ndarray of shape (N, D)
            Features.
        y : np.ndarray of shape (N,)
            Labels as the task's kind has them.
        groups : np.ndarray of shape (N,)
            Group (patient) of each row.
        validation : np.ndarray of shape (N,), bool, optional
            The task's own validation rows, where it has some.

        Returns
        -------
        LiteratureProbe
            The fitted estimator itself.

        Raises
        ------
        BadInput
            For features that are not finite, a kind of task that the protocol has no form for, one group alone, and
            validation rows on which nothing can be judged.
        """
        return fit_together([self], X, y, groups, validation)[0]

    def predict_scores(self, X: np.ndarray) -> np.ndarray:
        """Scores (N, K) of features (N, D), as the task's kind has them (``bench.scores.label_kinds``)."""
        x = self.network_input(check_features(X))
        outputs = _in_one_thread(lambda: _outputs(self.network_, torch.as_tensor(x, device=self.device)))
        return Criterion(self.kind, self.metric).scores(outputs)

    def network_input(self, x: np.ndarray) -> np.ndarray:
        """Features (N, D), float32, as the network takes them."""
        return np.ascontiguousarray(x, np.float32)

    def prepare(self, x: np.ndarray) -> None:
        """Learns what ``network_input`` needs from the features (N, D) of the rows trained on."""

    def outcomes(self, seeds: Sequence[int], rows: LabelledRows, validation: LabelledRows) -> list[Outcome]:
        """One outcome per seed."""
        raise NotImplementedError


def fit_together(
    probes: Sequence[LiteratureProbe],
    X: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray,
    validation: np.ndarray | None = None,
) -> Sequence[LiteratureProbe]:
    """Fits probes that differ in their seed alone, in one pass where the protocol has one.

    Parameters
    ----------
    probes : sequence of LiteratureProbe
        Unfitted probes.
    X, y, groups, validation
        As ``LiteratureProbe.fit``.

    Returns
    -------
    sequence of LiteratureProbe
        The fitted probes.

    Raises
    ------
    BadInput
        As ``LiteratureProbe.fit``.
    """
    first = probes[0]
    if first.kind not in first.kinds:
        problem = (
            f"{type(first).__name__} was published for {' and '.join(first.kinds)} tasks, this one is {first.kind}"
        )
        raise BadInput("protocol", problem, "take the protocol linear")
    X, y = check_features(X), np.asarray(y)
    has_own = validation is not None and bool(np.any(validation))
    validates = np.asarray(validation) if has_own else draw_validation(y, groups, first.kind, first.validation_folds)
    first.prepare(X[~validates])
    train_rows, validation_rows = (
        LabelledRows.of(first.network_input(X[part]), y[part], first.kind, first.n_classes, first.device)
        for part in (~validates, validates)
    )
    outcomes = _in_one_thread(lambda: first.outcomes([probe.seed for probe in probes], train_rows, validation_rows))
    origin = "the task's own" if has_own else f"drawn by group, one in {first.validation_folds}"
    for probe, outcome in zip(probes, outcomes, strict=True):
        probe.__dict__ |= {name: value for name, value in vars(first).items() if name.startswith("scaler_")}
        probe.network_, probe.path_, probe.at_edge_ = outcome.network, list(outcome.path), outcome.at_edge
        probe.best_params_ = {**outcome.chosen, "validation": f"{origin}: {len(validation_rows)} of {len(y)} rows"}
        if not has_own:
            probe.folds_ = np.where(validates, 0, -1)
    return probes


@torch.no_grad()
def _outputs(network: Replicas, x: torch.Tensor) -> np.ndarray:
    return network.logits(x)[0].double().cpu().numpy()


def _in_one_thread(work: Callable):
    """What ``work`` returns, with one thread in every product: the same bits on any core count."""
    with workers(1) as pool:
        return pool.submit(work).result()
