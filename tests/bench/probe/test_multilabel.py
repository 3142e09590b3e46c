import numpy as np
import pytest

from bench.errors import BadInput
from bench.kinds import bits
from bench.probe.linear import LinearProbe
from bench.probe.multilabel import MultilabelProbe


def _example(n=120, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, n)
    return rng.standard_normal((n, 6)) + np.pad(bits(y, 2) * 2.0, ((0, 0), (0, 4))), y, np.arange(n) // 4


def test_every_label_is_the_headline_probe_of_its_own_bit():
    X, y, groups = _example()
    probe = MultilabelProbe(("crackle", "wheeze")).fit(X, y, groups)
    alone = LinearProbe(metric="auroc", n_classes=2).fit(X, bits(y, 2)[:, 1].astype(int), groups)
    log = alone.predict_log_proba(X)
    np.testing.assert_allclose(probe.predict_scores(X)[:, 1], log[:, 1] - log[:, 0])
    assert probe.best_params_["wheeze C"] == alone.best_params_["C"]
    assert {candidate["label"] for candidate in probe.path_} == {"crackle", "wheeze"}


def test_a_label_without_examples_is_named():
    X, y, groups = _example()
    with pytest.raises(BadInput, match="wheeze: no training clip"):
        MultilabelProbe(("crackle", "wheeze")).fit(X, y & 1, groups)
