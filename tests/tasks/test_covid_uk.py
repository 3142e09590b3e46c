import numpy as np
import pytest

import published_tables
from bench.data.manifest import load_task
from bench.scores.metrics import weighted_auroc
from tasks import covid_uk
from tasks._shared import table

METADATA = "participant_identifier,exhalation_file_name,cough_file_name\n"


@pytest.mark.parametrize(("id", "expected"), [("covid_uk.exhalation", 0.74), ("covid_uk.cough", 0.75)])
def test_the_recruitment_channel_alone_tells_much_of_the_label(tmp_path, id, expected):
    frame = load_task(id, tmp_path).manifest
    train, test = frame[frame["split"] == "train"], frame[frame["split"].str.startswith("test")]
    rate = train.groupby("meta_prefix")["label"].mean()
    assert rate["62"] == 1 and rate["71"] == 0
    auroc = weighted_auroc(test["label"].to_numpy() == 1, test["meta_prefix"].map(rate).to_numpy(), np.ones(len(test)))
    assert round(float(auroc), 2) == expected


@pytest.mark.parametrize(("id", "prefixed", "integer"), [("exhalation", 297, 703), ("cough", 313, 687)])
def test_integer_named_recordings_are_a_test_of_their_own(tmp_path, id, prefixed, integer):
    task = load_task(f"covid_uk.{id}", tmp_path)
    frame = task.manifest
    assert task.card.tests == {"all": ("test", "test_integer"), "integer_named": ("test_integer",)}
    assert set(frame.loc[frame["split"] == "test", "domain"]) == {"62", "71"}
    assert set(frame.loc[frame["split"] == "test_integer", "domain"]) == {"integer"}
    assert ((frame["split"] == "test").sum(), (frame["split"] == "test_integer").sum()) == (prefixed, integer)


def test_as_opera_runs_it_there_is_one_test(tmp_path):
    task = load_task(f"covid_uk.cough@{table.LITERATURE}", tmp_path)
    assert task.card.tests == {"test": ("test",)} and (task.manifest["split"] == "test").sum() == 1000


def test_recordings_are_found_by_name(tmp_path):
    names = list(load_task("covid_uk.exhalation", tmp_path).manifest["clip_id"][:3])
    published_tables.copy(tmp_path / "covidUK" / "audio_selected", names)
    frame = load_task("covid_uk.exhalation", tmp_path).manifest
    assert list(frame.loc[frame["available"], "clip_id"]) == names


def test_participants_of_the_copys_own_metadata(tmp_path):
    first, second, third = load_task("covid_uk.exhalation", tmp_path).manifest["clip_id"][:3]
    path = tmp_path / "covidUK" / covid_uk.METADATA
    path.parent.mkdir()
    path.write_text(METADATA + f"p1,{first}.wav,x.wav\np2,{second}.wav,\np3,,y.wav\n", "utf-8-sig")
    assert published_tables.found(load_task("covid_uk.exhalation", tmp_path), "error") == {}
    path.write_text(METADATA + f"p1,{first}.wav,\np1,{second}.wav,\np3,{third}.wav,\n")
    fault = published_tables.found(load_task("covid_uk.exhalation", tmp_path), "error")["participant"]
    assert fault.where == "covidUK/audio_metadata.csv" and fault.clips == (second,)
    path.write_text("identifier\n")
    assert (
        "participant_identifier"
        in published_tables.found(load_task("covid_uk.exhalation", tmp_path))["metadata"].problem
    )
