import numpy as np
import pytest
from scipy import stats

from bench.reports.leaderboard.standings import contest
from bench.reports.leaderboard.standings.contest import ALPHA, Contest, as_normal, step_down


def _means(values, draws=1000):
    """Rows whose score is the mean of a value of each patient (K, patients)."""
    patients = values.shape[1]
    counts = np.random.default_rng(0).multinomial(patients, np.full(patients, 1 / patients), size=draws)
    return Contest(values.mean(axis=1), values @ counts.T / patients, patients)


def _alike(seed, rows=6, patients=40):
    return np.random.default_rng(seed).normal(0, 1, (rows, patients))


def _rejected(one):
    """(K, K) of pairs by the step-down of all pairs at once."""
    rows, others = np.triu_indices(len(one.values), 1)
    centred = (one.centred[rows] - one.centred[others]) / one.spread[rows, others][:, None]
    out = np.zeros_like(one.spread, dtype=bool)
    out[rows, others] = step_down(np.abs(one.lead[rows, others]), np.abs(centred)) <= ALPHA
    return out | out.T


def test_a_row_far_ahead_is_alone_at_the_top():
    of = _means(_alike(0) + np.array([5, 0, 0, 0, 0, 0])[:, None])
    assert (of.best_p() > ALPHA).tolist() == [True] + 5 * [False]
    assert of.told_apart()[0, 1:].all()
    assert of.ranks()[0].tolist() == [1, 1] and (of.ranks()[1:] == [2, 6]).all()


def test_the_leader_may_always_be_best():
    for seed in range(5):
        of = _means(_alike(seed))
        assert of.best_p()[of.values.argmax()] == 1.0


def test_rows_that_never_differ_are_not_told_apart():
    one = _alike(0, rows=1)
    of = _means(np.concatenate([one, one, one - 9]))
    assert not of.told_apart()[0, 1] and of.told_apart()[0, 2]
    assert of.best_p()[:2].tolist() == [1.0, 1.0]
    assert of.ranks().tolist() == [[1, 2], [1, 2], [3, 3]]


def test_a_difference_that_no_draw_changes_is_certain():
    one = _alike(0, rows=1)
    of = _means(np.concatenate([one, one + 0.01]))
    assert of.told_apart()[0, 1] and (of.best_p() <= ALPHA).tolist() == [True, False]


def test_order_and_unit_of_rows_do_not_matter():
    values = _alike(3) + np.linspace(0, 1, 6)[:, None]
    order = np.array([4, 2, 0, 5, 1, 3])
    one, other = _means(values), _means(values[order] / 100)
    assert np.array_equal(one.best_p()[order], other.best_p())
    assert np.array_equal(one.told_apart()[np.ix_(order, order)], other.told_apart())
    assert np.array_equal(one.ranks()[order], other.ranks())


def test_the_half_interval_of_a_mean_s_difference_is_that_of_a_t_test():
    values = _alike(0, rows=2, patients=60)
    half = _means(values, draws=20_000).half_widths()[0]
    paired = stats.ttest_rel(*values).confidence_interval(0.95)
    assert half == pytest.approx((paired.high - paired.low) / 2, rel=0.05)  # 20,000 draws: a deviation within 2 %


def test_statistics_have_the_tail_of_a_t_distribution():
    groups = 20.0
    t = stats.t.isf(0.01, groups - 1) * np.sqrt(groups / (groups - 1))
    assert as_normal(t, groups) == pytest.approx(stats.norm.isf(0.01))
    assert as_normal(np.inf, groups) == np.inf and as_normal(0.0, groups) == 0.0


def test_step_down_is_between_one_test_and_all_tests():
    deviations = np.abs(np.random.default_rng(0).normal(0, 1, (4, 999)))
    statistics = np.array([0.1, 4.0, 2.3, 2.3])
    p = step_down(statistics, deviations)
    alone = (1 + (deviations >= statistics[:, None]).sum(axis=1)) / 1000
    of_all = (1 + (deviations.max(axis=0) >= statistics[:, None]).sum(axis=1)) / 1000
    assert (p >= alone).all() and (p <= of_all).all()
    assert p[1] == of_all[1] and p[0] >= p[2] >= p[1]


def test_pairs_in_blocks_are_told_apart_as_all_at_once(monkeypatch):
    one = _means(_alike(0, rows=12) + np.linspace(0, 1.5, 12)[:, None])
    told = one.told_apart()
    monkeypatch.setattr(contest, "_PAIRS", 5)
    assert np.array_equal(told, one.told_apart())
    rejected, pairs = _rejected(one), np.triu_indices(12, 1)
    assert np.array_equal(told, rejected) and told.any() and not told[pairs].all()


@pytest.mark.parametrize("seed", [19, 25, 31])
def test_rows_that_may_both_be_best_share_a_letter_with_each_other_and_the_leader(seed):
    one = _means(_alike(seed, rows=4) + np.linspace(0, 1.2, 4)[:, None])
    best = np.flatnonzero(one.best_p() > ALPHA)
    assert one.values.argmax() in best and _rejected(one)[np.ix_(best, best)].any()  # what a step-down of pairs says
    assert not one.told_apart()[np.ix_(best, best)].any()
    assert np.array_equal(one.told_apart() | one.told_apart().T, one.told_apart())


def test_the_spread_is_that_of_the_differences():
    one = _means(_alike(0))
    expected = [[(a - b).std() for b in one.drawn] for a in one.drawn]
    assert one.spread == pytest.approx(np.array(expected), rel=1e-6, abs=1e-9)


@pytest.mark.long
def test_alike_rows_are_all_bold_about_as_often_as_promised():
    wrong = np.mean([(_means(_alike(seed, patients=30), 500).best_p() <= ALPHA).any() for seed in range(400)])
    assert wrong < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 400)
