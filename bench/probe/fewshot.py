"""A probe that sees a few training groups alone: how many patients of a new site are worth having labelled."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from bench.base.errors import BadInput
from bench.scores.label_kinds import KINDS

EACH = 2  # groups that every class is drawn from, where it has them: fitted on one fold, it is scored on another
_ATTEMPTS = 100


class FewShotProbe(BaseEstimator):
    """``probe``, chosen and fitted on all clips of ``shots`` training groups (``drawn``) and on nothing else.

    The parameter ``folds`` of ``probe``, where it has one, is lowered to the number of drawn groups that hold the
    rarest class, but not below 2. ``kind`` and ``n_classes`` are the task's. After ``fit``: what ``probe``
    has, and ``folds_`` (N,) with -1 for the rows of groups that were not drawn.
    """

    def __init__(self, probe: Any, shots: int, kind: str = "multiclass", n_classes: int = 2, seed: int = 0):
        self.probe = probe
        self.shots = shots
        self.kind = kind
        self.n_classes = n_classes
        self.seed = seed

    def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> FewShotProbe:
        """Itself. Raises ``BadInput`` as ``drawn``."""
        y, groups = np.asarray(y), np.asarray(groups)
        present = presence(y, self.kind, self.n_classes)
        taken = np.isin(groups, drawn(present, groups, self.shots, self.seed))
        held = _held(present[taken], groups[taken])[1].sum(axis=0)
        if "folds" in self.probe.get_params():
            self.probe.set_params(folds=int(np.clip(held[held > 0].min(), 2, self.probe.get_params()["folds"])))
        self.probe.fit(X[taken], y[taken], groups[taken])
        self.best_params_, self.path_ = self.probe.best_params_, self.probe.path_
        self.at_edge_ = getattr(self.probe, "at_edge_", False)
        self.folds_ = np.full(len(y), -1)
        self.folds_[taken] = self.probe.folds_
        return self

    def predict_scores(self, X: np.ndarray) -> np.ndarray:
        """(N, K) scores of the probe."""
        return self.probe.predict_scores(X)


def presence(labels: np.ndarray, kind: str, n_classes: int) -> np.ndarray:
    """(N, M) bool: what must occur among drawn clips. Every class; every label, present and absent; any target."""
    if kind == "regression":
        return np.ones((len(labels), 1), bool)
    held = np.stack([KINDS[kind].of_class(labels, k) for k in range(n_classes)], axis=1)
    return np.hstack([held, ~held]) if kind == "multilabel" else held


def drawn(present: np.ndarray, groups: np.ndarray, shots: int, seed: int) -> np.ndarray:
    """(shots,) names of groups, stratified by the rarest class that a group holds; a larger draw of the same seed
    holds the smaller ones but for the rare seed that needs another attempt.

    Every class that occurs is held by ``EACH`` of them, or by all that there are. Raises ``BadInput`` where there are
    fewer groups, or where so few cannot hold every class.
    """
    names, holds = _held(present, groups)
    if len(names) < shots:
        raise BadInput("training rows", f"{len(names)} groups where {shots} are to be drawn", "ask for fewer")
    each = holds.sum(axis=0)
    rarity = np.where(holds, each, len(names) + 1)
    strata = np.where(holds.any(axis=1), rarity.argmin(axis=1), holds.shape[1])
    for attempt in range(_ATTEMPTS):
        taken = _order(strata, np.random.default_rng([seed, attempt]))[:shots]
        if (holds[taken].sum(axis=0) >= np.minimum(EACH, each)).all():
            return names[np.sort(taken)]
    raise BadInput("training rows", f"no {shots} groups hold every class {EACH} times", "ask for more")


def _held(present: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(names (G,), (G, M) bool which group holds what)."""
    names, code = np.unique(groups, return_inverse=True)
    holds = np.zeros((len(names), present.shape[1]), bool)
    np.logical_or.at(holds, code, present)
    return names, holds


def _order(strata: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(G,) the groups in random order, such that any first few hold the strata in proportion (Sainte-Laguë), each of
    them ``EACH`` times before any comes again."""
    rank, turn = np.empty(len(strata), int), np.empty(len(strata))
    for stratum in np.unique(strata):
        members = rng.permutation(np.flatnonzero(strata == stratum))
        rank[members] = np.arange(len(members))
        turn[members] = (2 * rank[members] + 1) / len(members)
    return np.lexsort((strata, turn, rank >= EACH))
