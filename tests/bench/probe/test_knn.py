"""Nearest neighbours by cosine similarity of standardised features."""

import numpy as np
import pytest

from bench.errors import BadInput
from bench.probe import knn
from bench.probe.knn import KnnProbe


def corpus(n=120, d=6, k=3, seed=0):
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    return rng.normal(size=(n, d)) + 2 * rng.normal(size=(k, d))[y], y


def test_votes_equal_a_plain_loop():
    x, y = corpus()
    proba = KnnProbe(k=7).fit(x[:100], y[:100]).predict_proba(x[100:])
    mean, std = x[:100].mean(0), x[:100].std(0)
    train, test = ((rows - mean) / std for rows in (x[:100], x[100:]))
    for row, votes in zip(test, proba):
        similarity = train @ row / np.linalg.norm(train, axis=1) / np.linalg.norm(row)
        nearest = np.argsort(-similarity)[:7]
        weight = np.exp(similarity[nearest] / 0.07)
        expected = np.bincount(y[:100][nearest], weight / weight.sum(), minlength=3)
        np.testing.assert_allclose(votes, expected, atol=1e-9)


def test_more_neighbours_than_rows():
    x, y = corpus(n=6)
    probe = KnnProbe(k=10).fit(x, y)
    assert probe.best_params_["k"] == 6
    np.testing.assert_allclose(probe.predict_proba(x).sum(1), 1)


def test_equal_similarities_go_to_the_earlier_row():
    x = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert KnnProbe(k=1).fit(x, [0, 1, 1]).predict(x[:1]) == [0]
    assert KnnProbe(k=1).fit(x, [1, 0, 1]).predict(x[:1]) == [1]


def test_chunks_do_not_change_the_votes(monkeypatch):
    x, y = corpus()
    whole = KnnProbe().fit(x, y).predict_proba(x)
    monkeypatch.setattr(knn, "_CHUNK_CELLS", 500)
    np.testing.assert_allclose(KnnProbe().fit(x, y).predict_proba(x), whole, atol=1e-9)


def test_tiny_constant_and_zero_features():
    x, y = corpus()
    expected = KnnProbe().fit(x, y).predict_proba(x)
    padded = np.hstack([x * 1e-9, np.full((len(x), 1), 0.1)])
    np.testing.assert_allclose(KnnProbe().fit(padded, y).predict_proba(padded), expected, atol=1e-6)
    centre = KnnProbe().fit(x, y).predict_proba(x.mean(0, keepdims=True) * np.ones((2, 1)))
    assert np.isfinite(centre).all()


def test_columns_for_classes_never_seen_and_errors():
    x, y = corpus(k=2)
    assert KnnProbe(n_classes=4).fit(x, y).predict_proba(x).shape == (len(y), 4)
    assert KnnProbe(n_classes=4).fit(x, y).predict_proba(x[:0]).shape == (0, 4)
    with pytest.raises(BadInput, match="class indices"):
        KnnProbe(n_classes=2).fit(x, y + 1)
    with pytest.raises(BadInput, match="NaN"):
        KnnProbe().fit(x, y).predict_proba(x * np.nan)
