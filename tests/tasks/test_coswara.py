import numpy as np
import pytest

import published_tables
from bench.data.manifest import load_task, prepare
from bench.scores.metrics import weighted_auroc
from tasks import coswara
from tasks._shared import table

UNREADABLE = ("9hftEYixyhP1Neeq3fB7ZwITQC53", "C7Km0KttQRMMM6UoyocajfgZAOB3", "kgjTguvo3vZJTO7F1qO9GxEicbA3")


@pytest.mark.parametrize(
    ("id", "expected"),
    [("coswara.smoker", 0.77), ("coswara.smoker@google", 0.85), ("coswara.sex", 0.60), ("coswara.sex@google", 0.61)],
)
def test_the_date_alone_tells_something_of_the_label(tmp_path, id, expected):
    frame = load_task(id, tmp_path).manifest
    train, test = frame[frame["split"] == "train"], frame[frame["split"].str.startswith("test")]
    rate = test["meta_date"].map(train.groupby("meta_date")["label"].mean()).fillna(train["label"].mean())
    auroc = weighted_auroc(test["label"].to_numpy() == 1, rate.to_numpy(), np.ones(len(test)))
    assert round(float(auroc), 2) == expected


def test_nobody_recorded_early_is_a_non_smoker(tmp_path):
    task = load_task("coswara.smoker", tmp_path)
    early = task.manifest[task.manifest["meta_date"] < coswara.SINCE]
    assert len(early) == 115 and set(early["label"]) == {1}
    late = task.manifest[task.manifest["split"] == "test_since_20210618"]
    assert len(late) == 167 and late["meta_date"].min() >= coswara.SINCE
    assert task.card.tests["all"] == ("test", "test_since_20210618")


@pytest.mark.parametrize(
    ("id", "train", "val", "test"),
    [("coswara.smoker", 677, 170, 101), ("coswara.sex", 1475, 369, 652)],
)
def test_the_other_shipped_split(tmp_path, id, train, val, test):
    frame = load_task(f"{id}@{coswara.GOOGLE}", tmp_path).manifest
    assert [(frame["split"] == name).sum() for name in ("train", "val")] == [train, val]
    assert frame["split"].str.startswith("test").sum() == test


def test_as_opera_runs_it_there_is_one_test(tmp_path):
    assert load_task(f"coswara.smoker@{table.LITERATURE}", tmp_path).card.tests == {"test": ("test",)}


def test_recordings_are_found_by_date_and_participant(tmp_path):
    """Every participant's files are named alike."""
    names = list(load_task("coswara.sex", tmp_path).manifest["clip_id"][:2])
    extracted = published_tables.copy(tmp_path / "Coswara-Data" / "Extracted_data", names)
    published_tables.copy(extracted / names[0].rpartition("/")[0], ["breathing-deep"])
    task = load_task("coswara.sex", tmp_path)
    frame = task.manifest[task.manifest["available"]]
    assert list(frame["path"]) == [f"Coswara-Data/Extracted_data/{name}.wav" for name in names]
    assert len(prepare(task).rows) == 2 and frame["domain"].tolist() == ["2020", "2020"]
    assert published_tables.found(task, "note")["other-recordings"].problem.startswith("1 other")


def test_participants_without_a_readable_cough_are_not_in_the_task(tmp_path):
    for name in UNREADABLE:
        path = tmp_path / "Extracted_data" / "20200502" / name / "cough-shallow.wav"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"")
    for id in ("coswara.smoker", "coswara.sex"):
        task = load_task(id, tmp_path)
        assert not task.manifest["group"].isin(UNREADABLE).any() and not task.manifest["available"].any()
        assert published_tables.found(task, "error") == {}
