import pytest

import published_tables
from bench.base.errors import BadInput
from bench.data.manifest import load_task, prepare
from tasks import covid19_sounds
from tasks._shared import table

COLUMNS = ("Uid", "Age", "Folder Name", "Voice filename", "Cough filename", "Breath filename", "split", "label")
WEB = "2020-05-01-10_00_00_123456"


def rows(train: int = 11) -> list[tuple[str, ...]]:
    """Training rows of one recording each, a validation row, and test rows of the app and of the web form."""
    names = ("audio_file_voice.wav", "audio_file_cough.wav", "audio_file_breathe.wav")
    listed = [(f"uid{k:02d}", "30-39", "2020-06-01", *names, "0", str(k % 2)) for k in range(train)]
    listed.append(("val01", "", "2020-06-02", *names, "1", "0"))
    listed.append(("test01", "", "2020-06-02", *names, "2", "1"))
    listed.append((WEB, "", WEB, *names, "2", "0"))
    return listed


def delivered(root, listed=None, columns=COLUMNS, sounds=True):
    listed = rows() if listed is None else listed
    folder = root / "covid19-sounds"
    folder.mkdir(exist_ok=True)
    (folder / covid19_sounds.TABLE).write_text("\n".join(";".join(row) for row in (columns, *listed)), "utf-8")
    for uid, _, inner, _, cough, breath, *_ in listed if sounds else ():
        owner = "form-app-users" if uid.startswith("202") else uid
        place = folder / "0426_EN_used_task1" / owner / inner
        published_tables.copy(place, [name.removesuffix(".wav") for name in (cough, breath)])
    return root


@pytest.mark.parametrize(("sound", "file"), [("breath", "audio_file_breathe"), ("cough", "audio_file_cough")])
def test_the_delivered_table_makes_the_task(tmp_path, sound, file):
    task = load_task(f"covid19_sounds.{sound}", delivered(tmp_path))
    frame = task.manifest
    assert published_tables.found(task, "error") == {} and task.state == "complete" and len(prepare(task).rows) == 6
    assert list(frame.loc[frame["split"] == "train", "group"]) == ["uid00", "uid05", "uid10"]
    assert frame["path"].str.endswith(f"{file}.wav").all()
    web = frame[frame["group"] == WEB].iloc[0]
    assert (web["domain"], web["split"]) == ("web", "test") and "form-app-users" in web["path"]
    assert "8 of 11" in published_tables.found(task, "note")["every-fifth"].problem


def test_without_the_data_it_is_said_where_to_apply(tmp_path):
    with pytest.raises(BadInput, match=r"on application at https://covid-19-sounds.*data_0426_en_task1.csv"):
        load_task("covid19_sounds.breath", tmp_path)
    assert all(card.access != "open" for card in covid19_sounds.CARDS)


def test_a_table_without_a_column_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"data_0426_en_task1.csv.*lacks the columns label"):
        load_task("covid19_sounds.cough", delivered(tmp_path, columns=(*COLUMNS[:-1], "Label"), sounds=False))


def test_a_damaged_row_is_an_error(tmp_path):
    damaged = ("uid99", "", "2020-06-01", "v.wav", "c.wav", "b.wav", "3", "1")
    task = load_task("covid19_sounds.cough", delivered(tmp_path, [*rows(), damaged]))
    assert published_tables.found(task, "error")["annotation"].problem.startswith("row 16 ")
    task = load_task("covid19_sounds.cough", delivered(tmp_path, [*rows(), rows()[-1]]))
    assert "a second time" in published_tables.found(task, "error")["duplicate-annotation"].problem


def test_a_half_copied_corpus_is_a_subset(tmp_path):
    root = delivered(tmp_path)
    next((root / "covid19-sounds").rglob("uid05/**/audio_file_cough.wav")).unlink()
    task = load_task("covid19_sounds.cough", root)
    assert task.state == "subset" and "1 of 6" in published_tables.found(task)["missing-audio"].problem


def test_a_participant_on_both_sides_is_refused(tmp_path):
    leaked = (*rows()[0][:-2], "2", "1")
    listed = [*rows(), (leaked[0], "", "2020-07-01", *leaked[3:])]
    with pytest.raises(BadInput, match="participant uid00 in train and in test"):
        prepare(load_task("covid19_sounds.cough", delivered(tmp_path, listed)))


def test_as_opera_runs_it_is_the_headline(tmp_path):
    root = delivered(tmp_path)
    headline, as_run = (load_task(f"covid19_sounds.cough{v}", root) for v in ("", f"@{table.LITERATURE}"))
    assert headline.manifest.equals(as_run.manifest)
