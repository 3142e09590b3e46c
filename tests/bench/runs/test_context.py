import pytest

import bench
from bench.base.errors import BadInput
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
