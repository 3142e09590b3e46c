"""Corpora with known scores: ICBHI's patients, and predictions that vary among patients as a real record's do.

The scores behind the AUROC take 128 levels, so that the AUROC of a draw of patients is a product of matrices.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from bench.scores import metrics
from bench.scores.metrics import Roles

CLASSES, ROLES, LEVELS = ("normal", "crackle", "wheeze", "both"), Roles(0, (1, 2, 3)), 128
AUROC = "auroc.normal"
METRICS = ("icbhi.Score", "icbhi.Sp", "icbhi.Se", "uar", "recall.3", AUROC)
PARAMETERS = ("mean", "patient", "cell", "clip")
TRUTH_CHUNKS, TRUTH_COPIES = 100, 40  # 126 x 40 patients a chunk


@dataclass(frozen=True)
class Generator:
    """Score of class k over normal of a clip of class y: ``mean[y]`` plus normal deviates of its patient, of its
    patient and class, and of itself, with these square roots of covariances (3, 3). The largest score is the
    prediction. ``clusters`` (126, 4): clips of each class of every patient."""

    clusters: np.ndarray
    mean: np.ndarray
    patient: np.ndarray
    cell: np.ndarray
    clip: np.ndarray

    @classmethod
    def of(cls, clusters: np.ndarray, predictions: pd.DataFrame) -> Generator:
        """Class means and variance components (by moments) of a record's predictions."""
        y, code, scores = _arrays(predictions)
        mean = np.stack([scores[y == k].mean(axis=0) for k in range(4)])
        rest = scores - mean[y]
        patient = _components(rest, code)[0]
        either, clip = _components(rest, code * 4 + y)
        return cls(clusters, mean, _root(patient), _root(either - patient), _root(clip))

    def scores(self, rng: np.random.Generator, y: np.ndarray, code: np.ndarray) -> np.ndarray:
        """(N, 3) for clips of class y (N,) and patient code (N,)."""
        patients = code.max() + 1
        patient = rng.standard_normal((patients, 3)) @ self.patient.T
        cell = rng.standard_normal((patients, 4, 3)) @ self.cell.T
        return self.mean[y] + patient[code] + cell[code, y] + rng.standard_normal((len(y), 3)) @ self.clip.T

    def corpus(self, rng: np.random.Generator, patients: np.ndarray) -> Corpus:
        """Clips of these patients, row numbers of ``clusters``."""
        y, code = self._clips(patients)
        scores = self.scores(rng, y, code)
        return Corpus(y, predicted(scores), np.searchsorted(self.edges, _abnormal(scores)), code)

    @cached_property
    def edges(self) -> np.ndarray:
        """Quantiles that bound the levels of the scores."""
        scores = self.scores(np.random.default_rng(0), *self._clips(self._everyone))
        return np.quantile(_abnormal(scores), np.arange(1, LEVELS) / LEVELS)

    def truth(self) -> tuple[np.ndarray, np.ndarray]:
        """(values of METRICS on very many patients, their standard errors)."""
        chunks = [self.corpus(np.random.default_rng([1, i]), self._everyone).totals for i in range(TRUTH_CHUNKS)]
        cells, levels = (np.stack(part) for part in zip(*chunks))
        spread = values(cells, levels).std(axis=0) / len(chunks) ** 0.5
        return values(cells.sum(axis=0, keepdims=True), levels.sum(axis=0, keepdims=True))[0], spread

    @property
    def _everyone(self) -> np.ndarray:
        return np.tile(np.arange(len(self.clusters)), TRUTH_COPIES)

    def _clips(self, patients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Class (N,) and patient code (N,) of every clip."""
        sizes = self.clusters[patients]
        y = np.repeat(np.tile(np.arange(sizes.shape[1]), len(sizes)), sizes.ravel())
        return y, np.repeat(np.arange(len(sizes)), sizes.sum(axis=1))


@dataclass(frozen=True)
class Corpus:
    """Clips: true and predicted class, level of the abnormal score, patient; all (N,)."""

    y: np.ndarray
    predicted: np.ndarray
    level: np.ndarray
    code: np.ndarray

    @cached_property
    def cells(self) -> np.ndarray:
        """(G, 16) each patient's confusion matrix."""
        return _histogram((self.code * 4 + self.y) * 4 + self.predicted, 16)

    @cached_property
    def levels(self) -> np.ndarray:
        """(G, 2, LEVELS) each patient's normal and abnormal clips per level."""
        return _histogram((self.code * 2 + (self.y > 0)) * LEVELS + self.level, 2 * LEVELS).reshape(-1, 2, LEVELS)

    @property
    def totals(self) -> tuple[np.ndarray, np.ndarray]:
        return self.cells.sum(axis=0), self.levels.sum(axis=0)

    def drawn(self, counts: np.ndarray) -> np.ndarray:
        """(R, METRICS) in draws that take each patient ``counts`` (R, G) times."""
        normal, abnormal = self.levels[:, 0], self.levels[:, 1]
        wins = abnormal @ (normal.cumsum(axis=1) - normal / 2).T  # (G, G) of abnormal over normal clips
        pairs = (counts @ abnormal.sum(axis=1)) * (counts @ normal.sum(axis=1))
        auroc = _quotient(((counts @ wins) * counts).sum(axis=1), pairs)
        return np.column_stack([_of_cells(counts @ self.cells), auroc])

    def drawn_clips(self, rng: np.random.Generator, draws: int) -> np.ndarray:
        """(R, METRICS) in draws of clips, whoever they are from."""
        cells, levels = (rng.multinomial(len(self.y), part.ravel() / len(self.y), draws) for part in self.totals)
        return values(cells, levels.reshape(-1, 2, LEVELS))

    def sizes(self, metric: str) -> np.ndarray:
        """(G,) each patient's clips that a metric is about: of a recall its class's, else all."""
        rows = self.cells.reshape(-1, 4, 4).sum(axis=2)
        head, _, k = metric.rpartition(".")
        return rows[:, int(k)] if head == "recall" else rows.sum(axis=1)

    def frame(self) -> pd.DataFrame:
        """The prediction table that ``score_table`` takes."""
        names = {"clip_id": [f"{i:06d}" for i in range(len(self.y))], "group": [f"{g:04d}" for g in self.code]}
        scores = {"s_0": -self.level, "s_1": 0, "s_2": 0, "s_3": 0}
        return pd.DataFrame(names | {"y_true": self.y, "y_pred": self.predicted} | scores)


def predicted(scores: np.ndarray) -> np.ndarray:
    """(N,) the class of the largest score, 0 where none exceeds normal's."""
    return np.where(scores.max(axis=1) > 0, scores.argmax(axis=1) + 1, 0)


def values(cells: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """(R, METRICS) of confusion matrices (R, 16) and normal and abnormal clips per level (R, 2, LEVELS)."""
    normal, abnormal = levels[:, 0], levels[:, 1]
    wins = (abnormal * (normal.cumsum(axis=1) - normal / 2)).sum(axis=1)
    return np.column_stack([_of_cells(cells), _quotient(wins, normal.sum(axis=1) * abnormal.sum(axis=1))])


def likeness(generator: Generator, predictions: pd.DataFrame, copies: int = 500) -> list[list[str]]:
    """Per class: clips, recall and intra-class correlation of being right, in the record and simulated on the
    record's own clips (mean over copies)."""
    y, code, _ = _arrays(predictions)
    record = predictions["y_pred"].to_numpy()
    rng = np.random.default_rng(4)
    made = [predicted(generator.scores(rng, y, code)) for _ in range(copies)]
    rows = []
    for k, name in enumerate(CLASSES):
        own = y == k
        facts = np.array([_recall_and_icc((p == k)[own], code[own]) for p in (record, *made)])
        pairs = zip(facts[0], np.nanmean(facts[1:], axis=0))
        rows.append([name, int(own.sum()), len(set(code[own])), *(f"{x:.2f}" for pair in pairs for x in pair)])
    return rows


def _abnormal(scores: np.ndarray) -> np.ndarray:
    """(N,) −ln P(normal)."""
    return np.logaddexp.reduce(np.pad(scores, ((0, 0), (1, 0))), axis=1)


def _arrays(predictions: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True class (N,), patient code (N,), scores of the other classes over normal (N, 3)."""
    scores = predictions[[f"s_{k}" for k in range(4)]].to_numpy()
    code = np.unique(predictions["group"].to_numpy(str), return_inverse=True)[1]
    return predictions["y_true"].to_numpy(), code, scores[:, 1:] - scores[:, :1]


def _components(x: np.ndarray, code: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(between, within) groups: covariances of x (N, D), by one-way analysis of variance."""
    _, code, sizes = np.unique(code, return_inverse=True, return_counts=True)
    means = np.stack([np.bincount(code, column) / sizes for column in x.T], axis=1)
    rest, groups, n = x - means[code], len(sizes), len(x)
    within = rest.T @ rest / (n - groups)
    usual = (n - (sizes**2).sum() / n) / (groups - 1)
    return ((means * sizes[:, None]).T @ means / (groups - 1) - within) / usual, within


def _root(covariance: np.ndarray) -> np.ndarray:
    """A with A Aᵀ = the nearest covariance without negative variances."""
    variances, axes = np.linalg.eigh((covariance + covariance.T) / 2)
    return axes * np.sqrt(np.clip(variances, 0, None))


def _recall_and_icc(right: np.ndarray, code: np.ndarray) -> tuple[float, float]:
    between, within = (part.item() for part in _components(right[:, None] - np.mean(right), code))
    return float(np.mean(right)), between / (between + within) if between + within > 0 else np.nan


def _histogram(index: np.ndarray, width: int) -> np.ndarray:
    """(G, width) counts of index // width, index % width; the last group has a clip."""
    groups = index.max() // width + 1
    return np.bincount(index, minlength=groups * width).reshape(groups, width).astype(float)


def _of_cells(cells: np.ndarray) -> np.ndarray:
    matrices = cells.reshape(-1, 4, 4)
    return np.column_stack([metrics.get(name).fn(matrices, ROLES) for name in METRICS if name != AUROC])


def _quotient(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator > 0)
