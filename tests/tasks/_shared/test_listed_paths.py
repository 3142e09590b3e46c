import unicodedata

import pytest

from bench.base.tables import spellings
from tasks._shared.listed_paths import ListedPaths


@pytest.fixture
def folder(tmp_path):
    for name in ("day1/P01.wav", "day1/bé.flac", "c.wav", "twin/a.wav", "twin/A.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def test_paths_are_read_as_windows_scripts_and_mount_points_write_them(folder, tmp_path_factory):
    listed = ListedPaths(folder)
    link = tmp_path_factory.mktemp("elsewhere") / "mounted"
    link.symlink_to(folder)
    for text in ("day1/P01.wav", r"day1\P01.wav", "./day1/P01.wav", f"{folder}/day1/P01.wav", f"{link}/day1/P01.wav"):
        assert listed.below(text) == "day1/P01.wav"
    assert listed.below("twin/../c.wav") == listed.below(f"../{folder.name}/c.wav") == "c.wav"
    assert listed.below("day1//P01.wav") == "day1//P01.wav"  # as written: it names the clip
    for text in ("../c.wav", "/c.wav", r"C:\data\c.wav", f"{folder}/../c.wav", f"{folder}2/c.wav", r"\\server\c.wav"):
        assert listed.below(text) is None


def test_a_path_from_elsewhere_is_found_by_its_end(folder):
    listed = ListedPaths(folder)
    assert listed.tail(r"C:\data\day1\P01.wav") == listed.tail("/mnt/x/day1/P01.wav") == "day1/P01.wav"
    assert listed.tail("/mnt/none.wav") is None and listed.tail("/") is None


def test_another_unicode_form_is_the_same_file_and_another_spelling_is_suggested(folder):
    listed = ListedPaths(folder)
    other = "day1/" + unicodedata.normalize("NFD", "bé.flac")
    assert listed.file(other) == listed.near(other) == "day1/bé.flac"
    assert listed.file("DAY1/p1.WAV") is None and listed.near("DAY1/p1.WAV") == "day1/P01.wav"
    assert listed.near("twin/a .wav") is None  # either of two
    assert listed.near("none/x.wav") is None and listed.near("c.wav/x.wav") is None


def test_a_path_that_no_disk_takes_is_no_file(folder):
    listed, long = ListedPaths(folder), "a" * 300
    for path in (f"{long}.wav", f"day1/{long}.wav", f"{long}/P01.wav"):
        assert listed.file(path) is None and listed.near(path) is None
    assert listed.tail(f"/{long}/{long}.wav") is None and listed.below(f"/{long}/c.wav") is None
    assert listed.one_file([f"{long}.wav", f"{long.upper()}.wav"]) == {}


def test_a_folder_is_read_once_however_many_files_are_absent(folder, monkeypatch):
    for k in range(50):
        (folder / f"there{k}.wav").write_bytes(b"")
    asked, key = [], spellings.key
    monkeypatch.setattr(spellings, "key", lambda name: asked.append(name) or key(name))
    listed = ListedPaths(folder)
    for path in [f"gone{k}.wav" for k in range(40)] * 3:
        assert listed.file(path) is None and listed.near(path) is None
    assert len(asked) == 53 + 40  # each name of the folder once, each absent path once


def test_two_spellings_of_one_file_are_told_from_two_files(folder):
    (folder / "day1" / "p01.wav").hardlink_to(folder / "day1" / "P01.wav")
    paths = ["day1/P01.wav", "day1/p01.wav", "twin/a.wav", "twin/A.wav", "c.wav"]
    assert ListedPaths(folder).one_file(paths) == {"day1/p01.wav": "day1/P01.wav"}
