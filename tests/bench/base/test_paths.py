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
