"""Natural logarithms of class probabilities, exact to the last digit at both ends.

A probability near 1 has no digits left to tell clips apart, and neither has its plain logarithm: ranks, and with them
AUROC, would drown in ties. Computed from logits, log p keeps its relative precision everywhere.
"""

from __future__ import annotations

import numpy as np

FLOOR = -1e4  # of a class that cannot be: finite, so that files and metrics need no special case
DIGITS = 9  # significant ones, of scores that candidates are compared by: those that prediction files keep


def from_logits(logits: np.ndarray) -> np.ndarray:
    """Log softmax of logits: log p_k = −log(1 + Σ_{j≠k} exp(z_j − z_k)).

    Parameters
    ----------
    logits : np.ndarray of shape (..., K)
        Unnormalised log probabilities.

    Returns
    -------
    np.ndarray of shape (..., K)
        Natural logarithms of the probabilities, at least ``FLOOR``.
    """
    out = np.empty(logits.shape)
    for k in range(logits.shape[-1]):
        gap = np.delete(logits, k, axis=-1) - logits[..., k, None]
        most = np.maximum(gap.max(axis=-1, initial=-np.inf), 0.0)
        with np.errstate(invalid="ignore"):
            total = np.exp(gap - most[..., None]).sum(axis=-1)
            out[..., k] = -np.where(most > 0, most + np.log(total + np.exp(-most)), np.log1p(total))
    return np.maximum(np.nan_to_num(out, nan=FLOOR, neginf=FLOOR), FLOOR)


def from_shares(shares: np.ndarray) -> np.ndarray:
    """Logarithms of shares; a share near 1 is computed from the sum of the others.

    Parameters
    ----------
    shares : np.ndarray of shape (N, K)
        Non-negative shares that sum to 1.

    Returns
    -------
    np.ndarray of shape (N, K)
        Natural logarithms of the shares, at least ``FLOOR``.
    """
    others = shares @ (1.0 - np.eye(shares.shape[1]))
    with np.errstate(divide="ignore"):
        return np.maximum(np.where(shares > 0.5, np.log1p(-np.minimum(others, 0.5)), np.log(shares)), FLOOR)


def comparable(scores: np.ndarray) -> np.ndarray:
    """Rounds scores to ``DIGITS`` significant digits.

    Classes can tie exactly, as where patients of both are alike in all that a feature says; unrounded, the last bit
    would decide between them, and with it the candidate.

    Parameters
    ----------
    scores : np.ndarray
        Scores of any shape.

    Returns
    -------
    np.ndarray
        The rounded scores.
    """
    size = np.floor(np.log10(np.abs(scores), out=np.zeros_like(scores), where=scores != 0))
    unit = 10.0 ** np.minimum(DIGITS - 1 - size, 300)  # of what is nearer to nothing, no digit is left
    return np.rint(scores * unit) / unit
