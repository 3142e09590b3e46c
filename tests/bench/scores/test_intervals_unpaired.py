import numpy as np
import pandas as pd
import pytest

from bench.base.errors import BadInput
from bench.scores.intervals import unpaired_difference
from bench.scores.metrics import Roles

ARGUMENTS = {"metric": "accuracy", "classes": ("normal", "abnormal"), "roles": Roles(0, (1,))}


def predictions(share, n, prefix, seed=0):
    """One clip per patient, ``share`` of them right."""
    right = np.random.default_rng(seed).permutation(n) < round(share * n)
    truth = np.arange(n) % 2
    ids = [f"{prefix}{i}" for i in range(n)]
    return pd.DataFrame({"clip_id": ids, "group": ids, "y_true": truth, "y_pred": np.where(right, truth, 1 - truth)})


def test_the_interval_is_that_of_two_independent_samples():
    a, b = predictions(0.8, 400, "a"), predictions(0.6, 200, "b")
    found = unpaired_difference(a, b, **ARGUMENTS)
    assert found.value == pytest.approx(0.2) and found.n == found.groups == 600
    error = np.sqrt(0.8 * 0.2 / 400 + 0.6 * 0.4 / 200)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * error, rel=0.1)
    assert found.p < 0.01 and found.method.startswith("unpaired")


@pytest.mark.long
def test_it_covers_no_difference_as_often_as_it_says():
    covered, trials = 0, 300
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        tables = [predictions(rng.binomial(60, 0.7) / 60, 60, prefix, seed) for prefix in "ab"]
        found = unpaired_difference(*tables, **ARGUMENTS, resamples=400)
        covered += found.low <= 0 <= found.high
    assert covered >= 0.88 * trials  # 0.942 in 1000 trials: fewer by chance in 3 of 100,000 cases


def test_patients_on_both_sides_are_refused():
    a = predictions(0.8, 40, "a")
    with pytest.raises(BadInput, match="40 groups are in both tables"):
        unpaired_difference(a, a, **ARGUMENTS)


def test_a_class_without_clips_is_undefined():
    a, b = predictions(0.8, 40, "a"), predictions(0.8, 40, "b").assign(y_true=0)
    found = unpaired_difference(a, b, **(ARGUMENTS | {"metric": "icbhi.Se"}))
    assert np.isnan(found.value) and np.isnan(found.low) and found.method.startswith("undefined")
