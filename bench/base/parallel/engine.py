"""Runs independent units of work through joblib: on threads, on processes, on a Dask cluster, on Ray.

A unit is a function of its arguments that leaves its result in a file or returns it, so which worker did it, and in
which order, shows nowhere. A worker that dies or hangs costs its unit a second try elsewhere.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from multiprocessing import TimeoutError as HungError  # what joblib raises where nothing comes back in time
from pickle import PicklingError
from typing import Any, TypeVar

from bench.base.errors import BadInput, one_line
from bench.base.parallel import cluster
from bench.base.parallel.threads import cores, workers
from bench.types import BACKENDS

T = TypeVar("T")
R = TypeVar("R")

TRIES = 3  # rounds in a row that may lose a worker without finishing a unit
MOST_TRIED, WORTH_S = 8, 8.0  # units that are tried on threads, and seconds of the rest that are worth processes
HUNG_S = 3600.0  # without any unit finished: workers are taken for hung


@dataclass(frozen=True)
class Engine:
    """Where units of work run.

    Attributes
    ----------
    workers : int, optional
        Units at a time; by default one for each core, or what the cluster has.
    threads : int
        Threads of a worker that a unit may spread its batches over; each of them computes with one thread, so that no
        rounding depends on their number.
    backend : str
        One of ``BACKENDS``: processes of this machine (``loky``), threads of this process, a Dask cluster, Ray.
    scheduler : str, optional
        Address of a running Dask scheduler (``tcp://…``) or, for Ray, of its head; by default a cluster on this
        machine.
    slurm : int
        Dask workers to start as SLURM jobs, through dask-jobqueue.
    max_mb : float, optional
        Memory of all workers together.
    hung_s : float, optional
        Seconds without a finished unit after which workers are stopped and the rest is tried again; None: never.
    devices : tuple of str
        Several devices of this machine, each of which encodes in a process of its own; empty: the encoder's alone.
    """

    workers: int | None = None
    threads: int = 1
    backend: str = "loky"
    scheduler: str | None = None
    slurm: int = 0
    max_mb: float | None = None
    hung_s: float | None = HUNG_S
    devices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, least in (("workers", 1), ("threads", 1), ("slurm", 0), ("max_mb", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise BadInput(f"{name} {value}", "is out of range", f"give a whole number from {least} on")
        if self.backend not in BACKENDS:
            raise BadInput(f"backend {self.backend!r}", "does not exist", f"take one of {', '.join(BACKENDS)}")
        if self.scheduler and self.backend not in ("dask", "ray"):
            remedy = "add --backend dask (or ray), or leave the scheduler out"
            raise BadInput(f"scheduler {self.scheduler}", f"is nothing that backend {self.backend} joins", remedy)
        if self.slurm and self.scheduler:
            raise BadInput("slurm", "starts a cluster, and a scheduler is one that runs", "give one of the two")
        if self.max_mb and (self.scheduler or self.slurm):
            raise BadInput("max-memory", "is no matter of a cluster's", "give each worker its memory as it is started")
        if self.devices and self.backend != BACKENDS[0]:
            problem = f"take a process each of this machine, not backend {self.backend}"
            raise BadInput(f"devices {', '.join(self.devices)}", problem, "leave --backend out, or name one device")
        if self.slurm and self.backend != "dask":
            raise BadInput("slurm", f"is nothing that backend {self.backend} starts", "add --backend dask")

    @property
    def at_once(self) -> int:
        """Workers asked for, else as many as keep every core busy."""
        return self.workers or max(1, cores() // self.threads)

    @property
    def elsewhere(self) -> bool:
        """Whether units leave this process."""
        return self.backend in ("dask", "ray") or (self.backend == "loky" and self.at_once > 1)

    def within(self, worker_mb: float) -> Engine:
        """The engine with as many workers as its memory allows, each taking ``worker_mb``; at least one."""
        if self.max_mb is None:
            return self
        return replace(self, workers=max(1, min(self.at_once, int(self.max_mb // worker_mb))))

    def run(
        self,
        unit: Callable[[T], R],
        todo: Sequence[T],
        together: bool = True,
        tried: int = MOST_TRIED,
        worked: Callable[[R], bool] = lambda result: True,
    ) -> Iterator[tuple[T, R]]:
        """Every item and what ``unit`` gives for it, as they finish.

        Parameters
        ----------
        unit
            Called with each item.
        todo
            The items.
        together
            Whether threads of one process may call ``unit`` at once; else this process does one item after another.
        tried
            Items at most that this process does first, to see whether the rest is worth starting processes for.
        worked
            Whether a result took work: what did not says nothing of the rest.

        Raises
        ------
        BadInput
            Where workers die or hang ``TRIES`` times in a row without finishing anything.
        Exception
            What ``unit`` raises; units that are finished by then stay finished.
        """
        left, at_once = list(todo), self.at_once if together else 1
        if not self.elsewhere:
            yield from _on_threads(unit, left, at_once)
            return
        if self.backend == "loky" and tried:
            step, seconds, done = min(at_once, tried), 0.0, 0
            while left and not done:
                began = time.monotonic()
                for item, result in _on_threads(unit, left[:step], at_once):
                    done += worked(result)
                    yield item, result
                seconds, left = time.monotonic() - began, left[step:]
            if seconds / max(done, 1) * len(left) < WORTH_S:
                yield from _on_threads(unit, left, at_once)
                return
        if not left:
            return
        with self._joined() as context:
            yield from self._on_workers(unit, left, context, at_once)

    # ------------------------------------------------------------------ workers elsewhere

    def _joined(self) -> AbstractContextManager[Callable[[], AbstractContextManager]]:
        if self.backend == "dask":
            return cluster.dask(self.scheduler, self.workers, self.threads, self.slurm)
        if self.backend == "ray":
            return cluster.ray(self.scheduler, self.at_once)
        return nullcontext(self._processes)

    def _processes(self) -> AbstractContextManager:
        import joblib

        # loky's, of workers that were idle for long and ended: it starts others
        warnings.filterwarnings("ignore", "A worker stopped while some jobs were given")
        return joblib.parallel_config("loky", n_jobs=self.at_once, inner_max_num_threads=1)

    def _on_workers(
        self, unit: Callable[[T], R], todo: list[T], context: Callable[[], AbstractContextManager], here: int
    ) -> Iterator[tuple[T, R]]:
        import joblib
        from joblib.externals.loky.process_executor import (
            BrokenProcessPool,
            ShutdownExecutorError,
            TerminatedWorkerError,
        )

        lost = (TerminatedWorkerError, ShutdownExecutorError, HungError, *cluster.lost_workers(self.backend))
        left, fruitless = dict(enumerate(todo)), 0
        while left:
            finished = len(left)
            try:
                with context():
                    as_they_finish = "list" if self.backend == "ray" else "generator_unordered"  # what joblib has there
                    pool = joblib.Parallel(batch_size=1, return_as=as_they_finish, max_nbytes=None, timeout=self.hung_s)
                    calls = (joblib.delayed(_numbered)(unit, i, item) for i, item in list(left.items()))
                    for i, result in pool(calls):
                        yield left.pop(i), result
            except lost as error:
                fruitless = 0 if len(left) < finished else fruitless + 1
                what = "hung" if isinstance(error, HungError) else "died"
                print(f"a worker {what}; {len(left)} units of work are tried again", file=sys.stderr)
                self._stop_workers()
                if fruitless >= TRIES:
                    problem = f"workers {what} {fruitless} times in a row without finishing anything"
                    remedy = "look for too little memory (dmesg); take fewer --workers or less --max-memory"
                    raise BadInput(f"backend {self.backend}", problem, remedy) from error
            except (BrokenProcessPool, PicklingError) as error:  # such as a module that only this process finds
                print(
                    one_line(f"units of work cannot be sent to processes ({error}); they run on threads"),
                    file=sys.stderr,
                )
                self._stop_workers()
                yield from _on_threads(unit, list(left.values()), here)
                return

    def _stop_workers(self) -> None:
        if self.backend == "loky":
            from joblib.externals.loky import get_reusable_executor

            get_reusable_executor().shutdown(wait=True, kill_workers=True)


LOCAL = Engine()  # a process for each core


def _numbered(unit: Callable[[T], R], i: int, item: T) -> tuple[int, R]:
    """The unit's number and result, computed as ``_on_threads`` does: with one thread a product.

    It has a thread of its own, so that a worker's own settings are left alone.
    """
    with workers(1) as pool:
        return i, pool.submit(unit, item).result()


def _on_threads(unit: Callable[[T], R], todo: Sequence[T], most: int) -> Iterator[tuple[T, R]]:
    """In this process; units not begun are given up when one raises."""
    from concurrent.futures import as_completed

    if not todo:
        return
    with workers(min(most, len(todo))) as pool:
        running: dict[Any, T] = {pool.submit(unit, item): item for item in todo}
        try:
            for future in as_completed(running):
                yield running.pop(future), future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
