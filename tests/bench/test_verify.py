import gzip
import json
import shutil

import pytest

from bench import board, cli, records
from bench.verify import verify


@pytest.fixture(scope="module")
def made(simulated, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    command = ["run", "--task", "icbhi.cycles4", "--encoder", "meta.duration", "--root", str(simulated), "--out"]
    assert cli.main([*command, str(folder)]) == 0
    return folder


@pytest.fixture
def results(made, tmp_path):
    return shutil.copytree(made, tmp_path / "results")


def first_record(folder, encoder="meta.duration"):
    return next(p for p in records.paths(folder) if records.read(p).spec["encoder"] == encoder)


def test_a_fresh_results_folder_holds(results):
    assert verify(results) == (3, [])
    assert cli.main(["verify", str(results)]) == 0


def test_one_flipped_prediction_fails(results, capsys):
    path = first_record(results)
    table = path.with_name(path.stem + ".csv.gz")
    lines = gzip.decompress(table.read_bytes()).decode().splitlines()
    cells = lines[1].split(",")
    cells[5] = str((int(cells[5]) + 1) % 4)
    lines[1] = ",".join(cells)
    table.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0))
    assert cli.main(["verify", str(results)]) == 1
    assert path.stem in capsys.readouterr().out


def test_a_score_written_by_hand_fails(results):
    path = first_record(results)
    body = json.loads(path.read_text())
    body["scores"]["corrected"]["icbhi.Score"]["value"] += 0.01
    path.write_text(json.dumps(body))
    assert any("icbhi.Score" in problem for problem in verify(results)[1])


def test_a_changed_setting_fails_because_the_key_no_longer_fits(results):
    path = first_record(results)
    body = json.loads(path.read_text())
    body["spec"]["encoder"] = "opera.ct"
    path.write_text(json.dumps(body))
    assert any("key" in problem for problem in verify(results)[1])


def test_a_table_edited_by_hand_fails_and_can_be_written_again(results):
    overview = results / "leaderboard.md"
    overview.write_text(overview.read_text().replace("50.0", "99.9"))
    assert any("leaderboard.md" in problem for problem in verify(results)[1])
    board.write(records.load_all(results), results)
    assert verify(results) == (3, [])
