import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from bench.base.errors import BadInput
from bench.scores import intervals, metrics
from bench.scores.curves import GroupWeights, duration_strata, stratified_auroc, weighted_auroc
from bench.scores.metrics import DURATION_MATCHED, Roles


def predictions(y, scores, seconds, groups=None):
    scores = np.asarray(scores, float)
    columns = {f"s_{k}": scores[:, k] for k in range(scores.shape[1])}
    names = [f"c{i}" for i in range(len(y))]
    table = {"clip_id": names, "group": names if groups is None else groups, "duration_s": seconds}
    return pd.DataFrame(table | {"y_true": y, "y_pred": scores.argmax(axis=1), **columns})


def matched(table, classes, resamples=50, kind="multiclass"):
    return intervals.score_table(table, [DURATION_MATCHED], classes, Roles(), resamples, recalls=False, kind=kind)[
        DURATION_MATCHED
    ]


def pairs_won(y, score, strata, weights):
    """The statistic by its definition, pair by pair."""
    won = pairs = 0.0
    for i in np.flatnonzero(y):
        for j in np.flatnonzero(~y & (strata == strata[i])):
            weight = weights[i] * weights[j]
            won += weight * ((score[i] > score[j]) + 0.5 * (score[i] == score[j]))
            pairs += weight
    return won / pairs


def test_by_hand():
    """Short clips: 2 positives against 1 negative, both won. Long clips: 1 against 2, one won, one tied."""
    y = np.array([True, True, False, True, False, False])
    score = np.array([0.9, 0.8, 0.1, 0.5, 0.5, 0.4])
    value = stratified_auroc(y, score, np.ones(6), np.array([0, 0, 0, 1, 1, 1]))
    assert value == pytest.approx((2 + 1.5) / 4)


def test_equals_a_count_of_the_pairs_in_every_draw():
    rng = np.random.default_rng(0)
    y, score, strata = rng.random(60) < 0.4, rng.integers(0, 9, 60) / 9, rng.integers(0, 4, 60)
    weights = rng.integers(0, 3, (5, 60)).astype(float)
    one = np.zeros(60, int)
    for grouping, found in (
        (strata, stratified_auroc(y, score, weights, strata)),
        (one, weighted_auroc(y, score, weights)),
    ):
        assert found.tolist() == pytest.approx([pairs_won(y, score, grouping, w) for w in weights], rel=1e-12)


def test_the_metric_of_a_table_is_the_mean_over_classes_of_counted_pairs():
    rng = np.random.default_rng(4)
    y, scores, seconds = rng.integers(0, 3, 120), rng.normal(size=(120, 3)), rng.exponential(size=120)
    strata = duration_strata(seconds)
    each = [pairs_won(y == k, scores[:, k], strata, np.ones(120)) for k in range(3)]
    assert matched(predictions(y, scores, seconds), ("a", "b", "c")).value == pytest.approx(np.mean(each))


def test_duration_alone_scores_a_half_within_its_deciles():
    rng = np.random.default_rng(1)
    y = (rng.random(2000) < 0.5).astype(int)
    seconds = np.exp(rng.normal(0, 0.5, 2000) - 0.8 * y)  # class 1 is shorter
    table = predictions(y, np.stack([np.log(seconds), -np.log(seconds)], axis=1), seconds)
    score = matched(table, ("long", "short"), resamples=200)
    assert roc_auc_score(y, -seconds) > 0.8
    assert 0.5 <= score.value < 0.6 and score.n == 2000 and "200 draws" in score.method
    heard = predictions(y, np.stack([-y, y], axis=1) + 0.3 * rng.normal(size=(2000, 2)), seconds)
    assert matched(heard, ("long", "short")).value > 0.95


def test_more_classes_and_labels_are_averaged():
    rng = np.random.default_rng(2)
    y, scores, seconds = rng.integers(0, 3, 90), rng.normal(size=(90, 3)), np.ones(90)
    score = matched(predictions(y, scores, seconds), ("a", "b", "c"))
    assert score.value == pytest.approx(np.mean([roc_auc_score(y == k, scores[:, k]) for k in range(3)]))
    bits = matched(predictions(y, scores[:, :2], seconds), ("a", "b"), kind="multilabel")
    each = [roc_auc_score(y >> k & 1, scores[:, k]) for k in range(2)]
    assert bits.value == pytest.approx(np.mean(each))


def test_undefined_and_unknown():
    y, scores = np.array([0, 0, 1, 1]), np.zeros((4, 2))
    assert np.isnan(matched(predictions(y, scores, [1.0, 1.0, 9.0, 9.0]), ("a", "b")).value)
    with pytest.raises(BadInput, match="duration of clip c3 is not known"):
        matched(predictions(y, scores, [1.0, 1.0, 9.0, np.nan]), ("a", "b"))
    with pytest.raises(BadInput, match="no clip lengths"):
        matched(predictions(y, scores, np.ones(4)).drop(columns="duration_s"), ("a", "b"))
    with pytest.raises(BadInput, match="needs the lengths"):
        metrics.evaluate(DURATION_MATCHED, y, y, scores, Roles())


def test_equal_lengths_make_fewer_strata():
    assert len(set(duration_strata(np.array([1.0] * 50 + [2.0] * 50)))) == 2
    assert len(set(duration_strata(np.linspace(0, 1, 100)))) == 10


def test_weights_by_group_give_the_same_bits():
    rng = np.random.default_rng(0)
    code, positive, strata = rng.integers(0, 9, 200), rng.random(200) < 0.3, rng.integers(0, 4, 200)
    score = rng.integers(0, 40, 200) / 7.0  # with ties
    weights = GroupWeights(rng.multinomial(9, np.full(9, 1 / 9), size=50).astype(float), code)
    for given in (strata, np.zeros(200, int)):
        by_clip = stratified_auroc(positive, score, np.asarray(weights), given)
        np.testing.assert_array_equal(stratified_auroc(positive, score, weights, given), by_clip)
    some = rng.random(200) < 0.5
    np.testing.assert_array_equal(np.asarray(weights[..., some]), np.asarray(weights)[..., some])
    alone = GroupWeights(np.array([[0.0] * 8 + [1.0]]), np.where(positive, code % 8, 8))  # no positive is drawn
    assert np.isnan(stratified_auroc(positive, score, alone, strata)).all()
