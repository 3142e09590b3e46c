"""Every published count of OPERA's tasks and of SPRSound's later tests, on tables, on annotations and on cards."""

import json
from functools import cache, partial

import pytest

import published_tables
from bench.base import registry
from bench.data.manifest import load_task
from tasks import sprsound
from tasks._shared.table import LITERATURE

# {key in the published counts: task that a table alone makes}
SPLITS = {
    "T1": "covid_uk.exhalation",
    "T2": "covid_uk.cough",
    "T5": "coughvid.covid",
    "T6": "coughvid.sex",
    "T8_default": "coswara.smoker",
    "T8_google": "coswara.smoker@google",
    "T9_default": "coswara.sex",
    "T9_google": "coswara.sex@google",
    "T10_as_run (leaky)": f"kauh.obstructive@{LITERATURE}",
    "T11": "copd.severity",
}
DISJOINT = "T10_patient_disjoint (train_test.npy)"


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Manifests by id on a folder without any recording, every test of a task taken together."""
    load = partial(load_task, root=tmp_path_factory.mktemp("empty"))
    return cache(lambda id: together(load(id).manifest))


@pytest.fixture
def published(real_data) -> dict:
    return published_tables.counts(real_data)


def together(frame):
    return frame.assign(split=frame["split"].str.replace("test.*", "test", regex=True))


def labels(frame, split: str) -> dict[str, int]:
    part = frame[frame["split"].isin(split.split("+"))]
    return {str(label): int(n) for label, n in part["label"].value_counts().sort_index().items()}


@pytest.mark.parametrize("key", SPLITS)
def test_labels_of_every_split(alone, published, key):
    splits = {name: value for name, value in published[key].items() if name in ("train", "val", "test", "train+val")}
    assert splits == {name: labels(alone(SPLITS[key]), name) for name in splits}
    assert {"test"} < set(splits)


def test_labels_of_every_split_of_t7(real_data, published):
    frame = together(load_task(f"icbhi.disease2@{LITERATURE}", real_data).manifest)
    found = {name: labels(frame, name) for name in ("train", "val", "test")}
    assert published["T7"] == found | {"train_before_val_split": labels(frame, "train+val")}


def test_patients_of_t10(alone, published, real_data):
    expected = published["T10_as_run (leaky)"]
    frame = alone(SPLITS["T10_as_run (leaky)"])
    test, known = frame[frame["split"] == "test"], set(frame.loc[frame["split"] == "train", "group"])
    assert expected["patients"] == frame["group"].nunique() and expected["test_recordings"] == len(test)
    assert expected["patients_in_train_and_test"] == len(known & set(test["group"]))
    assert expected["test_recordings_with_patient_in_train"] == test["group"].isin(known).sum()

    headline = alone("kauh.obstructive").set_index("clip_id")
    halves = headline["split"].replace("val", "train")
    assert published[DISJOINT]["patients"] == headline.groupby(halves)["group"].nunique().to_dict()
    told = {
        row["recording"].partition("_")[0]: row["recording"].lower()
        for row in published_tables.published(real_data, "t10")
    }
    for half in ("train", "test"):
        part = headline[halves == half]
        names = [told[id] for id in part.index]
        found = {"healthy": int((part["label"] == 0).sum())}
        found |= {"asthma": sum("asthma" in name for name in names), "COPD": sum("copd" in name for name in names)}
        assert published[DISJOINT][half] == found


def test_patients_of_t11(alone, published):
    frame = alone("copd.severity")
    assert published["T11"]["recordings"] == len(frame)
    assert published["T11"]["patients"] == frame.groupby("split")["group"].nunique().to_dict()


def test_subjects_of_the_regression_tasks(published):
    for key, numbers in (("T13_T18", range(13, 19)), ("T19", (19,))):
        for number in numbers:
            card = registry.task_card(f"opera.T{number}")
            assert card.leave_one_out == (published[key]["cv"] == "LOSO")
            if number < 19:  # how many recordings those subjects have is not published
                assert card.counts["test"]["patients"] == published[key]["subjects"]
    assert len(published["T19"]["uids"]) == published["T19"]["subjects"]  # which they are: test_nosemic.py


def test_later_tests_of_sprsound(real_data):
    later = json.loads(published_tables.beside(real_data, "specs/counts.json").read_text(encoding="utf-8"))[
        "sprsound_later"
    ]
    assert later["2023_test"]["files"] == sprsound.LATER_RECORDINGS
    assert set(later) == {"2023_test", "2024_test", "2025_test"}  # no copy of those is at hand to count


def test_nothing_published_goes_unasserted(published):
    assert set(published) == {*SPLITS, "T7", DISJOINT, "T13_T18", "T19"}
