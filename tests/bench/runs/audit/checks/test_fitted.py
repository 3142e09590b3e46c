from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bench.runs.audit.checks.fitted import FittedProbes, candidate_shares
from bench.types import TaskCard

CARD = TaskCard("t.t", 1, ("a", "b"), "auroc", ("auroc",), {"test": ("test",)}, "", "", "")


@pytest.fixture(scope="module")
def data():
    n = 80
    label = np.arange(n) % 2
    rows = pd.DataFrame({"clip_id": [f"c{i:02d}" for i in range(n)], "start_s": 0.0, "end_s": 1.0, "label": label})
    rows = rows.assign(split=["train"] * 40 + ["test"] * 40, group=[f"p{i // 4}" for i in range(n)])
    return label[:, None] + np.random.default_rng(0).normal(0, 0.1, (n, 2)), rows


def test_tested_clips_are_predicted_from_the_features_that_are_given(data):
    features, rows = data
    probes = FittedProbes(features, rows, CARD)
    assert probes.predicted["clip_id"].tolist() == rows["clip_id"][40:].tolist()
    assert (probes.predicted["y_pred"] == probes.predicted["y_true"]).all()
    others = probes.answers(1 - features)
    assert (others["y_pred"] == 1 - probes.predicted["y_pred"]).all()
    assert len(probes.chosen) == 1 and sum(probes.shares[0].values()) == pytest.approx(1, abs=1e-4)


def test_a_probe_that_is_the_mean_of_no_candidates_is_the_one_that_it_chose(data):
    assert candidate_shares(SimpleNamespace(best_params_={"k": 3})) == {"k 3": 1.0}
    path = [{"k": 3, "score": 0.5}, {"k": 5, "score": 0.4}]
    assert candidate_shares(SimpleNamespace(best_params_={"k": 3}, path_=path)) == {"k 3": 1.0}
    shared = [
        {"C": 1.0, "score": 0.5, "share": 0.75},
        {"C": 2.0, "score": 0.4, "share": 0.25},
        {"C": 3.0, "score": 0.1},
    ]
    assert candidate_shares(SimpleNamespace(path_=shared)) == {"C 1.0": 0.75, "C 2.0": 0.25}
    (chosen,) = FittedProbes(*data, CARD, "knn").shares
    assert list(chosen.values()) == [1.0]
