import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from bench.base.errors import BadInput
from bench.probe.goal import Goal
from bench.probe.neighbours.prototype import PrototypeProbe
from bench.scores.label_kinds import bits

TWO = Goal(("a", "b"))


def corpus(n=200, d=30, shift=1.0, seed=0):
    """Only the first of the features tells the label."""
    rng = np.random.default_rng(seed)
    y = np.concatenate([[0, 1], rng.integers(0, 2, n - 2)])
    x = rng.standard_normal((n, d))
    x[:, 0] += shift * (2 * y - 1)
    return x, y, np.arange(n) // 4


def test_without_shrinkage_it_is_the_nearest_mean_by_cosine():
    x, y, groups = corpus()
    probe = PrototypeProbe(TWO, (0.0,)).fit(x, y, groups)
    z = (x - x.mean(0)) / x.std(0)
    means = np.stack([z[y == k].mean(0) for k in (0, 1)])
    cosine = z @ means.T / np.linalg.norm(z, axis=1)[:, None] / np.linalg.norm(means, axis=1)
    odds = np.diff(probe.predict_scores(x), axis=1)
    np.testing.assert_allclose(odds, np.diff(cosine, axis=1) / 0.1)


def test_shrinkage_leaves_the_feature_that_tells():
    x, y, groups = corpus()
    probe = PrototypeProbe(TWO).fit(x, y, groups)
    assert probe.best_params_["shrinkage"] >= 1
    assert [c["shrinkage"] for c in probe.path_] == [16, 8, 4, 2, 1, 0]
    held, labels, _ = corpus(seed=1)
    scores = {s: TWO.value(labels, PrototypeProbe(TWO, (s,)).fit(x, y, groups).predict_scores(held)) for s in (0, 4)}
    assert scores[4] > scores[0] + 0.02
    assert all(len(set(probe.folds_[groups == group])) == 1 for group in set(groups))


def test_ties_go_to_the_most_shrinkage():
    x = np.repeat(np.eye(2), 20, axis=0)
    probe = PrototypeProbe(TWO, (0.0, 1.0, 2.0)).fit(x, x[:, 1].astype(int), np.arange(40) // 2)
    assert probe.best_params_ == {"shrinkage": 2.0} and probe.at_edge_


@pytest.mark.long
def test_no_signal_scores_chance():
    scores = []
    for seed in range(20):
        x, y, groups = corpus(shift=0.0, seed=seed)
        probe = PrototypeProbe(TWO).fit(x[:100], y[:100], groups[:100])
        scores.append(roc_auc_score(y[100:], probe.predict_scores(x[100:])[:, 1]))
    assert abs(np.mean(scores) - 0.5) < 3 * np.std(scores, ddof=1) / np.sqrt(20)


def test_labels_and_classes_never_seen():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 200)
    x = rng.standard_normal((200, 6)) + np.pad(bits(y, 2) * 2.0, ((0, 0), (0, 4)))
    goal = Goal(("crackle", "wheeze"), "auroc.bits", "multilabel")
    odds = PrototypeProbe(goal).fit(x[:150], y[:150], np.arange(150) // 5).predict_scores(x[150:])
    assert roc_auc_score(bits(y[150:], 2), odds) > 0.85
    x, y, groups = corpus()
    scores = PrototypeProbe(Goal(("a", "b", "c"))).fit(x, y, groups).predict_scores(x)
    assert np.isfinite(scores).all() and (scores[:, 2] == scores.min()).all()


def test_a_regression_is_refused():
    x, y, groups = corpus()
    with pytest.raises(BadInput, match="take the protocol linear"):
        PrototypeProbe(Goal(("age",), "mae", "regression")).fit(x, y, groups)
