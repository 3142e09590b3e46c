"""The headline probe: standardised features, L2 logistic regression, chosen by patient-grouped folds."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import StratifiedGroupKFold

from bench import metrics
from bench.errors import BadInput
from bench.metrics import Roles
from bench.probe._scores import FLOOR, from_logits
from bench.probe._solver import Design, check_features, fit_path, standardise
from bench.probe._threads import workers

DECADES = tuple(float(f"1e{power}") for power in range(-6, 3))
WEIGHTS: tuple[str | None, ...] = (None, "balanced")
_WORTH_THREADS = 100_000  # features below which threads would only wait for each other
_TO_COMPARE = 1e-6  # optimality gap of the candidates; the refit is held to the solver's own, tighter one


class LinearProbe(ClassifierMixin, BaseEstimator):
    """L2 logistic regression whose C and class weight are chosen inside the training rows.

    Candidates (``C`` × ``class_weight``) are compared by ``metric`` on the pooled out-of-fold predictions of
    ``StratifiedGroupKFold(folds, shuffle=True, random_state=seed)``, never by the mean over folds, because folds may
    lack a class. Ties go to the smaller C, then to the class weight named first. The winner is refitted on all rows.
    ``metric`` is a metric's name (with ``roles``) or a callable ``(y_true (N,), proba (N, K)) -> float``, higher is
    better. ``n_classes`` is K, the columns of ``predict_proba``; by default the largest label + 1. ``progress`` is
    called with (folds done, folds) after each fold.

    After ``fit``: ``best_params_``, ``path_`` (C, class_weight and score of every candidate), ``at_edge_`` (the
    chosen C is the grid's first or last), ``folds_`` (N,) each row's fold, ``n_folds_`` (fewer than ``folds`` where
    there are fewer groups), ``classes_``, ``coef_`` (M, D) and ``intercept_`` (M,) for standardised features.
    """

    def __init__(
        self,
        C: Sequence[float] = DECADES,
        class_weight: Sequence[str | None] = WEIGHTS,
        folds: int = 5,
        seed: int = 0,
        metric: str | Callable[[np.ndarray, np.ndarray], float] = "uar",
        roles: Roles | None = None,
        n_classes: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ):
        self.C = C
        self.class_weight = class_weight
        self.folds = folds
        self.seed = seed
        self.metric = metric
        self.roles = roles
        self.n_classes = n_classes
        self.progress = progress

    def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> LinearProbe:
        """Itself, fitted on features (N, D), labels (N,) and patients (N,). Raises ``BadInput`` for features that are
        not finite, labels outside 0 … K−1, a single class, or a single group."""
        X, y = check_features(X), check_labels(y, self.n_classes)
        k = self.n_classes or int(y.max()) + 1
        self.classes_ = np.arange(k)
        grid = sorted(float(c) for c in self.C)
        self.folds_, self.n_folds_ = assign_folds(y, groups, self.folds, self.seed)
        pooled = np.full((len(grid), len(self.class_weight), len(y), k), FLOOR)
        with workers(self.n_folds_ if X.size > _WORTH_THREADS else 1) as pool:
            masks = [self.folds_ == fold for fold in range(self.n_folds_)]
            running = {pool.submit(self._fold, X[~out], y[~out], X[out], grid, k): out for out in masks if out.any()}
            for done, future in enumerate(as_completed(running), start=1):
                pooled[:, :, running[future]] = future.result()
                if self.progress:
                    self.progress(done, len(running))
        self.path_ = [
            {"C": c, "class_weight": weight, "score": self._score(y, pooled[i, j])}
            for i, c in enumerate(grid)
            for j, weight in enumerate(self.class_weight)
        ]
        scores = [candidate["score"] for candidate in self.path_]
        if np.isnan(scores).all():
            raise BadInput("linear probe", f"{self.metric} is undefined on the training rows", "choose another metric")
        best = self.path_[int(np.nanargmax(scores))]  # the first of equals: smallest C, first class weight
        self.best_params_ = {"C": best["C"], "class_weight": best["class_weight"]}
        self.at_edge_ = len(grid) > 1 and best["C"] in (grid[0], grid[-1])
        with workers(1) as pool:
            pool.submit(self._refit, X, y).result()
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """(N, K) class probabilities; 0 for classes without training rows."""
        return np.exp(self.predict_log_proba(X))

    def predict_log_proba(self, X: np.ndarray) -> np.ndarray:
        """(N, K) natural logarithms of the class probabilities, as ``bench.probe._scores`` keeps them."""
        return _log_probabilities(
            self.scaler_(check_features(X)), self.coef_, self.intercept_, self.present_, len(self.classes_)
        )

    predict_scores = predict_log_proba

    def predict(self, X: np.ndarray) -> np.ndarray:
        """(N,) most probable class."""
        return self.predict_log_proba(X).argmax(axis=1)

    def _fold(self, x: np.ndarray, y: np.ndarray, held_out: np.ndarray, grid: list[float], k: int) -> np.ndarray:
        """(C, class weights, N held out, K) log probabilities of every candidate."""
        present, index = np.unique(y, return_inverse=True)
        z, scaler = standardise(x)
        out = np.full((len(grid), len(self.class_weight), len(held_out), k), FLOOR)
        if len(present) == 1:
            out[..., present[0]] = 0.0
            return out
        design, z_out = Design.of(z), scaler(held_out)
        for j, weight in enumerate(self.class_weight):
            for i, fit in enumerate(fit_path(design, index, sample_weights(index, weight), grid, _TO_COMPARE)):
                coef, intercept = fit.coefficients(design)
                out[i, j] = _log_probabilities(z_out, coef.T, intercept, present, k)
        return out

    def _refit(self, x: np.ndarray, y: np.ndarray) -> None:
        self.present_, index = np.unique(y, return_inverse=True)
        z, self.scaler_ = standardise(x)
        design = Design.of(z)
        weights = sample_weights(index, self.best_params_["class_weight"])
        coef, self.intercept_ = fit_path(design, index, weights, [self.best_params_["C"]])[0].coefficients(design)
        self.coef_ = coef.T

    def _score(self, y: np.ndarray, scores: np.ndarray) -> float:
        if callable(self.metric):
            return float(self.metric(y, np.exp(scores)))
        return metrics.evaluate(self.metric, y, scores.argmax(axis=1), scores, self.roles or Roles())


def check_labels(y: np.ndarray, n_classes: int | None) -> np.ndarray:
    """(N,) int labels. Raises ``BadInput`` for labels outside 0 … K−1 and for a single class."""
    y = np.asarray(y).astype(int)
    if y.min() < 0 or (n_classes is not None and y.max() >= n_classes):
        raise BadInput(
            "labels", f"class indices {y.min()} … {y.max()} for {n_classes} classes", "check the task's classes"
        )
    if y.min() == y.max():
        raise BadInput("labels", f"every training row has class {y.min()}", "train on rows of at least two classes")
    return y


def assign_folds(y: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> tuple[np.ndarray, int]:
    """((N,) fold of each row, number of folds): no group lies in two folds. Folds are reduced to the number of groups,
    or of the most frequent class's rows; a class rarer than that is missing from some folds. Raises ``BadInput`` for
    a single group."""
    n_groups = len(np.unique(groups))
    if n_groups < 2:
        raise BadInput(
            "training rows", f"all belong to {n_groups} group", "choose a task with at least two patients in train"
        )
    used = min(folds, n_groups, int(np.bincount(y).max()))
    splitter = StratifiedGroupKFold(used, shuffle=True, random_state=seed)
    assigned = np.empty(len(y), int)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        for fold, (_, held_out) in enumerate(splitter.split(np.zeros(len(y)), y, groups)):
            assigned[held_out] = fold
    return assigned, used


def sample_weights(y: np.ndarray, class_weight: str | None) -> np.ndarray:
    """(N,) ones, or N / (K · rows of the class) for ``balanced``, over the K classes present."""
    if class_weight is None:
        return np.ones(len(y))
    if class_weight != "balanced":
        raise BadInput("class_weight", f"unknown value {class_weight!r}", "use None or 'balanced'")
    counts = np.bincount(y)
    return (len(y) / (np.count_nonzero(counts) * counts[y])).astype(float)


def _log_probabilities(
    z: np.ndarray, coef: np.ndarray, intercept: np.ndarray, present: np.ndarray, k: int
) -> np.ndarray:
    """(N, K) log probabilities; ``coef`` (M, D) of the classes ``present``, M = 1 for two."""
    logits = z @ coef.T + intercept
    out = np.full((len(z), k), FLOOR)
    out[:, present] = from_logits(logits if len(present) > 2 else np.hstack([np.zeros_like(logits), logits]))
    return out
