import json
import shutil

import numpy as np
import pytest
import soundfile

import tiny_corpora
from bench import simulate
from bench.base.errors import BadInput, UnknownId
from bench.cli.main import main
from bench.data.manifest import load_task, prepare
from bench.reports.audit.report import render_audit, resolution_section, split_table, stale_audits, write_audit
from bench.runs.audit.audit import ALL, HERE, audit
from bench.runs.choices import EncoderChoice
from bench.scores.printed import BLANK


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory):
    """A simulated ICBHI with a full device shortcut and leaked patients, in which a test recording is the copy of a
    training one, with a cycle that overlaps another and one that is too short."""
    root = tmp_path_factory.mktemp("spoilt")
    facts = simulate.icbhi(root / "ICBHI", patients=16, cycles=3, cycle_s=0.8, shortcut=1.0, leak=0.3, seed=1)
    folder = root / "ICBHI" / "ICBHI_final_database"
    lines = (root / "ICBHI" / "ICBHI_challenge_train_test.txt").read_text().splitlines()
    halves = dict(line.split("\t") for line in lines)
    first = {half: min(name for name, of in halves.items() if of == half) for half in ("train", "test")}
    shutil.copy(folder / f"{first['train']}.wav", folder / f"{first['test']}.wav")
    (folder / f"{first['test']}.txt").write_text("0.0\t1.0\t0\t0\n0.5\t1.5\t1\t0\n1.5\t1.6\t0\t1\n")
    return root, facts


@pytest.fixture(scope="module")
def audited(spoilt):
    return audit("icbhi.cycles2", spoilt[0], "fbank.stats", resamples=50)


def codes(audited):
    return {finding.code for finding in audited.findings}


@pytest.mark.long
def test_everything_that_was_planted_is_found(audited, spoilt):
    facts = audited.facts
    assert set(facts["shared"]["test"]["named"]) == set(spoilt[1]["leaked_patients"])
    (copy,) = facts["duplicates"]["identical"]
    assert copy["across"] and facts["duplicates"]["similar"] == []
    assert facts["annotations"]["overlaps"]["count"] == 1 and facts["annotations"]["short"]["count"] == 1
    assert {"shared-groups", "identical-audio", "overlapping", "short-clips", "shortcut", "nuisance"} <= codes(audited)
    assert audited.findings[0].level == "error"
    rows = {row["name"]: row["tests"] for row in facts["shortcuts"][HERE]}
    assert rows["device"]["corrected"]["auroc"]["value"] > 0.6
    assert {"level", "silence", "bandwidth", "duration", "sampling_rate", "file_name", "fbank.stats"} <= set(rows)
    leaked = len(spoilt[1]["leaked_patients"])
    assert facts["marks"]["corrected"][:2] == [f"{leaked} patients in train", "sound of 1 recording in train"]


def test_reports_are_whole_and_json_ready(audited):
    text = render_audit(audited.facts, audited.task.card)
    assert json.loads(json.dumps(audited.facts)) == audited.facts
    for heading in ("Findings", "Splits", "same sound twice", "Annotations", "What predicts", "tell", "smallest"):
        assert any(line.startswith("#") and heading in line for line in text.splitlines()), heading
    assert "not a medical device" in text.lower() and "nan" not in text.lower()
    assert {"clip_id", "group", "y_true", "s_1"} <= set(audited.predictions[HERE, "device"])


def test_what_cannot_be_told_is_said(audited):
    facts = audited.facts
    splits = split_table(facts, "recording")
    assert "recordings | recordings" not in splits and "nobody can tell who is on both sides" in splits
    assert "| patients |" in split_table(facts, "patient")
    assert "Fewer than 30 patients: read little into" in render_audit(audited.facts, audited.task.card)
    alike = {"test": "t", "metric": "uar", "system": "a", "other": "b", "difference": None, "low": None, "high": None}
    (_, _, table) = resolution_section([alike | {"resolved": 0.0, "found": 0.0}], "patient")
    assert table.splitlines()[-1].count(BLANK) == 3


def test_annotations_without_audio(tmp_path):
    for path in tiny_corpora.icbhi(tmp_path).glob("*.wav"):
        path.unlink()
    made = audit("icbhi.cycles4", tmp_path, "fbank.stats", resamples=20)
    assert list(made.facts["shortcuts"]) == [ALL] and made.facts["nuisance"] == {}
    text = render_audit(made.facts, made.task.card)
    assert "Annotations alone" in text and "No audio is here to compare" in text


def test_part_of_the_audio_gives_both_views(tmp_path):
    folder = tiny_corpora.icbhi(tmp_path, simulated=True)
    (folder / "101_1b1_Al_sc_Meditron.wav").unlink()
    (folder / "156_8b3_Al_mc_AKGC417L.wav").write_bytes(b"not a sound")
    made = audit("icbhi.cycles2", tmp_path, reference=None, resamples=20)
    assert list(made.facts["shortcuts"]) == [ALL, HERE] and "audio" in codes(made)
    assert made.facts["duplicates"]["compared"] == 3


