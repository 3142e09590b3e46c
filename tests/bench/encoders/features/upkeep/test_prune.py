import os
import shutil

import pytest

from bench.base.errors import NothingAsked, UnknownId
from bench.base.paths import partial_path
from bench.encoders.features.upkeep import inventory, prune
from held_locks import held


def age(folder, days):
    """Dates everything in a folder back, from now."""
    for path in [folder, *folder.rglob("*")]:
        then = path.lstat().st_mtime - days * prune.DAY_S
        os.utime(path, (then, then), follow_symlinks=False)


def gone(candidates):
    return {candidate.item.path.name for candidate in candidates if not candidate.stays}


def test_stores_go_by_encoder_and_by_age_and_nothing_else_does(filled, store, cache):
    other = filled["fbank.stats"].folder
    (cache / "licences.json").write_text("{}")
    assert gone(prune.candidates(["meta.duration"])) == {store.path.name}
    assert gone(prune.candidates(older_than_days=0.5)) == set()
    age(store.path, 2)
    assert gone(prune.candidates(older_than_days=0.5)) == {store.path.name}
    assert gone(prune.candidates(["fbank.stats"], older_than_days=0.5)) == set()
    (candidate,) = prune.candidates(["meta.duration"], older_than_days=0.5)
    assert candidate.bytes == inventory.size(store.path)
    before = {path: path.read_bytes() for path in other.rglob("*") if path.is_file()}
    assert prune.remove(candidate) and not store.path.exists()
    assert {path: path.read_bytes() for path in other.rglob("*") if path.is_file()} == before
    assert (cache / "licences.json").exists()


def test_what_to_remove_must_be_said(filled):
    with pytest.raises(NothingAsked, match="--unfinished"):
        prune.candidates()
    with pytest.raises(UnknownId, match=r"meta\.duration"):
        prune.candidates(["meta.durations"])


def test_a_store_that_another_process_holds_a_lock_in_stays(store):
    lock = next((store.path / "locks").glob("*.lock"))
    (free,) = prune.candidates(["meta.duration"])
    with held(lock):
        (candidate,) = prune.candidates(["meta.duration"])
        assert "encoding" in candidate.stays
        assert not prune.remove(free) and store.listings()
    assert prune.remove(free) and not store.path.exists()


def test_leftovers_go_once_they_are_an_hour_old(cache, store):
    (cache / "shared").mkdir(exist_ok=True)
    left = [partial_path(cache / "recordings" / "x"), partial_path(store.path), cache / "shared" / "dead.pickle"]
    left[0].parent.mkdir(exist_ok=True)
    left[1].mkdir()
    for path in (left[0], left[1] / "file", left[2]):
        path.write_bytes(b"12345")
    (cache / "shared" / "dead.lock").touch()
    assert not gone(prune.candidates(unfinished=True))
    assert all("last hour" in candidate.stays for candidate in prune.candidates(unfinished=True))
    age(cache, 1)
    candidates = prune.candidates(unfinished=True)
    assert gone(candidates) == {path.name for path in left} and sum(each.bytes for each in candidates) == 15
    assert all(map(prune.remove, candidates)) and not any(path.exists() for path in left)
    assert not (cache / "shared" / "dead.lock").exists() and len(inventory.stores()) == 2


def test_nothing_outside_the_cache_is_touched(filled, store, cache, tmp_path):
    outside = tmp_path / "outside"
    shutil.copytree(store.path, outside / "-1,linked")
    (outside / partial_path(store.path).name).write_bytes(b"half")
    (outside / "dead.pickle").write_bytes(b"dead")
    (store.path / "-1,linked").symlink_to(outside / "-1,linked")
    (cache / "shared").symlink_to(outside)
    (cache / "clips").symlink_to(outside)
    before = sorted(outside.rglob("*"))
    age(cache, 9)
    for candidate in prune.candidates(["meta.duration"], unfinished=True):
        assert prune.remove(candidate)
    assert not store.path.exists() and sorted(outside.rglob("*")) == before
