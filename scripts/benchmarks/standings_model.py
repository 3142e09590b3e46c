"""Corpora with known order: patients of unequal size, and encoders whose errors are alike to a known degree.

A clip is right where its encoder's skill plus the ease of its patient, of the clip and of the encoder on that patient
is above 0. The share ``alike`` of the variance is that of all encoders, the rest each encoder's own; of both the share
``PATIENT`` is the patient's, for each of two classes. The score is the mean of the two recalls (the ICBHI Score of two
classes).
Clips are counted, not made: of four levels of ease that all encoders share, as binomials.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from bench.scores.intervals import effective_groups

PATIENT, CLIPS = 0.3, 20  # share of the variance; median number of clips of a patient
_STEP = 0.001  # of the table of scores
_EASE = norm.ppf((np.arange(4) + 0.5) / 4) / norm.ppf((np.arange(4) + 0.5) / 4).std()


@dataclass(frozen=True)
class Corpus:
    """Patients: ``counts`` (P, 2, 4) clips of each class and level of ease, ``shared`` (P, 2) ease for all encoders."""

    counts: np.ndarray
    shared: np.ndarray

    @classmethod
    def of(cls, rng: np.random.Generator, patients: int) -> Corpus:
        """Draws patients: sizes are log-normal, shares of abnormal clips uniform."""
        sizes = np.maximum(2, rng.lognormal(np.log(CLIPS), 0.6, patients).astype(int))
        abnormal = rng.binomial(sizes, rng.random(patients))
        counts = rng.multinomial(np.stack([sizes - abnormal, abnormal], axis=1), np.full(4, 0.25))
        return cls(counts, np.sqrt(PATIENT) * rng.standard_normal((patients, 2)))

    @property
    def groups(self) -> float:
        """Effective number of patients."""
        return effective_groups(self.counts.sum(axis=(1, 2)))

    def tastes(self, rng: np.random.Generator, rows: int) -> np.ndarray:
        """(K, P, 2) how well each encoder gets on with each patient, the same in all tasks on these patients."""
        return np.sqrt(PATIENT) * rng.standard_normal((rows, *self.shared.shape))

    def right(self, rng: np.random.Generator, skill: np.ndarray, alike: float, tastes: np.ndarray) -> np.ndarray:
        """(K, P, 2) clips of each class that encoders of these skills (K,) get right."""
        ease = np.sqrt(alike) * (self.shared[..., None] + np.sqrt(1 - PATIENT) * _EASE)
        mean = skill[:, None, None, None] + ease + np.sqrt(1 - alike) * tastes[..., None]
        chance = norm.cdf(mean / np.sqrt((1 - alike) * (1 - PATIENT)))
        return rng.binomial(self.counts, chance).sum(axis=-1)

    def scores(self, right: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(K, R) in draws that take each patient so often (R, P)."""
        rows, patients, classes = right.shape
        found = weights @ right.transpose(1, 0, 2).reshape(patients, -1)
        recalls = found.reshape(len(weights), rows, classes) / (weights @ self.counts.sum(axis=2))[:, None]
        return recalls.mean(axis=2).T


def expected_score(skill: np.ndarray, alike: float) -> np.ndarray:
    """(K,) scores of these skills (K,) on infinitely many patients.

    Recall of a clip of a random patient; patients with more clips are no easier, so their sizes do not matter.
    """
    spread = np.sqrt(1 - alike + alike * PATIENT)  # but for the levels of ease, which are four
    return norm.cdf((skill[:, None] + np.sqrt(alike * (1 - PATIENT)) * _EASE) / spread).mean(axis=1)


def skill_of(score: np.ndarray, alike: float) -> np.ndarray:
    """(K,) skills that have these scores (K,)."""
    grid = np.arange(-1, 4, _STEP)
    return np.interp(score, expected_score(grid, alike), grid)
