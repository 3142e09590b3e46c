import json
import os
import resource
import subprocess
import sys

import pytest

from bench.cli.main import main
from bench.data import manifest


def test_wrong_ids_exit_with_2_and_one_line_that_suggests(capsys, tmp_path):
    for command, hint in (
        (["check", "icbhi.cycle4"], "icbhi.cycles4"),
        (["check", "fbank.stat"], "fbank.stats"),
        (["check", "efficentat.mn04"], "efficientat.mn04"),
        (["check"], "--all"),
        (["check", "fbank.stats", "--all"], "--all"),
        (["fetch", "efficientat.mn4"], "efficientat.mn04"),
        (["fetch", "fbank.stats"], "needs no weights"),
        (["run", "--task", "icbhi.cycles4", "--encoder", "fbank.stat", "--out", str(tmp_path)], "fbank.stats"),
        (["run", "--suite", "quik", "--encoder", "fbank.stats", "--out", str(tmp_path)], "quick"),
        (["run", "--task", "icbhi.cycles4", "--encoder", "fbank.stats:men", "--out", str(tmp_path)], "pooling"),
        (["encode", "icbhi.cycles4", "--encoder", "efficientat.mn4"], "efficientat.mn04"),
        (["score", "--task", "sprsound.event2", "x.csv"], "sprsound.events2"),
        (["run", "--encoder", "fbank.stats", "--out", str(tmp_path)], "--suite or --task"),
        (["check", "icbhi.cycles4@fold9"], "variant"),
        (["encode", "icbhi.cycles4", "--encoder", "random.efficientat.mn4"], "random.efficientat.mn04"),
        (["encode", "icbhi.cycles4", "--encoder", "whisper.base", "--layers", "6"], "layer"),
    ):
        assert main(command) == 2, command
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1 and hint in lines[0], lines


@pytest.mark.parametrize(("command", "hint"), [(["chek", "x"], "check"), (["ls", "encodrs"], "encoders")])
def test_a_wrong_word_is_refused_like_a_wrong_id(command, hint, capsys):
    with pytest.raises(SystemExit) as stop:
        main(command)
    lines = capsys.readouterr().err.strip().splitlines()
    assert stop.value.code == 2 and len(lines) == 1 and f"did you mean '{hint}'" in lines[0]


@pytest.mark.long
def test_a_device_that_is_not_there_is_refused_before_anything_is_computed(capsys, simulated, tmp_path):
    command = ["run", "--task", "icbhi.cycles2", "--encoder", "fbank.stats", "--root", str(simulated)]
    assert main([*command, "--device", "abacus", "--out", str(tmp_path)]) == 1
    assert "abacus" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_every_board_holds_duration_and_the_twins_of_what_was_asked(simulated, tmp_path, capsys, monkeypatch):
    from bench.runs import choices

    monkeypatch.setattr("bench.encoders.weights.find.find", lambda card, weights=None: tmp_path)
    parsed = [choices.EncoderChoice.parse(text) for text in ("fbank.stats:[mean,std],max", "efficientat.mn04:freq")]
    assert parsed[0].poolings == ("[mean,std]", "max")
    ids = [(choice.id, choice.poolings) for choice in choices.with_controls(parsed)]
    assert ids[1:] == [("efficientat.mn04", ("freq",)), ("random.efficientat.mn04", ("freq",)), ("meta.duration", ())]


@pytest.mark.long
def test_one_results_folder_holds_one_copy_of_the_data(simulated, tmp_path, capsys):
    import shutil

    copy = shutil.copytree(simulated / "ICBHI", tmp_path / "data" / "ICBHI")
    command = ["run", "--task", "icbhi.cycles2", "--encoder", "meta.duration", "--out", str(tmp_path / "out")]
    assert main([*command, "--root", str(copy)]) == 0
    next(copy.rglob("*.wav")).unlink()
    capsys.readouterr()
    assert main([*command, "--root", str(copy)]) == 1
    assert "different data" in capsys.readouterr().err
    assert main(["verify", str(tmp_path / "out")]) == 0


