import dataclasses
import json
import shutil

import numpy as np
import pandas as pd
import pytest

from bench.base.errors import BadInput
from bench.base.parallel.engine import Engine
from bench.cli.main import main
from bench.reports.agreement import verify
from bench.reports.sweep.report import stale_sweep_report, write_sweep_report
from bench.runs import choices, evaluate, suite
from bench.runs.context import SweepNotes
from bench.runs.sweep import oracle
from bench.runs.sweep.cost import Rates
from bench.runs.sweep.execute import finished, units
from bench.runs.sweep.grid import SweepGrid
from bench.runs.sweep.plan import Job, plan, workload
from bench.runs.sweep.run import sweep
from bench.scores import records

RATES = Rates(3e-10, 4e-9, 0.08, 1e-4, 0.08, 3.0)
SETTINGS = {
    "tasks": ["icbhi.cycles2"],
    "encoder": [{"id": "mfcc.stats", "poolings": ["mean", "[mean,std]"]}],
    "seeds": [0, 1],
    "controls": False,
}
GRID = SweepGrid.of(SETTINGS)


@pytest.fixture(scope="module")
def made(simulated, tmp_path_factory):
    """(results folder, what the sweep did) of one task, two poolings and two seeds in this process."""
    out = tmp_path_factory.mktemp("sweep")
    done = sweep(GRID, out, root=simulated, engine=Engine(workers=1), with_oracle=True, rates=RATES)
    write_sweep_report(out)
    return out, done


def records_of(folder):
    """{relative path: bytes} of what must not depend on how it was made."""
    files = (p for p in folder.rglob("records/*/*") if not p.name.endswith(".run.json"))
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


@pytest.mark.long
def test_records_are_those_of_a_run_whatever_the_processes(made, simulated, tmp_path):
    out, done = made
    assert len(done.made) == 4 and not done.failed
    first = dataclasses.replace(GRID, seeds=(0,))
    two = sweep(first, tmp_path / "two", root=simulated, engine=Engine(workers=2), rates=RATES)
    apart, here = records_of(tmp_path / "two"), records_of(out)
    assert two.workers == 2 and len(apart) == 4 and all(here[name] == content for name, content in apart.items())
    asked = [choices.EncoderChoice.parse("mfcc.stats:mean")]
    suite.run_suite(GRID.tasks, asked, tmp_path / "run", root=simulated, seeds=(1,), controls=False)
    assert len(records_of(tmp_path / "run").items() & here.items()) == 2


@pytest.mark.long
def test_again_nothing_is_made_and_the_report_stays(made, simulated):
    out, _ = made
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    again = sweep(GRID, out, root=simulated, rates=RATES)
    write_sweep_report(out)
    assert (again.todo, len(again.kept), again.made) == (0, 4, [])
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


@pytest.mark.long
def test_what_is_missing_or_damaged_is_made_again(made, simulated, tmp_path):
    out = shutil.copytree(made[0], tmp_path / "copy")
    first, second, *_ = records.paths(out)
    whole = records_of(out)
    first.unlink()
    second.write_text(second.read_text()[:-20])
    said = []
    again = sweep(GRID, out, root=simulated, engine=Engine(workers=1), rates=RATES, say=said.append)
    assert again.todo == 2 and records_of(out) == whole
    assert any("not counted as done" in line for line in said)


def test_an_estimate_makes_nothing(simulated, tmp_path):
    said = []
    done = sweep(GRID, tmp_path, root=simulated, estimate_only=True, rates=RATES, say=said.append)
    assert done.todo == 4 and done.predicted_s > 0 and done.predicted_mb > 100 and not list(tmp_path.iterdir())
    assert said[0].startswith("4 jobs to do, 0 done; about ")


