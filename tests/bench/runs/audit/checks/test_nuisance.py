import numpy as np
import pandas as pd
import pytest

from bench.runs.audit.checks import nuisance
from tasks import icbhi

CARD = icbhi.CARDS[1]


@pytest.fixture
def rows():
    """Twelve patients with four recordings of three clips each, on two devices."""
    n = 12 * 4 * 3
    patient = np.arange(n) // 12
    made = pd.DataFrame({"clip_id": [f"c{i:03d}" for i in range(n)], "path": [f"r{i // 3:02d}" for i in range(n)]})
    made = made.assign(group=[f"p{p:02d}" for p in patient], domain=np.where(patient % 2, "Meditron", "Litt3200"))
    return made.assign(start_s=0.0, end_s=np.random.default_rng(0).uniform(0.5, 4.0, n), split="train", label=0)


def measured(features, rows):
    found = nuisance.nuisance(np.asarray(features, np.float32), rows, CARD)
    return {(row["what"], row["measure"]): row for row in found}


def test_embeddings_that_hold_everything(rows):
    rng = np.random.default_rng(1)
    patient = pd.factorize(rows["group"])[0]
    features = np.hstack(
        [np.eye(12)[patient], (patient % 2)[:, None], np.log(rows[["end_s"]]), 0.01 * rng.normal(size=(len(rows), 3))]
    )
    found = measured(features, rows)
    assert found["device", "balanced accuracy"]["value"] == 1.0
    assert found["patient", "patient's nearest recording"]["value"] == 1.0
    assert found["patient", "linear on recordings"]["value"] == 1.0
    assert found["patient", "linear on recordings"]["chance"] == pytest.approx(1 / 12, abs=1e-4)
    assert (found["patient", "linear on recordings"]["n"], found["device", "balanced accuracy"]["classes"]) == (24, 2)
    assert found["duration", "R²"]["value"] > 0.95


def test_embeddings_that_hold_nothing(rows):
    found = measured(np.random.default_rng(2).normal(size=(len(rows), 8)), rows)
    assert abs(found["device", "balanced accuracy"]["value"] - 0.5) < 0.2
    assert found["patient", "patient's nearest recording"]["value"] < 0.3
    assert found["duration", "R²"]["value"] < 0.1


def test_what_cannot_be_asked(rows):
    features = np.random.default_rng(3).normal(size=(len(rows), 4))
    found = measured(features, rows.assign(domain="one", path=rows["group"], end_s=1.0))
    assert {row["note"] for row in found.values()} == {
        "one device only",
        "fewer than two patients with two recordings",
        "all clips are of one length",
    }
    assert nuisance.findings(list(found.values()), "e") == []


def test_data_set_and_devices_too_rare_to_ask(rows):
    domains = np.where(rows["domain"] == "Meditron", "a/Meditron", "b/Yunting")
    domains[:2] = "a/rare"
    found = measured(np.eye(12)[pd.factorize(rows["group"])[0]], rows.assign(domain=domains))
    assert found["device", "balanced accuracy"]["note"] == "without a/rare: too few"
    assert ("corpus", "balanced accuracy") in found
    (note,) = nuisance.findings(list(found.values()), "e")
    assert note.level == "note" and "corpus" in note.problem


@pytest.mark.parametrize("value", [0.0, 3.5])
def test_features_of_no_variance_are_blank_rows_with_a_note(rows, value):
    found = measured(np.full((len(rows), 4), value), rows)
    assert list(found) == list(measured(np.random.default_rng(4).normal(size=(len(rows), 4)), rows))
    assert {(row["value"], row["note"]) for row in found.values()} == {(None, "the features are constant")}
    assert nuisance.findings(list(found.values()), "e") == []


def test_features_that_vary_among_few_clips_alone_are_measured_as_far_as_they_go(rows):
    """Wherever a probe is fitted it may meet clips that are all alike."""
    features = np.zeros((len(rows), 4))
    features[rows["path"] == "r01"] = 1  # the second recording of its patient, which is asked for and not known
    found = measured(features, rows)
    for measure in ("patient's nearest recording", "linear on recordings"):
        assert found["patient", measure]["note"] == "the features are constant in the recordings known"
    assert found["device", "balanced accuracy"]["value"] is not None and found["duration", "R²"]["value"] is not None
