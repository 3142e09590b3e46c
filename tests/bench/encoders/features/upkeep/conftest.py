"""A cache of its own for each test, filled with the features of simulated clips."""

import shutil

import pytest

from bench.data.manifest import load_task, prepare
from bench.encoders.features.store import FeatureStore
from bench.encoders.features.upkeep.inventory import Store
from bench.encoders.load import load_encoder


@pytest.fixture(scope="session")
def prepared(simulated):
    return prepare(load_task("icbhi.cycles4", simulated))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder of a cache that is empty."""
    monkeypatch.setenv("RESPBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def encoded(prepared, tmp_path_factory):
    """The encoders, and a folder with their features."""
    folder = tmp_path_factory.mktemp("features")
    encoders = [load_encoder(id) for id in ("meta.duration", "fbank.stats")]
    for encoder in encoders:
        FeatureStore(encoder, prepared, folder=folder).encode([(-1, encoder.card.default_pooling)])
    return encoders, folder


@pytest.fixture
def filled(cache, prepared, encoded):
    """{encoder: FeatureStore} of two stores in the cache."""
    encoders, folder = encoded
    shutil.copytree(folder, cache / "features")
    return {encoder.card.id: FeatureStore(encoder, prepared) for encoder in encoders}


@pytest.fixture
def store(filled):
    """One of them, as the cache shows it."""
    return Store(filled["meta.duration"].folder)
