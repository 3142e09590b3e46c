"""Progress of a whole run: counts, time left, and who leads."""

import json
from types import SimpleNamespace

import pytest

from bench.runs.choices import EncoderChoice, Outcome
from bench.runs.sweep.grid import SweepGrid
from bench.runs.sweep.plan import Plan
from bench.runs.sweep.whole import Whole, time_told


class _Record:
    def __init__(self, encoder, value, task="t", metric="uar"):
        self.spec = {"encoder": encoder, "pooling": "mean", "protocol": "linear", "task": task}
        self.data = {"task": {"main_metric": metric, "tests": {"test": ["test"]}}}
        self.scores = {"test": {metric: {"value": value, "low": value, "high": value}}}


def _times(*seconds):
    given = iter(seconds)
    return lambda: next(given)


def test_the_time_left_is_that_of_the_records_made():
    whole = Whole(10, clock=_times(0.0, 5.0, 30.0, 30.0))
    assert whole.line(_Record("a.b", 0.5)).startswith("[1/10] ")  # too early to tell
    assert whole.line(_Record("a.c", 0.4)).startswith("[2/10, 2 min left] ")
    assert whole.seconds_left() == pytest.approx(120)


def test_the_best_of_each_task_is_told_and_controls_never_lead():
    whole = Whole(9)
    assert "best so far" not in whole.line(_Record("control.chance", 0.9))
    assert "best so far" not in whole.line(_Record("random.a.b", 0.9))
    assert "best so far" in whole.line(_Record("a.b", 0.5))
    assert "best so far" not in whole.line(_Record("a.c", 0.5))
    assert "best so far" in whole.line(_Record("a.d", 0.6)) and "best so far" in whole.line(_Record("a.d", 0.1, "u"))
    assert "best so far" not in whole.line(_Record("a.e", None))


def test_a_run_that_has_more_than_was_expected_never_counts_beyond_its_end():
    whole = Whole(1)
    assert [whole.line(_Record("a.b", 0.5))[:5] for _ in range(2)] == ["[1/1]", "[2/2]"]


def test_records_that_were_there_count_and_lead_without_their_predictions(tmp_path):
    there = _Record("a.b", 0.7)
    file = tmp_path / "key.json"
    file.write_text(json.dumps({"spec": there.spec, "data": there.data, "scores": there.scores}))
    whole = Whole(3, [file])
    assert whole.line(_Record("a.c", 0.6)).startswith("[2/3] ") and whole.kept == 1
    line = whole.line(_Record("a.d", 0.8))
    assert line.startswith("[3/3] ") and line.endswith("(best so far)")


@pytest.mark.parametrize(("seconds", "said"), [(40, "40 s"), (600, "10 min"), (9000, "2.5 h")])
def test_times_are_told_as_people_say_them(seconds, said):
    assert time_told(seconds) == said


def test_the_records_of_a_run_are_counted_before_any_encoder_is_loaded(tmp_path):
    chosen = [
        EncoderChoice.parse("fbank.stats"),
        EncoderChoice.parse("efficientat.mn04:mean,freq"),
        EncoderChoice.parse("wav2vec2.base:mean,max=org/large", layers=(20, 24)),  # more layers than the card's
    ]
    grid = SweepGrid(tasks=("t",), encoders=tuple(chosen), protocols=("linear", "knn"), seeds=(0, 1, 2))
    data = [(SimpleNamespace(id=task), None) for task in ("t", "u")]
    without = {("knn", "u")}
    planned = Plan(grid, tmp_path, chosen, chosen, data, without, {}, Outcome())
    rows = 1 + 2 + 4
    assert planned.expected() == rows * (3 * 2 + 3)
