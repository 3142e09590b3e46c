import numpy as np
from scipy.special import log_softmax

from bench.probe.log_probabilities import DIGITS, FLOOR, comparable, from_logits, from_shares
from bench.scores.records import SIGNIFICANT, as_stored


def test_logits_give_log_probabilities():
    logits = np.random.default_rng(0).normal(size=(200, 5)) * 5
    np.testing.assert_allclose(from_logits(logits), log_softmax(logits, axis=1), atol=1e-12)


def test_confident_scores_keep_their_order_even_as_written():
    """Logits of 20 to 60 are all probability 1.0; their order, which AUROC needs, survives the file's few digits."""
    z = np.linspace(20, 60, 400)
    scores = as_stored(from_logits(np.column_stack([np.zeros_like(z), z])))
    assert (np.diff(scores[:, 1]) > 0).all() and (np.diff(scores[:, 0]) < 0).all()


def test_impossible_classes_are_finite_and_last():
    logits = np.array([[0.0, -np.inf, 1.0]])
    assert from_logits(logits)[0, 1] == FLOOR
    assert from_shares(np.array([[0.0, 1.0]])).tolist() == [[FLOOR, 0.0]]


def test_shares_give_their_logarithms():
    shares = np.random.default_rng(0).dirichlet([1, 1, 1], size=100)
    np.testing.assert_allclose(from_shares(shares), np.log(shares), atol=1e-12)


def test_candidates_are_compared_by_what_the_files_would_keep():
    scores = -(10.0 ** np.random.default_rng(0).uniform(-12, 4, size=(50, 3)))
    scores[0] = 0.0, FLOOR, -1.0
    assert DIGITS == SIGNIFICANT
    np.testing.assert_allclose(comparable(scores), as_stored(scores), rtol=1e-14)
    assert comparable(np.array([-1e-310, -1e-200, -0.0])).tolist() == [0.0, -1e-200, 0.0]