def test_absent_data_and_weights_exit_with_1_and_say_what_to_do(capsys, tmp_path, simulated, monkeypatch):
    monkeypatch.delenv("RESPBENCH_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    assert main(["check", "icbhi.cycles4"]) == 1
    assert "RESPBENCH_DATA" in capsys.readouterr().err
    command = ["run", "--task", "icbhi.cycles4", "--encoder", "ast.base", "--root", str(simulated)]
    assert main([*command, "--out", str(tmp_path / "out")]) == 1
    assert "ast.base" in capsys.readouterr().err


def test_ls_lists_everything_as_table_and_json(capsys):
    assert main(["ls"]) == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("efficientat.mn04", "icbhi.cycles4", "quick"))
    for what in ("encoders", "tasks", "suites", "protocols"):
        assert main(["ls", what, "--json"]) == 0
        assert next(iter(json.loads(capsys.readouterr().out)[0].values()))


@pytest.mark.slow
@pytest.mark.parametrize("command", [["--help"], ["ls"], ["ls", "encoders", "--json"]])
def test_help_and_ls_answer_within_half_a_second(command):
    def used() -> float:  # processor time: other work on the machine is not ours
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        return spent.ru_utime + spent.ru_stime

    before = used()
    done = subprocess.run([sys.executable, "-m", "bench.cli.main", *command], check=True, capture_output=True)
    assert used() - before < 0.5 and done.stdout


