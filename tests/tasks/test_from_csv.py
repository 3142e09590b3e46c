import json

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
        ('c.wav,"0,5",1.5,wheeze,p1,train,,', "start '0,5' is not a number of seconds"),  # others have a point
        ("c.wav,00:00:01,,wheeze,p1,train,,", "start '00:00:01' is not a number of seconds"),
        ("c,0,1,wheeze,p1,train,,", "'c' is not a sound file"),
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


@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("separator", [";", "\t", "|", ","])
def test_a_table_is_the_same_task_whatever_program_saved_it(data, separator, decimal):
    want = load_task(_write(data))
    rows = [HEADER.split(","), *(line.replace('"ward, west"', "ward# west").split(",") for line in LINES)]
    rows = [
        [cell.replace("ward#", "ward,").replace(".", decimal) if k else cell for k, cell in enumerate(row)]
        for row in rows
    ]
    text = "sep=" + separator + "\r\n"
    text += "\r\n".join(separator.join(f'"{cell}"' if "," in cell else cell for cell in row) for row in rows)
    (data / "hospital" / "other.csv").write_text(text, encoding="utf-16")
    other = load_task("csv.hospital/other.csv")
    assert other.manifest.equals(want.manifest) and other.card.classes == want.card.classes


@pytest.mark.parametrize("name", ["None", "NA", "N/A", "nan", "null", "NULL", "-", "1.0", "true", "#N/A"])
def test_no_word_is_a_missing_one(data, name):
    lines = [f"c.wav,{name},{name},train,{name}", "d.wav,wheeze,p2,test,x"]
    task = load_task(_write(data, lines, "path,label,group,split,domain"))
    assert published_tables.found(task, "error") == {} and name in task.card.classes
    assert task.manifest.loc[0, ["group", "domain"]].tolist() == [name, name]
    assert prepare(task).statistics["train"][name] == 1


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (("Wheeze", "wheeze"), "'Wheeze' and 'wheeze'"),
        (("fine  crackle", "fine crackle"), "'fine  crackle' and 'fine crackle'"),
        (("fine-crackle", "Fine crackle"), "'Fine crackle' and 'fine-crackle'"),
        (("COVID-19", "COVID\u201119"), r"'COVID-19' and 'COVID\u201119'"),
        (("crépitant", "cre\u0301pitant"), r"'cre\u0301pitant' and 'crépitant'"),
        (("wheeze", "wheze"), "'wheeze' and 'wheze'"),
        (("1", "01"), "'01' and '1'"),
    ],
)
@pytest.mark.parametrize("column", ["label", "domain"])
def test_one_class_or_domain_in_two_spellings_is_told_and_stays_two(data, labels, told, column):
    names = ("Normal", *labels)
    given = [(name, "ward") if column == "label" else (("Normal", "x")[k % 2], name) for k, name in enumerate(names)]
    lines = [f"c.wav,{k / 10},,{label},p{k},train,{domain}" for k, (label, domain) in enumerate(given)]
    task = load_task(_write(data, [*lines, LINES[3].rpartition(",")[0]], HEADER.rpartition(",")[0]))
    (finding,) = (f for f in task.findings if f.code == f"{column}-spellings")
    assert finding.level == "warning" and told in finding.problem and "mend" in finding.remedy + "write mend"
    assert set(labels) <= set(task.card.classes if column == "label" else task.manifest["domain"])


def test_different_classes_are_no_spellings(data):
    for labels in (("-1", "1"), ("typical", "atypical"), ("grade 1", "grade 2"), ("Wheeze+Crackle", "Wheeze")):
        lines = [f"c.wav,{labels[0]},p1,train", f"d.wav,{labels[1]},p2,test_a", f"day1/a.wav,{labels[1]},p3,test_b"]
        task = load_task(_write(data, lines, "path,label,group,split"))
        assert not [f for f in task.findings if f.code.endswith("spellings")]


