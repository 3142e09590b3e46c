import numpy as np
import pytest

from bench.reports.out_of_domain.measures.resampled import Draws
from bench.reports.out_of_domain.measures.thresholds import operating_points
from bench.scores import metrics
from planted_transfers import majority, record

SPLITS = ("test_source", "test_target_inter")


def points(made, bit=None):
    return operating_points(Draws(), made, "source_corrected", "inter", bit)


def test_the_fitted_threshold_is_the_decision_and_the_oracle_is_the_best_there_is():
    made = record("planted", dict(zip(SPLITS, (1.0, 0.7))), shift=0.8)
    found, table = points(made), made.predictions.query("split == 'test_target_inter'")
    assert found.fitted.value == pytest.approx(made.scores["inter"]["icbhi.Score"]["value"], abs=1e-6)
    odds, y = (table["s_1"] - table["s_0"]).to_numpy(), table["y_true"].to_numpy()
    tried = [metrics.confusion(y, (odds > t).astype(int), 2) for t in np.concatenate([[-np.inf], np.sort(odds)])]
    best = max(np.mean(c.diagonal() / c.sum(axis=1)) for c in tried)
    assert found.oracle.value == pytest.approx(best, abs=1e-12)
    assert found.oracle.value == pytest.approx(
        np.mean([(odds > found.at_target)[y == 1].mean(), (odds <= found.at_target)[y == 0].mean()])
    )
    assert (found.oracle.drawn >= found.transferred.drawn - 1e-12).all()


def test_a_shift_that_both_corpora_share_is_mended_by_the_in_domain_threshold():
    found = points(record("planted", dict(zip(SPLITS, (1.5, 1.5))), shift=2.0))
    assert found.fitted.value < 0.75 < 0.9 < found.transferred.value and found.at_source == pytest.approx(2.0, abs=0.5)


def test_a_shift_of_one_corpus_alone_is_lost():
    home, away = (record("planted", dict(zip(SPLITS, (1.5, 1.5))), shift=shift) for shift in (0.0, 2.0))
    mixed = home.predictions.where(home.predictions["split"] == "test_source", away.predictions)
    found = points(home.__class__(**{**vars(home), "predictions": mixed}))
    assert found.transferred.value < 0.75 < 0.9 < found.oracle.value


def test_each_label_is_decided_by_itself():
    made = record("planted", dict(zip(SPLITS, (1.5, 1.5))), task="transfer.icbhi-sprsound.bits")
    assert all(points(made, bit).fitted.value > 0.85 for bit in (0, 1))


def test_one_level_of_scores_parts_nothing():
    found = points(majority(SPLITS))
    assert (found.fitted.value, found.transferred.value, found.oracle.value) == (0.5, 0.5, 0.5)
