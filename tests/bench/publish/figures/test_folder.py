import pytest

import toy_boards
from bench.base.errors import UnknownId
from bench.cli.main import main
from bench.publish.figures.folder import draw_folder
from bench.scores import records


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("toy")
    for record in toy_boards.board(clips=60):
        records.write(record, out)
    return out


@pytest.mark.long
def test_what_the_records_allow_is_drawn_and_the_rest_is_said(folder, tmp_path):
    done = draw_folder(folder, tmp_path, formats=("png",), width=1)
    stems = {path.stem for path in done.written}
    assert {"heat_map", "poolings", "confusion-toy.cycles3", "reliability-toy.events3"} <= stems
    assert all((tmp_path / f"{stem}.txt").read_text().strip() for stem in stems)
    assert "respbench ood" in done.left_out["in_and_out"]
    before = {path: path.stat().st_mtime_ns for path in done.written if path.suffix == ".png"}
    draw_folder(folder, tmp_path, formats=("png",), width=1)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_the_command_draws_what_is_named(folder, tmp_path, capsys):
    assert main(["figures", str(folder), "--out", str(tmp_path), "--only", "poolings", "in_and_out"]) == 0
    said = capsys.readouterr()
    assert "poolings.pdf" in said.out and "left out: in_and_out" in said.err
    assert {path.name for path in tmp_path.iterdir()} == {"poolings.pdf", "poolings.png", "poolings.txt"}


def test_names_and_formats_that_do_not_exist_are_refused(folder, tmp_path):
    for wrong in ({"only": ["heatmap"]}, {"formats": ["jpg"]}):
        with pytest.raises(UnknownId):
            draw_folder(folder, tmp_path, **wrong)
    assert not list(tmp_path.iterdir())
