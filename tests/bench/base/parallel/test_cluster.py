"""A Dask cluster gives what one process gives, also where a worker is killed in the middle."""

import os
import signal
from functools import partial
from pathlib import Path

import pytest

from bench.base.errors import BadInput
from bench.base.parallel.engine import Engine


def square(x):
    return x * x


def dies_once(folder, x):
    mark = Path(folder) / "died"
    if x == 3 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return x * x


@pytest.mark.long
def test_ray_gives_what_one_process_gives():
    pytest.importorskip("ray", reason="the ray extra is not installed")
    assert dict(Engine(workers=2, backend="ray").run(square, range(8))) == {x: x * x for x in range(8)}


@pytest.mark.long
def test_a_killed_worker_s_units_run_elsewhere(tmp_path):
    pytest.importorskip("distributed", reason="the cluster extra is not installed")
    engine = Engine(workers=2, backend="dask")
    done = dict(engine.run(partial(dies_once, str(tmp_path)), range(8)))
    assert done == {x: x * x for x in range(8)} and (tmp_path / "died").exists()


def test_a_scheduler_that_is_not_there_is_named(monkeypatch):
    pytest.importorskip("distributed", reason="the cluster extra is not installed")
    monkeypatch.setattr("bench.base.parallel.cluster.CONNECT_S", 1)
    engine = Engine(backend="dask", scheduler="tcp://127.0.0.1:1")
    with pytest.raises(BadInput, match=r"scheduler tcp://127.0.0.1:1: does not answer"):
        list(engine.run(abs, [1, 2]))
