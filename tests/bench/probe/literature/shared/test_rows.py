"""Validation rows that are drawn by group."""

import numpy as np
import pytest

from bench.base.errors import BadInput
from bench.probe.literature.shared.rows import draw_validation


def test_drawn_rows_hold_whole_groups_and_every_class_if_any_draw_does():
    x = np.random.default_rng(0).normal(size=(240, 10))
    y, groups = (x[:, 0] > 0) + 2 * (x[:, 1] > 0.2), np.repeat(np.arange(40), 6).astype(str)
    held = draw_validation(y, groups, "multiclass", 5)
    assert 30 <= held.sum() <= 66 and not set(groups[held]) & set(groups[~held]) and set(y[held]) == set(y)
    rare = np.where(np.isin(groups, ["3", "17"]), 1, 0)  # two groups have it: one to train on, one to validate on
    held = draw_validation(rare, groups, "multiclass", 5)
    assert set(rare[held]) == set(rare[~held]) == {0, 1}
    held = draw_validation(np.random.default_rng(0).normal(size=len(groups)), groups, "regression", 9)
    assert 0 < held.sum() <= 36
    with pytest.raises(BadInput, match="one group"):
        draw_validation(y, np.zeros(len(y)), "multiclass", 5)
