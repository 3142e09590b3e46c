import hashlib
import json
import tarfile

import pytest

from bench.base.errors import BadInput, UnknownId
from bench.encoders.features.upkeep import export as module
from bench.encoders.features.upkeep.export import export


def test_the_archive_is_plain_tells_nothing_of_the_machine_and_is_the_same_every_time(filled, tmp_path):
    done = export(tmp_path / "a.tar")
    assert done["stores"] == 2 and done["bytes"] == (tmp_path / "a.tar").stat().st_size
    export(tmp_path / "b.tar")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar", "r:") as packed:
        members = packed.getmembers()
        manifest = json.load(packed.extractfile(members[0]))
        assert [info.name for info in members[1:]] == [each["path"] for each in manifest["files"]]
        assert {info.name.rpartition(".")[2] for info in members} == {"json", "npy"}
        for info, each in zip(members[1:], manifest["files"], strict=True):
            assert hashlib.sha256(packed.extractfile(info).read()).hexdigest() == each["sha256"]
        assert {(info.mtime, info.uid, info.uname, info.mode) for info in members} == {(0, 0, "", 0o644)}
    assert manifest["format"] == 1 and set(manifest["stores"]) == {made.folder.name for made in filled.values()}


def test_encoders_are_chosen_by_id(filled, tmp_path):
    assert export(tmp_path / "a.tar", ["fbank.stats"])["stores"] == 1
    with pytest.raises(UnknownId, match=r"fbank\.stats"):
        export(tmp_path / "b.tar", ["fbank.stat"])


def test_damaged_stores_are_refused_by_name_and_nothing_is_written(filled, tmp_path):
    for made in filled.values():
        next(made.folder.glob("*,*/*.npy")).write_bytes(b"damaged")
    with pytest.raises(BadInput, match="verify --repair") as refused:
        export(tmp_path / "out" / "a.tar")
    assert all(str(made.folder) in str(refused.value) for made in filled.values())
    assert not (tmp_path / "out").exists()


def test_what_changes_while_it_is_packed_is_refused(store, tmp_path, monkeypatch):
    array = store.listings()[0].with_suffix(".npy")
    whole = array.read_bytes()
    text = module.manifest.text

    def changed(plans):
        array.write_bytes(whole[:-1] + bytes([whole[-1] ^ 0xFF]))
        return text(plans)

    monkeypatch.setattr(module.manifest, "text", changed)
    with pytest.raises(BadInput, match="was changed while it was packed"):
        export(tmp_path / "out" / "a.tar")
    assert not list((tmp_path / "out").iterdir())


def test_a_store_without_specification_and_an_empty_cache_are_refused(store, tmp_path):
    (store.path / "spec.json").unlink()
    with pytest.raises(BadInput, match=r"no spec\.json"):
        export(tmp_path / "a.tar")


def test_an_empty_cache_has_nothing_to_export(cache, tmp_path):
    with pytest.raises(BadInput, match="holds no features"):
        export(tmp_path / "a.tar")


def test_a_file_that_cannot_be_written_is_said(filled):
    with pytest.raises(BadInput, match=r"/proc/a\.tar: cannot be written"):
        export(module.Path("/proc/a.tar"))
