import pytest

import published_tables
import tiny_corpora
from bench.base import registry
from bench.base.errors import BadInput, UnknownId
from bench.cli.main import main
from bench.data.manifest import load_task, prepare
from tasks import csv as from_csv

HEADER = "path,start,end,label,group,split,domain,Chest side"
LINES = (
    "day1/a.wav,0,0.5,wheeze,p1,train,ward,left",
    "day1/a.wav,0.5,1.5,Normal,p1,train,ward,left",
    'day1/b.flac,,,Normal,p2,train,"ward, west",right',
    "c.wav,,,crackle,p3,test,clinic,left",
    "c.wav,1,,Normal,p3,test,clinic,left",
    "d.wav,,,wheeze,p4,test_far,clinic,left",
)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """The data folder, with the recordings in its folder ``hospital``."""
    monkeypatch.setenv("RESPBENCH_DATA", str(tmp_path))
    for name in ("day1/a.wav", "day1/b.flac", "c.wav", "d.wav"):
        tiny_corpora.tone(tmp_path / "hospital" / name)
    return tmp_path


def _write(data, lines=LINES, header=HEADER, name="table.csv", **how):
    (data / "hospital" / name).write_text("\n".join((header, *lines)) + "\n", **{"encoding": "utf-8"} | how)
    return f"csv.hospital/{name}"


def _without(column):
    at = HEADER.split(",").index(column)
    plain = [line.replace('"ward, west"', "ward") for line in LINES]
    return {
        "header": ",".join(x for k, x in enumerate(HEADER.split(",")) if k != at),
        "lines": [",".join(x for k, x in enumerate(line.split(",")) if k != at) for line in plain],
    }


def _line_faults(data, *lines):
    task = load_task(_write(data, (*LINES, *lines)))
    assert len(task.manifest) == len(LINES)
    return [(f.where.rpartition(":")[2], f.problem) for f in task.findings if f.level == "error" and f.code == "line"]


def test_a_table_becomes_a_task(data):
    task = load_task(_write(data))
    assert published_tables.found(task, "error") == {} and task.state == "complete" and len(prepare(task).rows) == 6
    assert task.card.classes == ("Normal", "crackle", "wheeze") and task.card.main_metric == "uar"
    assert task.card.tests == {"test": ("test",), "test_far": ("test_far",)}
    frame = task.manifest.set_index("clip_id")
    first = frame.loc["day1/a.wav#0.000-0.500"]
    assert first["path"] == "hospital/day1/a.wav" and first["label"] == 2 and first["group"] == "p1"
    assert frame.loc["day1/b.flac", ["domain", "meta_chest_side"]].tolist() == ["ward, west", "right"]
    assert frame.loc["c.wav#1.000-", "start_s"] == 1.0


def test_two_classes_are_compared_by_auroc(data):
    card = registry.task_card(_write(data, [line.replace("crackle", "wheeze") for line in LINES]))
    assert card.main_metric == "auroc" and card.classes == ("Normal", "wheeze") and card.adventitious == (1,)


def test_separators_order_and_a_byte_order_mark_do_not_matter(data):
    want = load_task(_write(data)).manifest
    lines = [line.replace('"ward, west"', "ward, west") for line in LINES]
    lines = [line.replace(", ", "…").replace(",", ";").replace("…", ", ") for line in lines]
    header = HEADER.replace(",", ";")
    other = load_task(_write(data, lines[::-1], header, "other.csv", encoding="utf-8-sig", newline="\r\n")).manifest
    assert want.equals(other)


def test_without_a_split_groups_are_drawn_and_it_is_told(data):
    lines = [f"c.wav,{n / 10},,{('Normal', 'wheeze')[n % 2]},p{n // 2}" for n in range(20)]
    task = load_task(_write(data, lines, "path,start,end,label,group"))
    assert "3 of 10 groups were drawn as the test (seed 0)" in published_tables.found(task)["made-split"].problem
    sides = task.manifest.groupby("group")["split"].agg(set)
    assert all(len(side) == 1 for side in sides) and sum(side == {"test"} for side in sides) == 3
    assert task.manifest.equals(load_task(_write(data, lines[::-1], "path,start,end,label,group")).manifest)


def test_one_group_cannot_be_split(data):
    with pytest.raises(BadInput, match="all of its clips are of one group"):
        load_task(_write(data, ["c.wav,Normal,p1", "d.wav,wheeze,p1"], "path,label,group"))


def test_start_end_and_domain_are_optional(data):
    lines = ["c.wav,Normal,p1,train", "d.wav,wheeze,p2,test"]
    task = load_task(_write(data, lines, "path,label,group,split"))
    assert published_tables.found(task, "error") == {} and task.manifest["domain"].eq("unknown").all()
    assert task.manifest["end_s"].isna().all()
    assert "train has no wheeze" in " ".join(f.problem for f in task.findings if f.code == "lacking-class")


@pytest.mark.parametrize("column", ["path", "label", "group"])
def test_a_mandatory_column_is_asked_for(data, column):
    with pytest.raises(BadInput, match=f"has no column {column} .*its first line must name the columns"):
        load_task(_write(data, **_without(column)))


