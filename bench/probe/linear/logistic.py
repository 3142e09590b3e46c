"""The headline probe: standardised features, L2 logistic regression, compared by patient-grouped folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from bench.probe.goal import CLASS_WEIGHTS, assign_folds, class_positions
from bench.probe.linear.candidates import CandidateGrid
from bench.probe.linear.crossfit import crossfit
from bench.probe.linear.design import Designs, check_features
from bench.scores import metrics
from bench.scores.metrics import Roles

HALF_DECADES = tuple(float(f"{10.0 ** (half / 2):.6g}") for half in range(-12, 11))  # values of C, 1e-6 to 1e5


class LogisticPathCV(ClassifierMixin, BaseEstimator):
    """L2 logistic regression whose C and class weight are chosen inside the training rows.

    Candidates (``Cs`` × ``class_weights``) are compared by ``metric`` on the pooled out-of-fold predictions of
    ``StratifiedGroupKFold(folds, shuffle=True, random_state=seed)``, never by the mean over folds, because folds may
    lack a class; each fold is standardised by its own training rows. Those near the best are refitted on all rows, and
    the estimator is their mean under shares (``bench.probe.linear.candidates.shares``): no single candidate decides.
    A callable metric should be of the scale of one between 0 and 1.

    Along ascending C the path of a class weight ends, for all folds at once, where its scores have fallen behind for
    good (``bench.probe.linear.candidates.may_end``): once half of the training deviance is explained, the last three
    scores are 0.02 below the best so far, and twice their rise would not make up for it. The larger values of C are
    not solved and take over the last score; ``path_ends_`` says where. A callable metric, whose scale is not known, has
    the whole path.

    The objective is scikit-learn's, ``C · Σ_i w_i · loss_i + ½‖W‖²`` on standardised features with a free intercept,
    multinomial for more than two classes. The candidates of a fold are solved in blocks
    (``bench.probe.linear.solver.path``), until an estimate of what the objective could still fall is 1e-6 of it, and
    the refit until it is 1e-8; of separable rows that are hardly penalised, where the estimate is least sure, the
    largest gap seen was 4e-7.

    Parameters
    ----------
    Cs : sequence of float
        Inverse strengths of the penalty.
    class_weights : sequence of None or "balanced"
        Class weights, as scikit-learn's.
    folds : int
        Number of folds, fewer where there are fewer groups.
    seed : int
        Seed of the folds.
    metric : str or callable
        Name of one of ``bench.scores.metrics``, or a callable ``(y (N,) class positions, proba (N, K)) -> float``,
        higher is better.
    roles : Roles, optional
        Classes of a special role for a named metric.
    classes : sequence, optional
        All K classes that may occur, in the order of the columns of ``predict_proba``; by default those of ``y``.
    device : str
        torch's name of the device to compute on.
    designs : Designs, optional
        Shares factorisations between fits on the same rows.
    progress : callable, optional
        Called with (folds done, folds) after each fold.

    Attributes
    ----------
    best_params_ : dict
        ``C`` and ``class_weight`` of the best candidate; of equals the smallest C, then the class weight named first.
    path_ : list of dict
        ``C``, ``class_weight`` and ``score`` of every candidate, and ``share`` of those that have one.
    path_ends_ : list of dict
        ``class_weight`` and ``C`` of the last candidate solved, where a path ended before the last C.
    at_edge_ : bool
        Whether the best C is the first or last of several.
    left_out_ : int
        Number of features left out as constant, see ``bench.probe.linear.design.standardise``.
    folds_ : np.ndarray of shape (N,)
        Fold of each training row.
    n_folds_ : int
        Number of folds used.
    classes_ : np.ndarray of shape (K,)
        The classes.
    coef_ : np.ndarray of shape (M, D - left_out_)
        Coefficients of the standardised features; M = 1 for two classes, else K.
    intercept_ : np.ndarray of shape (M,)
        Intercepts.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> patients = np.repeat(np.arange(20), 5)
    >>> y = rng.integers(0, 2, 100)
    >>> X = rng.normal(size=(100, 8)) + y[:, None]
    >>> probe = LogisticPathCV().fit(X, y, groups=patients)
    >>> probe.predict_proba(X).shape
    (100, 2)
    """

    def __init__(
        self,
        Cs: Sequence[float] = HALF_DECADES,
        class_weights: Sequence[str | None] = CLASS_WEIGHTS,
        folds: int = 5,
        seed: int = 0,
        metric: str | Callable[[np.ndarray, np.ndarray], float] = "uar",
        roles: Roles | None = None,
        classes: Sequence | None = None,
        device: str = "cpu",
        designs: Designs | None = None,
        progress: Callable[[int, int], None] | None = None,
    ):
        self.Cs = Cs
        self.class_weights = class_weights
        self.folds = folds
        self.seed = seed
        self.metric = metric
        self.roles = roles
        self.classes = classes
        self.device = device
        self.designs = designs
        self.progress = progress

    def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray | None = None) -> LogisticPathCV:
        """Compares C and class weights on patient-grouped folds and fits all rows.

        Parameters
        ----------
        X : np.ndarray of shape (N, D)
            Features.
        y : np.ndarray of shape (N,)
            Class labels.
        groups : np.ndarray of shape (N,), optional
            Patient of each row; by default every row counts as a patient of its own.

        Returns
        -------
        LogisticPathCV
            The fitted estimator itself.

        Raises
        ------
        BadArray
            A ``ValueError``, for features that are not finite, labels outside ``classes``, a single class, or a single
            group.
        BadInput
            Where the metric is undefined on the training rows for every candidate.
        """
        X, y = validate_data(self, X, y, dtype=(np.float64, np.float32), ensure_all_finite=False, ensure_min_samples=2)
        check_features(X)
        check_classification_targets(y)
        self.classes_, position = class_positions(y, self.classes)
        grid = CandidateGrid(sorted({float(c) for c in self.Cs}), tuple(self.class_weights), len(self.classes_))
        self.folds_, self.n_folds_ = assign_folds(position, groups, self.folds, self.seed)
        designs = self.designs or Designs(self.device)
        found = crossfit(
            X,
            position[None],
            self.folds_,
            grid,
            designs,
            lambda _, scores: self._score(position, scores),
            self.progress,
            whole=callable(self.metric),
        )
        shares = grid.shares(found.scores[0], found.solved[0])
        self.path_, best = grid.compare(found.scores[0], shares, self.metric)
        self.path_ends_ = grid.ends(found.solved[0])
        self.best_params_ = {"C": best["C"], "class_weight": best["class_weight"]}
        self.at_edge_ = grid.at_edge(best["C"])
        self._fitted = found.refit(0, shares)
        self.left_out_ = self._fitted.scaler.left_out
        self.coef_, self.intercept_ = self._fitted.coef, self._fitted.intercept
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Class probabilities (N, K) of features (N, D); 0 for classes without training rows."""
        return np.exp(self.predict_log_proba(X))

    def predict_log_proba(self, X: np.ndarray) -> np.ndarray:
        """Natural logarithms (N, K) of the class probabilities, as ``bench.probe.log_probabilities`` keeps them."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=(np.float64, np.float32), ensure_all_finite=False, reset=False)
        return self._fitted.log_proba(check_features(X))

    predict_scores = predict_log_proba

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Most probable class (N,)."""
        check_is_fitted(self)
        return self.classes_[self.predict_log_proba(X).argmax(axis=1)]

    def _score(self, y: np.ndarray, scores: np.ndarray) -> float:
        if callable(self.metric):
            return float(self.metric(y, np.exp(scores)))
        return metrics.evaluate(self.metric, y, scores.argmax(axis=1), scores, self.roles or Roles())
