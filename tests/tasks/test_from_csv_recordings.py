"""Clips and recordings of an own table: names of clips, and what stands in place of a recording."""

import pytest

import published_tables
import tiny_corpora
from bench.cli.main import main
from bench.data.manifest import load_task

HEADER = "path,start,end,label,group,split"
LINES = (
    "a.wav,0,0.5,wheeze,p1,train",
    "a.wav,0.5,1.5,Normal,p1,train",
    "c.wav,,,wheeze,p3,test",
    "d.wav,,,Normal,p4,test",
)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """The data folder, with the recordings in its folder ``hospital``."""
    monkeypatch.setenv("RESPBENCH_DATA", str(tmp_path))
    for name in ("a.wav", "c.wav", "d.wav"):
        tiny_corpora.tone(tmp_path / "hospital" / name)
    return tmp_path


def _write(data, lines, name="table.csv"):
    (data / "hospital" / name).write_text("\n".join((HEADER, *lines)) + "\n", encoding="utf-8")
    return f"csv.hospital/{name}"


@pytest.mark.parametrize(
    "bounds",
    [
        [("0.5", "1.0001"), ("0.5", "1.0002"), ("0.5", "1"), ("0.5", "1.5")],
        [("0.5001", ""), ("0.5002", ""), ("0.500", "")],
        [("0", "0.00001"), ("0", "0.00002"), ("0", "0.0001")],
        [("0.1", "0.9"), ("0.10000000000000002", "0.9"), ("0.1", "0.9000000001")],
    ],
)
def test_clips_less_than_a_millisecond_apart_have_names_of_their_own(data, bounds):
    lines = [f"c.wav,{start},{end},{'wheeze' if k else 'Normal'},p{k},train" for k, (start, end) in enumerate(bounds)]
    lines.append("d.wav,,,Normal,p9,test")
    task = load_task(_write(data, lines))
    assert published_tables.found(task, "error") == {} and task.manifest["clip_id"].is_unique
    ids = task.manifest.set_index(["start_s", "end_s"])["clip_id"]
    for start, end in bounds:
        name = ids[float(start), float(end) if end else float("nan")]
        first, _, last = name.removeprefix("c.wav#").partition("-")
        assert float(first) == float(start) and (not end or float(last) == float(end))


def test_names_of_clips_a_millisecond_apart_stay_and_the_same_clip_twice_is_told(data):
    lines = ["c.wav,0.50049,1.2,Normal,p1,train", "c.wav,0.501,1.2,wheeze,p2,train", "d.wav,,,Normal,p9,test"]
    task = load_task(_write(data, lines))
    assert list(task.manifest["clip_id"])[:2] == ["c.wav#0.500-1.200", "c.wav#0.501-1.200"]
    twice = ["c.wav,0.5001,1,Normal,p1,train", "c.wav,0.5002,1,wheeze,p2,train", "c.wav,0.5001,1,wheeze,p2,train"]
    task = load_task(_write(data, [*twice, lines[-1]]))
    assert "c.wav#0.5001-1.000" in published_tables.found(task, "error")["duplicate-clip"].problem


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.mkdir(), "e.wav, a folder"),
        (lambda path: path.symlink_to("nowhere.wav"), "e.wav, a link to nothing"),
        (lambda path: path.symlink_to("e.wav"), "e.wav: Too many levels of symbolic links"),
        (lambda path: path.symlink_to("/dev/null"), "e.wav, a device or pipe"),
        (lambda path: None, "e.wav"),
    ],
)
def test_what_is_there_in_place_of_a_recording_is_said(data, make, said):
    make(data / "hospital" / "e.wav")
    task = load_task(_write(data, (*LINES, "e.wav,,,Normal,p5,train")))
    problem = published_tables.found(task, "warning")["missing-audio"].problem
    assert problem == f"1 of 4 recordings are not there (the first is hospital/{said})"


def test_names_of_files_do_nothing_to_the_terminal(data, capsys):
    name = "a\x1b[31m\nb\u202e.wav"
    (data / "hospital" / name).write_text("<html>")
    _write(data, (*LINES, f'"{name}",,,Normal,p5,train'), name="odd.csv")
    assert main(["task", "from-csv", str(data / "hospital" / "odd.csv")]) == 1
    assert main(["run", "--task", "csv.hospital/odd.csv", "--encoder", "fbank.stats", "--out", str(data / "out")]) == 1
    shown = "".join(capsys.readouterr())
    assert shown.count(r"a\x1b[31m\nb\u202e.wav") == 2 and shown.count("sign that is not printed") == 2
    assert "\x1b" not in shown and "\u202e" not in shown