def test_check_prints_counts_and_findings_as_json(capsys, simulated):
    assert main(["check", "icbhi.cycles4", "--root", str(simulated), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["state"] == "simulated" and report["ok"]
    assert (
        sum(report["splits"]["train"][c] for c in ("normal", "crackle", "wheeze", "both"))
        == (report["splits"]["train"]["clips"])
    )
    assert main(["check", "icbhi.cycles4", "--root", str(simulated)]) == 0
    assert "simulated" in capsys.readouterr().out


def test_check_takes_an_encoder_and_prints_how_far_batching_changes_it(capsys):
    assert main(["check", "fbank.stats"]) == 0
    text = capsys.readouterr().out
    assert "fbank.stats" in text and "holds" in text and "e" in text.split("|")[-3]
    assert main(["check", "meta.duration", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] and report["invariance"] == 0.0 and report["problems"] == []


def test_check_all_exits_with_1_on_a_violation_and_lists_what_it_could_not_check(capsys, monkeypatch):
    rows = {
        "fbank.stats": ("holds", 1e-6),
        "meta.duration": ("violated", 0.5),
        "opensmile.emobase": ("not checked", None),
    }
    found = [
        {"id": id, "verdict": verdict, "weights": "", "why": "w", "invariance": gap, "problems": ["p"], "wall_s": 1.0}
        for id, (verdict, gap) in rows.items()
    ]
    monkeypatch.setattr("bench.encoders.check.check_encoders", lambda *given: [given[2](row) or row for row in found])
    assert main(["check", "--all"]) == 1
    text, told = capsys.readouterr()
    assert [line.partition(",")[0] for line in told.splitlines()] == [f"{id}: {rows[id][0]}" for id in rows]
    assert "5.0e-01" in text and "opensmile.emobase: not checked, w" in text and "meta.duration: p" in text
    del found[1]
    assert main(["check", "--all", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"ok": True, "encoders": found}


def test_a_restrictive_licence_is_shown_and_agreed_to_once(capsys, tmp_path, simulated, monkeypatch):
    import torch

    monkeypatch.setenv("RESPBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RESPBENCH_ACCEPT_LICENCE", raising=False)
    torch.save({"a": torch.zeros(1)}, tmp_path / "pretrained.pth")
    fetch = ["fetch", "audiomae.base", "--from", str(tmp_path / "pretrained.pth")]
    assert main(fetch) == 1
    told = capsys.readouterr().err
    assert "CC-BY-NC 4.0" in told and "--accept-licence" in told
    assert main([*fetch, "--accept-licence"]) == 0
    told = capsys.readouterr()
    assert "CC-BY-NC 4.0" in told.err and "trusted on this first use" in told.err
    assert told.out.strip().endswith("pretrained.pth") and str(tmp_path / "cache") in told.out
    assert main(fetch) == 0  # agreed to before
    assert "as pinned on first use" in capsys.readouterr().err

    (tmp_path / "cache" / "licences.json").unlink()
    run = ["run", "--task", "icbhi.cycles2", "--encoder", "audiomae.base", "--root", str(simulated)]
    run += ["--out", str(tmp_path / "out")]
    assert main(run) == 1
    assert "--accept-licence" in capsys.readouterr().err
    assert main([*run, "--accept-licence"]) == 1  # agreed to, and then refused as no weights of AudioMAE
    told = capsys.readouterr().err
    assert "agreed to the licence: CC-BY-NC 4.0" in told and "pretrained.pth" in told


def test_fetch_tells_both_digests_where_a_release_changed(capsys, tmp_path, monkeypatch):
    import torch

    monkeypatch.setenv("RESPBENCH_CACHE", str(tmp_path / "cache"))
    fetch = ["fetch", "atst.frame", "--from", str(tmp_path / "atstframe_base.ckpt")]
    for value, status in ((0.0, 0), (1.0, 1)):
        torch.save({"a": torch.full((1,), value)}, tmp_path / "atstframe_base.ckpt")
        assert main(fetch) == status
    assert "SHA-256 is" in (told := capsys.readouterr().err) and "was pinned on first use" in told
    assert main([*fetch, "--repin"]) == 0


@pytest.mark.long
def test_run_lists_absent_encoders_and_a_second_run_makes_nothing(capsys, simulated, tmp_path, monkeypatch):
    monkeypatch.setenv("RESPBENCH_DATA", str(simulated))
    monkeypatch.delenv("RESPBENCH_WEIGHTS", raising=False)
    command = ["run", "--suite", "quick", "--encoder", "meta.duration", "ast.base", "--skip-absent"]
    command += ["--out", str(tmp_path), "--title", "A board"]
    assert main(command) == 0
    first = capsys.readouterr()
    assert "not a medical device" in first.out.lower() and "simulated" in first.out.lower()
    assert main(command) == 0
    assert "0 records made" in capsys.readouterr().err
    overview = (tmp_path / "leaderboard.md").read_text()
    assert overview.startswith("# A board") and "**not at hand**" in overview and "Made by" in overview
    assert main(["leaderboard", str(tmp_path), "--json"]) == 0
    board = json.loads(capsys.readouterr().out)
    assert {row["encoder"] for row in board["rows"]} == {"meta.duration", "control.chance", "control.majority"}
    assert all(cell["low"] <= cell["value"] <= cell["high"] and cell["n"] for cell in board["cells"])
    assert "ast.base" in board["absent"]


def test_encode_writes_features_and_their_clips_in_one_order(simulated, tmp_path, capsys):
    command = ["encode", "icbhi.cycles4", "--encoder", "meta.duration", "--root", str(simulated)]
    assert main([*command, "--out", str(tmp_path), "--json"]) == 0
    import numpy as np
    import pandas as pd

    facts = json.loads(capsys.readouterr().out)
    clips = pd.read_csv(tmp_path / "clips.csv")
    features = np.load(next(tmp_path.glob("*.npy")))
    np.testing.assert_allclose(features[:, 0], np.log(clips["end_s"] - clips["start_s"]), atol=1e-3)
    assert facts["clips"] == len(clips) and list(clips) == list(manifest.COLUMNS)


@pytest.mark.long
def test_the_doctor_reports_versions_data_and_weights(capsys, simulated, monkeypatch):
    monkeypatch.setenv("RESPBENCH_DATA", str(simulated))
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["torchaudio"] in ("native", "python-only")
    assert report["data"]["icbhi.cycles4"].startswith("simulated")
    assert {"ast.base", "efficientat.mn04", "whisper.base"} <= set(report["weights"])


@pytest.mark.long
def test_nothing_is_drawn_where_no_terminal_watches(simulated, tmp_path):
    command = [sys.executable, "-m", "bench.cli.main", "encode", "icbhi.cycles4", "--encoder", "meta.duration"]
    done = subprocess.run(
        [*command, "--root", str(simulated)],
        env=os.environ | {"RESPBENCH_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