@pytest.mark.long
def test_a_job_that_fails_is_named_and_loses_no_other(simulated, tmp_path, monkeypatch, capsys):
    whole = evaluate.record_from_features

    def broken(features, spec, *rest, **options):
        if spec["pooling"] == "mean" and spec["seed"] == 0:
            raise MemoryError("not enough")
        if spec["pooling"] == "mean":
            raise BadInput("clip", "wrong", "mend it")
        return whole(features, spec, *rest, **options)

    monkeypatch.setattr(evaluate, "record_from_features", broken)
    monkeypatch.setattr(Rates, "measured", classmethod(lambda cls: RATES))
    command = ["sweep", "--task", *GRID.tasks, "--encoder", "mfcc.stats:mean,[mean,std]", "--seeds", "0", "1"]
    command += ["--no-controls", "--workers", "1", "--root", str(simulated), "--out", str(tmp_path)]
    assert main(command) == 1
    told = capsys.readouterr().err
    assert "failed: icbhi.cycles2  mfcc.stats  layer -1  mean  linear  seed 1: clip: wrong; mend it" in told
    assert "seed 0: MemoryError: not enough" in told and "2 records made, 0 were there already, 2 failed" in told
    assert "**2 records of the grid are missing.**" in (tmp_path / "sweep" / "sweep.md").read_text()
    assert len(workload(plan(GRID, tmp_path, simulated)).jobs) == 2


@pytest.mark.long
def test_tasks_with_the_same_labels_share_every_factorisation(made, simulated, tmp_path):
    jobs = workload(plan(GRID, tmp_path, simulated)).jobs
    own = [job for job in jobs if job.spec["pooling"] == "mean"]
    card = dataclasses.replace(own[0].source.card, id="icbhi.other", main_metric="auroc")
    other = dataclasses.replace(own[0].source, card=card)
    twice = own + [Job(other, job.spec | {"task": card.id}) for job in own]
    (unit,) = units(twice, RATES, 1)
    assert [job.spec["seed"] for job in unit.jobs] == [0, 0, 1, 1]
    done = finished(unit, tmp_path, 1)
    assert not done.failed and done.factorised == 1 + 2 * 5  # all rows once, five folds for each seed
    assert {record.spec["task"] for record in records.load_all(tmp_path)} == {"icbhi.cycles2", "icbhi.other"}


def test_one_unit_is_split_by_seed_where_processes_would_be_idle(simulated, tmp_path):
    jobs = workload(plan(GRID, tmp_path, simulated)).jobs
    assert len(units(jobs, RATES, 1)) == 2
    costs = [unit.need.seconds for unit in units(jobs, RATES, 4)]
    assert len(costs) == 4 and costs == sorted(costs, reverse=True)


def test_every_number_of_the_report_is_that_of_its_record(made):
    out, _ = made
    table = pd.read_csv(out / "sweep" / "sweep.csv")
    found = {record.key: record for record in records.load_all(out)}
    assert len(table) == 4
    for row in table.to_dict("records"):
        record = found[row["record"]]
        assert row["value"] == record.scores["corrected"]["icbhi.Score"]["value"]
        chosen = record.selection["chosen"]
        assert row["strength"] == chosen["C"]
        best = max(c["score"] for c in record.selection["path"])
        assert row["out_of_fold"] == best
        beside = [c["score"] for c in record.selection["path"] if c["class_weight"] == chosen["class_weight"]]
        at = [c["C"] for c in record.selection["path"] if c["class_weight"] == chosen["class_weight"]].index(
            chosen["C"]
        )
        near = [beside[i] for i in (at - 1, at + 1) if 0 <= i < len(beside)]
        assert row["neighbour_fall"] == pytest.approx(best - min(near), abs=1e-6)
        assert row["near_low"] <= row["strength"] <= row["near_high"]
    differences = pd.read_csv(out / "sweep" / "poolings.csv")
    assert set(differences["pooling"]) == {"[mean,std]"} and set(differences["minus"]) == {"mean"}
    values = {key: record.scores["corrected"]["icbhi.Score"]["value"] for key, record in found.items()}
    for row in differences.to_dict("records"):
        assert row["value"] == pytest.approx(values[row["record"]] - values[row["minus_record"]], abs=2e-6)


def test_the_report_says_what_it_is_of(made):
    text = (made[0] / "sweep" / "sweep.md").read_text()
    assert "**Simulated data**" in text and "Not a medical device" in text and "Optimistic intervals" in text
    assert "4 records; protocols `linear` version 4; clip policy `native`; seeds 0, 1." in text
    assert "## Oracle (chosen on test; never a result)" in text and "best on test, never a result" in text
    for title in ("At a glance", "Layers", "Poolings", "Seeds", "Sensitivity to C"):
        assert f"## {title}" in text
    drawn = {path.name for path in (made[0] / "sweep").glob("*.png")}
    assert {"poolings.png", "path-icbhi.cycles2.png", "heat-mfcc.stats.png"} <= drawn


