import pytest
import soundfile

import published_tables
from bench.base.errors import BadInput
from bench.data.manifest import load_task, prepare
from tasks._shared import table


def of_container(root, container, n=2) -> list[str]:
    frame = load_task("coughvid.sex", root).manifest
    return list(frame.loc[frame["domain"] == container, "clip_id"][:n])


def test_the_test_list_that_opera_never_uses(tmp_path):
    """98 test recordings are not in it."""
    task = load_task("coughvid.covid", tmp_path)
    assert task.card.tests == {"all": ("test", "test_covid_list"), "covid_list": ("test_covid_list",)}
    assert task.manifest["split"].value_counts().loc[["test", "test_covid_list"]].to_list() == [98, 2409]
    as_run = load_task(f"coughvid.covid@{table.LITERATURE}", tmp_path)
    assert (as_run.manifest["split"] == "test").sum() == 2507 and list(as_run.card.tests) == ["test"]


def test_a_recording_is_its_own_group(tmp_path):
    task = load_task("coughvid.sex", tmp_path)
    assert task.card.group == "recording" and list(task.manifest["group"]) == list(task.manifest["clip_id"])
    assert task.manifest["clip_id"].str.len().eq(36).all()


def test_both_tasks_split_a_recording_alike(tmp_path):
    covid, sex = (
        load_task(f"coughvid.{id}@{table.LITERATURE}", tmp_path).manifest.set_index("clip_id")["split"]
        for id in ("covid", "sex")
    )
    shared = covid.index.intersection(sex.index)
    assert len(shared) == 6133 and (covid[shared] == sex[shared]).all()


def test_ogg_is_read_and_webm_must_be_converted(tmp_path):
    (ogg, *_), (webm, *_) = of_container(tmp_path, "ogg"), of_container(tmp_path, "webm")
    folder = published_tables.copy(tmp_path / "public_dataset", [ogg], ".ogg")
    (folder / f"{webm}.webm").write_bytes(b"\x1aE\xdf\xa3")
    task = load_task("coughvid.sex", tmp_path)
    assert list(task.manifest.loc[task.manifest["available"], "path"]) == [f"public_dataset/{ogg}.ogg"]
    assert published_tables.found(task, "error")["format"].clips == (webm,)
    with pytest.raises(BadInput, match=r"not read.*webm.*convert them to \.wav"):
        prepare(task)
    published_tables.copy(folder, [webm])
    assert len(prepare(load_task("coughvid.sex", tmp_path)).rows) == 2


def test_names_that_lost_their_last_character_are_recognised(tmp_path):
    (ogg, *_) = of_container(tmp_path, "ogg")
    published_tables.copy(tmp_path / "wav", [ogg[:-1]])
    frame = load_task("coughvid.sex", tmp_path).manifest
    row = frame[frame["available"]].iloc[0]
    assert (row["clip_id"], row["path"]) == (ogg, f"wav/{ogg[:-1]}.wav")


def test_a_name_that_only_begins_like_a_recording_is_none(tmp_path):
    (name, *_) = of_container(tmp_path, "webm")
    published_tables.copy(tmp_path / "wav", [f"{name}_denoised", name[:-2]])
    assert not load_task("coughvid.sex", tmp_path).manifest["available"].any()


def test_ogg_of_opus_decodes(tmp_path):
    """The corpus's .ogg files hold Opus."""
    (ogg, *_) = of_container(tmp_path, "ogg")
    path = tmp_path / "public_dataset" / f"{ogg}.ogg"
    path.parent.mkdir()
    soundfile.write(path, [0.0, 0.1] * 6000, 48000, format="OGG", subtype="OPUS")
    assert len(prepare(load_task("coughvid.sex", tmp_path)).rows) == 1
