import numpy as np
import pytest

import toy_boards
from bench.base.errors import BadInput, UnknownId
from bench.publish.figures.across.cost import cost, front
from figure_checks import problems, texts


@pytest.mark.long
@pytest.mark.parametrize("width", [1, 2])
def test_a_panel_for_each_task_and_nothing_overlaps(width):
    board = toy_boards.board([f"transfer.toy{i}-to-another" for i in range(5)], clips=40)
    figure = cost([*board, toy_boards.record(encoder="toy.free", params=0)], width)
    assert sum(axis.axison for axis in figure.axes) == 6
    assert not problems(figure)
    assert "none" in [text.get_text() for text in texts(figure)]


def test_the_front_is_what_nothing_else_beats():
    assert front([1, 2, 2, 3, 4], [5, 4, 7, 7, 8]) == [0, 2, 4]
    assert front([1, 1], [2, 3]) == [1]
    draw = np.random.default_rng(0)
    costs, good = draw.uniform(size=(2, 50))
    kept = front(costs.tolist(), good.tolist())
    for i in range(50):
        beaten = any((costs[j] <= costs[i]) and (good[j] >= good[i]) for j in range(50) if j != i)
        assert (i in kept) == (not beaten)


def test_costs_that_are_not_known_leave_rows_out_and_are_named():
    board = toy_boards.board()
    figure = cost(board, by="ms_per_clip", costs={"toy.bands": 3.5})
    assert "left out: toy.waves, freq, toy.waves, mean" in figure.caption and "measured apart" in figure.caption
    with pytest.raises(BadInput, match="ms a clip"):
        cost(board, by="ms_per_clip")
    with pytest.raises(UnknownId, match="parameters"):
        cost(board, by="parameter")
