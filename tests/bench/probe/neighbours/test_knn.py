"""Nearest neighbours by cosine similarity of standardised features."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.preprocessing import StandardScaler

from bench.base.errors import BadInput
from bench.probe.goal import Goal
from bench.probe.neighbours import knn
from bench.probe.neighbours.knn import KnnProbe
from bench.scores.label_kinds import bits

THREE = Goal(("a", "b", "c"))
FIXED = {"k": (10,), "temperature": (0.07,)}  # version 1 of the protocol


def corpus(n=120, d=6, k=3, seed=0):
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    return rng.normal(size=(n, d)) + 2 * rng.normal(size=(k, d))[y], y


def shares(probe, x):
    return np.exp(probe.predict_scores(x))


def theirs(kind, x, y, k, temperature):
    """scikit-learn's neighbours on standardised rows."""
    return kind(
        k, metric="cosine", algorithm="brute", weights=lambda distance: np.exp((1 - distance) / temperature)
    ).fit(StandardScaler().fit_transform(x), y)


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (7, 0.03), (20, 0.2)])
def test_equals_scikit_learn(k, temperature):
    x, y = corpus()
    probe = KnnProbe(THREE, (k,), (temperature,)).fit(x[:100], y[:100])
    reference = theirs(KNeighborsClassifier, x[:100], y[:100], k, temperature)
    test = StandardScaler().fit(x[:100]).transform(x[100:])
    np.testing.assert_allclose(shares(probe, x[100:]), reference.predict_proba(test), atol=1e-9)


def test_every_candidate_is_scored_as_if_it_were_alone():
    x, y = corpus()
    groups = np.arange(120) // 4
    probe = KnnProbe(THREE).fit(x, y, groups)
    assert [(c["k"], c["temperature"]) for c in probe.path_[:4]] == [(100, 0.2), (100, 0.07), (100, 0.03), (50, 0.2)]
    assert len(probe.path_) == 18
    for candidate in probe.path_[::4]:
        pooled = np.empty((120, 3))
        for fold in range(5):
            out = probe.folds_ == fold
            alone = KnnProbe(THREE, (candidate["k"],), (candidate["temperature"],)).fit(x[~out], y[~out])
            pooled[out] = alone.predict_scores(x[out])
        assert candidate["score"] == pytest.approx(THREE.value(y, pooled))
    best = max(probe.path_, key=lambda c: c["score"])
    assert probe.best_params_ == {name: best[name] for name in ("k", "temperature")}
    assert all(len(set(probe.folds_[groups == group])) == 1 for group in set(groups))


