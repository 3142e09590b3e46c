"""A probe that sees a few training groups alone: how many patients of a new site are worth having labelled."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from bench.base.errors import BadInput
from bench.scores.label_kinds import KINDS

GROUPS_PER_CLASS = 2  # drawn for every class that has them: fitted on one fold, it is scored on another
_ATTEMPTS = 100


class FewShotProbe(BaseEstimator):
    """A probe chosen and fitted on all clips of a few training groups and on nothing else.

    The parameter ``folds`` of the probe, where it has one, is lowered to the number of drawn groups that hold the
    rarest class, but not below 2.

    Parameters
    ----------
    probe : estimator
        The probe that sees the drawn groups.
    shots : int
        Number of groups to draw, see ``draw_groups``.
    kind : str
        The task's kind (``bench.scores.label_kinds``).
    n_classes : int
        Number of the task's classes or labels.
    seed : int
        Seed of the draw.

    Attributes
    ----------
    best_params_, path_, path_ends_, left_out_, at_edge_
        Those of the probe.
    folds_ : np.ndarray of shape (N,)
        The probe's fold of each row, -1 for the rows of groups that were not drawn.
    """

    def __init__(self, probe: Any, shots: int, kind: str = "multiclass", n_classes: int = 2, seed: int = 0):
        self.probe = probe
        self.shots = shots
        self.kind = kind
        self.n_classes = n_classes
        self.seed = seed

    def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> FewShotProbe:
        """Draws groups and fits the probe on their rows.

        Parameters
        ----------
        X : np.ndarray of shape (N, D)
            Features.
        y : np.ndarray of shape (N,)
            Labels as the task's kind has them.
        groups : np.ndarray of shape (N,)
            Group (patient) of each row.

        Returns
        -------
        FewShotProbe
            The fitted estimator itself.

        Raises
        ------
        BadInput
            As ``draw_groups``, and as the probe's own ``fit``.
        """
        y, groups = np.asarray(y), np.asarray(groups)
        present = presence(y, self.kind, self.n_classes)
        taken = np.isin(groups, draw_groups(present, groups, self.shots, self.seed))
        groups_with_class = _classes_of_groups(present[taken], groups[taken])[1].sum(axis=0)
        if "folds" in self.probe.get_params():
            rarest = groups_with_class[groups_with_class > 0].min()
            self.probe.set_params(folds=int(np.clip(rarest, 2, self.probe.get_params()["folds"])))
        self.probe.fit(X[taken], y[taken], groups[taken])
        self.best_params_, self.path_ = self.probe.best_params_, self.probe.path_
        self.path_ends_ = getattr(self.probe, "path_ends_", [])
        self.left_out_ = getattr(self.probe, "left_out_", 0)
        self.at_edge_ = getattr(self.probe, "at_edge_", False)
        self.folds_ = np.full(len(y), -1)
        self.folds_[taken] = self.probe.folds_
        return self

    def predict_scores(self, X: np.ndarray) -> np.ndarray:
        """Scores (N, K) of features (N, D), by the probe."""
        return self.probe.predict_scores(X)


def presence(labels: np.ndarray, kind: str, n_classes: int) -> np.ndarray:
    """What must occur among drawn clips: every class; every label, present and absent; any target.

    Parameters
    ----------
    labels : np.ndarray of shape (N,)
        Labels as the task's kind has them.
    kind : str
        The task's kind (``bench.scores.label_kinds``).
    n_classes : int
        Number of the task's classes or labels.

    Returns
    -------
    np.ndarray of shape (N, M), bool
        Which of M things each row has.
    """
    if kind == "regression":
        return np.ones((len(labels), 1), bool)
    has_class = np.stack([KINDS[kind].of_class(labels, k) for k in range(n_classes)], axis=1)
    return np.hstack([has_class, ~has_class]) if kind == "multilabel" else has_class


def draw_groups(present: np.ndarray, groups: np.ndarray, shots: int, seed: int) -> np.ndarray:
    """Draws groups, stratified by the rarest class that a group holds.

    Every class that occurs is held by ``GROUPS_PER_CLASS`` of them, or by all that there are. A larger draw of the same
    seed holds the smaller ones but for the rare seed that needs another attempt.

    Parameters
    ----------
    present : np.ndarray of shape (N, M), bool
        What each row has, see ``presence``.
    groups : np.ndarray of shape (N,)
        Group (patient) of each row.
    shots : int
        Number of groups to draw.
    seed : int
        Seed of the draw.

    Returns
    -------
    np.ndarray of shape (shots,)
        Names of the groups, sorted.

    Raises
    ------
    BadInput
        Where there are fewer groups, or where so few cannot hold every class.
    """
    names, holds = _classes_of_groups(present, groups)
    if len(names) < shots:
        raise BadInput("training rows", f"{len(names)} groups where {shots} are to be drawn", "ask for fewer")
    groups_with_class = holds.sum(axis=0)
    rarity = np.where(holds, groups_with_class, len(names) + 1)
    strata = np.where(holds.any(axis=1), rarity.argmin(axis=1), holds.shape[1])
    for attempt in range(_ATTEMPTS):
        taken = _stratified_order(strata, np.random.default_rng([seed, attempt]))[:shots]
        if (holds[taken].sum(axis=0) >= np.minimum(GROUPS_PER_CLASS, groups_with_class)).all():
            return names[np.sort(taken)]
    raise BadInput("training rows", f"no {shots} groups hold every class {GROUPS_PER_CLASS} times", "ask for more")


def _classes_of_groups(present: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Names (G,) of the groups, and which group holds what (G, M), bool."""
    names, code = np.unique(groups, return_inverse=True)
    holds = np.zeros((len(names), present.shape[1]), bool)
    np.logical_or.at(holds, code, present)
    return names, holds


def _stratified_order(strata: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The groups (G,) in random order, such that any first few hold the strata in proportion (Sainte-Laguë).

    Each stratum comes ``GROUPS_PER_CLASS`` times before any comes again.
    """
    rank, turn = np.empty(len(strata), int), np.empty(len(strata))
    for stratum in np.unique(strata):
        members = rng.permutation(np.flatnonzero(strata == stratum))
        rank[members] = np.arange(len(members))
        turn[members] = (2 * rank[members] + 1) / len(members)
    return np.lexsort((strata, turn, rank >= GROUPS_PER_CLASS))
