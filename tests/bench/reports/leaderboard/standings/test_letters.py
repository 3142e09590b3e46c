import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bench.reports.leaderboard.standings.letters import groups_of, letters


def _symmetric(size, flags):
    told_apart = np.zeros((size, size), bool)
    told_apart[np.triu_indices(size, 1)] = flags
    return told_apart | told_apart.T


@st.composite
def told_apart_of_some_rows(draw):
    size = draw(st.integers(1, 7))
    pairs = size * (size - 1) // 2
    return _symmetric(size, draw(st.lists(st.booleans(), min_size=pairs, max_size=pairs)))


@given(told_apart_of_some_rows())
def test_rows_share_a_letter_exactly_where_they_are_not_told_apart(told_apart):
    groups = groups_of(told_apart)
    for i in range(len(told_apart)):
        for j in range(len(told_apart)):
            shared = any({i, j} <= set(group) for group in groups)
            assert shared == (i == j or not told_apart[i, j])


def test_the_best_row_has_the_first_letter():
    told_apart = _symmetric(3, [False, True, False])
    assert letters(told_apart) == ["a", "ab", "b"]


def test_rows_that_all_differ_have_a_letter_each():
    assert letters(~np.eye(28, dtype=bool))[:2] == ["a", "b"]
    assert letters(~np.eye(28, dtype=bool))[25:] == ["z", "a1", "b1"]
