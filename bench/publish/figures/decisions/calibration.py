"""How far probabilities can be taken at their word: reliability in bins of equally many clips, and its error.

Bins are quantiles of the confidence, so that each holds about as many clips (Nguyen & O'Connor 2015,
10.18653/v1/D15-1182): bins of equal width are nearly empty where a probe is sure of all clips. The expected calibration
error (ECE) is the mean over clips of |observed share − mean confidence| of their bin (Naeini et al. 2015,
10.1609/aaai.v29i1.9602; Guo et al. 2017, arXiv:1706.04599).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.base.errors import BadInput
from bench.scores.intervals import bootstrap_weights, effective_groups, expanded_interval

BINS = 10
_TOLERANCE = 1e-3  # by which the probabilities of a clip may miss a sum of 1


@dataclass(frozen=True)
class Calibration:
    """Reliability of one table of predictions.

    Attributes
    ----------
    confidence, observed : array (B,)
        Mean probability of each bin, and the share of its clips in which the event happened.
    low, high : array (B,)
        95 % interval of the share; NaN where there is none.
    clips : array (B,)
        Number of clips.
    ece : float
        Expected calibration error.
    method : str
        How the interval was made.
    """

    confidence: np.ndarray
    observed: np.ndarray
    low: np.ndarray
    high: np.ndarray
    clips: np.ndarray
    ece: float
    method: str


def confidences(predictions: pd.DataFrame, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """(probability (N,), whether it happened (N,)): of class 1 of two, else of the predicted class being right.

    Raises
    ------
    BadInput
        For scores that are no log probabilities, and where all clips have the same.
    """
    columns = [f"s_{k}" for k in range(n_classes)]
    if not set(columns) <= set(predictions.columns):
        raise BadInput("predictions", "have no class scores", "give columns s_0, s_1, …")
    probabilities = np.exp(predictions[columns].to_numpy(float))
    if not np.allclose(probabilities.sum(axis=1), 1, atol=_TOLERANCE):
        raise BadInput("predictions", "their class scores are no log probabilities", "give log probabilities")
    y = predictions["y_true"].to_numpy(int)
    if n_classes == 2:
        probability, happened = probabilities[:, 1], y == 1
    else:
        probability, happened = probabilities.max(axis=1), y == probabilities.argmax(axis=1)
    if np.ptp(probability) < 1e-9:
        raise BadInput("predictions", "all clips have the same probability", "leave control rows out")
    return probability, happened


def calibration(
    probability: np.ndarray,
    happened: np.ndarray,
    groups: np.ndarray,
    bins: int = BINS,
    unit: str = "patient",
    resamples: int = 2000,
    seed: int = 0,
) -> Calibration:
    """Reliability with its interval by bootstrap of groups, within bins that stay the same in every draw.

    Parameters
    ----------
    probability, happened, groups
        (N,) float in [0, 1], bool, and whom each clip is from.
    bins
        Number of bins; fewer where probabilities are tied.
    unit
        What a group is called.
    """
    edges = np.unique(np.quantile(probability, np.arange(1, bins) / bins))
    bin_of = np.searchsorted(edges, probability, side="right")
    _, bin_of = np.unique(bin_of, return_inverse=True)  # ties leave no empty bin
    size = int(bin_of.max()) + 1
    counts, code = bootstrap_weights(groups, resamples, seed)
    clips, events = np.zeros((counts.shape[1], size)), np.zeros((counts.shape[1], size))
    np.add.at(clips, (code, bin_of), 1.0)
    np.add.at(events, (code, bin_of), happened.astype(float))
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = (counts @ events) / (counts @ clips)  # NaN where a draw has no clip of the bin
    spans = []
    for b in range(size):
        own = clips[:, b][clips[:, b] > 0]
        spans.append(expanded_interval(drawn[:, b], len(own), unit, effective_groups(own)))
    total = clips.sum(axis=0)
    confidence = np.bincount(bin_of, probability) / total
    observed = events.sum(axis=0) / total
    return Calibration(
        confidence,
        observed,
        np.array([span[0] for span in spans]),
        np.array([span[1] for span in spans]),
        total,
        float((np.abs(observed - confidence) * total).sum() / total.sum()),
        f"{unit} bootstrap, {resamples} draws, expanded percentile",
    )
