import numpy as np
import pandas as pd
import pytest

from bench.runs.audit import resolution
from bench.runs.audit.checks import shortcuts
from bench.runs.audit.control_tables import FeatureTable
from bench.types import TaskCard

CARD = TaskCard("t.t", 1, ("a", "b"), "auroc", ("auroc",), {"test": ("test",)}, "", "", "", adventitious=(1,))


def corpus(patients):
    """Clips of many patients whose label one feature tells in part, and a second system's noisier view of it."""
    rng = np.random.default_rng(0)
    n = 4 * patients
    label = rng.integers(0, 2, n)
    heard = label[:, None] + rng.normal(size=(n, 1))
    frame = pd.DataFrame({"clip_id": [f"c{i:04d}" for i in range(n)], "path": [f"{i}" for i in range(n)]})
    frame = frame.assign(start_s=0.0, end_s=1.0, label=label, group=[f"p{i // 4:03d}" for i in range(n)])
    frame = frame.assign(split=np.where(np.arange(n) % 8 < 4, "train", "test"), domain="d")
    return frame, [FeatureTable("e", "encoder", heard), FeatureTable("f", "encoder", heard + rng.normal(size=(n, 1)))]


def resolved(patients, encoders=True):
    rows, tables = corpus(patients)
    probed = shortcuts.probed(tables, rows, CARD, 100)
    found = resolution.resolution(probed, rows, CARD, tables if encoders else [], 300)
    return {row["other"]: row for row in found}


@pytest.mark.long
def test_similar_systems_are_told_apart_more_finely_and_more_patients_help():
    few, many = resolved(40), resolved(400)
    assert set(many) == {"one that errs independently", "f linear", "e knn"}
    assert many["f linear"]["resolved"] < many["one that errs independently"]["resolved"]
    ratio = few["f linear"]["resolved"] / many["f linear"]["resolved"]
    assert 2 < ratio < 5  # about the root of ten
    assert many["f linear"]["groups"] == 200
    assert many["f linear"]["found"] > many["f linear"]["resolved"]


def test_without_encoders_the_best_control_stands_in():
    found = resolved(40, encoders=False)
    assert (
        list(found) == ["one that errs independently"] and found["one that errs independently"]["system"] == "e linear"
    )


def test_power_needs_more_than_half_an_interval():
    assert resolution.power_factor(10_000) == pytest.approx((1.96 + 0.8416) / 1.96, abs=1e-3)
    assert resolution.power_factor(5) > 1.3 and np.isnan(resolution.power_factor(1))


def test_nothing_fitted_nothing_resolved():
    rows, _ = corpus(40)
    assert resolution.resolution([{"predictions": None, "tests": {}, "name": "x"}], rows, CARD, []) == []
