import numpy as np
import pytest

from bench.base.errors import BadInput
from bench.probe.goal import Goal
from bench.probe.heads.layer_mix import LayerMixProbe

TWO = Goal(("a", "b"))


def layered(informative, n=400, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    x = rng.standard_normal((n, 5, 12)) * (10.0 ** np.arange(-2, 3))[:, None]  # layers of different magnitudes
    x[:, informative, :4] += 0.8 * (2 * y - 1)[:, None] * 10.0 ** (informative - 2)
    return x, y, np.arange(n) // 5


@pytest.mark.long
@pytest.mark.parametrize("informative", [0, 3])
def test_the_weight_goes_to_the_layer_that_tells(informative):
    x, y, groups = layered(informative)
    probe = LayerMixProbe(TWO, rates=(1e-2,)).fit(x, y, groups)
    weights = probe.best_params_["layer_weights"]
    assert len(weights) == 5 and np.argmax(weights) == informative and weights[informative] > 0.7
    assert sum(weights) == pytest.approx(1, abs=1e-3)
    held, labels, _ = layered(informative, seed=1)
    assert TWO.value(labels, probe.predict_scores(held)) > 0.9


def test_one_layer_is_refused():
    x, y, groups = layered(0, n=40)
    with pytest.raises(BadInput, match="take the protocol linear"):
        LayerMixProbe(TWO).fit(x[:, :1], y, groups)
