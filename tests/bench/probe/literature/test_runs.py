"""Published protocols through the harness: their seeds, the tasks' validation rows, and how boards show them."""

import dataclasses

import pytest

import bench
from bench.cli.main import main
from bench.probe import protocols
from bench.probe.literature.protocols import PROTOCOLS
from bench.reports.names import rank_class
from bench.scores import records


@pytest.fixture(scope="module")
def task(simulated):
    return bench.load_task("icbhi.cycles2", simulated)


@pytest.mark.long
def test_a_run_takes_the_protocols_seeds_and_the_tasks_validation_split(task):
    encoder = bench.load_encoder("meta.duration")
    made = bench.evaluate(encoder, task, protocol="literature/xares")
    assert [record.spec["seed"] for record in made] == [42]
    assert rank_class({**made[0].spec, "encoder": "fbank.stats"}) == "literature"
    method = protocols.get("literature/xares").selection
    assert made[0].selection["method"] == method and len(made[0].selection["path"]) == 10
    assert "drawn by group" in made[0].selection["chosen"]["validation"] and made[0].selection["folds"]
    assert records.to_json(bench.evaluate(encoder, task, protocol="literature/xares")[0]) == records.to_json(made[0])

    part = task.manifest.copy()
    train = part.index[part["split"] == "train"]
    part.loc[train[::4], "split"] = "val"
    told = bench.evaluate(encoder, dataclasses.replace(task, manifest=part), protocol="literature/xares")[0]
    assert told.selection["chosen"]["validation"] == f"the task's own: {len(train[::4])} of {len(train)} rows"
    assert told.selection["folds"] == {}


@pytest.mark.long
def test_published_protocols_are_listed_run_and_ranked_apart(capsys, simulated, tmp_path):
    assert main(["ls", "protocols"]) == 0
    listed = " ".join(capsys.readouterr().out.split())
    assert all(named.name in listed and named.selection in listed for named in PROTOCOLS)
    names = ["linear", "literature/xares"]
    run = ["run", "--task", "icbhi.cycles2", "--encoder", "fbank.stats", "--no-controls", "--root", str(simulated)]
    assert main([*run, "--out", str(tmp_path), "--protocol", *names]) == 0
    found = records.load_all(tmp_path)
    seeds = {name: sorted(r.spec["seed"] for r in found if r.spec["protocol"] == name) for name in names}
    assert seeds == {"linear": [0], "literature/xares": [42]}
    wide = bench.leaderboard(found)
    ranked = wide[wide["class"] != "control"].set_index("protocol")
    assert ranked["rank"].to_dict() == {"linear": 1, "literature/xares": 1}
    assert ranked["class"].to_dict() == {"linear": "frozen", "literature/xares": "literature"}
    for page in (tmp_path / "leaderboard.md", tmp_path / "tasks" / "icbhi.cycles2.md"):
        assert all(name in page.read_text() for name in names)
    assert main(["verify", str(tmp_path)]) == 0
