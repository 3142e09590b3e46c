"""The headline probe for labels that occur together: every label is a two-class task of its own on shared folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from sklearn.base import BaseEstimator

from bench.probe.goal import CLASS_WEIGHTS, Goal
from bench.probe.linear.candidates import CandidateGrid
from bench.probe.linear.crossfit import Candidate, crossfit
from bench.probe.linear.design import Designs, check_features
from bench.probe.linear.logistic import HALF_DECADES
from bench.scores import metrics
from bench.scores.label_kinds import bits
from bench.scores.metrics import Roles

METRIC = "auroc"


class MultilabelPathCV(BaseEstimator):
    """``LogisticPathCV`` for each of ``classes``, chosen by that label's AUROC on pooled out-of-fold predictions.

    Labels are bit masks. Folds are stratified by the combination of labels and shared by all of them, so a fold is
    factorised once.

    Parameters
    ----------
    classes : tuple of str
        Names of the K labels, in the order of their bits.
    Cs : sequence of float
        Inverse strengths of the penalty.
    class_weights : sequence of None or "balanced"
        Class weights, as scikit-learn's.
    folds : int
        Number of folds, fewer where there are fewer groups.
    seed : int
        Seed of the folds.
    device : str
        torch's name of the device to compute on.
    designs : Designs, optional
        Shares factorisations between fits on the same rows.
    progress : callable, optional
        Called with (folds done, folds) after each fold.

    Attributes
    ----------
    best_params_ : dict
        ``<label> C`` and ``<label> class_weight`` of every label.
    path_ : list of dict
        ``label``, ``C``, ``class_weight`` and ``score`` of every candidate.
    path_ends_ : list of dict
        ``label``, ``class_weight`` and ``C`` of the last candidate solved, where a path ended before the last C.
    at_edge_ : bool
        Whether any label's C is the first or last of several.
    left_out_ : int
        Number of features left out as constant, see ``bench.probe.linear.design.standardise``.
    folds_ : np.ndarray of shape (N,)
        Fold of each training row.
    n_folds_ : int
        Number of folds used.
    """

    def __init__(
        self,
        classes: tuple[str, ...],
        Cs: Sequence[float] = HALF_DECADES,
        class_weights: Sequence[str | None] = CLASS_WEIGHTS,
        folds: int = 5,
        seed: int = 0,
        device: str = "cpu",
        designs: Designs | None = None,
        progress: Callable[[int, int], None] | None = None,
    ):
        self.classes = classes
        self.Cs = Cs
        self.class_weights = class_weights
        self.folds = folds
        self.seed = seed
        self.device = device
        self.designs = designs
        self.progress = progress

    def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> MultilabelPathCV:
        """Chooses C and class weight of each label on patient-grouped folds and fits all rows.

        Parameters
        ----------
        X : np.ndarray of shape (N, D)
            Features.
        y : np.ndarray of shape (N,), int
            Labels as bit masks.
        groups : np.ndarray of shape (N,)
            Patient of each row.

        Returns
        -------
        MultilabelPathCV
            The fitted estimator itself.

        Raises
        ------
        BadInput
            For a label that all or no training rows have, features that are not finite, or a single group.
        """
        X, goal = check_features(X), Goal(tuple(self.classes), METRIC, "multilabel")
        y = goal.labels(y)
        self.folds_, self.n_folds_ = goal.folds(y, groups, self.folds, self.seed)
        grid = CandidateGrid(sorted({float(c) for c in self.Cs}), tuple(self.class_weights), 2)
        designs = self.designs or Designs(self.device)
        labels = bits(y, len(self.classes)).T.astype(int)

        def score(at: Candidate, scores: np.ndarray) -> float:
            return metrics.evaluate(METRIC, labels[at[0]], scores.argmax(axis=1), scores, Roles())

        found = crossfit(X, labels, self.folds_, grid, designs, score, self.progress)
        self.best_params_, self.path_, self.path_ends_, self._fitted, self.at_edge_ = {}, [], [], [], False
        for k, name in enumerate(self.classes):
            shares = grid.shares(found.scores[k], found.solved[k])
            path, best = grid.compare(found.scores[k], shares, METRIC)
            self.path_ += [{"label": name, **candidate} for candidate in path]
            self.path_ends_ += [{"label": name, **end} for end in grid.ends(found.solved[k])]
            self.best_params_ |= {f"{name} C": best["C"], f"{name} class_weight": best["class_weight"]}
            self.at_edge_ |= grid.at_edge(best["C"])
            self._fitted.append(found.refit(k, shares))
        self.left_out_ = self._fitted[0].scaler.left_out
        return self

    def predict_scores(self, X: np.ndarray) -> np.ndarray:
        """Log odds (N, K) of every label, of features (N, D)."""
        log_proba = [fitted.log_proba(check_features(X)) for fitted in self._fitted]
        return np.stack([of_label[:, 1] - of_label[:, 0] for of_label in log_proba], axis=1)
