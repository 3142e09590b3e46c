import numpy as np
import pandas as pd
import pytest
import torch

from bench import simulate
from bench.data.manifest import load_task, prepare
from bench.encoders.features.store import FeatureStore
from bench.encoders.load import load_encoder
from bench.runs.audit.checks import sensitivity


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpus")
    simulate.sprsound(root / "SPRSound", seed=1, patients=18, recordings_per_patient=2)
    return load_task("sprsound.events2", root)


@pytest.fixture(scope="module")
def found(task):
    encoder = load_encoder("meta.level")
    (facts,) = sensitivity.sensitivity(encoder, prepare(task), task.card, some=20, resamples=50)
    return facts


def test_every_change_is_tried_and_dither_on_all_clips(found, task):
    dither, resampler, path = found["changes"]
    assert [each["name"] for each in found["changes"]] == ["dither16", "soxr-VHQ", "another code path"]
    assert dither["clips"] == found["clips"] == len(task.manifest) and resampler["clips"] == path["clips"] == 20
    assert dither["tested"] > resampler["tested"] == 20
    assert set(dither["tests"]) == set(found["tests"]) == set(task.card.tests)
    assert dither["chosen"] is not None and resampler["chosen"] is resampler["tests"] is None
    assert 0 <= dither["other_candidates"] <= 1 and resampler["other_candidates"] is None
    for change in found["changes"]:
        assert 0 <= change["median_shift"] <= change["shift"] and 0 <= change["decisions"] <= change["tested"]
    for test, moved in dither["tests"].items():
        assert moved["value"] - found["tests"][test]["value"] == pytest.approx(moved["change"], abs=2e-6)


def test_level_hears_neither_rounding_nor_the_code_path(found):
    """The level of a clip at 8 kHz, resampled nowhere, is the same on every path to float64's rounding of its sum."""
    _, resampler, path = found["changes"]
    assert resampler["shift"] == 0 and path["shift"] < 1e-3 and path["decisions"] == 0


def test_few_clips_are_all_tried_and_the_probe_fitted_anew(task):
    encoder = load_encoder("meta.bandwidth")
    (facts,) = sensitivity.sensitivity(encoder, prepare(task), task.card, some=10_000, resamples=50)
    assert all(change["chosen"] is not None and change["tests"] for change in facts["changes"])
    assert facts["changes"][0]["shift"] > facts["changes"][2]["shift"]  # dither fills what rounding left


def test_poolings_are_encoded_once_and_known_probes_are_not_fitted_again(task, found, monkeypatch):
    encoder, here = load_encoder("meta.level"), prepare(task)
    wants = ((-1, "mean"), (-1, "published"))
    fit, encode, encoded, fitted = sensitivity.FittedProbes, sensitivity.variants.embed_each, [], []
    known = fit(FeatureStore(encoder, here).gather(wants[1]), here.rows, task.card)
    monkeypatch.setattr(sensitivity, "FittedProbes", lambda *given: fitted.append(given) or fit(*given))
    monkeypatch.setattr(sensitivity.variants, "embed_each", lambda *given: encoded.append(given[2]) or encode(*given))
    mean, published = sensitivity.sensitivity(
        encoder, here, task.card, wants, fitted={wants[1]: known}, some=20, resamples=50
    )
    assert (mean["pooling"], published["pooling"]) == ("mean", "published") and published == found
    assert len(fitted) == 3  # under dither of both, and the one that was not known
    assert set(encoded) == {wants}


def test_an_encoder_has_the_statistics_of_clips_as_they_are(task, monkeypatch):
    encoder, here, first = load_encoder("meta.level"), prepare(task), []
    monkeypatch.setattr(type(encoder), "needs_stats", True)
    monkeypatch.setattr(
        type(encoder), "fit_stats", lambda _, batches: first.append(next(iter(batches))[0]), raising=False
    )
    monkeypatch.setattr(sensitivity, "effect", lambda *given: {})
    sensitivity.sensitivity(encoder, here, task.card, some=3, resamples=10)
    native, dithered, last = first  # of both stores, and of what is encoded beside them
    assert torch.equal(native, last) and not torch.equal(native, dithered)
    sensitivity.sensitivity(encoder, here, task.card, some=3, resamples=10)
    assert torch.equal(native, first[3]) and len(first) == 4  # all is stored


def facts(change=0.0, width=0.2, other=0.3):
    share = abs(change) / width if width else None
    moved = {"value": 0.5 + change, "change": change, "of_interval": share}
    tried = {"name": "dither16", "tests": {"test": moved}, "other_candidates": other}
    some = {"name": "another code path", "tests": None, "other_candidates": None}
    return {
        "encoder": "a.b",
        "pooling": "mean",
        "tests": {"test": {}},
        "chosen": [{"C": "1"}],
        "changes": [tried, some],
    }


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, []),
        ({"change": 0.019}, []),
        ({"change": -0.03}, ["dither16 moves the score by 15% of its interval"]),
        ({"change": 0.01, "width": 0}, ["dither16 moves the score by no interval"]),
        ({"other": 0.6}, ["dither16 changes the probe's choice"]),
    ],
)
def test_a_row_is_marked_where_its_score_or_its_probe_moves(given, said, task):
    assert sensitivity.reasons(facts(**given), "test") == said
    found = sensitivity.findings([facts(), facts(**given)], task.card)
    assert [finding.problem for finding in found] == said
    assert all("a.b mean on" in finding.where for finding in found)
    assert sensitivity.findings([], task.card) == []


def test_a_task_without_two_classes_has_no_sensitivity(task):
    prepared = prepare(task)
    prepared.rows["label"] = 0
    assert sensitivity.sensitivity(load_encoder("meta.level"), prepared, task.card) == []


class SignProbes:
    """Probes whose decision is the first feature's sign."""

    def __init__(self, features):
        self.features = features
        self.rows = pd.DataFrame({"clip_id": list("abcd")})
        self.predicted = self.answers(features)

    def answers(self, features):
        return self.rows.assign(y_pred=(features[:, 0] > 0.2).astype(int))


def test_what_does_not_vary_is_counted_apart():
    plain = sensitivity.Plain(SignProbes(np.zeros((4, 2), np.float32)), {}, np.array([0.25, 0.0]), 0)
    moved = np.array([[0.5, 0.1]] * 2, np.float32)
    change = sensitivity.effect("dither16", plain, np.array([1, 2]), moved)
    assert (change["shift"], change["constant"], change["clips"]) == (2.0, 1, 2)
