import numpy as np
import pytest

from bench.probe import LogisticPathCV
from bench.probe.goal import Goal
from bench.probe.heads.mlp import MlpProbe

TWO = Goal(("a", "b"))


@pytest.mark.long
def test_it_learns_what_no_straight_line_can():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((800, 4))
    y = ((x[:, 0] > 0) ^ (x[:, 1] > 0)).astype(int)
    groups = np.arange(400) // 5
    probe = MlpProbe(TWO, widths=(64,), rates=(1e-2,)).fit(x[:400], y[:400], groups)
    assert TWO.value(y[400:], probe.predict_scores(x[400:])) > 0.85
    line = LogisticPathCV().fit(x[:400], y[:400], groups)
    assert TWO.value(y[400:], line.predict_scores(x[400:])) < 0.6


def test_every_width_and_rate_is_tried():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 3)), np.arange(60) % 2
    probe = MlpProbe(TWO, widths=(8, 4), rates=(1e-2, 1e-3), epochs=2).fit(x, y, np.arange(60) // 4)
    assert len(probe.path_) == 2 * 2 * 2 * 2
    assert [c["width"] for c in probe.path_] == [4] * 8 + [8] * 8  # the narrower first, so that it wins ties
    assert [c["epochs"] for c in probe.path_[:8]] == [1] * 4 + [2] * 4
