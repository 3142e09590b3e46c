import numpy as np
import pytest

import toy_boards
from bench.base.errors import BadInput
from bench.publish.figures.across.poolings import poolings
from bench.scores import intervals, per_test
from figure_checks import problems


@pytest.mark.long
@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("encoders", [("toy.bands",), ("toy.bands", "toy.a_rather_long_name@with_a_policy")])
def test_nothing_overlaps_or_is_cut_off(width, encoders):
    tasks = [f"transfer.toy{i}-to-toy.name_of_another" for i in range(8)]
    assert not problems(poolings(toy_boards.board(tasks, encoders, clips=40), width))


def test_the_difference_is_the_paired_one():
    made = toy_boards.board(tasks=("toy.cycles3",), encoders=("toy.bands",))
    first, second = (next(r for r in made if r.spec["pooling"] == name) for name in ("mean", "freq"))
    tables = [per_test.tested(r, "test") for r in (second, first)]
    found = intervals.paired_difference(*tables, "icbhi.Score", **per_test.comparison_arguments(first))
    right = poolings(made).axes[1]
    drawn = [line.get_xdata() for line in right.get_lines()]
    assert any(np.allclose(x, [100 * found.low, 100 * found.high]) for x in drawn if len(x) == 2)
    assert any(np.allclose(x, [100 * found.value]) for x in drawn if len(x) == 1)


def test_without_both_poolings_it_says_what_to_run():
    with pytest.raises(BadInput, match="ID:mean,freq"):
        poolings([toy_boards.record()])