def test_the_oracle_flatters_and_stays_beside_the_records(made):
    out, _ = made
    table, found = oracle.read(out), {record.key: record for record in records.load_all(out)}
    assert len(table) == 4 and (table["oracle"] >= table["honest"]).all() and (table["oracle"] > table["honest"]).any()
    np.testing.assert_allclose(table["refitted"], table["honest"], atol=1e-6)
    for row in table.to_dict("records"):
        assert row["honest"] == found[row["record"]].scores["corrected"]["icbhi.Score"]["value"]
    assert not any("oracle" in json.dumps(dict(record.selection) | dict(record.data)) for record in found.values())


@pytest.mark.long
def test_an_oracle_may_be_asked_for_when_the_features_are_gone(made, simulated, tmp_path, monkeypatch):
    out = shutil.copytree(made[0], tmp_path / "copy")
    (out / "sweep" / "oracle.csv").unlink()
    monkeypatch.setenv("RESPBENCH_CACHE", str(tmp_path / "empty"))
    again = sweep(GRID, out, root=simulated, with_oracle=True, rates=RATES)
    assert again.todo == 0 and oracle.read(out).equals(oracle.read(made[0]))


@pytest.mark.long
def test_a_report_that_is_not_its_records_is_found(made, tmp_path):
    out = shutil.copytree(made[0], tmp_path / "copy")
    assert verify.verify(out) == (4, []) and stale_sweep_report(records.load_all(out), out) == []
    for name, old, new in (("sweep.csv", "0.5", "0.6"), ("sweep.md", "4 records", "9 records")):
        path = out / "sweep" / name
        path.write_text(path.read_text().replace(old, new, 1))
    (out / "sweep" / "poolings.png").unlink()
    scores = pd.read_csv(out / "sweep" / "oracle.csv")
    scores.assign(honest=scores["honest"] + 0.01).to_csv(out / "sweep" / "oracle.csv", index=False)
    problems = "\n".join(verify.verify(out)[1])
    for name in ("sweep.csv", "sweep.md", "poolings.png", "the honest score of", "oracle.csv: changed since"):
        assert name in problems
    next(records.paths(out)).unlink()
    assert "no record" in "\n".join(stale_sweep_report(records.load_all(out), out))


def test_a_folder_without_a_sweep_is_refused(tmp_path):
    with pytest.raises(BadInput, match="no sweep was made here"):
        write_sweep_report(tmp_path)


@pytest.mark.long
def test_what_is_absent_is_listed(simulated, tmp_path):
    grid = SweepGrid.of(
        SETTINGS
        | {"suite": "quick", "tasks": [], "encoder": [*SETTINGS["encoder"], {"id": "ast.base"}], "skip_absent": True}
    )
    sweep(
        dataclasses.replace(grid, seeds=(0,)), tmp_path, root=simulated / "ICBHI", engine=Engine(workers=1), rates=RATES
    )
    write_sweep_report(tmp_path)
    context = SweepNotes.read(tmp_path)
    assert list(context.absent) == ["ast.base"] and list(context.absent_tasks) == ["sprsound.events2"]
    text = (tmp_path / "sweep" / "sweep.md").read_text()
    assert "- ast.base: " in text and "- sprsound.events2: " in text


def test_what_cannot_be_is_refused_before_anything_is_computed(simulated, tmp_path):
    with pytest.raises(BadInput, match="seed -1: is out of range"):
        sweep(dataclasses.replace(GRID, seeds=(-1,)), tmp_path, root=simulated, rates=RATES)
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="is a file"):
        sweep(GRID, tmp_path / "file", root=simulated, rates=RATES)


def test_a_damaged_record_of_something_else_leaves_the_report_alone(made, tmp_path):
    out = shutil.copytree(made[0], tmp_path / "copy")
    damaged = out / "records" / "other.task" / "0123456789abcdef0123.json"
    damaged.parent.mkdir()
    damaged.write_text("{")
    assert write_sweep_report(out)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", '"'])
def test_oracle_scores_that_are_none_are_named(text, made, tmp_path):
    out = shutil.copytree(made[0], tmp_path / "copy")
    (out / "sweep" / "oracle.csv").write_text(text)
    with pytest.raises(BadInput, match=r"oracle\.csv"):
        oracle.read(out)
