import dataclasses
import json
import zipfile

import pytest

from bench.base.errors import BadInput
from bench.cli.main import main
from bench.publish.sharing import privacy
from bench.publish.sharing.pack import submit
from bench.runs.context import update_board_notes
from bench.scores import records


def test_the_same_folder_gives_the_same_bytes(results, submission, tmp_path, monkeypatch):
    (results / "records" / "icbhi.cycles4").touch()
    again = submit(results, tmp_path / "again.zip", "Ann", "ann@example.org").file
    assert again.read_bytes() == submission.read_bytes()


def test_it_holds_records_notes_and_a_manifest_and_nothing_else(results, tmp_path):
    (results / "features.npy").write_bytes(b"x")
    (results / "records" / "icbhi.cycles4" / "clip.wav").write_bytes(b"x")
    packed = submit(results, tmp_path / "s.zip")
    with zipfile.ZipFile(packed.file) as archive:
        names = archive.namelist()
    keys = [path.stem for path in records.paths(results)]
    ends = (".csv.gz", ".json", ".run.json")
    assert packed.records == len(keys) == 3
    expected = [f"records/icbhi.cycles4/{key}{end}" for key in sorted(keys) for end in ends]
    assert names == ["manifest.json", "board.json", *expected]
    assert "features.npy" in packed.told[-1] and "clip.wav" in packed.told[-1]


def test_paths_users_and_hosts_are_removed_from_runs_and_commands(results, tmp_path, monkeypatch):
    monkeypatch.setattr(privacy.getpass, "getuser", lambda: "anneliese")
    monkeypatch.setattr(privacy.platform, "node", lambda: "box17.lab.example")
    path = next(records.paths(results))
    run_path = path.with_suffix(".run.json")
    run = json.loads(run_path.read_text())
    run |= {"machine": "box17.lab.example", "hostname": "box17", "versions": {"torch": "/home/anneliese/torch"}}
    run_path.write_text(json.dumps(run))
    update_board_notes(results, command="respbench run --out /home/anneliese/runs --root ~/corpora/icbhi")
    packed = submit(results, tmp_path / "s.zip")
    with zipfile.ZipFile(packed.file) as archive:
        everything = "".join(archive.read(name).decode() for name in archive.namelist() if not name.endswith(".gz"))
        shown = json.loads(archive.read(f"records/icbhi.cycles4/{path.stem}.run.json"))
    assert "anneliese" not in everything and "box17" not in everything and "/home" not in everything
    assert shown["versions"]["torch"] == "…/torch" and "hostname" not in shown
    assert any("hostname" in line and "versions.torch" in line for line in packed.told)
    assert any("board.json" in line for line in packed.told)


def test_a_record_that_holds_a_path_is_refused(results, tmp_path):
    record = records.read(next(records.paths(results)))
    data = record.data | {"excluded": ["/home/ann/icbhi/101.wav: cut short"]}
    records.write(dataclasses.replace(record, data=data), results)
    others = [path for path in records.paths(results) if path.stem != record.key]
    for path in others:
        path.unlink()
    with pytest.raises(BadInput, match=r"/home/ann/icbhi/101\.wav"):
        submit(results, tmp_path / "s.zip")
    assert not (tmp_path / "s.zip").exists()


def test_records_that_do_not_hold_are_not_packed(results, tmp_path):
    path = next(records.paths(results))
    record = records.read(path)
    scores = json.loads(json.dumps(record.scores))
    scores["corrected"]["uar"]["value"] = 0.99
    records.write(dataclasses.replace(record, scores=scores), results)
    with pytest.raises(BadInput, match="uar"):
        submit(results, tmp_path / "s.zip")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--out", "x.tar"], "no zip file"),
        (["--out", "x.zip", "--by", "A\nB"], "--by"),
        (["--out", "x.zip", "--contact", "x" * 201], "--contact"),
    ],
)
def test_bad_options_are_told(results, tmp_path, monkeypatch, capsys, words, told):
    monkeypatch.chdir(tmp_path)
    assert main(["submit", str(results), *words]) == 1
    assert told in capsys.readouterr().err
    assert main(["submit", str(tmp_path / "nowhere"), "--out", "x.zip"]) == 1
