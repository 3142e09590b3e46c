"""What disks, locks, clocks and workers do to a store: each has one outcome, and the bytes are those of a quiet run."""

import errno
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from bench.base.errors import BadInput
from bench.base.parallel import engine as engines
from bench.base.parallel.engine import Engine
from bench.data.manifest import load_task, prepare
from bench.encoders.features import blocks, encoding, shards
from bench.encoders.features import store as stores
from bench.encoders.features.store import FeatureStore
from bench.encoders.load import load_encoder

MEAN = (-1, "mean")
HERE = Engine(workers=1)


@pytest.fixture(scope="module")
def prepared(simulated):
    return prepare(load_task("icbhi.cycles4", simulated))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of a few recordings, so that there are several."""
    monkeypatch.setattr(stores.blocks, "cut", lambda units, missing, seconds=10.0: blocks_of(units, missing, 10.0))


blocks_of = blocks.cut


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("fbank.stats")


@pytest.fixture(scope="module")
def quiet(prepared, encoder, tmp_path_factory):
    """The bytes of a run that nothing disturbs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stores.blocks, "cut", lambda units, missing, seconds=10.0: blocks_of(units, missing, 10.0))
        store = FeatureStore(encoder, prepared, folder=tmp_path_factory.mktemp("quiet"))
        store.encode([MEAN], engine=HERE)
    return content(store)


def content(store):
    folder = shards.folder_of(store.folder, MEAN)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize(
    "engine", [Engine(workers=1, threads=2), Engine(workers=2, backend="threading"), Engine(workers=2)]
)
@pytest.mark.long
def test_the_bytes_depend_on_no_engine(prepared, encoder, quiet, tmp_path, engine, monkeypatch):
    monkeypatch.setattr(engines, "WORTH_S", 0.0)  # processes at once
    store = FeatureStore(encoder, prepared, folder=tmp_path)
    assert store.encode([MEAN], engine=engine) == len(prepared.rows)
    assert len(quiet) > 8 and content(store) == quiet


def test_a_store_that_is_partly_there_ends_with_the_same_bytes(prepared, encoder, quiet, tmp_path):
    store = FeatureStore(encoder, prepared, folder=tmp_path)
    store.encode([MEAN], engine=HERE)
    for path in list(shards.folder_of(store.folder, MEAN).glob("*.json"))[::2]:
        path.unlink()
    assert 0 < store.encode([MEAN], engine=HERE) < len(prepared.rows)
    assert content(store) == quiet


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_decoded(prepared, encoder, monkeypatch):
    monkeypatch.setattr(encoding.clips, "waves", lambda *_: pytest.fail("a recording was decoded"))
    store = FeatureStore(encoder, prepared, folder=Path("/proc/respbench"))
    with pytest.raises(BadInput, match=r"cannot be written.*set RESPBENCH_CACHE to a folder that you can write"):
        store.encode([MEAN], engine=HERE)


@pytest.mark.long
def test_a_full_disk_keeps_what_is_there_and_the_next_run_goes_on(prepared, encoder, quiet, tmp_path, monkeypatch):
    written, save = [], np.save

    def full(file, values):
        if len(written) == 3:
            file.write(b"half of")
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(values)
        save(file, values)

    store = FeatureStore(encoder, prepared, folder=tmp_path)
    monkeypatch.setattr(shards.np, "save", full)
    with pytest.raises(BadInput, match=r"the disk is full.*it goes on"):
        store.encode([MEAN], engine=HERE)
    monkeypatch.setattr(shards.np, "save", save)
    kept = content(store)
    assert kept.items() <= quiet.items() and len(kept) == 2 * 3
    store.encode([MEAN], engine=HERE)
    assert content(store) == quiet


@pytest.mark.long
@pytest.mark.parametrize("error", [NotImplementedError("no flock"), OSError(errno.ENOLCK, "No locks available")])
def test_a_file_system_without_locks_is_no_obstacle(prepared, encoder, quiet, tmp_path, monkeypatch, error):
    def refuse(self, *args, **kwargs):
        raise error

    monkeypatch.setattr(FileLock, "acquire", refuse)
    store = FeatureStore(encoder, prepared, folder=tmp_path)
    store.encode([MEAN], engine=HERE)
    assert content(store) == quiet


def test_a_block_that_another_process_encodes_is_waited_for(prepared, encoder, quiet, tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "WAIT_S", 0.05)
    store = FeatureStore(encoder, prepared, folder=tmp_path)
    name = stores.blocks.cut(store.units, {unit.key for unit in store.units})[1].name
    (store.folder / "locks").mkdir(parents=True)
    lock = FileLock(store.folder / "locks" / f"{name}.lock", thread_local=False)
    lock.acquire()
    threading.Timer(1.0, lock.release).start()
    began = time.monotonic()
    store.encode([MEAN], engine=HERE)
    assert time.monotonic() - began > 0.9 and content(store) == quiet


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"units": []}'])
def test_a_damaged_listing_is_made_again(prepared, encoder, quiet, tmp_path, damage):
    store = FeatureStore(encoder, prepared, folder=tmp_path)
    store.encode([MEAN], engine=HERE)
    next(shards.folder_of(store.folder, MEAN).glob("*.json")).write_text(damage)
    assert store.encode([MEAN], engine=HERE) > 0
    assert content(store) == quiet


def test_no_clock_is_believed(prepared, encoder, quiet, tmp_path):
    """Files from the future or from long ago, locks included, are as good as others."""
    store = FeatureStore(encoder, prepared, folder=tmp_path)
    store.encode([MEAN], engine=HERE)
    for i, path in enumerate(sorted(store.folder.rglob("*"))):
        os.utime(path, (0, 0) if i % 2 else (2**33, 2**33))
    assert store.encode([MEAN], engine=HERE) == 0
    next(shards.folder_of(store.folder, MEAN).glob("*.json")).unlink()
    store.encode([MEAN], engine=HERE)
    assert content(store) == quiet


@pytest.mark.long
def test_a_dask_worker_that_is_killed_changes_no_byte(prepared, quiet, encoder, tmp_path):
    """Two worker processes; one is killed as soon as a block is stored."""
    pytest.importorskip("distributed", reason="the cluster extra is not installed")
    import psutil

    store = FeatureStore(encoder, replace(prepared), folder=tmp_path)
    folder, killed = shards.folder_of(store.folder, MEAN), []

    def kill():
        while not list(folder.glob("*.json")):
            time.sleep(0.01)
        workers = [p for p in psutil.Process().children(recursive=True) if "spawn_main" in " ".join(p.cmdline())]
        killed.append(workers[-1].pid)
        os.kill(workers[-1].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    store.encode([MEAN], engine=Engine(workers=2, backend="dask"))
    killer.join()
    assert killed and content(store) == quiet