def test_tests_that_differ_by_case_are_told(data):
    task = load_task(_write(data, (*LINES, "c.wav,0,0.5,wheeze,p9,test_Far,,")))
    assert "'test_Far' and 'test_far'" in published_tables.found(task, "warning")["split-spellings"].problem


@pytest.mark.parametrize("pair", [("007", "7"), ("3", "3.0"), ("P1", "p1"), ("p 1", "p1"), ("é", "e\u0301")])
def test_a_patient_in_two_spellings_is_one(data, pair):
    one, other = pair
    lines = [f"c.wav,Normal,{one},train", f"d.wav,wheeze,{other},train", "day1/a.wav,wheeze,p9,test"]
    task = load_task(_write(data, lines, "path,label,group,split"))
    assert published_tables.found(task, "error") == {} and task.manifest["group"].nunique() == 2
    told = published_tables.found(task, "warning")["group-spellings"]
    assert "in several spellings" in told.problem and len(prepare(task).rows) == 3
    crossing = load_task(
        _write(data, [*lines[:1], lines[1].replace("train", "test"), *lines[2:]], "path,label,group,split")
    )
    assert "in two spellings" in published_tables.found(crossing, "error")["group-leak"].problem
    with pytest.raises(BadInput, match="in two spellings"):
        prepare(crossing, "exclude")


def test_spellings_of_a_patient_are_drawn_together(data):
    patients = [f"{n:0{1 + k}d}" for n in range(1, 9) for k in (0, 1)]
    lines = [f"c.wav,{k / 20},,{('Normal', 'wheeze')[k // 2 % 2]},{name}" for k, name in enumerate(patients)]
    task = load_task(_write(data, lines, "path,start,end,label,group"))
    assert published_tables.found(task, "error") == {} and task.manifest["group"].nunique() == 8
    assert "2 of 8 groups were drawn" in published_tables.found(task)["made-split"].problem
    plain = load_task(_write(data, [line for k, line in enumerate(lines) if k % 2], "path,start,end,label,group"))
    sides = dict(zip(task.manifest["group"], task.manifest["split"]))
    assert {name: sides[name] for name in plain.manifest["group"]} == dict(
        zip(plain.manifest["group"], plain.manifest["split"])
    )


@pytest.mark.parametrize(
    ("old", "new", "remedy"),
    [
        (",0.5,", ",00:00:00.5,", "write seconds as 1.5"),
        (".wav,", ".mp3,", "convert it to .wav or .flac"),
        (".wav,", ",", "give the file's whole name, as c.wav"),
        ("c.wav,", r"C:\data\c.wav,", "give it relative to the table's folder, as c.wav"),
        ("c.wav,", "/mnt/other.wav,", "give it relative to the table's folder$"),
        (",train", ",Train", "use train, val, test or test_<name>"),
        (",p1,", ",,", "every clip needs its group"),
        (",p1,", ",p1,x,", "put fields with separators"),
    ],
)
def test_where_every_line_has_a_fault_its_own_remedy_is_given(data, old, new, remedy):
    lines = [f"c.wav,{k / 2},{0.5 + k / 2},{label},p1,train,," for k, label in enumerate(("Normal", "wheeze"))]
    lines[1] = lines[1].replace("0.5,1.0", "0.5,0.5") if old == ",0.5," else lines[1]
    with pytest.raises(BadInput, match=f"line 2: .*, and 1 more lines are faulty; .*{remedy}"):
        load_task(_write(data, [line.replace(old, new) for line in lines]))


def test_absolute_paths_below_the_table_s_folder_are_the_relative_ones(data):
    want = load_task(_write(data))
    lines = [f"{data}/hospital/{line}" for line in LINES[:3]] + [f"../hospital/{line}" for line in LINES[3:]]
    assert load_task(_write(data, lines)).manifest.equals(want.manifest)


def test_one_clip_under_two_paths_is_refused(data):
    task = load_task(_write(data, (*LINES, LINES[0].replace("day1/", "day1//"))))
    twice = published_tables.found(task, "error")["duplicate-clip"]
    assert "day1/a.wav#0.000-0.500 and day1//a.wav#0.000-0.500 are one clip" in twice.problem


