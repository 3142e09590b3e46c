"""Each process has its own device, whichever is free takes the next item, and one that dies or hangs is replaced."""

import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from bench.base.errors import BadInput
from bench.base.parallel import assigned

DEVICES = ("first", "second")


def told(device, item, upcoming):
    time.sleep(0.05)
    return device, os.getpid(), upcoming


def dies_once(folder, device, item, upcoming):
    mark = Path(folder) / "died"
    if item == 3 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return device, os.getpid(), upcoming


def always_dies(device, item, upcoming):
    os.kill(os.getpid(), signal.SIGKILL)


def hangs_once(folder, device, item, upcoming):
    mark = Path(folder) / "hung"
    if item == 3 and not mark.exists():
        mark.touch()
        time.sleep(600)
    return device, os.getpid(), upcoming


def refuses(device, item, upcoming):
    if item == 3:
        raise BadInput("item 3", "is bad", "mend it")
    return item


def test_every_item_is_done_once_and_every_process_keeps_its_device():
    found = list(assigned.run(told, range(12), DEVICES, 2))
    assert sorted(item for item, _ in found) == list(range(12))
    processes = {device: {pid for _, (own, pid, _) in found if own == device} for device in DEVICES}
    assert [len(pids) for pids in processes.values()] == [1, 1] and processes["first"] != processes["second"]
    assert os.getpid() not in set.union(*processes.values())
    again = {(device, pid) for _, (device, pid, _) in assigned.run(told, range(4), DEVICES, 0)}
    assert again <= {(device, pid) for device, pids in processes.items() for pid in pids}  # processes are kept


def test_the_same_device_twice_is_two_processes():
    assert len({pid for _, (_, pid, _) in assigned.run(told, range(8), ("cpu", "cpu"), 1)}) == 2


def test_a_process_is_told_what_comes_next():
    found = dict(assigned.run(told, range(6), ("only",), 2))
    assert [found[item][2] for item in range(6)] == [(1, 2), (2, 3), (3, 4), (4, 5), (5,), ()]


def test_a_process_that_dies_is_replaced_on_its_device(tmp_path, capsys):
    found = list(assigned.run(partial(dies_once, tmp_path), range(8), DEVICES, 1))
    assert sorted(item for item, _ in found) == list(range(8))
    assert "a process died; 1 units of work are tried again" in capsys.readouterr().err


@pytest.mark.long
def test_processes_that_hang_are_replaced(tmp_path, capsys):
    found = list(assigned.run(partial(hangs_once, tmp_path), range(6), ("only",), 1, hung_s=30.0))
    assert sorted(item for item, _ in found) == list(range(6))
    assert "a process hung" in capsys.readouterr().err


@pytest.mark.long
def test_processes_that_keep_dying_end_the_command():
    with pytest.raises(BadInput, match="devices only: their processes died 3 times in a row"):
        list(assigned.run(always_dies, range(4), ("only",), 1))


def test_what_an_item_raises_reaches_the_caller():
    with pytest.raises(BadInput, match="item 3: is bad"):
        list(assigned.run(refuses, range(8), DEVICES, 1))
