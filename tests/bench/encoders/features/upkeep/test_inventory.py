import os
import shutil
import time

import pytest

from bench.base.errors import BadInput, UnknownId
from bench.encoders.features.upkeep import inventory


def test_a_store_is_told_by_what_it_is_of(filled, prepared, store):
    first, second = inventory.stores()
    assert (first.encoder, second.encoder) == ("fbank.stats", "meta.duration") and second == store
    row = inventory.row(store)
    assert row["encoder"] == "meta.duration" and row["clip"] == "native" and row["dtype"] == "float32"
    assert row["layers"] == {"-1": [filled["meta.duration"].encoder.card.default_pooling]}
    assert row["clips"] == len(prepared.rows)
    assert row["recordings"] == len(filled["meta.duration"].units)
    assert row["bytes"] == sum(path.stat().st_size for path in store.path.rglob("*") if path.is_file())
    assert [each.encoder for each in inventory.stores(["fbank.stats"])] == ["fbank.stats"]


def test_an_encoder_that_is_not_there_is_refused_with_one_that_is(filled):
    with pytest.raises(UnknownId, match=r"did you mean 'fbank\.stats'"):
        inventory.stores(["fbank.stat"])


def test_last_use_is_that_of_whoever_asked_for_features_last(filled, store):
    for path in store.path.rglob("*"):
        os.utime(path, (1000, 1000))
    for path in (store.path / "locks").iterdir():
        os.utime(path)
    assert store.last_use() == 1000
    card = filled["meta.duration"].encoder.card
    assert filled["meta.duration"].encode([(-1, card.default_pooling)]) == 0
    assert time.time() - store.last_use() < 60


def test_a_store_without_its_specification_gets_it_when_it_is_used(filled, store):
    text = (store.path / "spec.json").read_text()
    (store.path / "spec.json").unlink()
    assert inventory.row(inventory.Store(store.path))["encoder"] is None
    card = filled["meta.duration"].encoder.card
    assert filled["meta.duration"].encode([(-1, card.default_pooling)]) == 0
    assert (store.path / "spec.json").read_text() == text


def test_no_link_is_followed(filled, cache, tmp_path):
    outside = tmp_path / "outside"
    shutil.move(filled["meta.duration"].folder, outside / filled["meta.duration"].folder.name)
    filled["meta.duration"].folder.symlink_to(outside / filled["meta.duration"].folder.name)
    (cache / "clips").symlink_to(outside)
    assert [store.encoder for store in inventory.stores()] == ["fbank.stats"]
    assert inventory.parts()["clips"] < 1000
    shutil.move(cache / "features", outside / "features")
    (cache / "features").symlink_to(outside / "features")
    with pytest.raises(BadInput, match="is a symbolic link; set RESPBENCH_CACHE"):
        inventory.stores()


def test_an_empty_cache_has_nothing(cache):
    assert inventory.stores() == [] and inventory.parts() == {} and inventory.size(cache) == 0