def test_a_file_of_nearly_that_name_is_suggested(data):
    task = load_task(_write(data, (*LINES, "DAY1/A.wav,1,,Normal,p9,train,,")))
    assert "write it as day1/a.wav" in published_tables.found(task, "warning")["missing-audio"].remedy


def test_a_class_is_not_named_as_what_is_counted_beside_it(data):
    with pytest.raises(BadInput, match="has a class named patients"):
        load_task(_write(data, [line.replace("wheeze", "patients") for line in LINES]))


USABLE = [f"c.wav,{start},,{('Normal', 'wheeze')[k % 2]},p{k},{'test' if k > 5 else 'train'}" for k, start in
          enumerate(["", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7"])]  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([*USABLE, "c.wav,0.9,0.8,Normal,p9,train"], "mend the errors above"),
        ([*USABLE, "c.wav,0.1,99,Normal,p9,train"], "mend the errors above"),
        ([*USABLE, "c.wav,0.85,,Normal,p1,test"], "mend the errors above"),
        ([line.replace("c.wav", "nowhere.wav") for line in USABLE], "none of its recordings are there"),
        ([line.replace("test", "train") for line in USABLE], "there is no audio of its headline test"),
        ([line.replace("train", "test") for line in USABLE], "its training split holds nothing"),
        (
            [line for line in USABLE if "wheeze" not in line or "test" in line],
            "its training split holds Normal and a probe",
        ),
        (USABLE[:2] + USABLE[6:], "its training split: 2 clips, and"),
        (USABLE, ""),
    ],
)
def test_a_table_that_cannot_be_run_is_not_offered_for_it(data, lines, why, capsys):
    _write(data, lines, "path,start,end,label,group,split")
    command = ["task", "from-csv", str(data / "hospital" / "table.csv")]
    assert main(command) == (1 if why else 0)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("it cannot be run as it is: " + why if why else "run it: respbench run --task")
    assert main([*command, "--json"]) == (1 if why else 0)
    assert json.loads(capsys.readouterr().out)["why_not"].startswith(why)


@pytest.mark.parametrize(
    "lines", [["c.wav,Normal,p1,train", "d.wav,wheeze,p2,train"], ["c.wav,Normal,p1,train", "d.wav,wheeze,p1,train"]]
)
def test_too_few_training_clips_end_a_run_in_one_line_and_leave_an_audit_blank(data, lines, capsys):
    id = _write(data, [*lines, "day1/a.wav,wheeze,p3,test", "day1/b.flac,Normal,p4,test"], "path,label,group,split")
    command = ["run", "--task", id, "--encoder", "meta.duration", "--no-controls", "--out", str(data / "out")]
    assert main(command) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "its training split: 2 clips, and" in error and "add clips" in error and not (data / "out").exists()
    assert main(["audit", id, "--out", str(data / "audit")]) == 0


@pytest.mark.parametrize("sign", ["\n", "\r\n", "\t", "\x1b[1m", "\u2028"])
@pytest.mark.parametrize("column", ["label", "group", "domain", "path"])
def test_names_that_break_lines_are_refused_by_line(data, sign, column):
    cells = {"path": "c.wav", "label": "wheeze", "group": "p9", "domain": "ward"}
    cells[column] = f"{cells[column][:1]}{sign}{cells[column][1:]}"
    line = f'"{cells["path"]}",1,,"{cells["label"]}","{cells["group"]}",train,"{cells["domain"]}","left\nside"'
    (fault,) = _line_faults(data, line)
    assert fault[0] == str(len(LINES) + 2) and f"{column} '" in fault[1] and "not printed" in fault[1]
    assert (
        load_task(_write(data, [*LINES, 'c.wav,1.2,,wheeze,p3,test,clinic,"a remark\nof two lines"'])).state
        == "complete"
    )


def test_a_thousand_or_three_decimals_is_asked_about(data):
    assert "may be a thousand" in _line_faults(data, 'c.wav,0.1,"1,000",wheeze,p3,test,clinic,')[0][1]
