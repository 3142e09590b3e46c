import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from bench.audit import matched
from bench.errors import BadInput
from bench.metrics import weighted_auroc


def predictions(y, scores, groups=None):
    scores = np.asarray(scores, float)
    columns = {f"s_{k}": scores[:, k] for k in range(scores.shape[1])}
    names = [f"c{i}" for i in range(len(y))]
    groups = names if groups is None else groups
    return pd.DataFrame({"clip_id": names, "group": groups, "y_true": y, "y_pred": scores.argmax(axis=1), **columns})


def durations(seconds):
    return {f"c{i}": s for i, s in enumerate(seconds)}


def test_by_hand():
    """Short clips: 2 positives against 1 negative, both won. Long clips: 1 against 2, one won, one tied."""
    y = np.array([True, True, False, True, False, False])
    score = np.array([0.9, 0.8, 0.1, 0.5, 0.5, 0.4])
    value = matched.stratified_auroc(y, score, np.ones(6), np.array([0, 0, 0, 1, 1, 1]))
    assert value == pytest.approx((2 + 1.5) / 4)


def test_equals_the_pairs_of_one_stratum():
    rng = np.random.default_rng(0)
    y, score, strata = rng.random(60) < 0.4, rng.integers(0, 9, 60) / 9, rng.integers(0, 4, 60)
    won = pairs = 0.0
    for i in np.flatnonzero(y):
        for j in np.flatnonzero(~y & (strata == strata[i])):
            won, pairs = won + (score[i] > score[j]) + 0.5 * (score[i] == score[j]), pairs + 1
    assert matched.stratified_auroc(y, score, np.ones(60), strata) == pytest.approx(won / pairs)
    weights = rng.integers(0, 3, (5, 60)).astype(float)
    one = np.zeros(60, int)
    np.testing.assert_allclose(
        matched.stratified_auroc(y, score, weights, one), weighted_auroc(y, score, weights), rtol=1e-12
    )


def test_duration_alone_scores_a_half_within_its_deciles():
    rng = np.random.default_rng(1)
    y = (rng.random(2000) < 0.5).astype(int)
    seconds = np.exp(rng.normal(0, 0.5, 2000) - 0.8 * y)  # class 1 is shorter
    table = predictions(y, np.stack([np.log(seconds), -np.log(seconds)], axis=1))
    score = matched.duration_matched(table, durations(seconds), ("long", "short"), resamples=200)
    assert roc_auc_score(y, -seconds) > 0.8
    assert 0.5 <= score.value < 0.6 and score.n == 2000 and "200 draws" in score.method
    heard = predictions(y, np.stack([-y, y], axis=1) + 0.3 * rng.normal(size=(2000, 2)))
    assert matched.duration_matched(heard, durations(seconds), ("long", "short"), 50).value > 0.95


def test_more_classes_and_labels_are_averaged():
    rng = np.random.default_rng(2)
    y, scores, seconds = rng.integers(0, 3, 90), rng.normal(size=(90, 3)), np.ones(90)
    score = matched.duration_matched(predictions(y, scores), durations(seconds), ("a", "b", "c"), 50)
    assert score.value == pytest.approx(np.mean([roc_auc_score(y == k, scores[:, k]) for k in range(3)]))
    bits = matched.duration_matched(
        predictions(y, scores[:, :2]), durations(seconds), ("a", "b"), 50, kind="multilabel"
    )
    each = [roc_auc_score(y >> k & 1, scores[:, k]) for k in range(2)]
    assert bits.value == pytest.approx(np.mean(each))


def test_undefined_and_unknown():
    y, scores = np.array([0, 0, 1, 1]), np.zeros((4, 2))
    apart = matched.duration_matched(predictions(y, scores), durations([1.0, 1.0, 9.0, 9.0]), ("a", "b"), 20)
    assert np.isnan(apart.value)
    with pytest.raises(BadInput, match="duration of clip c3 is not known"):
        matched.duration_matched(predictions(y, scores), durations([1.0, 1.0, 9.0]), ("a", "b"))


def test_equal_lengths_make_fewer_strata():
    assert len(set(matched.duration_strata(np.array([1.0] * 50 + [2.0] * 50)))) == 2
    assert len(set(matched.duration_strata(np.linspace(0, 1, 100)))) == 10
