import bench
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
