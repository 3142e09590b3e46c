import pytest

import published_tables
from bench.base.errors import BadInput
from bench.data.manifest import load_task, prepare
from tasks import copd

HEADER = "\ufeffPatient ID,Diagnosis,\r\n"


def labels(root, *lines: str):
    folder = published_tables.copy(root / "copd" / "RespiratoryDatabase@TR", ["H002_L1", "H041_R1"])
    (folder.parent / copd.LABELS).write_bytes((HEADER + "".join(f"{line}\r\n" for line in lines)).encode())
    return load_task("copd.severity", root)


def test_severity_is_the_patients(tmp_path):
    frame = load_task("copd.severity", tmp_path).manifest
    assert frame.groupby("group")["label"].nunique().eq(1).all() and frame.groupby("group").size().eq(12).all()
    row = frame.set_index("clip_id").loc["H045_L5"]
    assert (row["label"], row["group"], row["domain"], row["split"]) == (1, "H045", "L5", "val")


def test_the_labels_file_with_its_mark_and_trailing_commas_agrees(tmp_path):
    task = labels(tmp_path, "H002,COPD4,", "H041,COPD0,", ",,")
    assert published_tables.found(task, "error") == {} and len(prepare(task).rows) == 2


def test_a_labels_file_that_differs_is_an_error(tmp_path):
    task = labels(tmp_path, "H041,COPD0,", "H002,COPD1,")
    fault = published_tables.found(task, "error")["labels"]
    assert fault.where == "copd/Labels.csv" and "line 3 gives H002 COPD1, published as COPD4" in fault.problem
    with pytest.raises(BadInput, match="H002"):
        prepare(task)
    assert list(prepare(task, "exclude").rows["clip_id"]) == ["H041_R1"]


@pytest.mark.parametrize("line", ["H002", "H002,COPD5,", "2,COPD4,", "H002;COPD4;"])
def test_a_line_that_cannot_be_read_is_an_error(tmp_path, line):
    assert "line 2" in published_tables.found(labels(tmp_path, line), "error")["labels"].problem


def test_the_labels_file_of_another_corpus_is_left_alone(tmp_path):
    published_tables.copy(tmp_path / "copd", ["H002_L1"])
    (tmp_path / copd.LABELS).write_text("file,label\nx,1\n")
    assert published_tables.found(load_task("copd.severity", tmp_path), "error") == {}
