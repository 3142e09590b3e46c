import numpy as np
import pytest

from bench.base.errors import BadArray
from bench.probe.goal import Goal, assign_folds, too_few


@pytest.mark.parametrize(
    ("labels", "groups", "problem"),
    [
        ([0, 1], ["a", "b"], "no two of them have the same label"),
        ([0, 1, 2], None, "no two of them have the same label"),
        ([0, 1, 1], ["a", "a", "a"], "all belong to one group"),
        ([0, 1, 1], ["a", None, "b"], "some have no group"),
        ([0, 1, 1], [1.0, np.nan, 2.0], "some have no group"),
        ([], [], "all belong to one group"),
        ([0, 1, 1], ["a", "b", "c"], ""),
        ([0, 1, 1], None, ""),
    ],
)
def test_rows_that_cannot_be_dealt_into_two_folds(labels, groups, problem):
    labels, groups = np.array(labels, int), None if groups is None else np.array(groups, object)
    assert too_few(labels, groups) == problem
    if problem:
        with pytest.raises(BadArray, match=problem):
            assign_folds(labels, groups, 5, 0)
    else:
        assert assign_folds(labels, groups, 5, 0)[1] == 2


def test_kinds_of_labels_are_told_apart():
    goal, groups = Goal(("a", "b"), "auroc.bits", "multilabel"), np.array(["p", "q", "r"])
    with pytest.raises(BadArray, match="no two"):
        goal.folds(np.array([0, 1, 2]), groups, 5, 0)
    targets = np.array([0.5, 1.5, 2.5])
    assert too_few(targets, groups, "regression") == ""
    assert Goal(("rate",), "mae", "regression").folds(targets, groups, 5, 0)[1] == 3
    with pytest.raises(BadArray, match="one group"):
        Goal(("rate",), "mae", "regression").folds(targets, groups[[0, 0, 0]], 5, 0)
