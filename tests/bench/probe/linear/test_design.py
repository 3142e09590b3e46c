"""Which features count as constant when rows are standardised."""

import numpy as np
import pytest
import torch

from bench.probe.heads.stack import feature_scaler
from bench.probe.linear.design import CONSTANT, standardise
from bench.probe.linear.logistic import LogisticPathCV

RNG = np.random.default_rng(0)
ROWS = 400
SHAPE = RNG.normal(size=ROWS)
SHAPE = (SHAPE - SHAPE.mean()) / SHAPE.std()


def _of_deviation(share: float) -> np.ndarray:
    """A feature (ROWS,) near 7 whose deviation is about this share of its size."""
    return 7 * (1 + share * SHAPE)


ONE_ROW = np.where(np.arange(ROWS) == 3, 5.0, 0.0)
CASES = {
    "constant": (np.full(ROWS, 0.1), False),
    "rounding of float32": (_of_deviation(1e-7), False),
    "just below": (_of_deviation(0.9 * CONSTANT), False),
    "just above": (_of_deviation(1.1 * CONSTANT), True),
    "below zero": (-_of_deviation(0.9 * CONSTANT), False),
    "tiny": (1e-30 * SHAPE, True),
    "huge": (1e30 * SHAPE, True),
    "one row of all": (ONE_ROW, True),
    "zero": (np.zeros(ROWS), False),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_feature_varies_if_its_deviation_is_over_a_thousandth_of_its_size(name, kind):
    feature, varies = CASES[name]
    x = np.stack([feature, SHAPE], axis=1).astype(kind)
    z, scaler = standardise(x)
    assert scaler.kept.tolist() == [varies, True] and scaler.left_out == 1 - varies
    assert z.shape[1] == 1 + varies and np.allclose(z.std(axis=0), 1)
    of_tensors = feature_scaler(torch.from_numpy(x.astype(np.float32)), np.arange(ROWS), (0,))
    if kind is np.float32:
        assert (of_tensors.inverse > 0).tolist() == [varies, True]


def test_rounding_that_tells_the_label_is_not_heard():
    """A feature whose seventh digit is the label leaves a probe with nothing to say."""
    y = RNG.integers(0, 2, ROWS)
    noise = RNG.normal(size=(ROWS, 4))
    leak = (1 + 1e-7 * y).astype(np.float32)
    with_leak = LogisticPathCV().fit(np.column_stack([noise, leak]), y, groups=np.arange(ROWS) // 4)
    without = LogisticPathCV().fit(noise, y, groups=np.arange(ROWS) // 4)
    assert with_leak.left_out_ == 1 and without.left_out_ == 0
    # the same numbers lie otherwise in memory, so that sums of a few products may differ in their last bits
    heard = with_leak.predict_proba(np.column_stack([noise, leak]))
    np.testing.assert_allclose(heard, without.predict_proba(noise), rtol=1e-12)
