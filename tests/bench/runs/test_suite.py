"""Suites whose data are at hand in part: what is absent is listed with its reason, and what can be run is run."""

import json

import pytest
import torch

from bench.base.errors import BadInput, CheckpointError
from bench.cli.main import main
from bench.encoders.features import ahead, blocks
from bench.runs.choices import EncoderChoice
from bench.runs.context import BoardNotes
from bench.runs.suite import run_suite
from bench.scores import records

RUN = ["run", "--encoder", "meta.duration", "--no-controls"]


@pytest.mark.long
def test_a_suite_lists_tasks_without_data_and_goes_on(simulated, tmp_path, capsys):
    command = [*RUN, "--suite", "quick", "--root", str(simulated / "ICBHI"), "--out", str(tmp_path)]
    assert main(command) == 0
    assert "sprsound.events2: left out: " in capsys.readouterr().err
    overview = (tmp_path / "leaderboard.md").read_text()
    assert "- sprsound.events2: **no data at hand**: holds no copy of the corpus" in overview
    assert str(simulated) not in overview
    assert list(BoardNotes.read(tmp_path).absent_tasks) == ["sprsound.events2"]
    assert main(["leaderboard", str(tmp_path), "--json"]) == 0
    assert "sprsound.events2" in json.loads(capsys.readouterr().out)["absent_tasks"]
    assert main(["verify", str(tmp_path)]) == 0

    command[command.index("--root") + 1] = str(simulated)  # the other corpus has arrived
    assert main(command) == 0
    assert "no data at hand" not in (tmp_path / "leaderboard.md").read_text()


def test_a_task_asked_for_by_name_must_have_data(simulated, tmp_path, capsys):
    folder = ["--root", str(simulated / "ICBHI"), "--out", str(tmp_path)]
    for named in (["--task", "sprsound.events2"], ["--suite", "quick", "--task", "sprsound.events2"]):
        assert main([*RUN, *named, *folder]) == 1
        assert "sprsound.events2" in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.mark.parametrize("suite", ["quick", "ood"])
def test_a_suite_of_which_nothing_is_at_hand_is_refused(suite, tmp_path, capsys):
    (tmp_path / "data").mkdir()
    command = [*RUN, "--suite", suite, "--root", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    assert main(command) == 1
    assert "holds no copy of the corpus" in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.long
def test_several_devices_give_the_records_of_one(simulated, tmp_path, monkeypatch):
    """The CPU stands for two devices; each encodes in a process of its own."""
    monkeypatch.setattr(ahead, "WORTH_S", 0.0)
    monkeypatch.setattr(blocks.cut, "__defaults__", (10.0,))  # several blocks
    seen, run = [], ahead.assigned.run
    monkeypatch.setattr(ahead.assigned, "run", lambda *given: seen.append(given) or run(*given))
    found = []
    for device in ("cpu", "cpu,cpu"):
        monkeypatch.setenv("RESPBENCH_CACHE", str(tmp_path / device))
        out = tmp_path / f"out-{device}"
        run_suite(["icbhi.cycles4"], [EncoderChoice("fbank.stats")], out, root=simulated, device=device, controls=False)
        found.append({path.name: path.read_bytes() for path in out.rglob("*.csv.gz")})
    ((_, todo, devices, *_),) = seen
    assert devices == ("cpu", "cpu") and len(todo) > 4
    assert found[0] and found[0] == found[1]


def test_a_device_of_several_that_is_not_there_is_refused_before_anything_is_computed(simulated, tmp_path):
    with pytest.raises(BadInput, match="device abacus"):
        run_suite(
            ["icbhi.cycles4"], [EncoderChoice("fbank.stats")], tmp_path / "out", root=simulated, device="cpu,abacus"
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.long
def test_a_checkpoint_that_does_not_fit_is_refused_before_anything_is_computed(simulated, tmp_path):
    torch.save({"fc.weight": torch.ones(2, 2)}, tmp_path / "own.pt")
    asked = ["fbank.stats", f"efficientat.mn04={tmp_path / 'own.pt'}"]
    choices = [EncoderChoice.parse(text) for text in asked]
    with pytest.raises(CheckpointError, match="lacks the tensors of a MobileNetV3 tagger"):
        run_suite(["icbhi.cycles2"], choices, tmp_path / "out", root=simulated)
    assert not (tmp_path / "out").exists()


def test_weights_of_ones_own_are_told_from_released_ones():
    assert EncoderChoice.parse("efficientat.mn04=there.pt").of_ones_own
    assert not any(EncoderChoice(id).of_ones_own for id in ("efficientat.mn04", "whisper.base@short", "fbank.stats"))


def test_a_damaged_record_is_made_again_and_the_others_are_kept(simulated, tmp_path, capsys):
    command = [*RUN, "--task", "icbhi.cycles2", "--root", str(simulated), "--out", str(tmp_path)]
    assert main(command) == 0
    assert "3 records made, 0 were there already" in capsys.readouterr().err
    whole = {path: path.read_bytes() for path in records.paths(tmp_path)}
    for damaged in (path for path, content in whole.items() if b"meta.duration" in content or b"chance" in content):
        damaged.write_text("{}")
    assert main(command) == 0
    errors = capsys.readouterr().err
    assert errors.count("not counted as done: ") == 2 and "2 records made, 1 were there already" in errors
    assert {path: path.read_bytes() for path in records.paths(tmp_path)} == whole


def test_what_is_asked_for_twice_is_run_once(simulated, tmp_path):
    choice = EncoderChoice.parse("meta.duration")
    outcome = run_suite(["icbhi.cycles2"], [choice, choice], tmp_path, root=simulated, seeds=(1, 1), controls=False)
    assert len(outcome.made) == 3 and not outcome.kept  # and the two label-only controls


@pytest.mark.long
def test_an_estimate_says_what_is_to_be_done_and_writes_nothing(simulated, tmp_path):
    said = []
    out = tmp_path / "out"
    done = run_suite(
        ["icbhi.cycles2"], [EncoderChoice("fbank.stats")], out, root=simulated, estimate_only=True, say=said.append
    )
    assert not done.made and not out.exists()
    assert any(line.startswith("2 jobs to do, 0 done; about") for line in said), said
