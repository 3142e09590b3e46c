import json
import pickle
import shutil

import numpy as np
import pytest
from filelock import FileLock

from bench.base.parallel.shared import Shared
from bench.base.paths import partial_path
from bench.encoders.features import shards
from bench.encoders.features.upkeep import verify
from bench.encoders.features.upkeep.inventory import Store


def flip(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 0xFF
    path.write_bytes(content)


def test_whole_stores_hold(filled):
    found = verify.verify()
    assert found.stores == 2 and found.shards >= 2
    assert not (found.damaged or found.nameless or found.leftovers)


def test_a_damaged_shard_is_found_taken_out_and_made_again(filled, store):
    (listing, *others) = store.listings()
    flip(listing.with_suffix(".npy"))
    (damage,) = verify.verify().damaged
    assert damage.path == listing and "SHA-256" in damage.problem
    assert verify.repair(damage)
    assert not listing.exists() and not listing.with_suffix(".npy").exists() and all(p.exists() for p in others)
    assert not verify.verify().damaged
    made = filled["meta.duration"]
    assert made.encode([(-1, made.encoder.card.default_pooling)]) > 0
    assert not verify.verify().damaged and listing.exists()


@pytest.mark.parametrize("text", ["", "[" * 100_000, '{"units": []}', '{"units": [["a", -1]], "sha256": "0"}', "[1]"])
def test_a_damaged_listing_is_found(store, text):
    listing = store.listings()[0]
    listing.write_text(text)
    assert [damage.path for damage in verify.verify().damaged] == [listing]


@pytest.mark.parametrize(
    "values", [np.zeros((1, 1), np.float32), np.zeros(3), np.array([{}], dtype=object)], ids=["rows", "type", "objects"]
)
def test_an_array_that_does_not_fit_its_listing_is_found_though_its_digest_does(store, values):
    listing = store.listings()[0]
    np.save(listing.with_suffix(".npy"), values)
    content = json.loads(listing.read_text()) | {"sha256": shards.file_digest(listing.with_suffix(".npy"))}
    listing.write_text(json.dumps(content))
    assert [damage.path for damage in verify.verify().damaged] == [listing]


def test_a_store_under_another_s_name_is_removed_whole_and_no_other(filled, store):
    wrong = store.path.with_name("0" * 20)
    shutil.copytree(store.path, wrong)
    (damage,) = verify.verify().damaged
    assert damage.path == wrong and verify.repair(damage)
    assert sorted(path.name for path in store.path.parent.iterdir()) == sorted(
        made.folder.name for made in filled.values()
    )
    assert not verify.verify().damaged


def test_an_unreadable_specification_goes_and_the_shards_stay(filled, store):
    (store.path / "spec.json").write_text("{")
    (damage,) = verify.verify().damaged
    assert verify.repair(damage) and damage.path.name == "spec.json"
    found = verify.verify()
    assert not found.damaged and found.nameless == (store.path,) and store.listings()


def test_a_link_in_a_store_is_damage_and_what_it_points_to_is_left_alone(store, tmp_path):
    listing = store.listings()[0]
    outside = shutil.move(listing.with_suffix(".npy"), tmp_path / "outside.npy")
    listing.with_suffix(".npy").symlink_to(outside)
    (damage,) = verify.verify().damaged
    assert "symbolic link" in damage.problem and verify.repair(damage)
    assert outside.exists() and not listing.exists()


def test_what_another_process_is_making_is_not_repaired(store):
    listing = store.listings()[0]
    flip(listing.with_suffix(".npy"))
    (damage,) = verify.verify().damaged
    with FileLock(shards.lock_of(store.path, listing.stem)):
        assert not verify.repair(damage)
    assert listing.exists() and verify.repair(damage)


def test_what_killed_processes_left_is_named_and_what_is_in_use_is_not(cache, store):
    half = partial_path(cache / "clips" / "a.f32")
    half.parent.mkdir()
    half.write_bytes(b"half")
    (cache / "weights").mkdir()
    (cache / "weights" / "x.part").write_bytes(b"a download that can go on")
    living = Shared("an encoder")
    pickle.dumps(living)
    dead = cache / "shared" / "dead.pickle"
    dead.write_bytes(b"of a process that is gone")
    array = store.listings()[0].with_suffix(".npy")
    array.with_suffix(".json").unlink()
    left = {leftover.path: leftover for leftover in verify.leftovers()}
    assert set(left) == {half, dead, array} and not any(leftover.quiet for leftover in left.values())
    with FileLock(shards.lock_of(store.path, array.stem)):
        assert {leftover.path for leftover in verify.leftovers()} == {half, dead}
    living.remove()


def test_a_store_whose_lock_is_taken_while_it_goes_stays(store, monkeypatch):
    answers = iter([False, True])  # free when first asked, then taken
    monkeypatch.setattr(Store, "in_use", lambda self: next(answers))
    assert not verify.remove(store) and store.path.is_dir()
    assert not list(store.path.parent.glob(".*"))
