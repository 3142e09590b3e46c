"""Nearest neighbours: what a representation offers without any training, as in XARES (k 10, temperature 0.07)."""

from __future__ import annotations

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin

from bench.errors import BadInput
from bench.probe._design import check_features, standardise
from bench.probe._scores import from_shares

_CHUNK_CELLS = 4_000_000  # similarities held at once: 32 MB


class KnnProbe(ClassifierMixin, BaseEstimator):
    """Votes of the k nearest training rows by cosine similarity of standardised features, weighted by
    softmax(similarity / temperature). Equal similarities are taken in the order of the training rows."""

    def __init__(self, k: int = 10, temperature: float = 0.07, n_classes: int | None = None):
        self.k = k
        self.temperature = temperature
        self.n_classes = n_classes

    def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray | None = None) -> KnnProbe:
        """Itself, holding the rows (N, D) and labels (N,); nothing is selected, so ``groups`` are not used."""
        y = np.asarray(y).astype(int)
        k = self.n_classes or int(y.max()) + 1
        if y.min() < 0 or y.max() >= k:
            raise BadInput("labels", f"class indices {y.min()} … {y.max()} for {k} classes", "check the task's classes")
        z, self.scaler_ = standardise(X)
        self.rows_, self.one_hot_, self.classes_ = _unit(z), np.eye(k)[y], np.arange(k)
        self.best_params_, self.path_ = {"k": min(self.k, len(y)), "temperature": self.temperature}, []
        return self

    def predict_log_proba(self, X: np.ndarray) -> np.ndarray:
        """(N, K) natural logarithms of the shares, as ``bench.probe._scores`` keeps them."""
        return from_shares(self.predict_proba(X))

    predict_scores = predict_log_proba

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """(N, K) shares of the votes."""
        z = _unit(self.scaler_(check_features(X)))
        size = max(1, _CHUNK_CELLS // len(self.rows_))
        votes = [self._votes(z[start : start + size]) for start in range(0, len(z), size)]
        return np.concatenate(votes) if votes else np.zeros((0, len(self.classes_)))

    def predict(self, X: np.ndarray) -> np.ndarray:
        """(N,) class with most of the votes."""
        return self.predict_proba(X).argmax(axis=1)

    def _votes(self, z: np.ndarray) -> np.ndarray:
        similarity = np.round(z @ self.rows_.T, 12)  # so that equal rows tie whatever the rounding of the product
        nearest = np.argsort(-similarity, axis=1, kind="stable")[:, : self.k]
        weights = softmax(np.take_along_axis(similarity, nearest, axis=1) / self.temperature, axis=1)
        return np.einsum("nk,nkc->nc", weights, self.one_hot_[nearest])


def _unit(z: np.ndarray) -> np.ndarray:
    """Rows of length 1; a row of zeros stays zero, at similarity 0 to everything."""
    norm = np.linalg.norm(z, axis=1, keepdims=True)
    return np.divide(z, norm, out=np.zeros_like(z), where=norm > 0)
