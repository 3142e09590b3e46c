"""Rules of selection that the study compares: from candidates' scores on held-out training rows to their shares.

A rule gives every candidate (C, class weight) a share of 1; the probe's log probabilities are the mean of theirs under
these shares. A rule that picks one candidate gives it the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from selection_trials import SHARPNESS

from bench.probe.linear.candidates import shares
from bench.probe.linear.logistic import HALF_DECADES

Rule = Callable[[np.ndarray, float], np.ndarray]  # scores (C, W), NaN where not solved, standard error -> shares (C, W)


def best(scores: np.ndarray, error: float) -> np.ndarray:
    """The best candidate, the first of equals: the rule of ``linear`` version 2."""
    return _whole(scores, int(np.nanargmax(scores)))


def smoothed(decades: float, then: Rule = best) -> Rule:
    """A rule on scores smoothed along log C by a Gaussian of so many decades."""
    at = np.log10(HALF_DECADES)
    kernel = np.exp(-0.5 * ((at[:, None] - at) / decades) ** 2)

    def rule(scores: np.ndarray, error: float) -> np.ndarray:
        known = ~np.isnan(scores)
        smooth = (kernel @ np.where(known, scores, 0.0)) / np.maximum(kernel @ known.astype(float), 1e-300)
        return then(np.where(known, smooth, np.nan), error)

    return rule


def penalised(errors: float) -> Rule:
    """The most penalised candidate within so many standard errors of the best; of two class weights the better."""

    def rule(scores: np.ndarray, error: float) -> np.ndarray:
        near = scores >= np.nanmax(scores) - errors * error
        i = int(np.flatnonzero(near.any(axis=1))[0])
        j = int(np.argmax(np.where(near[i], scores[i], -np.inf)))
        return _whole(scores, i * scores.shape[1] + j)

    return rule


def averaged(width: float = 0.0, errors: float = 0.0) -> Rule:
    """Shares that fall by a factor e for every ``width`` (or so many standard errors) behind the best."""

    def rule(scores: np.ndarray, error: float) -> np.ndarray:
        behind = np.nanmax(scores) - scores
        shares = np.where(np.isnan(scores), 0.0, np.exp(-behind / (width or max(errors * error, 1e-9))))
        return shares / shares.sum()

    return rule


def triangular(width: float = 0.0, errors: float = 0.0) -> Rule:
    """Shares that fall linearly from the best to nothing at ``width`` (or so many standard errors) behind it."""

    def rule(scores: np.ndarray, error: float) -> np.ndarray:
        behind = np.nanmax(scores) - scores
        shares = np.nan_to_num(np.maximum(0.0, 1 - behind / (width or max(errors * error, 1e-9))))
        return shares / shares.sum()

    return rule


def every(decades: float = 0.0) -> Rule:
    """All solved candidates, whatever they score; shares fall by e for so many decades of a weaker penalty."""
    weight = np.exp(-(np.log10(HALF_DECADES) - np.log10(HALF_DECADES[0])) / decades) if decades else 1.0

    def rule(scores: np.ndarray, error: float) -> np.ndarray:
        shares = np.where(np.isnan(scores), 0.0, 1.0) * np.reshape(weight, (-1, 1))
        return shares / shares.sum()

    return rule


def penalised_more(then: Rule) -> Rule:
    """A rule whose shares also fall by a factor e for each decade of a weaker penalty."""
    prior = every(1.0)

    def rule(scores: np.ndarray, error: float) -> np.ndarray:
        shares = then(scores, error) * prior(scores, error)
        return shares / shares.sum()

    return rule


def _whole(scores: np.ndarray, position: int) -> np.ndarray:
    shares = np.zeros(scores.shape)
    shares.flat[position] = 1.0
    return shares


def version_3(scores: np.ndarray, error: float) -> np.ndarray:
    """The rule of ``linear`` version 3."""
    return shares(scores, 1 / np.array(HALF_DECADES))


RULES: Mapping[str, tuple[Rule, int]] = {  # name: (rule, draws of the folds whose scores are averaged)
    "best (version 2)": (best, 1),
    "best of 3 draws of the folds": (best, 3),
    "best, smoothed over 0.5 decades": (smoothed(0.5), 1),
    "most penalised within 0.25 SE": (penalised(0.25), 1),
    "most penalised within 1 SE": (penalised(1.0), 1),
    "mean, exp(-behind / 0.01)": (averaged(0.01), 1),
    "mean, exp(-behind / 0.02)": (averaged(0.02), 1),
    "mean, exp(-behind / 0.5 SE)": (averaged(errors=0.5), 1),
    "mean, linear to 0.02": (triangular(0.02), 1),
    "mean, linear to 0.05": (triangular(0.05), 1),
    "mean, linear to 1 SE": (triangular(errors=1.0), 1),
    "smoothed, then mean, exp(-behind / 0.01)": (smoothed(0.5, averaged(0.01)), 1),
    "mean, linear to 0.1, e a decade": (penalised_more(triangular(0.1)), 1),
    "mean, linear to 0.2, e a decade": (penalised_more(triangular(0.2)), 1),
    "mean of all, e a decade": (every(1.0), 1),
    "mean of all": (every(), 1),
    "version 3: mean, linear to 0.05, e a decade": (version_3, 1),
    "version 3 on 3 draws of the folds": (version_3, 3),
}
# the same on the score of decisions that are drawn from the probabilities, which is smooth in these: (rule, draws,
# position in ``selection_trials.SHARPNESS``)
OF_DRAWN: Mapping[str, tuple[Rule, int, int]] = {
    f"{name}, decisions drawn at sharpness {sharpness:g}": (rule, 1, position)
    for name, rule in (("best", best), ("version 3", version_3))
    for position, sharpness in enumerate(SHARPNESS)
}
# the same on the log loss of held-out rows, every class counting alike, in nats
OF_LOSS: Mapping[str, Rule] = {
    "least log loss": best,
    "log loss: mean, exp(-behind / 0.01)": averaged(0.01),
    "log loss: mean, exp(-behind / 0.05)": averaged(0.05),
    "log loss: mean, linear to 0.05, e a decade": penalised_more(triangular(0.05)),
}
