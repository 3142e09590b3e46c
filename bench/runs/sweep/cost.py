"""How long a sweep will take and what memory it will need, from its sizes and from what this machine does in a second.

A fold of n rows and d features is factorised in a·max(n, d)·min(n, d)² seconds, once for all jobs that share it, and
its candidates are solved, once for all jobs on the same labels, in o + b·n·r·(class weights × values of C)·(logits of
a clip), r = min(n, d). The constants are measured, on arrays that are smaller than those of a sweep, so the answer is
to be read as an order; how far off it was is said when the sweep ends.
"""

from __future__ import annotations

import heapq
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from bench.base.provenance import peak_memory_mb, stamp
from bench.probe import protocols
from bench.probe.goal import CLASS_WEIGHTS
from bench.probe.linear.design import Designs, standardise
from bench.probe.linear.logistic import HALF_DECADES, LogisticPathCV
from bench.probe.linear.solver.path import MAX_CELLS
from bench.runs.sweep.plan import Job, width
from bench.scores import per_test
from bench.scores.schema import TaskFacts

CANDIDATES = len(HALF_DECADES) * len(CLASS_WEIGHTS)
SMALL, LARGE = (400, 64), (2400, 768)  # rows and features of the two fits that are timed; few say little of many
_CLASSES, _GROUPS, _FOLDS = 4, 40, 2
_ARRAYS = 12  # of (problem, class, row) that the solver holds at once
WORKER_MB = 450.0  # of a process that has imported everything and done nothing
MODELLED = ("linear", "knn", "fewshot-")


@dataclass(frozen=True)
class Rates:
    """Seconds on one core of this machine.

    Attributes
    ----------
    design
        Per row · feature².
    solve
        Per row · feature · candidate · logit.
    start
        Per fold.
    score
        Per predicted clip.
    rest
        Per record.
    process
        Until a process has imported everything.
    """

    design: float
    solve: float
    start: float
    score: float
    rest: float
    process: float

    @classmethod
    def measured(cls) -> Rates:
        """Timed now, in a few seconds."""
        fold, seconds = [], []
        x = np.empty((0, 0))
        for n, d in (SMALL, LARGE):
            x, y, groups = _clips(n, d)
            probe = LogisticPathCV(folds=_FOLDS, designs=Designs(threads=1))
            fold.append(n * (_FOLDS - 1) / _FOLDS * d * CANDIDATES * _CLASSES)
            seconds.append(_timed(partial(probe.fit, x, y, groups)) / _FOLDS)
        z = standardise(x)[0]
        gram = _timed(lambda: Designs(threads=1).of(z))
        design = gram / (max(LARGE) * min(LARGE) ** 2)
        solve = max((seconds[1] - seconds[0] - gram) / (fold[1] - fold[0]), 1e-12)
        start = max(seconds[0] - solve * fold[0], 0.0)
        rest = _timed(partial(stamp, "cpu", 0.0)) * 2  # the other half: files, tables
        return cls(design, solve, start, _scoring() / (2 * SMALL[0]), rest, _importing())


@dataclass(frozen=True)
class Need:
    """What a unit of jobs needs: ``seconds`` on one core, of which ``fits`` in probes, and memory in MB."""

    seconds: float
    fits: float
    memory_mb: float


