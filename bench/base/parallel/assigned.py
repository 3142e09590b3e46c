"""Processes that have a device each: whichever is free takes the next item, and is told what will come after it."""

from __future__ import annotations

import atexit
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import TYPE_CHECKING, TypeVar

from bench.base.errors import BadInput
from bench.base.parallel.engine import HUNG_S, TRIES

if TYPE_CHECKING:
    from joblib.externals.loky import ProcessPoolExecutor

T = TypeVar("T")
R = TypeVar("R")

IDLE_S = 60  # after which a process that has nothing to do ends, and gives its device's memory back

_pools: dict[tuple[int, str], ProcessPoolExecutor] = {}  # one process for each position in a list of devices


def run(
    unit: Callable[[str, T, tuple[T, ...]], R],
    todo: Sequence[T],
    devices: Sequence[str],
    most: int,
    hung_s: float | None = HUNG_S,
) -> Iterator[tuple[T, R]]:
    """Every item and what ``unit(device, item, upcoming)`` gives for it, as they finish.

    A process that dies costs its item a second try, in another process with the same device.

    Parameters
    ----------
    unit
        Called in a process that is given no other device.
    todo
        The items.
    devices
        A process for each; a device may be named twice.
    most
        Upcoming items at most: those that the process will probably be given next, for it to prepare.
    hung_s
        Seconds without a finished item after which all processes are stopped and the rest is tried again; None: never.

    Raises
    ------
    BadInput
        Where processes die or hang ``TRIES`` times in a row without finishing anything.
    Exception
        What ``unit`` raises; items that are finished by then stay finished.
    """
    from joblib.externals.loky.process_executor import ShutdownExecutorError, TerminatedWorkerError

    left, upcoming = deque(todo), [deque[T]() for _ in devices]
    running: dict[Future[R], tuple[int, T]] = {}
    fruitless = 0

    def start(place: int) -> None:
        own = upcoming[place]
        while left and len(own) <= most:
            own.append(left.popleft())
        if not own and (longest := max(upcoming, key=len)):  # what another process would come to last
            own.append(longest.pop())
        if own:
            item = own.popleft()
            running[_pool(place, devices[place]).submit(unit, devices[place], item, tuple(own))] = place, item

    def lost(what: str, items: Sequence[tuple[int, T]], error: BaseException | None = None) -> None:
        nonlocal fruitless
        fruitless += 1
        for place, item in items:
            _stop(place, devices[place])
            upcoming[place].appendleft(item)
        print(f"a process {what}; {len(items)} units of work are tried again", file=sys.stderr)
        if fruitless >= TRIES:
            problem = f"their processes {what} {fruitless} times in a row without finishing anything"
            remedy = "look for too little memory (dmesg, nvidia-smi); take less --max-memory, or fewer devices"
            raise BadInput(f"devices {', '.join(devices)}", problem, remedy) from error

    try:
        for place in range(len(devices)):
            start(place)
        while running:
            finished, _ = wait(running, hung_s, FIRST_COMPLETED)
            if not finished:
                hung = list(running.values())
                running.clear()
                lost("hung", hung)
                for place, _ in hung:
                    start(place)
            for future in finished:
                place, item = running.pop(future)
                try:
                    result = future.result()
                except (TerminatedWorkerError, ShutdownExecutorError) as error:
                    lost("died", [(place, item)], error)
                else:
                    fruitless = 0
                    yield item, result
                start(place)
    finally:
        for place, _ in running.values():  # of a caller that stops, or after an error
            _stop(place, devices[place])


def _pool(place: int, device: str) -> ProcessPoolExecutor:
    """The process at a place of the list of devices, started where there is none."""
    from joblib.externals.loky import ProcessPoolExecutor

    if (place, device) not in _pools:
        if not _pools:
            atexit.unregister(_stop_all)
            atexit.register(_stop_all)
        _pools[place, device] = ProcessPoolExecutor(1, timeout=IDLE_S)
    return _pools[place, device]


def _stop(place: int, device: str) -> None:
    if (pool := _pools.pop((place, device), None)) is not None:
        pool.shutdown(wait=True, kill_workers=True)


def _stop_all() -> None:
    for place, device in list(_pools):
        _stop(place, device)
