import errno
import os

import numpy as np
import pytest

from bench.base.parallel.engine import Engine
from bench.data import clips
from bench.data.manifest import prepare
from bench.finetune.data import clip_store
from bench.finetune.data.clip_store import ClipStore, ClipStores
from toy_finetune import RATE

blocks_of = clip_store.cut


@pytest.fixture
def prepared(task):
    return prepare(task)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache; its folder of clips."""
    monkeypatch.setenv("RESPBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(clip_store, "cut", lambda units, missing: blocks_of(units, missing, 8.0))
    return tmp_path / "clips"


@pytest.fixture
def decoded(monkeypatch):
    """The paths of recordings, as they are decoded."""
    paths, waves = [], clips.waves
    monkeypatch.setattr(clips, "waves", lambda unit, *rest: (paths.append(unit.path), waves(unit, *rest))[1])
    return paths


def expected(prepared):
    """{row: its waveform}, decoded without a store."""
    found = {}
    for unit in clips.units(prepared.rows, prepared.recordings):
        found |= dict(zip(unit.rows, clips.waves(unit, prepared.root, RATE), strict=True))
    return found


def same(store, waves):
    rows = range(len(store.sizes))
    return all(np.array_equal(store[row], waves[row]) and store.sizes[row] == len(waves[row]) for row in rows)


def test_clips_are_decoded_once_and_are_those_of_the_clips(prepared, cache, monkeypatch):
    waves = expected(prepared)
    assert same(ClipStore(prepared, RATE, "native"), waves)
    (folder,) = cache.iterdir()
    assert len(list(folder.glob("*.f32"))) > 3 and not list(folder.glob(".*.part"))
    monkeypatch.setattr(clips, "waves", None)
    assert same(ClipStore(prepared, RATE, "native"), waves)
    other = ClipStores()
    assert other.get(prepared, RATE, "native") is other.get(prepared, RATE, "native")


def test_what_is_read_can_be_written_to_and_changes_nothing(prepared, cache):
    store = ClipStore(prepared, RATE, "native")
    before = store[0]
    store[0][:] = 7
    assert np.array_equal(store[0], before) and store[0].dtype == np.float32


def test_rate_and_policy_have_stores_of_their_own_and_the_order_of_rows_has_none(prepared, cache, decoded):
    first = ClipStore(prepared, RATE, "native")
    ClipStore(prepared, 2 * RATE, "native")
    assert len(ClipStore(prepared, RATE, "tile8")[0]) == 8 * RATE
    assert len(list(cache.iterdir())) == 3
    decoded.clear()
    backwards = prepared.rows.iloc[::-1].reset_index(drop=True)
    turned = ClipStore(type(prepared)(**(vars(prepared) | {"rows": backwards})), RATE, "native")
    assert not decoded and np.array_equal(turned[0], first[len(backwards) - 1])


@pytest.mark.parametrize(
    "harm",
    [
        lambda samples, listing: samples.write_bytes(samples.read_bytes()[:-4]),
        lambda samples, listing: samples.write_bytes(b"\1" + samples.read_bytes()[1:]),
        lambda samples, listing: samples.unlink(),
        lambda samples, listing: listing.unlink(),
        lambda samples, listing: listing.write_text(listing.read_text()[:-9]),
        lambda samples, listing: listing.write_text("[]"),
    ],
)
def test_what_is_damaged_or_was_never_finished_is_decoded_again_alone(harm, prepared, cache, decoded):
    waves = expected(prepared)
    ClipStore(prepared, RATE, "native")
    listing = sorted(next(cache.iterdir()).glob("*.json"))[0]
    content = {path.name: path.read_bytes() for path in next(cache.iterdir()).iterdir()}
    harm(listing.with_suffix(".f32"), listing)
    decoded.clear()
    assert same(ClipStore(prepared, RATE, "native"), waves)
    assert 0 < len(decoded) < len(set(prepared.rows["path"]))
    assert {path.name: path.read_bytes() for path in next(cache.iterdir()).iterdir()} == content


def test_workers_and_threads_write_the_same_bytes(prepared, cache, tmp_path, monkeypatch):
    ClipStore(prepared, RATE, "native", engine=Engine(workers=1))
    one = {path.name: path.read_bytes() for path in next(cache.iterdir()).iterdir()}
    monkeypatch.setenv("RESPBENCH_CACHE", str(tmp_path / "other"))
    ClipStore(prepared, RATE, "native", engine=Engine(workers=3, backend="threading"))
    (folder,) = (tmp_path / "other" / "clips").iterdir()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == one


def test_a_cache_that_cannot_be_written_leaves_clips_in_memory_and_says_so(prepared, tmp_path, monkeypatch):
    waves, said = expected(prepared), []
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RESPBENCH_CACHE", str(tmp_path / "file"))
    assert same(ClipStore(prepared, RATE, "native", say=said.append), waves)
    (line,) = said
    assert "held in memory" in line and "RESPBENCH_CACHE" in line
    with pytest.warns(UserWarning, match="held in memory"):
        ClipStore(prepared, RATE, "native")


def test_a_disk_that_is_full_halfway_leaves_the_rest_in_memory(prepared, cache, monkeypatch):
    waves, said, left, replacing = expected(prepared), [], [3], clip_store.replacing

    def filling(path):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replacing(path)

    monkeypatch.setattr(clip_store, "replacing", filling)
    engine = Engine(backend="threading")
    assert same(ClipStore(prepared, RATE, "native", say=said.append, engine=engine), waves)
    assert len(said) == 1 and len(list(next(cache.iterdir()).glob("*.json"))) == 3