def test_patients_on_both_sides_are_refused_by_name(data):
    task = load_task(_write(data, (*LINES, "d.wav,1,,Normal,p1,test,,")))
    leak = published_tables.found(task, "error")["group-leak"]
    assert "patient p1 in train and in test" in leak.problem
    assert "in the table, give all lines of a patient one split, or leave the column split out" in leak.remedy
    with pytest.raises(BadInput, match="p1 in train"):
        prepare(task)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("c.wav,0,1", "has 3 fields, the first line 8"),
        ("c.wav,0,1,,p1,train,,", "label is empty"),
        ("c.wav,0,1,wheeze,,train,,", "group is empty"),
        (",0,1,wheeze,p1,train,,", "path is empty"),
        ("../c.wav,0,1,wheeze,p1,train,,", "leads out of the table's folder"),
        ("/c.wav,0,1,wheeze,p1,train,,", "leads out of the table's folder"),
        ("c.webm,0,1,wheeze,p1,train,,", "is not a sound file"),
        ("c.wav,0,1,wheeze,p1,dev,,", "unknown split 'dev'"),
        ("c.wav,nan,1,wheeze,p1,train,,", "start 'nan' is not a number of seconds"),
        ("c.wav,-1,1,wheeze,p1,train,,", "start '-1' is not a number of seconds"),
        ("c.wav,1,1,wheeze,p1,train,,", "ends at 1 s, not after its start at 1 s"),
    ],
)
def test_every_malformed_line_is_told_with_its_number(data, line, problem):
    faults = _line_faults(data, line, "", line)
    assert [number for number, _ in faults] == ["8", "10"] and all(problem in told for _, told in faults)


def test_clips_given_twice_and_recordings_not_there_are_told(data):
    task = load_task(_write(data, (*LINES, LINES[3], "e.wav,,,Normal,p5,train,,")))
    assert "duplicate-clip" in published_tables.found(task, "error")
    absent = published_tables.found(task, "warning")["missing-audio"].problem
    assert absent == "1 of 5 recordings are not there (the first is hospital/e.wav)" and task.state == "subset"


def test_files_that_are_no_table_are_refused(data):
    with pytest.raises(BadInput, match="0 sound lines with 0 different labels"):
        load_task(_write(data, ()))
    with pytest.raises(BadInput, match="1 different labels; line 3: label is empty"):
        load_task(_write(data, (LINES[0], "c.wav,0,1,,p1,train,,")))
    with pytest.raises(BadInput, match="column meta_chest_side twice"):
        load_task(_write(data, header=HEADER.replace("domain", "chest-side")))
    with pytest.raises(BadInput, match="in UTF-8"):
        load_task(_write(data, ("ä",), encoding="latin-1"))
    (data / "hospital" / "empty.csv").write_text("")
    with pytest.raises(BadInput, match="has no column path, label, group"):
        load_task("csv.hospital/empty.csv")
    with pytest.raises(BadInput, match="there is no such table"):
        load_task("csv.hospital/absent.csv")
    with pytest.raises(UnknownId):
        registry.task_card("csv.")


def test_a_table_anywhere_needs_no_root(data, tmp_path_factory, monkeypatch):
    path = data / "hospital" / "table@home.csv"
    _write(data, name=path.name)
    inside = from_csv.describe(path)
    assert inside["id"] == "csv.hospital/table%40home.csv" and inside["report"]["ok"]
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.setenv("RESPBENCH_DATA", str(elsewhere))
    outside = from_csv.describe(path)
    assert outside["id"] == f"csv.{str(path).replace('@', '%40')}"
    assert outside["report"]["ok"] and outside["report"]["digest"] == inside["report"]["digest"]
    monkeypatch.chdir(path.parent.parent)
    here = from_csv.describe(path)
    assert here["id"] == inside["id"] and here["report"]["digest"] == inside["report"]["digest"]
    for id, root in ((here["id"], None), (outside["id"], None), (outside["id"], elsewhere), (outside["id"], data)):
        task = load_task(id, root)
        assert task.manifest["available"].all() and len(prepare(task).rows) == 6
    monkeypatch.delenv("RESPBENCH_DATA")
    assert load_task(here["id"]).root == path.parent  # without any data folder


def test_the_data_folder_comes_before_the_current_one(data, tmp_path_factory, monkeypatch):
    id = _write(data)
    here = tmp_path_factory.mktemp("here")
    (here / "hospital").mkdir()
    (here / "hospital" / "table.csv").write_text("path,label,group\n")
    monkeypatch.chdir(here)
    assert len(load_task(id).manifest) == 6
    assert from_csv.find_table("./hospital/table.csv") == here / "hospital" / "table.csv"
    with pytest.raises(BadInput, match=f"absent.csv.*no such table.*below {data} and {here}"):
        load_task("csv.absent.csv")


def test_a_table_is_run_from_its_own_folder_by_the_command_line(data, tmp_path_factory, monkeypatch, capsys):
    _write(data, (*LINES, "c.wav,0,0.5,wheeze,p3,test,,", "day1/b.flac,0,1,crackle,p2,train,,"))
    monkeypatch.delenv("RESPBENCH_DATA")
    monkeypatch.chdir(data / "hospital")
    command = ["run", "--task", "csv.table.csv", "--encoder", "meta.duration", "--no-controls"]
    assert main([*command, "--out", str(tmp_path_factory.mktemp("out"))]) == 0
    assert "csv.table.csv" in capsys.readouterr().out
