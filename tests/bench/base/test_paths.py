import hashlib
import os
import stat
from pathlib import Path

import pytest

from bench.base import paths
from bench.base.errors import BadInput


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    for name in ("RESPBENCH_DATA", "RESPBENCH_WEIGHTS", "RESPBENCH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def test_without_settings_there_is_no_data_and_a_cache_at_home(tmp_path):
    assert paths.data_root() is None
    assert paths.cache_root() == tmp_path / "home" / ".cache" / "respbench"
    assert paths.weight_folders() == [paths.cache_root() / "weights"]


def test_a_data_folder_here_is_found_and_the_environment_comes_first(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    assert paths.data_root() == Path("data")
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("RESPBENCH_DATA", str(tmp_path / "other"))
    monkeypatch.setenv("RESPBENCH_WEIGHTS", str(tmp_path / "w"))
    assert paths.data_root() == tmp_path / "other"
    assert paths.weight_folders()[:2] == [tmp_path / "w", tmp_path / "other" / "weights"]


def test_a_setting_that_points_nowhere_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("RESPBENCH_DATA", str(tmp_path / "gone"))
    with pytest.raises(BadInput, match="RESPBENCH_DATA"):
        paths.data_root()


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    target = tmp_path / "below" / "result.json"
    paths.write_text(target, "old")
    with pytest.raises(KeyError), paths.replacing(target) as partial:
        partial.write_text("half of the new")
        raise KeyError
    assert target.read_text() == "old"
    with paths.replacing(target) as partial:
        partial.write_text("new")
        assert target.read_text() == "old"
        assert partial.parent == target.parent and partial.suffix == ".part" and partial.name.startswith(".")
    assert target.read_text() == "new" and list(target.parent.iterdir()) == [target]


def test_a_replaced_file_has_the_permissions_of_a_new_one(tmp_path):
    target = tmp_path / "result.json"
    before = os.umask(0o027)
    try:
        paths.write_bytes(target, b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_name_near_the_limit_of_the_file_system_can_be_written(tmp_path):
    target = tmp_path / ("x" * 255)
    paths.write_text(target, "")
    assert target.exists()


def test_a_name_beyond_that_limit_is_no_file(tmp_path):
    (tmp_path / "x").write_text("")
    assert paths.is_file(tmp_path / "x")
    assert not any(paths.is_file(path) for path in (tmp_path, tmp_path / "y", tmp_path / ("x" * 256)))


def test_the_file_name_of_an_id_neither_nests_nor_collides():
    ids = [
        "icbhi.cycles4",
        "icbhi.disease2@literature/opera",
        "icbhi.disease2@literature-opera",
        "csv.a b, c.csv",
        "-1,a+b",
    ]
    names = [paths.file_name(id) for id in ids]
    assert len(set(names)) == len(ids) and not any("/" in name or " " in name for name in names)
    assert names[0] == ids[0] and names[-1] == ids[-1]
    assert names[1] == "icbhi.disease2@literature%2Fopera"


def test_the_digest_of_a_file_is_that_of_its_content(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"abc")
    assert paths.file_digest(file) == hashlib.sha256(b"abc").hexdigest()
    assert paths.file_digest(file, "md5") == "900150983cd24fb0d6963f7d28e17f72"


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"a":' * 100_000, b"[" * 100_000, "\0"])
def test_what_is_no_json_is_a_value_error_however_deep(text):
    with pytest.raises(ValueError):
        paths.parse_json(text)
    assert paths.parse_json('{"a": [1]}') == {"a": [1]}
