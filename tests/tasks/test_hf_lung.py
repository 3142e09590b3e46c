import pytest

import published_tables
import tiny_corpora
from bench.base.errors import BadInput
from bench.data.manifest import load_task, prepare

ANNOTATIONS = {
    "train/steth_20190821_12_00_25": "I 00:00:00.000 00:00:02.000\nD 00:00:00.500 00:00:01.000\n"
    "Rhonchi 00:00:05.000 00:00:05.500\n",
    "train/trunc_2019-08-22-10-35-06-L1_1": "E\t00:00:02.0\t00:00:04.0\n",
    "test/trunc_2019-08-23-10-35-06-L2_12": "I 0:00:01 0:00:02.5\nStridor 00:00:01.500 00:00:02.000\n",
    "test/steth_20190824_08_00_00": "",
}


def _copy(root, annotations=ANNOTATIONS, suffix=".wav"):
    for name, lines in annotations.items():
        path = root / "HF_Lung_V1" / f"{name}_label.txt"
        tiny_corpora.tone(path.with_name(path.name.replace("_label.txt", suffix)), seconds=0.25)
        path.write_text(lines)
    return root / "HF_Lung_V1"


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_the_sounds_of_a_recording_are_its_label(tmp_path, suffix):
    _copy(tmp_path, suffix=suffix)
    task = load_task("hf_lung.adventitious", tmp_path)
    frame = task.manifest.set_index("clip_id")
    assert published_tables.found(task, "error") == {} and len(prepare(task).rows) == 4
    labels = {name.rpartition("/")[2]: label for name, label in zip(ANNOTATIONS, (3, 0, 1, 0))}
    assert frame["label"].to_dict() == labels
    sounds = load_task("hf_lung.sounds", tmp_path).manifest.set_index("clip_id")["label"]
    assert sounds.to_dict() == dict(zip(labels, (12, 0, 2, 0)))


def test_split_group_and_device_are_told_by_folder_and_name(tmp_path):
    _copy(tmp_path)
    frame = load_task("hf_lung.sounds", tmp_path).manifest.set_index("clip_id")
    columns = ["split", "group", "domain", "meta_channel"]
    assert frame.loc["steth_20190821_12_00_25", columns].tolist() == ["train", "20190821", "stethoscope", ""]
    told = frame.loc["trunc_2019-08-23-10-35-06-L2_12", columns].tolist()
    assert told == ["test", "20190823", "multichannel recorder", "L2"]


def test_the_number_of_recordings_is_held_against_the_paper(tmp_path):
    _copy(tmp_path)
    assert "4 annotated recordings, the paper tells of 9765" in str(
        published_tables.found(load_task("hf_lung.sounds", tmp_path))["recordings"]
    )


def test_dates_on_both_sides_are_told(tmp_path):
    _copy(tmp_path, ANNOTATIONS | {"test/steth_20190821_13_00_00": ""})
    task = load_task("hf_lung.adventitious", tmp_path)
    assert (
        "1 dates are in train and in test, with 1 of 3"
        in published_tables.found(task, "warning")["shared-dates"].problem
    )
    assert published_tables.found(task, "error") == {}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("I 00:00:01", "line 2 is not"),
        ("Snore 00:00:01 00:00:02", "unknown event 'Snore'"),
        ("D 1.0 2.0", "line 2 is not"),
        ("D 00:00:03 00:00:02", "line 2 ends before it starts"),
    ],
)
def test_a_malformed_line_is_an_error_that_names_it(tmp_path, line, problem):
    _copy(tmp_path, ANNOTATIONS | {"train/steth_20190825_12_00_25": f"I 00:00:00 00:00:01\n{line}\n"})
    task = load_task("hf_lung.adventitious", tmp_path)
    fault = published_tables.found(task, "error")["annotation"]
    assert problem in fault.problem and fault.where.endswith("steth_20190825_12_00_25_label.txt")
    assert len(task.manifest) == 4


def test_half_copied_corpora_are_told(tmp_path):
    corpus = _copy(tmp_path, ANNOTATIONS | {"train/steth_other": ""})
    (corpus / "train" / "steth_20190821_12_00_25.wav").unlink()
    (corpus / "test" / "steth_20190824_08_00_00_label.txt").unlink()
    task = load_task("hf_lung.adventitious", tmp_path)
    found = published_tables.found(task)
    assert found["missing-audio"].problem.startswith("1 of 4") and task.state == "subset"
    assert found["no-annotation"].where.endswith("steth_20190824_08_00_00.wav")
    assert "neither steth_" in found["annotation"].problem


def test_an_annotation_in_both_folders_is_an_error(tmp_path):
    _copy(tmp_path, ANNOTATIONS | {"train/steth_20190824_08_00_00": ""})
    task = load_task("hf_lung.adventitious", tmp_path)
    assert "annotated-twice" in published_tables.found(task, "error")


def test_without_a_copy_it_says_where_to_get_one(tmp_path):
    with pytest.raises(BadInput, match="techsupportHF"):
        load_task("hf_lung.adventitious", tmp_path)
