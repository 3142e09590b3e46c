import dataclasses

import pytest

import bench
from bench.base.errors import BadInput
from bench.runs import context
from bench.runs.context import BoardNotes, update_board_notes
from bench.scores import records


def test_what_runs_say_is_gathered_once(simulated, tmp_path):
    task = bench.load_task("icbhi.cycles2", simulated)
    records.write(bench.evaluate(bench.load_encoder("meta.duration"), task)[0], tmp_path)
    for _ in range(2):
        update_board_notes(tmp_path, "respbench run", {"meta.duration": "gone", "ast.base": "gone"}, "T", ["n"])
    notes = BoardNotes.read(tmp_path)
    assert (notes.title, notes.commands, notes.notes) == ("T", ["respbench run"], ["n"])
    assert notes.absent == {"ast.base": "gone"}  # what has a record is not absent


def test_a_record_of_a_checkpoint_of_one_s_own_leaves_its_release_absent(simulated, tmp_path, monkeypatch):
    (record,) = bench.evaluate(bench.load_encoder("meta.duration"), bench.load_task("icbhi.cycles2", simulated))
    of = {name: {**record.spec, "encoder": "ast.base", "weights": name * 64} for name in "abc"}
    own = {"absent": {"ast.base": "gone"}, "checkpoints": ["a" * 64, "b" * 64]}
    records.write(dataclasses.replace(record, spec=of["a"], key=records.key(of["a"])), tmp_path)
    assert update_board_notes(tmp_path, **own).absent == {"ast.base": "gone"}
    assert update_board_notes(tmp_path).absent == {"ast.base": "gone"}  # whatever is run later
    monkeypatch.setattr(context, "release_digests_of", lambda id: {"a" * 64})
    assert update_board_notes(tmp_path).absent == {}  # the checkpoint was the release
    monkeypatch.undo()
    assert update_board_notes(tmp_path, **own).absent == {"ast.base": "gone"}
    records.write(dataclasses.replace(record, spec=of["c"], key=records.key(of["c"])), tmp_path)
    assert update_board_notes(tmp_path).absent == {}  # of somebody's release, as far as is known


@pytest.mark.parametrize(
    "text", ["", "[]", "null", '{"uitle": "x"}', '{"notes": 1}', '{"absent": []}', '{"title": 1}', '{"commands": [1]}']
)
def test_notes_that_are_none_are_named(text, tmp_path):
    (tmp_path / BoardNotes.FILE).write_text(text)
    with pytest.raises(BadInput, match=BoardNotes.FILE):
        BoardNotes.read(tmp_path)


def test_a_damaged_record_does_not_keep_notes_from_being_written(tmp_path):
    damaged = tmp_path / "records" / "a.b" / "0123456789abcdef0123.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_text("{")
    assert update_board_notes(tmp_path, "respbench run", {"ast.base": "gone"}).absent == {"ast.base": "gone"}
