import numpy as np
import pytest

from bench.base.errors import BadInput
from bench.reports.out_of_domain.measures.resampled import (
    OWN,
    TARGET,
    Draws,
    less,
    p_value,
    paired,
    relative_drop,
    unpaired,
)
from bench.scores import intervals, per_test
from planted_transfers import majority, record

OWN_TEST, OTHER = "source_corrected", "inter"
SPLITS = ("test_source", "test_target_inter")


@pytest.fixture(scope="module")
def draws():
    return Draws()


def planted(home, away):
    return record(f"planted {home} {away}", dict(zip(SPLITS, (home, away))))


def both(draws, made, metric="auroc"):
    return draws.of(made, OWN_TEST, metric, OWN), draws.of(made, OTHER, metric, TARGET)


def test_differences_are_those_of_the_scores_room(draws):
    a, b = planted(1.0, 0.5), planted(0.8, 0.2)
    arguments = per_test.comparison_arguments(a)
    tables = [per_test.tested(r, OWN_TEST) for r in (a, b)]
    ours = paired(draws.of(a, OWN_TEST, "auroc", OWN), draws.of(b, OWN_TEST, "auroc", OWN))
    theirs = intervals.paired_difference(*tables, "auroc", **arguments)
    assert (ours.value, ours.low, ours.high) == (theirs.value, theirs.low, theirs.high)
    ours = unpaired(*both(draws, a))
    theirs = intervals.unpaired_difference(tables[0], per_test.tested(a, OTHER), "auroc", **arguments)
    assert (ours.value, ours.low, ours.high, ours.method) == (theirs.value, theirs.low, theirs.high, theirs.method)


def test_scores_of_other_clips_are_not_paired(draws):
    with pytest.raises(BadInput, match="the clips, labels or groups differ"):
        paired(*both(draws, planted(1.0, 0.5)))


def test_a_change_of_the_drop_is_the_difference_of_the_changes(draws):
    plain, under = planted(1.0, 0.2), planted(0.9, 0.6)
    (home, away), (home_under, away_under) = both(draws, plain), both(draws, under)
    change = unpaired(less(home_under, home), less(away_under, away))
    drops = [unpaired(*pair).value for pair in ((home_under, away_under), (home, away))]
    assert change.value == pytest.approx(drops[0] - drops[1], abs=1e-12) and change.high < 0


@pytest.mark.parametrize(("away", "low", "high"), [(1.0, -0.15, 0.15), (0.0, 0.8, 1.2), (-0.5, 1.2, 2.0)])
def test_the_relative_drop_is_the_share_of_what_was_above_the_floor(draws, away, low, high):
    """0 where nothing is lost, 1 at the floor, more where the probe runs the other way."""
    made, floor = planted(1.0, away), draws.of(majority(SPLITS), OWN_TEST, "auroc", OWN)
    share = relative_drop(*_ordered(both(draws, made), floor), lower=False)
    assert share.low <= share.value <= share.high and low < share.value < high
    home, target = (score.value for score in both(draws, made))
    assert share.value == pytest.approx((home - target) / (home - 0.5), abs=1e-12)


@pytest.mark.parametrize("home", [0.0, -0.5])
def test_there_is_no_relative_drop_from_the_floor(draws, home):
    floor = draws.of(majority(SPLITS), OWN_TEST, "auroc", OWN)
    share = relative_drop(*_ordered(both(draws, planted(home, 0.3)), floor), lower=False)
    assert np.isnan([share.value, share.low, share.high]).all()
    assert share.method.startswith("blank: in-domain is not told apart from its floor")


def test_p_agrees_with_the_interval_and_goes_on_where_draws_end():
    rng = np.random.default_rng(0)
    for shift in (0.0, 1.0, 2.2):
        drawn = rng.normal(shift, 1, 2000)
        assert p_value(drawn, 20.0) == intervals.p_value(drawn, 20.0)
    far = rng.normal(6, 1, 2000)
    assert 1e-6 < p_value(far, 20.0) < 1e-4 < intervals.p_value(far, 20.0)  # t of 5.85 at 19 degrees: 1.2e-5
    assert p_value(np.zeros(2000), 20.0) == 1.0


def _ordered(pair, floor):
    return pair[0], floor, pair[1]
