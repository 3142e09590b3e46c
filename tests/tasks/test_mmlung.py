import pandas as pd
import pytest

import published_tables
from bench.base.errors import BadInput
from bench.data.manifest import load_task, prepare
from tasks import mmlung
from tasks._shared import table

HEADER = ",Spirometry_file,O_Single_file,Deep_Breath_file,FVC,FEV1,FEV1/FVC"


def line(subject: int, fvc: str = "4.5") -> str:
    phone = "./Trimmed Data from phone"
    files = f"{phone}/5_2_O_single/{subject}_vowelo.wav,{phone}/9_3_deepbreath/{subject}_deepbreaths.wav"
    return f"{subject},./spirometry_ground_truth/{subject}_spiro.xls,{files},{fvc},3.{subject},{70 + subject}.0"


def delivered(root, lines=None, sounds=True):
    lines = [line(k) for k in range(1, 41)] if lines is None else lines
    folder = root / "mmlung"
    folder.mkdir(exist_ok=True)
    (folder / "All_path.csv").write_text("\n".join([HEADER, *lines]), "utf-8-sig")
    for number in range(1, len(lines) + 1) if sounds else ():
        published_tables.copy(folder / "Trimmed Data from phone" / "5_2_O_single", [f"{number}_vowelo"])
        published_tables.copy(folder / "Trimmed Data from phone" / "9_3_deepbreath", [f"{number}_deepbreaths"])
    return root


@pytest.mark.parametrize(
    ("id", "value", "file"),
    [
        ("deepbreath_fvc", 4.5, "9_3_deepbreath/7_deepbreaths"),
        ("deepbreath_fev1", 3.7, "9_3_deepbreath/7_deepbreaths"),
        ("vowel_ratio", 77.0, "5_2_O_single/7_vowelo"),
    ],
)
def test_every_subject_is_one_clip_with_its_measured_value(tmp_path, id, value, file):
    task = load_task(f"mmlung.{id}", delivered(tmp_path))
    assert task.card.kind == "regression" and task.card.leave_one_out and task.card.main_metric == "mae"
    assert len(task.manifest) == 40 and set(task.manifest["split"]) == {"test"} and task.state == "complete"
    row = task.manifest.set_index("group").loc["7"]
    assert row["label"] == value and row["path"] == f"mmlung/Trimmed Data from phone/{file}.wav"
    assert published_tables.found(task, "error") == {} and len(prepare(task).rows) == 40


def test_the_six_tasks_are_named_by_sound_and_target():
    assert [card.id.partition(".")[2] for card in mmlung.CARDS] == [
        f"{sound}_{target}" for sound in ("deepbreath", "vowel") for target in ("fvc", "fev1", "ratio")
    ]
    assert [card.classes for card in mmlung.CARDS[:3]] == [("FVC",), ("FEV1",), ("FEV1/FVC",)]


def test_marked_missing_and_repeated_values(tmp_path):
    lines = [line(1, "4.1*"), line(2, ""), line(1), line(4).replace("9_3_deepbreath/4_deepbreaths.wav", "")]
    lines[3] = lines[3].replace("./Trimmed Data from phone/,", ",")
    task = load_task("mmlung.deepbreath_fvc", delivered(tmp_path, lines))
    problems = [finding.problem for finding in task.findings if finding.code == "annotation"]
    assert problems == ["row 3 has no FVC", "row 4 names 1_deepbreaths a second time"]
    assert list(task.manifest["label"]) == [4.1]
    assert published_tables.found(task, "warning")["no-recording"].problem.startswith("1 subjects")


def test_a_half_copied_corpus_is_a_subset(tmp_path):
    root = delivered(tmp_path)
    next(root.rglob("9_vowelo.wav")).unlink()
    task = load_task("mmlung.vowel_fvc", root)
    assert task.state == "subset" and "1 of 40" in published_tables.found(task)["missing-audio"].problem
    assert load_task("mmlung.deepbreath_fvc", root).state == "complete"
    fewer = load_task("mmlung.vowel_fvc", delivered(tmp_path, [line(k) for k in range(1, 4)]))
    assert fewer.state == "subset" and published_tables.found(fewer, "error") == {}


def test_without_the_data_or_a_column_it_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"on request.*OPERA.*All_path.csv"):
        load_task("mmlung.vowel_fvc", tmp_path)
    delivered(tmp_path, sounds=False)
    path = tmp_path / "mmlung" / "All_path.csv"
    path.write_text(path.read_text("utf-8-sig").replace("FEV1/FVC", "ratio"))
    with pytest.raises(BadInput, match=r"lacks the columns FEV1/FVC"):
        load_task("mmlung.vowel_ratio", tmp_path)


def test_a_spreadsheet_that_cannot_be_read_asks_for_csv(tmp_path, monkeypatch):
    (tmp_path / "All_path.xlsx").write_bytes(b"PK")

    def no_reader(path):
        raise ImportError("openpyxl")

    monkeypatch.setattr(pd, "read_excel", no_reader)
    with pytest.raises(BadInput, match=r"All_path.xlsx.*save the sheet as All_path.csv"):
        load_task("mmlung.vowel_fvc", tmp_path)


def test_as_opera_runs_it_is_the_headline(tmp_path):
    root = delivered(tmp_path)
    headline, as_run = (load_task(f"mmlung.vowel_fvc{v}", root) for v in ("", f"@{table.LITERATURE}"))
    assert headline.manifest.equals(as_run.manifest)
