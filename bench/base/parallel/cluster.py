"""Clusters that joblib hands units of work to: Dask (running, local, or started through SLURM) and Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import ModuleType

from bench.base.errors import BadInput
from bench.base.optional_imports import require

CONNECT_S, WAIT_S = 20, 300.0  # for the scheduler to answer, and for the first worker to come


@contextmanager
def dask(
    scheduler: str | None, workers: int | None, threads: int, slurm: int
) -> Iterator[Callable[[], AbstractContextManager]]:
    """A joblib configuration for a Dask cluster: the one at ``scheduler``, ``slurm`` jobs, else one of this machine.

    Raises
    ------
    BadInput
        Where Dask is not installed, the scheduler does not answer, or no worker comes.
    """
    import joblib

    distributed = require("distributed", "cluster")
    settings = {"distributed.comm.timeouts.connect": f"{CONNECT_S}s", "distributed.scheduler.allowed-failures": 5}
    with require("dask", "cluster").config.set(settings):
        try:
            client = distributed.Client(scheduler or _started(distributed, workers, threads, slurm))
        except (OSError, ValueError) as error:
            remedy = "start one (dask scheduler) and name its address, such as tcp://host:8786"
            raise BadInput(f"scheduler {scheduler}", f"does not answer ({error})", remedy) from error
        with client:
            try:
                client.wait_for_workers(1, timeout=WAIT_S)
            except TimeoutError as error:
                where = f"scheduler {client.scheduler.address}"
                raise BadInput(where, f"has no worker after {WAIT_S:.0f} s", "start workers (dask worker)") from error
            yield lambda: joblib.parallel_config("dask", client=client, n_jobs=-1)
            if scheduler is None:
                client.cluster.close()


def _started(distributed: ModuleType, workers: int | None, threads: int, slurm: int) -> object:
    """A new cluster, its workers on SLURM nodes or on this machine; its dashboard on any free port."""
    if slurm:
        jobqueue = require("dask_jobqueue", "cluster")
        started = jobqueue.SLURMCluster(cores=threads, processes=1, memory="8GB")  # the user's jobqueue.yaml goes first
        started.scale(jobs=slurm)
        return started
    return distributed.LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0", processes=True)


@contextmanager
def ray(address: str | None, workers: int, threads: int) -> Iterator[Callable[[], AbstractContextManager]]:
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