def test_tables_without_classes_are_audited(tmp_path):
    made = audit("kauh.obstructive", tmp_path, resamples=20)
    assert made.facts["shared"] == {} and "stethoscope_filter" in render_audit(made.facts, made.task.card)


def test_silence_and_a_single_class_are_survived(tmp_path):
    corpus = tiny_corpora.sprsound(tmp_path)
    for path in corpus.rglob("*.wav"):
        soundfile.write(path, np.zeros(16000), 8000)
    made = audit("sprsound.records3", tmp_path, resamples=20)
    assert {"identical-audio", "silent-clips"} <= codes(made)
    assert "Nothing could be fitted" in render_audit(made.facts, made.task.card)


def test_short_recordings_are_audited_where_a_run_takes_them(tmp_path):
    path = min(tiny_corpora.sprsound(tmp_path).rglob("*.wav"))
    path.write_bytes(path.read_bytes()[:-8000])
    results = prepare(load_task("sprsound.records3", tmp_path), "keep-short")
    made = audit("sprsound.records3", tmp_path, reference=None, resamples=20, on_bad_clip="keep-short")
    (warning,) = (finding for finding in made.findings if finding.code == "short")
    assert warning.level == "warning" and path.name in warning.where
    assert (made.facts["on_bad_clip"], made.facts["digest"]) == ("keep-short", results.digest)
    assert "hold less than their headers promise" in render_audit(made.facts, made.task.card)
    without = audit("sprsound.records3", tmp_path, reference=None, resamples=20)
    assert without.facts["digest"] != results.digest
    assert "hold less than their headers promise" not in render_audit(without.facts, without.task.card)


def test_data_without_a_usable_clip_are_refused_with_the_first_fault(tmp_path):
    simulate.icbhi(tmp_path / "ICBHI", patients=10, cycles=2, cycle_s=0.5, seed=4)
    for path in tmp_path.rglob("*.wav"):
        path.write_bytes(b"<!DOCTYPE html><html>Sign in")
    with pytest.raises(BadInput, match=r"none of its clips is usable; the first fault: .*\.wav: .* it is a web page"):
        audit("icbhi.cycles2", tmp_path)


def test_the_command_writes_reports(tmp_path, capsys):
    tiny_corpora.sprsound(tmp_path)
    words = ["audit", "sprsound.records3", "--root", str(tmp_path)]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"sprsound.records3.md", "sprsound.records3.json"}
    capsys.readouterr()
    path = min(tmp_path.rglob("*.wav"))
    path.write_bytes(path.read_bytes()[:-8000])
    assert main([*words, "--json", "--on-bad-clip=keep-short"]) == 0
    assert json.loads(capsys.readouterr().out)["on_bad_clip"] == "keep-short"
    assert main(["check", *words[1:]]) == 1 and main(["check", *words[1:], "--on-bad-clip=keep-short"]) == 0
    capsys.readouterr()
    assert main(words) == 0 and capsys.readouterr().out.startswith("# Audit of sprsound.records3")
    assert main([*words, "--encoder", "meta.level", "fbank.stats:mean,meen"]) == 2
    assert "meen" in capsys.readouterr().err
    assert main(["audit", "sprsound.recordz", "--root", str(tmp_path)]) == 2
    assert "sprsound.records5" in capsys.readouterr().err


def test_several_encoders_and_poolings_are_tried_for_rounding_and_held_to_their_files(simulated, tmp_path):
    choices = [EncoderChoice.parse(text) for text in ("meta.duration:mean,published", "meta.level")]
    made = audit("icbhi.cycles4", simulated, choices, reference=None, resamples=10, some=5)
    rows = [(row["encoder"], row["pooling"]) for row in made.facts["sensitivity"]]
    assert rows == [("meta.duration", "mean"), ("meta.duration", "published"), ("meta.level", "published")]
    assert list(made.facts["nuisance"]) == ["duration"]  # the first encoder's own embedding
    folder = tmp_path / "audit"
    _, data, *files = write_audit(folder, made.facts, made.task.card)
    named = ["meta.duration.mean.json", "meta.duration.published.json", "meta.level.published.json"]
    assert [file.name for file in files] == named and stale_audits(tmp_path) == []
    files[1].write_text(files[1].read_text().replace("1", "2", 1))
    assert [line.partition(":")[0] for line in stale_audits(tmp_path)] == [str(files[1])]
    data.write_text(json.dumps(made.facts | {"sensitivity": made.facts["sensitivity"][0]}))
    assert "its sensitivity is of one pooling alone, as it was before: make it again" in stale_audits(tmp_path)[0]


def test_an_encoder_that_is_named_twice_is_refused(simulated):
    choices = [EncoderChoice.parse(f"meta.duration:{pooling}") for pooling in ("mean", "published")]
    with pytest.raises(BadInput, match=r"named twice; name its poolings together: meta\.duration:POOLING,POOLING"):
        audit("icbhi.cycles4", simulated, choices, reference=None)


def test_unknown_tasks_and_absent_data_are_refused(tmp_path):
    with pytest.raises(UnknownId):
        audit("icbhi.cycles5", tmp_path)
    with pytest.raises(BadInput, match="no copy"):
        audit("icbhi.cycles4", tmp_path)