def test_ties_go_to_more_neighbours_and_higher_temperature():
    x = np.repeat(np.eye(2), 30, axis=0)
    probe = KnnProbe(Goal(("a", "b"))).fit(x, x[:, 1].astype(int), np.arange(60) // 3)
    assert probe.best_params_ == {"k": 60, "temperature": 0.2} and probe.at_edge_


def test_version_1_needs_no_groups_and_a_search_does():
    x, y = corpus()
    probe = KnnProbe(THREE, **FIXED).fit(x, y)
    assert (probe.best_params_, probe.path_) == ({"k": 10, "temperature": 0.07}, [])
    with pytest.raises(BadInput, match="pass groups"):
        KnnProbe(THREE).fit(x, y)
    with pytest.raises(BadInput, match="one group"):
        KnnProbe(THREE).fit(x, y, np.zeros(120))


def test_labels_vote_each_for_itself():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 200)
    x = rng.standard_normal((200, 6)) + np.pad(bits(y, 2) * 2.0, ((0, 0), (0, 4)))
    goal = Goal(("crackle", "wheeze"), "auroc.bits", "multilabel")
    probe = KnnProbe(goal).fit(x[:150], y[:150], np.arange(150) // 5)
    odds = probe.predict_scores(x[150:])
    reference = theirs(KNeighborsClassifier, x[:150], bits(y[:150], 2).astype(int), *probe.best_params_.values())
    test = StandardScaler().fit(x[:150]).transform(x[150:])
    expected = np.stack([proba[:, 1] for proba in reference.predict_proba(test)], axis=1)
    np.testing.assert_allclose(1 / (1 + np.exp(-odds)), expected, atol=1e-9)
    assert roc_auc_score(bits(y[150:], 2), odds) > 0.8
    with pytest.raises(BadInput, match="wheeze: no training clip"):
        KnnProbe(goal).fit(x, y & 1, np.arange(200))


def test_targets_are_averaged():
    x, _ = corpus()
    y = x[:, 0] * 3 + 20
    probe = KnnProbe(Goal(("litres",), "mae", "regression")).fit(x, y, np.arange(120) // 4)
    reference = theirs(KNeighborsRegressor, x, y, *probe.best_params_.values())
    told = probe.predict_scores(x[:9])
    np.testing.assert_allclose(told[:, 0], reference.predict(StandardScaler().fit_transform(x)[:9]), atol=1e-9)
    assert all(candidate["score"] < 0 for candidate in probe.path_)  # the error, negated


def test_no_signal_scores_chance():
    scores = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x, y = rng.standard_normal((160, 8)), rng.integers(0, 2, 160)
        probe = KnnProbe(Goal(("a", "b"))).fit(x[:80], y[:80], np.arange(80) // 4)
        scores.append(roc_auc_score(y[80:], probe.predict_scores(x[80:])[:, 1]))
    assert abs(np.mean(scores) - 0.5) < 3 * np.std(scores, ddof=1) / np.sqrt(20)


def test_more_neighbours_than_rows():
    x, y = corpus(n=6)
    probe = KnnProbe(THREE, **FIXED).fit(x, y)
    assert probe.best_params_["k"] == 6
    np.testing.assert_allclose(shares(probe, x).sum(1), 1)


def test_equal_similarities_go_to_the_earlier_row():
    x = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    one = KnnProbe(Goal(("a", "b")), (1,), (0.07,))
    assert one.fit(x, [0, 1, 1]).predict_scores(x[:1]).argmax() == 0
    assert one.fit(x, [1, 0, 1]).predict_scores(x[:1]).argmax() == 1
    similarity = np.random.default_rng(0).integers(0, 30, (50, 400)) / 30
    expected = np.argsort(-similarity, axis=1, kind="stable")[:, :20]
    np.testing.assert_array_equal(knn.largest_columns(similarity, 20), expected)


def test_chunks_do_not_change_the_votes(monkeypatch):
    x, y = corpus()
    whole = shares(KnnProbe(THREE, **FIXED).fit(x, y), x)
    monkeypatch.setattr(knn, "CHUNK_CELLS", 500)
    np.testing.assert_allclose(shares(KnnProbe(THREE, **FIXED).fit(x, y), x), whole, atol=1e-9)


def test_tiny_constant_and_zero_features():
    x, y = corpus()
    expected = shares(KnnProbe(THREE, **FIXED).fit(x, y), x)
    padded = np.hstack([x * 1e-9, np.full((len(x), 1), 0.1)])
    np.testing.assert_allclose(shares(KnnProbe(THREE, **FIXED).fit(padded, y), padded), expected, atol=1e-6)
    centre = KnnProbe(THREE, **FIXED).fit(x, y).predict_scores(x.mean(0, keepdims=True) * np.ones((2, 1)))
    assert np.isfinite(centre).all()


def test_columns_for_classes_never_seen_and_errors():
    x, y = corpus(k=2)
    probe = KnnProbe(Goal(tuple("abcd")), **FIXED).fit(x, y)
    assert probe.predict_scores(x).shape == (len(y), 4) and probe.predict_scores(x[:0]).shape == (0, 4)
    with pytest.raises(BadInput, match="none of the 2 classes"):
        KnnProbe(Goal(("a", "b")), **FIXED).fit(x, y + 1)
    with pytest.raises(BadInput, match="NaN"):
        probe.predict_scores(x * np.nan)
