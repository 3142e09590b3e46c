"""Progress of a whole run: records done of how many, the time left, and the best so far on each task."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from bench.base import registry
from bench.runs.sweep.execute import result_line
from bench.scores import metrics, per_test, records
from bench.scores.schema import Record, Scores, Spec, TaskFacts

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
        self._best: dict[str, float] = {}
        self.there(done)

    def there(self, files: Iterable[Path]) -> None:
        """Counts records that were there already, and are known to be whole."""
        for path in files:
            self.kept += 1
            known = records.read_fields(path)
            self._is_best(known["spec"], known["data"]["task"], known["scores"])

    def line(self, record: Record) -> str:
        """Counts a record that was made, and gives its line: how far the run is, the score, whether it leads."""
        self.made += 1
        leads = "  (best so far)" if self._is_best(record.spec, record.data["task"], record.scores) else ""
        left = f", {time_told(seconds)} left" if (seconds := self.seconds_left()) else ""
        done = self.made + self.kept
        return f"[{done}/{max(self.total, done)}{left}] {result_line(record)}{leads}"

    def seconds_left(self) -> float | None:
        """Seconds that the rest takes at the pace so far; None where nothing is left or it is too early to tell."""
        took, left = self._clock() - self._began, self.total - self.made - self.kept
        if left <= 0 or self.made < _SURE or took < _SURE_S:
            return None
        return took / self.made * left

    def _is_best(self, spec: Spec, task: TaskFacts, scores: Scores) -> bool:
        """Notes the score of an encoder; whether it is the best of its task. Controls never lead."""
        name = task["main_metric"]
        score = scores.get(per_test.headline(task), {}).get(name)
        if _is_control(spec["encoder"]) or not score or score["value"] is None:
            return False
        worth = -score["value"] if metrics.get(name).direction == "lower" else score["value"]
        if worth <= self._best.get(spec["task"], -math.inf):
            return False
        self._best[spec["task"]] = worth
        return True


def _is_control(encoder: str) -> bool:
    return encoder.startswith("control.") or registry.is_twin(encoder) or encoder in registry.CONTROL_ENCODERS


def time_told(seconds: float) -> str:
    """A time as people say it: 40 s, 12 min, 2.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
