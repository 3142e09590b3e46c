"""A probe that recognises patients and nothing else is no better than chance under our folds, and is under folds by
clip: the out-of-fold score, on which everything is chosen, measures what patients share."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from bench.probe import LogisticPathCV, RidgePathCV
from bench.probe.linear.multilabel import MultilabelPathCV

PATIENTS, CLIPS, WIDTH = 24, 4, 16


def corpus(seed):
    """Clips of patients who each have a place in feature space and a label, the two independent of one another."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(PATIENTS), CLIPS)
    label = rng.permutation(np.arange(PATIENTS) % 2)
    x = 2 * rng.normal(size=(PATIENTS, WIDTH))[groups] + rng.normal(size=(len(groups), WIDTH))
    return x, label[groups], groups


def scores(probe, target, seeds, clipwise):
    """Out-of-fold scores of the first candidate over the seeds."""
    out = []
    for seed in range(seeds):
        x, y, groups = corpus(seed)
        fitted = probe().fit(x, target(y), np.arange(len(y)) if clipwise else groups)
        out.append(fitted.path_[0]["score"])
    return np.array(out)


def above(values, chance):
    """Whether the mean over the seeds is above chance beyond doubt (one-sided p below 0.001)."""
    return ttest_1samp(values, chance, alternative="greater").pvalue < 1e-3


@pytest.mark.long
@pytest.mark.parametrize(
    ("probe", "target", "chance", "seeds"),
    [
        (lambda: LogisticPathCV((1e-1,), (None,), metric="uar"), lambda y: y, 0.5, 100),
        (lambda: MultilabelPathCV(("crackle", "wheeze"), (1e-1,), (None,)), lambda y: 3 * y, 0.5, 30),
        (lambda: RidgePathCV((10.0,)), lambda y: y.astype(float), -0.5, 100),  # the error of answering 1/2
    ],
    ids=["multiclass", "multilabel", "regression"],
)
def test_patients_are_no_signal_under_our_folds(probe, target, chance, seeds):
    assert not above(scores(probe, target, seeds, clipwise=False), chance)
    assert above(scores(probe, target, seeds, clipwise=True), chance + 0.1)
