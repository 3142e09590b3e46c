import pytest

import published_tables
from bench.base.errors import BadInput
from bench.data.manifest import load_task, prepare
from tasks import nosemic
from tasks._shared import table

SUBJECTS = ("4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "17", "18", "19", "20", "21")
NAMES = [f"{subject}_a_{k}_{12 + k}.5" for subject in SUBJECTS for k in range(2)]


def test_subjects_are_the_published_ones(real_data):
    published = [row["participant"] for row in published_tables.published(real_data, "t19")]
    assert published == [row["participant"] for row in table.rows(nosemic.CARDS[0])] == list(SUBJECTS)
    assert published == published_tables.counts(real_data)["T19"]["uids"]


def test_the_last_field_of_a_name_is_the_rate(tmp_path):
    published_tables.copy(tmp_path / "nosemic" / "audio", NAMES)
    task = load_task("nosemic.rate", tmp_path)
    assert task.card.kind == "regression" and task.card.leave_one_out and task.card.group == "subject"
    row = task.manifest.set_index("clip_id").loc["21_a_1_13.5"]
    assert (row["label"], row["group"], row["split"]) == (13.5, "21", "test")
    assert task.manifest["group"].nunique() == 16 and published_tables.found(task, "error") == {}
    assert len(prepare(task).rows) == 32 and task.state == "complete"


def test_whole_rates_stay_numbers(tmp_path):
    published_tables.copy(tmp_path, [f"{subject}_a_1_15" for subject in SUBJECTS])
    assert load_task("nosemic.rate", tmp_path).manifest["label"].tolist() == [15.0] * 16


def test_further_subjects_are_left_out_and_told(tmp_path):
    published_tables.copy(tmp_path, [*NAMES, "1_a_1_20", "15_a_1_20", "15_a_2_21"])
    task = load_task("nosemic.rate", tmp_path)
    assert "3 recordings of subjects 1, 15" in published_tables.found(task, "warning")["further-subjects"].problem
    assert len(task.manifest) == 32


def test_a_copy_without_a_subject_is_not_the_task(tmp_path):
    published_tables.copy(tmp_path, [name for name in NAMES if not name.startswith("17_")])
    task = load_task("nosemic.rate", tmp_path)
    assert published_tables.found(task, "error")["missing-subjects"].problem == "no recording of subjects 17"
    with pytest.raises(BadInput, match="no recording of subjects 17"):
        prepare(task)
    assert prepare(task, "exclude").incomplete


@pytest.mark.parametrize("name", ["21_a_13.5", "x_a_1_13.5", "21_a_1_fast", "21_a_1_0"])
def test_a_name_that_cannot_be_read_is_an_error(tmp_path, name):
    published_tables.copy(tmp_path, [*NAMES, name])
    task = load_task("nosemic.rate", tmp_path)
    assert published_tables.found(task, "error")["name"].where == f"{name}.wav" and len(task.manifest) == 32


def test_no_copy_and_several_copies_are_refused(tmp_path):
    with pytest.raises(BadInput, match=r"no copy.*datasets/nosemic.*subject_x_x_rate.wav"):
        load_task("nosemic.rate", tmp_path)
    published_tables.copy(tmp_path / "one", NAMES)
    published_tables.copy(tmp_path / "two", NAMES)
    with pytest.raises(BadInput, match="several copies"):
        load_task("nosemic.rate", tmp_path)
