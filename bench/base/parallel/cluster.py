"""Clusters that joblib hands units of work to: Dask (running, local, or started through SLURM) and Ray."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from types import ModuleType
from typing import Any

from bench.base.errors import BadInput
from bench.base.optional_imports import require

CONNECT_S, WAIT_S, SLURM_WAIT_S = 20, 300.0, 86400.0  # for the scheduler to answer, the first worker, the first job
ALLOWED_FAILURES = 5  # workers that may die with a unit before it is given up

_clients: dict[tuple, Any] = {}  # of the clusters that this process has joined


@contextmanager
def dask(
    scheduler: str | None, workers: int | None, threads: int, slurm: int
) -> Iterator[Callable[[], AbstractContextManager]]:
    """A joblib configuration for a Dask cluster: the one at ``scheduler``, ``slurm`` jobs, else one of this machine.

    A cluster that was started or joined stays so until this process ends, for the units that follow.

    Raises
    ------
    BadInput
        Where Dask is not installed, the scheduler does not answer, no worker comes, or workers have several threads,
        which would call one encoder at once.
    """
    import joblib

    key = (scheduler, workers, threads, slurm)
    client = _clients.get(key)
    if client is None or client.status != "running":
        client = _clients[key] = _joined(scheduler, workers, threads, slurm)
    yield lambda: joblib.parallel_config("dask", client=client, n_jobs=-1)


def _joined(scheduler: str | None, workers: int | None, threads: int, slurm: int) -> Any:
    distributed = require("distributed", "cluster")
    settings = {
        "distributed.comm.timeouts.connect": f"{CONNECT_S}s",
        "distributed.scheduler.allowed-failures": ALLOWED_FAILURES,
    }
    with require("dask", "cluster").config.set(settings):
        try:
            client = distributed.Client(scheduler or _started(distributed, workers, threads, slurm))
        except (OSError, ValueError) as error:
            remedy = "start one (dask scheduler) and name its address, such as tcp://host:8786"
            raise BadInput(f"scheduler {scheduler}", f"does not answer ({error})", remedy) from error
        atexit.register(_left, client, started=scheduler is None)
        where = f"scheduler {client.scheduler.address}"
        wait_s = SLURM_WAIT_S if slurm else WAIT_S
        try:
            client.wait_for_workers(1, timeout=wait_s)
        except TimeoutError as error:
            raise BadInput(where, f"has no worker after {wait_s:.0f} s", "start workers (dask worker)") from error
        if any(count > 1 for count in client.nthreads().values()):
            remedy = "start them with --nthreads 1 and as many --nworkers as cores"
            raise BadInput(where, "has workers of several threads, which would call one encoder at once", remedy)
        return client


def _left(client: Any, started: bool) -> None:
    """Leaves a cluster at the end of the process, and stops it where it was started here."""
    with suppress(Exception):  # it may be gone
        client.close()
        if started:
            client.cluster.close()


def _started(distributed: ModuleType, workers: int | None, threads: int, slurm: int) -> object:
    """A new cluster, its workers on SLURM nodes or on this machine; its dashboard on any free port.

    What the user's own jobqueue.yaml says of SLURM goes before what is said here.
    """
    if slurm:
        jobqueue, config = require("dask_jobqueue", "cluster"), require("dask", "cluster").config
        usual = {"cores": threads, "memory": "8GB"}
        ours = {name: value for name, value in usual.items() if config.get(f"jobqueue.slurm.{name}", None) is None}
        started = jobqueue.SLURMCluster(processes=1, worker_extra_args=["--nthreads", "1"], **ours)
        started.scale(jobs=slurm)
        return started
    return distributed.LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0", processes=True)


@contextmanager
def ray(address: str | None, workers: int) -> Iterator[Callable[[], AbstractContextManager]]:
    """A joblib configuration for Ray: the cluster at ``address``, else one of this machine."""
    import joblib

    module = require("ray", "ray")
    require("ray.util.joblib", "ray").register_ray()
    module.init(address=address, num_cpus=None if address else workers, include_dashboard=False, log_to_driver=False)
    try:
        yield lambda: joblib.parallel_config("ray", n_jobs=workers)
    finally:
        module.shutdown()


def lost_workers(backend: str) -> tuple[type[BaseException], ...]:
    """The errors that say that a worker of the backend is gone, not that its unit is at fault."""
    if backend == "dask":
        killed = require("distributed.scheduler", "cluster").KilledWorker
        return (killed, require("distributed.comm.core", "cluster").CommClosedError)
    if backend == "ray":
        errors = require("ray.exceptions", "ray")
        return (errors.RayActorError, errors.WorkerCrashedError)
    return ()
