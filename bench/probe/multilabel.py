"""One headline probe per label: every bit is chosen and fitted as a two-class task of its own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.base import BaseEstimator

from bench.errors import BadInput
from bench.kinds import bits
from bench.probe.linear import LinearProbe


class MultilabelProbe(BaseEstimator):
    """``LinearProbe`` for each of ``classes``, chosen by that label's AUROC on pooled out-of-fold predictions.

    Labels are bit masks. After ``fit``: ``best_params_`` and ``path_`` with a ``label`` in each entry, ``folds_`` of
    the first label's folds (each label is stratified by itself, with the same seed).
    """

    def __init__(
        self,
        classes: tuple[str, ...],
        folds: int = 5,
        seed: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ):
        self.classes = classes
        self.folds = folds
        self.seed = seed
        self.progress = progress

    def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> MultilabelProbe:
        """Itself. Raises ``BadInput`` for a label that all or no training rows have."""
        present = bits(y, len(self.classes))
        self.probes_ = []
        for k, name in enumerate(self.classes):
            if present[:, k].all() or not present[:, k].any():
                share = "every" if present[:, k].all() else "no"
                raise BadInput(f"label {name}", f"{share} training clip has it", "complete the corpus")
            probe = LinearProbe(folds=self.folds, seed=self.seed, metric="auroc", n_classes=2, progress=self.progress)
            self.probes_.append(probe.fit(X, present[:, k].astype(int), groups))
        named = list(zip(self.classes, self.probes_, strict=True))
        self.best_params_ = {
            f"{name} {key}": value for name, probe in named for key, value in probe.best_params_.items()
        }
        self.path_ = [{"label": name, **candidate} for name, probe in named for candidate in probe.path_]
        self.at_edge_ = any(probe.at_edge_ for probe in self.probes_)
        self.folds_ = self.probes_[0].folds_
        return self

    def predict_scores(self, X: np.ndarray) -> np.ndarray:
        """(N, K) log odds of every label."""
        log = [probe.predict_log_proba(X) for probe in self.probes_]
        return np.stack([pair[:, 1] - pair[:, 0] for pair in log], axis=1)
