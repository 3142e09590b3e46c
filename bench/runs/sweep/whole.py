"""Progress of a whole run: records done of how many, the time left, and the best so far on each task."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from bench.base import registry
from bench.runs.sweep.execute import result_line
from bench.scores import metrics, per_test, records
from bench.scores.printed import amount
from bench.scores.schema import Record

_SURE_S, _SURE = 10.0, 2  # seconds and records after which the time left is told


class Whole:
    """Counts the records of a run and remembers the best of each task.

    Parameters
    ----------
    total
        Records that the run is to have in the end.
    done
        Files of those that are there already.
    clock
        Gives seconds.
    """

    def __init__(self, total: int, done: Iterable[Path] = (), clock: Callable[[], float] = time.monotonic):
        self.total, self.made, self.kept = total, 0, 0
        self._clock, self._began = clock, clock()
        self._best: dict[str, tuple[float, str]] = {}
        self.there(done)

    def there(self, files: Iterable[Path]) -> None:
        """Counts records that were there already."""
        for path in files:
            self.kept += 1
            self._is_best(records.read(path))

    def line(self, record: Record) -> str:
        """Counts a record that was made, and gives its line: how far the run is, the score, whether it leads."""
        self.made += 1
        leads = "  (best so far)" if self._is_best(record) else ""
        left = f", {time_told(seconds)} left" if (seconds := self.seconds_left()) else ""
        done = self.made + self.kept
        return f"[{done}/{max(self.total, done)}{left}] {result_line(record)}{leads}"

    def seconds_left(self) -> float | None:
        """Seconds that the rest takes at the pace so far; None where nothing is left or it is too early to tell."""
        took, left = self._clock() - self._began, self.total - self.made - self.kept
        if left <= 0 or self.made < _SURE or took < _SURE_S:
            return None
        return took / self.made * left

    def best(self) -> list[str]:
        """The best of each task so far, a line each."""
        return [f"{task}: {text}" for task, (_, text) in sorted(self._best.items())]

    def _is_best(self, record: Record) -> bool:
        """Notes a record of an encoder; whether it is the best of its task. Controls never lead."""
        spec, task = record.spec, record.data["task"]
        test, name = per_test.headline(task), task["main_metric"]
        score, metric = record.scores.get(test, {}).get(name), metrics.get(name)
        if _is_control(spec) or not score or score["value"] is None:
            return False
        worth = -score["value"] if metric.direction == "lower" else score["value"]
        if spec["task"] in self._best and worth <= self._best[spec["task"]][0]:
            return False
        text = f"{spec['encoder']} {spec['pooling']} {spec['protocol']}, {name} {amount(score, metric.unit)} on {test}"
        self._best[spec["task"]] = worth, text
        return True


def _is_control(spec: Mapping) -> bool:
    encoder = spec["encoder"]
    return encoder.startswith("control.") or registry.is_twin(encoder) or encoder in registry.CONTROL_ENCODERS


def time_told(seconds: float) -> str:
    """A time as people say it: 40 s, 12 min, 2.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
