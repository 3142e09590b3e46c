import pytest

import published_tables
from bench.base.errors import BadInput
from bench.data.manifest import load_task, prepare
from tasks import kauh
from tasks._shared import table

FILES = {
    "BP47_asthma,E W,P L M,60,M": ("47", 1),
    "DP57_COPD,E W,P R L ,42,M": ("57", 1),
    "EP73_N,N,P L L,32,M": ("73", 0),
    "BP20_Asthma and lung fibrosis,C,A R M,90,M": ("20", 1),
}


def test_names_with_commas_and_blanks_are_read(tmp_path):
    published_tables.copy(tmp_path / "KAUH" / "AudioFiles", FILES)
    task = load_task("kauh.obstructive", tmp_path)
    frame = task.manifest[task.manifest["available"]].set_index("clip_id")
    assert published_tables.found(task, "error") == {} and len(prepare(task).rows) == 4
    for name, (patient, label) in FILES.items():
        row = frame.loc[name.partition("_")[0]]
        assert (row["group"], row["label"]) == (patient, label)
        assert row["path"] == f"KAUH/AudioFiles/{name}.wav"
    told = frame.loc["DP57", ["domain", "meta_position", "meta_age", "meta_sex"]].tolist()
    assert told == ["diaphragm", "P R L", "42", "M"]
    assert not {"meta_diagnosis", "meta_sound"} & set(frame)


def test_the_shipped_table_tells_nothing_of_a_person_but_the_label():
    card = kauh.CARDS[0]
    assert set(table.rows(card)[0]) == {"recording", "participant", "label", "split", "split_opera"}
    assert all(kauh.NAME.fullmatch(f"{row['recording']}_N") for row in table.rows(card))


def test_every_patient_has_one_recording_per_filter(tmp_path):
    frame = load_task("kauh.obstructive", tmp_path).manifest
    assert frame.groupby("group")["domain"].nunique().eq(3).all() and frame.groupby("group").size().eq(3).all()
    assert frame.groupby("group")["split"].nunique().eq(1).all()


def test_what_opera_runs_shares_patients_and_says_so(tmp_path):
    published_tables.copy(tmp_path / "KAUH", FILES)
    task = load_task(f"kauh.obstructive@{table.LITERATURE}", tmp_path)
    shared = published_tables.found(task, "warning")["known-overlap"]
    assert "49 patients of test are in train" in shared.problem and "63 of its 72" in shared.problem
    assert published_tables.found(task, "error") == {} and len(prepare(task).rows) == 4
    assert "known-overlap" not in published_tables.found(load_task("kauh.obstructive", tmp_path))


def test_what_opera_runs_is_the_published_array(real_data):
    splits = load_task(f"kauh.obstructive@{table.LITERATURE}", real_data).manifest.set_index("clip_id")["split"]
    for row in published_tables.published(real_data, "t10"):
        assert splits[row["recording"].partition("_")[0]] == row["split_opera_legacy"]


def test_a_diagnosis_in_lower_case_is_left_out_and_told(tmp_path):
    published_tables.copy(tmp_path / "KAUH", [*FILES, "BP60_copd,E W,P R L,60,M", "BP8_heart failure,C,P R L,60,M"])
    notes = published_tables.found(load_task("kauh.obstructive", tmp_path), "note")
    assert notes["lower-case"].problem.startswith("1 recordings") and notes["lower-case"].where.endswith("M.wav")
    assert notes["other-recordings"].problem.startswith("2 other")


def test_a_name_that_contradicts_the_table_is_an_error(tmp_path):
    published_tables.copy(tmp_path / "KAUH", ["BP47_N,E W,P L M,60,M", "EP73_N,N,P L L,32,M"])
    task = load_task("kauh.obstructive", tmp_path)
    fault = published_tables.found(task, "error")["label"]
    assert fault.clips == ("BP47",) and "'N'" in fault.problem and "obstructive" in fault.problem
    with pytest.raises(BadInput, match="BP47_N"):
        prepare(task)
    assert list(prepare(task, "exclude").rows["clip_id"]) == ["EP73"]
