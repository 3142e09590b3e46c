"""Units of work give the same on threads, on processes and on a cluster; workers that die or hang cost a second try."""

import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from bench.base.errors import BadInput
from bench.base.parallel import engine as engines
from bench.base.parallel.engine import Engine
from bench.base.parallel.threads import cores


@pytest.fixture(autouse=True)
def processes_at_once(monkeypatch):
    """Units of milliseconds go to processes too."""
    monkeypatch.setattr(engines, "WORTH_S", 0.0)


def square(x):
    return x * x


def fails_at(bad, x):
    if x == bad:
        raise BadInput(f"unit {x}", "is bad", "mend it")
    return x


def dies_once(folder, here, x):
    """Kills its own process at the first try of unit 5, unless that is the test's."""
    mark = Path(folder) / "died"
    if x == 5 and os.getpid() != here and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    (Path(folder) / f"{x}").write_text(str(x * x))
    return x * x


def always_dies(here, x):
    if os.getpid() != here:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def hangs_once(folder, here, x):
    mark = Path(folder) / "hung"
    if x == 5 and os.getpid() != here and not mark.exists():
        mark.touch()
        time.sleep(600)
    return x * x


@pytest.mark.parametrize("engine", [Engine(workers=1), Engine(workers=2, backend="threading"), Engine(workers=2)])
def test_every_unit_is_done_once_whatever_the_engine(engine):
    assert sorted(engine.run(square, range(9))) == [(x, x * x) for x in range(9)]


class Alone:
    """Says whether a unit was called while another was."""

    def __init__(self):
        self.inside, self.met = 0, False

    def __call__(self, x):
        self.inside += 1
        time.sleep(0.01)
        self.met |= self.inside > 1
        self.inside -= 1
        return x


@pytest.mark.parametrize("engine", [Engine(workers=2, backend="threading"), Engine(workers=2)])
def test_what_threads_may_not_share_is_called_by_one_at_a_time(engine, monkeypatch):
    monkeypatch.setattr(engines, "WORTH_S", 60.0)
    apart, together = Alone(), Alone()
    assert dict(engine.run(apart, range(9), together=False)) == {x: x for x in range(9)}
    list(engine.run(together, range(9)))
    assert not apart.met and together.met == (cores() > 1)  # a machine of one core has one thread


@pytest.mark.parametrize("engine", [Engine(workers=1), Engine(workers=2)])
def test_a_unit_s_own_error_is_raised_as_it_is(engine):
    with pytest.raises(BadInput, match="unit 4: is bad; mend it"):
        list(engine.run(partial(fails_at, 4), range(9)))


@pytest.mark.long
def test_a_worker_that_dies_costs_a_second_try(tmp_path, capfd):
    done = dict(Engine(workers=2).run(partial(dies_once, str(tmp_path), os.getpid()), range(9)))
    assert done == {x: x * x for x in range(9)} and (tmp_path / "died").exists()
    assert "a worker died" in capfd.readouterr().err


@pytest.mark.long
def test_workers_that_die_every_time_end_the_run_with_what_to_do():
    with pytest.raises(BadInput, match=r"workers died 3 times in a row .*fewer --workers"):
        list(Engine(workers=2).run(partial(always_dies, os.getpid()), range(9)))


@pytest.mark.long
def test_a_worker_that_hangs_is_stopped_and_its_unit_tried_again(tmp_path, capfd):
    engine = Engine(workers=2, hung_s=20.0)
    assert dict(engine.run(partial(hangs_once, str(tmp_path), os.getpid()), range(9))) == {x: x * x for x in range(9)}
    assert (tmp_path / "hung").exists() and "a worker hung" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"workers": 0}, "workers 0: is out of range"),
        ({"threads": 0}, "threads 0"),
        ({"backend": "mpi"}, "does not exist; take one of loky"),
        ({"scheduler": "tcp://x:1"}, "add --backend dask"),
        ({"slurm": 2}, "add --backend dask"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong, match):
    with pytest.raises(BadInput, match=match):
        Engine(**wrong)


def test_memory_bounds_the_number_of_workers():
    assert Engine(workers=8, max_mb=2500.0).within(1000.0).workers == 2
    assert Engine(workers=8, max_mb=500.0).within(1000.0).workers == 1
    assert Engine(workers=8).within(1000.0).workers == 8


class Unsendable:
    """Can be pickled, and not be made again in another process."""

    def __init__(self, here):
        self.here = here

    def __reduce__(self):
        return require_process, (self.here,)

    def __call__(self, x):
        return x * x


def require_process(pid):
    if os.getpid() != pid:
        raise ModuleNotFoundError("no module named 'only_here'")
    return Unsendable(pid)


def test_what_no_other_process_can_load_runs_here(capfd):
    assert dict(Engine(workers=2).run(Unsendable(os.getpid()), range(9))) == {x: x * x for x in range(9)}
    assert "they run on threads" in capfd.readouterr().err


def test_what_was_no_work_says_nothing_of_the_rest(monkeypatch):
    """Items that others have done are passed over until one shows what the rest is worth."""
    monkeypatch.setattr(engines, "WORTH_S", 0.05)
    here = os.getpid()
    done = dict(Engine(workers=2).run(partial(slow_from, 6, here), range(12), worked=lambda result: result[0]))
    assert [done[x][1] == here for x in range(8)] == [True] * 8
    assert not any(done[x][1] == here for x in range(8, 12))


def slow_from(first, here, x):
    """(whether it took work, the process)."""
    if x >= first and os.getpid() == here:
        time.sleep(0.2)
    return x >= first, os.getpid()
