import numpy as np
import pytest

from bench.probe import LogisticPathCV
from bench.probe.goal import Goal
from bench.probe.heads.attentive import AttentiveProbe

TWO = Goal(("a", "b"))


def marked(n=400, steps=8, width=16, seed=0):
    """Tokens of noise. One of them, marked in channel 0, tells the label in channel 1; all of the others together tell
    the opposite, so that the mean of all tokens tells nothing."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    x = rng.standard_normal((n, steps, width))
    which = rng.integers(0, steps, n)
    sign = 2.0 * (2 * y - 1)
    x[:, :, 1] -= (sign / (steps - 1))[:, None]
    x[np.arange(n), which, 0] = 5
    x[np.arange(n), which, 1] = sign
    x[:, :, 1] -= x[:, :, 1].mean(1, keepdims=True)
    return x, y, np.arange(n) // 5


@pytest.mark.long
def test_it_finds_the_one_token_that_tells_where_the_mean_does_not():
    x, y, groups = marked()
    held, labels, _ = marked(seed=1)
    probe = AttentiveProbe(TWO, rates=(1e-2,)).fit(x, y, groups)
    assert TWO.value(labels, probe.predict_scores(held)) > 0.85
    mean = LogisticPathCV().fit(x.mean(1), y, groups)
    assert TWO.value(labels, mean.predict_scores(held.mean(1))) < 0.6


def test_the_order_of_tokens_does_not_count():
    x, y, groups = marked(n=100)
    probe = AttentiveProbe(TWO, queries=(2,), rates=(1e-2,), epochs=3).fit(x, y, groups)
    np.testing.assert_allclose(probe.predict_scores(x[:, ::-1]), probe.predict_scores(x), atol=1e-4)
