import numpy as np
import pytest

from bench.base.errors import BadInput
from bench.probe.linear.candidates import LEAST, WITHIN, CandidateGrid, may_end, shares, shares_of_errors

FALLING = np.array([0.5, 0.6, 0.7, 0.66, 0.64, 0.63])


def test_a_path_ends_once_it_has_fallen_behind():
    assert may_end(FALLING, best=0.7, left=5, explained=0.8)
    assert not may_end(FALLING[:5], best=0.7, left=5, explained=0.8)  # the best is among the last three


def test_a_path_that_only_trails_the_other_class_weight_ends_too():
    assert may_end(np.full(6, 0.6), best=0.7, left=5, explained=0.8)
    assert not may_end(np.full(6, 0.69), best=0.7, left=5, explained=0.8)


@pytest.mark.parametrize(("rise", "left", "ends"), [(0.001, 10, True), (0.01, 10, False), (0.01, 1, True)])
def test_a_path_that_rises_goes_on_where_it_could_still_be_best(rise, left, ends):
    assert may_end(0.6 + rise * np.arange(6), best=0.7, left=left, explained=0.8) == ends


def test_a_path_goes_on_while_little_is_explained():
    assert not may_end(FALLING, best=0.7, left=5, explained=0.4)
    assert not may_end(FALLING, best=0.7, left=5, explained=float("nan"))


@pytest.mark.parametrize("scores", [np.full(6, np.nan), np.array([0.1, 0.1, 0.1])])
def test_a_path_without_enough_scores_goes_on(scores):
    assert not may_end(scores, best=0.7, left=5, explained=0.8)


def test_nothing_is_left_at_the_end():
    assert not may_end(FALLING, best=0.7, left=0, explained=0.8)


GRID = CandidateGrid((0.1, 1.0, 10.0), (None, "balanced"), 2)


def test_ties_go_to_the_smaller_c_so_that_what_is_taken_over_is_never_chosen():
    scores = np.array([[0.5, 0.5], [0.7, 0.7], [0.7, 0.7]])
    path, best = GRID.compare(scores, GRID.shares(scores, np.array([2, 3])), "uar")
    share = round((1 - LEAST) / (2 * (1 - LEAST) + np.exp(-1) - LEAST), 6)
    assert best == {"C": 1.0, "class_weight": None, "score": 0.7, "share": share}
    assert [c.get("share", 0) for c in path] == [0, 0, share, share, 0, pytest.approx(1 - 2 * share, abs=2e-6)]
    assert [(c["C"], c["class_weight"]) for c in path[:3]] == [(0.1, None), (0.1, "balanced"), (1.0, None)]


def test_where_no_score_is_defined_nothing_is_chosen():
    scores = np.array([[np.nan, 0.1], [np.nan, 0.2], [np.nan, np.nan]])
    assert GRID.compare(scores, GRID.shares(scores, np.array([3, 3])), "uar")[1]["score"] == 0.2
    nothing = np.full((3, 2), np.nan)
    with pytest.raises(BadInput, match="uar is undefined"):
        GRID.compare(nothing, GRID.shares(nothing, np.array([3, 3])), "uar")


def test_ends_name_the_last_c_solved():
    assert GRID.ends(np.array([2, 3])) == [{"class_weight": None, "C": 1.0}]
    assert GRID.ends(np.array([3, 3])) == []


def test_shares_fall_linearly_with_the_score_and_by_e_for_each_decade():
    found = shares(np.array([[0.7, 0.7 - WITHIN / 2], [0.7 - WITHIN, np.nan], [0.7, 0.7]]), 1 / np.array([0.1, 1, 10]))
    near = np.array([[1, 0.5], [0, 0], [np.exp(-2), np.exp(-2)]])
    expected = np.maximum(0, near - LEAST)
    np.testing.assert_allclose(found, expected / expected.sum(), atol=1e-12)


def test_shares_move_no_more_than_scores_do():
    """Whatever scores change by, among them which is the best: 2e-6 of 0.05, times at most the 46 that share in it."""
    rng = np.random.default_rng(0)
    penalties = 10.0 ** -np.arange(-6, 5.5, 0.5)
    for _ in range(200):
        scores = 0.7 + 0.01 * rng.normal(size=(23, 2))
        moved = scores + 1e-6 * rng.uniform(-1, 1, scores.shape)
        assert np.abs(shares(moved, penalties) - shares(scores, penalties)).max() < 46 * 2e-6 / WITHIN


def test_shares_of_errors_are_relative_to_the_least():
    errors, penalties = np.array([2.0, 2.0 * (1 + WITHIN / 2), 2.0 * (1 + WITHIN)]), np.array([1.0, 1.0, 1.0])
    expected = np.array([1 - LEAST, 0.5 - LEAST, 0])
    np.testing.assert_allclose(shares_of_errors(errors, penalties), expected / expected.sum(), atol=1e-12)
    np.testing.assert_allclose(shares_of_errors(10 * errors, penalties), expected / expected.sum(), atol=1e-12)
    np.testing.assert_array_equal(shares_of_errors(np.array([0.0, 0.0, 1.0]), penalties), [0.5, 0.5, 0])
    ten = shares_of_errors(np.array([1.0, 1.0]), np.array([10.0, 1.0]))
    assert ten[0] / ten[1] == pytest.approx((1 - LEAST) / (np.exp(-1) - LEAST))
    np.testing.assert_array_equal(shares_of_errors(np.array([1.0, 1.0]), np.array([1.0, 0.0])), [1, 0])
    np.testing.assert_array_equal(shares_of_errors(np.array([1.0]), np.array([0.0])), [1])
