import numpy as np
import pytest

import bench
from bench.scores import intervals


def test_it_is_a_public_name_of_the_functions_behind_the_intervals():
    assert bench.stats.paired_difference is intervals.paired_difference
    assert all(callable(getattr(bench.stats, name)) for name in bench.stats.__all__)


def test_holm_on_an_example_by_hand():
    # sorted 0.01 0.03 0.04 0.2 times 4 3 2 1: 0.04 0.09 0.08→0.09 0.2
    assert bench.stats.holm([0.04, 0.01, 0.2, 0.03]) == pytest.approx([0.09, 0.04, 0.2, 0.09])
    assert bench.stats.holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])


def test_holm_counts_no_test_that_could_not_be_made():
    assert bench.stats.holm([0.01, np.nan, 0.02])[[0, 2]] == pytest.approx([0.02, 0.02])
    assert np.isnan(bench.stats.holm([0.01, np.nan])[1]) and len(bench.stats.holm([])) == 0
