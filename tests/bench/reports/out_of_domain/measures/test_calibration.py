import numpy as np
import pytest

from bench.reports.out_of_domain.measures.calibration import BINS, calibration
from bench.reports.out_of_domain.measures.resampled import OWN, Draws
from planted_transfers import majority, record

TEST = "source_corrected"


def calibrated(made, bit=None):
    return calibration(Draws(), made, TEST, bit, OWN)


def honest(seed, patients=60, clips=20, over=1.0):
    """A record whose probabilities are right, or ``over``confident by that factor of the log odds."""
    made = record("planted", {"test_source": 0.0}, patients=patients)
    rng = np.random.default_rng(seed)
    odds = rng.normal(0, 1.5, len(made.predictions))
    labels = (rng.random(len(odds)) < 1 / (1 + np.exp(-odds))).astype(int)
    s_0, s_1 = -np.logaddexp(0, over * odds), -np.logaddexp(0, -over * odds)
    table = made.predictions.assign(y_true=labels, y_pred=(odds > 0).astype(int), s_0=s_0, s_1=s_1)
    return made.__class__(**{**vars(made), "predictions": table, "key": f"{seed} {over}"})


def test_the_error_is_the_mean_distance_over_bins_of_equally_many_clips():
    made = honest(0, over=2.0)
    found, table = calibrated(made), made.predictions
    curve, p = found.curve, np.exp(table["s_1"].to_numpy())
    assert len(curve) == BINS and curve["n"].sum() == len(p) and curve["n"].max() - curve["n"].min() <= 1
    order = np.argsort(p, kind="stable")
    parts = np.array_split(order, BINS)
    error = sum(abs(p[part].mean() - table["y_true"].to_numpy()[part].mean()) * len(part) for part in parts) / len(p)
    assert found.error.value == pytest.approx(error, abs=1e-9)
    assert ((curve["low"] <= curve["outcome"]) & (curve["outcome"] <= curve["high"])).all()


def test_overconfidence_is_told_from_probabilities_that_are_right():
    right, over = calibrated(honest(1)).error, calibrated(honest(1, over=4.0)).error
    assert right.value < 0.06 and over.value > 0.1 and over.low > right.value


def test_the_interval_holds_the_error_and_stays_above_zero():
    for seed in range(5):
        error = calibrated(honest(seed)).error
        assert 0 <= error.low <= error.value <= error.high


@pytest.mark.long
def test_the_interval_holds_zero_where_every_probability_is_right():
    """With 40 patients of 12 clips; the error itself is about 0.05 there."""
    errors = [calibrated(honest(seed, patients=40)).error for seed in range(40)]
    assert np.mean([error.value for error in errors]) > 0.03
    assert sum(error.low > 0 for error in errors) <= 4


def test_a_constant_probability_is_one_bin():
    found = calibrated(majority(["test_source"]))
    assert len(found.curve) == 1 and found.error.value == pytest.approx(found.curve["outcome"].iloc[0], abs=1e-9)


def test_numbers_are_no_probabilities():
    made = honest(0)
    made.data["task"]["kind"] = "regression"
    table = made.predictions.drop(columns="s_1").assign(y_true=1.0, y_pred=1.0)
    assert calibrated(made.__class__(**{**vars(made), "predictions": table})) is None
