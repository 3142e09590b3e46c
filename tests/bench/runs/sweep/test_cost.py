import dataclasses

import numpy as np
import pytest

from bench.probe import LogisticPathCV
from bench.probe.linear.design import Designs
from bench.probe.linear.logistic import HALF_DECADES
from bench.probe.linear.solver.path import PathSolutions
from bench.runs.sweep.cost import Need, Rates, need, together
from bench.runs.sweep.grid import SweepGrid
from bench.runs.sweep.plan import plan, workload

RATES = Rates(design=1e-9, solve=1e-8, start=0.5, score=0.0, rest=0.0, process=2.0)


@pytest.fixture(scope="module")
def jobs(simulated, tmp_path_factory):
    grid = SweepGrid.of(
        {"tasks": ["icbhi.cycles2"], "encoder": [{"id": "meta.duration"}], "seeds": [0, 1], "controls": False}
    )
    return workload(plan(grid, tmp_path_factory.mktemp("out"), simulated)).jobs


@pytest.mark.long
def test_this_machine_is_measured():
    rates = Rates.measured()
    assert all(value > 0 for value in dataclasses.asdict(rates).values())


def test_a_job_costs_its_folds_and_its_candidates(jobs, monkeypatch):
    """Counted at the probe: the designs that a fit makes, the folds that it solves and the candidates of each."""
    folds = []  # candidates that each solves

    def counted(self, labellings, extend=PathSolutions.extend):
        before = self.solved
        extend(self, labellings)
        if len(self.log_c) == len(HALF_DECADES):  # the last fits have the few C with a share; rates include them
            folds.append((self.solved - before) * len(labellings))

    monkeypatch.setattr(PathSolutions, "extend", counted)
    labels, designs = np.arange(120) % 2, Designs()
    x = np.random.default_rng(0).normal(size=(120, 30)) + labels[:, None]
    LogisticPathCV(designs=designs).fit(x, labels, np.arange(120))

    n, d = jobs[0].source.counts[0] * 4 // 5, 1
    free = Rates(*[0.0] * 6)
    once = {name: need(jobs[:1], dataclasses.replace(free, **{name: 1.0}), 0).fits for name in vars(free)}
    assert once["design"] == designs.made * n * d
    assert once["start"] == len(folds)
    assert once["solve"] == sum(folds) * n * d  # two classes: one logit


def test_what_is_shared_is_counted_once(jobs):
    dear = dataclasses.replace(RATES, design=1.0, solve=0.0, start=0.0)
    one, two = (need(jobs[:k], dear, 0).fits for k in (1, 2))
    assert two / one == pytest.approx(11 / 6)  # another seed has other folds, and the same rows in all
    assert need([jobs[0], jobs[0]], dear, 0).fits == pytest.approx(one)
    assert need([jobs[0], jobs[0]], RATES, 0).fits == pytest.approx(need(jobs[:1], RATES, 0).fits)  # nor solved again


def test_a_protocol_that_is_not_modelled_counts_for_nothing(jobs):
    other = dataclasses.replace(jobs[0], spec=jobs[0].spec | {"protocol": "literature/opera"})
    assert need([other], RATES, 0).fits == 0.0


def test_units_are_taken_longest_first():
    needs = [Need(seconds, seconds, 100.0) for seconds in (1.0, 5.0, 3.0, 3.0)]
    one, two = (together(needs, workers, RATES) for workers in (1, 2))
    assert one[0] == 12.0 and two[0] == 6.0 + RATES.process and two[1] > one[1] + 100.0