def need(jobs: Sequence[Job], rates: Rates, max_bytes: int, threads: int = 1) -> Need:
    """What jobs on one encoder, layer, pooling and training rows need.

    Parameters
    ----------
    jobs
        Of one unit.
    rates
        What this machine does in a second.
    max_bytes
        Of factorisations that a process keeps.
    threads
        Of one process.

    Notes
    -----
    A protocol that is not ``MODELLED`` counts for 0.
    """
    d = width(jobs[0])
    known: set[object] = set()  # folds and training rows that an earlier job has factorised
    fits = other = 0.0
    n = 0
    for job in jobs:
        n, tested = job.source.counts
        other += rates.rest + rates.score * tested * 2 * len(job.source.card.tests)
        name = job.spec["protocol"]
        if not name.startswith(MODELLED):
            continue
        groups = job.source.groups if job.source.card.leave_one_out else 1
        if name.startswith("fewshot-"):
            n = min(n, int(name.partition("-")[2]) * max(1, n // job.source.groups))
        in_fold = n * (protocols.FOLDS - 1) // protocols.FOLDS
        folds = (job.source.labels, job.spec["seed"], name)
        solved = name != "knn" and job.source.card.kind != "regression" and folds not in known
        factorised = protocols.FOLDS if solved else 0
        if job.source.rows not in known:
            factorised += 1
        known |= {folds, job.source.rows}
        fits += groups * factorised * rates.design * max(in_fold, d) * min(in_fold, d) ** 2
        if solved:
            cells = in_fold * min(in_fold, d) * CANDIDATES * _logits(job)
            fits += groups * protocols.FOLDS * (rates.start + rates.solve * cells)
    return Need(fits + other, fits, _memory_mb(n, d, max_bytes, threads, jobs))


def _logits(job: Job) -> int:
    """Linear functions of a clip that are fitted for one candidate."""
    classes = len(job.source.card.classes)
    return 1 if job.source.card.kind == "multiclass" and classes == 2 else classes


def _memory_mb(n: int, d: int, max_bytes: int, threads: int, jobs: Sequence[Job]) -> float:
    rank, features = min(n, d), len(jobs[0].source.prepared.rows) * d * 4
    design = 16 * n * rank + 8 * rank * (n if n < d else d) + (8 * n * d if n < d else 0)
    held = design if max_bytes else 0
    problems = max(_logits(job) for job in jobs) * CANDIDATES // 2
    fold = design + 2 * 8 * n * d + 3 * 8 * rank**2 + _ARRAYS * 8 * min(MAX_CELLS, problems * n)
    return (features * 2 + held + threads * fold) / 1e6


def together(needs: Sequence[Need], workers: int, rates: Rates) -> tuple[float, float]:
    """(seconds, MB) of units taken longest first by ``workers`` processes, this one's memory included."""
    free = [0.0] * max(1, workers)
    for seconds in sorted((each.seconds for each in needs), reverse=True):
        heapq.heappush(free, heapq.heappop(free) + seconds)
    largest = sum(sorted((each.memory_mb for each in needs), reverse=True)[:workers])
    apart = 0.0 if workers == 1 else workers * WORKER_MB
    return max(free) + (rates.process if workers > 1 else 0.0), peak_memory_mb() + largest + apart


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _clips(n: int, d: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, labels and groups that are neither separable nor noise; their spectrum falls, as embeddings' do."""
    rng = np.random.default_rng(0)
    y, groups = np.arange(n) % _CLASSES, rng.integers(0, _GROUPS, n)
    x = rng.normal(size=(n, d)) + 0.3 * rng.normal(size=(_CLASSES, d))[y] + 0.4 * rng.normal(size=(_GROUPS, d))[groups]
    return ((x * np.arange(1, d + 1) ** -0.5) @ rng.normal(size=(d, d))).astype(np.float32), y, groups


def _importing() -> float:
    """Seconds until another process of this Python has imported what a probe needs."""
    command = [sys.executable, "-c", "import torch, sklearn.linear_model, pandas"]
    return _timed(partial(subprocess.run, command, check=False, capture_output=True))


def _scoring() -> float:
    """Seconds for the scores of as many predictions as the small fit has clips, on one test with one domain."""
    n = SMALL[0]
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "clip_id": [f"{i:05d}" for i in range(n)],
            "group": rng.integers(0, _GROUPS, n).astype(str),
            "domain": "device",
            "split": "test",
            "duration_s": rng.uniform(1, 5, n),
            "y_true": np.arange(n) % _CLASSES,
            **{f"s_{k}": rng.normal(size=n) for k in range(_CLASSES)},
        }
    )
    table["y_pred"] = table[[f"s_{k}" for k in range(_CLASSES)]].to_numpy().argmax(1)
    names = [str(k) for k in range(_CLASSES)]
    task: TaskFacts = {
        "classes": names,
        "metrics": ["icbhi.Score", "auroc"],
        "main_metric": "icbhi.Score",
        "normal": 0,
        "adventitious": [1, 2, 3],
        "tests": {"test": ["test"]},
        "group": "patient",
        "domain": "device",
    }
    return _timed(lambda: per_test.score_predictions(task, table))
