import pytest

import published_tables
from bench.base.errors import BadInput
from bench.data.manifest import load_task, prepare
from tasks._shared import table


def corpus(root, patients=10, snores=1, prone=3):
    """Every patient snores in five positions; a few recordings are prone."""
    for k in range(patients):
        folder = root / "SSBPR" / ("female" if k % 3 == 0 else "male") / f"p{k:03d}"
        published_tables.copy(folder, [f"{k:04d}-{b:04d}-{c}" for b in range(snores) for c in range(5)])
        published_tables.copy(folder, [f"{k:04d}-0099-5"] if k < prone else [])
    return root


def shared(task) -> set:
    frame = task.manifest
    trained = frame["split"].isin(("train", "val"))
    return set(frame.loc[trained, "group"]) & set(frame.loc[~trained, "group"])


def test_names_make_the_task(tmp_path):
    task = load_task("ssbpr.position", corpus(tmp_path))
    frame = task.manifest.set_index("clip_id")
    assert published_tables.found(task, "error") == {} and len(frame) == 50 and frame["group"].nunique() == 10
    row = frame.loc["female/p003/0003-0000-4"]
    assert (row["label"], row["group"], row["domain"]) == (4, "female/0003", "female")
    assert published_tables.found(task, "note")["prone"].problem.startswith("3 prone")
    assert "holds 53 recordings, the paper counts 7570" in published_tables.found(task)["incomplete"].problem


def test_the_headline_keeps_patients_apart(tmp_path):
    root = corpus(tmp_path)
    task = load_task("ssbpr.position", root)
    assert shared(task) == set() and len(prepare(task).rows) == 50
    assert task.manifest.groupby("split")["group"].nunique().to_dict() == {"test": 2, "train": 6, "val": 2}
    assert load_task("ssbpr.position", root).manifest.equals(task.manifest)


def test_as_opera_runs_it_patients_are_on_both_sides(tmp_path):
    task = load_task(f"ssbpr.position@{table.LITERATURE}", corpus(tmp_path))
    assert task.manifest["split"].value_counts().to_dict() == {"train": 30, "val": 10, "test": 10}
    assert task.manifest.groupby("split")["label"].value_counts().loc["test"].eq(2).all()
    assert shared(task) and "are in train" in published_tables.found(task, "warning")["known-overlap"].problem
    assert "Not exactly" in task.card.notes and len(prepare(task).rows) == 50


def test_a_name_that_cannot_be_read_is_an_error(tmp_path):
    root = corpus(tmp_path)
    published_tables.copy(root / "SSBPR" / "male", ["0001-0002", "0001-0002-7"])
    task = load_task("ssbpr.position", root)
    assert sum(finding.code == "name" for finding in task.findings) == 2
    with pytest.raises(BadInput, match=r"A-B-C"):
        prepare(task)
    assert len(prepare(task, "exclude").rows) == 50


def test_flac_beside_wav_counts_once(tmp_path):
    root = corpus(tmp_path, prone=0)
    published_tables.copy(root / "SSBPR" / "female" / "p000", ["0000-0000-0"], ".flac")
    task = load_task("ssbpr.position", root)
    assert len(task.manifest) == 50 and "duplicate-audio" in published_tables.found(task, "warning")


def test_no_copy_several_copies_and_too_few_patients_are_refused(tmp_path):
    with pytest.raises(BadInput, match=r"no copy.*on request.*xiaoli1996/SSBPR.*A-B-C.wav"):
        load_task("ssbpr.position", tmp_path)
    corpus(tmp_path / "one", patients=3)
    with pytest.raises(BadInput, match="3 patients, the split needs 5"):
        load_task("ssbpr.position", tmp_path)
    corpus(tmp_path / "two", patients=3)
    with pytest.raises(BadInput, match="several copies"):
        load_task("ssbpr.position", tmp_path)
    published_tables.copy(tmp_path / "three" / "male", ["1-1-1", "1-2-2"])
    with pytest.raises(BadInput, match="too few recordings to split"):
        load_task(f"ssbpr.position@{table.LITERATURE}", tmp_path / "three")
