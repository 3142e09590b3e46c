"""``--trust-remote-code`` on the command line: every verb that loads encoders takes it, and what ran is in the key."""

import json
import sys

import pytest

import bench
from bench import hear
from bench.base.errors import BadInput
from bench.base.optional_imports import import_torchaudio
from bench.cli.main import build_parser, main
from bench.encoders.load import load_encoder
from bench.encoders.weights.code import CodeNotTrusted, folder_revision
from bench.finetune import fit
from bench.scores import records
from own_code import write_model
from toy_finetune import tiny

TASK = "icbhi.cycles2"
OTHER = "0" * 40


@pytest.fixture
def folder(tmp_path, monkeypatch):
    import_torchaudio()
    import transformers.dynamic_module_utils as dynamic

    monkeypatch.setattr(dynamic, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "transformers_modules"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setenv("RESPBENCH_CACHE", str(tmp_path / "cache"))
    return write_model(tmp_path / "breath", tmp_path / "ran")


@pytest.mark.parametrize(
    "words",
    [
        "check ID",
        "encode TASK --encoder ID",
        "run --task TASK --encoder ID --out OUT",
        "sweep --task TASK --encoder ID --out OUT",
        "ood --task transfer.icbhi-sprsound --encoder ID --out OUT",
        "audit TASK --encoder ID",
        "finetune --recipe ce --task TASK --encoder ID --out OUT",
    ],
)
def test_every_verb_that_loads_encoders_takes_it_and_refuses_what_is_no_revision_of_theirs(
    words, folder, tmp_path, simulated, capsys
):
    named = {"ID": f"hf.{folder}", "TASK": TASK, "OUT": str(tmp_path / "out")}
    command = [named.get(word, word) for word in words.split()] + ["--root", str(simulated)]
    assert main(command) == 1
    assert f"--trust-remote-code {folder_revision(folder)}" in capsys.readouterr().err
    assert main([*command, "--trust-remote-code", "main"]) == 1
    assert "is no full commit hash" in capsys.readouterr().err
    assert main([*command, "--trust-remote-code", OTHER]) == 1
    assert f"no encoder that is asked for (hf.{folder}) has code of this revision" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()
    assert build_parser().parse_args([*command, "--trust-remote-code", OTHER]).trust_remote_code == [OTHER]


PLAIN = "epochs = 1\n[encoder]\nnorm = 'train'\n[optimiser]\nlr = 1e-3\n[batches]\nsize = 64\ncrop_s = 0.5\n"


@pytest.fixture
def lessons(folder, tmp_path, simulated):
    """A student's recipe, whose teacher is a run of the model with code of its own."""
    (tmp_path / "plain.toml").write_text(PLAIN)
    encoder = load_encoder(f"hf.{folder}", trust_remote_code=folder_revision(folder))
    fit(encoder, bench.load_task(TASK, simulated), tmp_path / "plain.toml", 0, out=tmp_path / "school", keep=True)
    student = tmp_path / "student.toml"
    student.write_text(f"{PLAIN}[distillation]\nteachers = [{json.dumps(str(tmp_path / 'school'))}]\n")
    (tmp_path / "ran").unlink()
    return student


def test_a_teacher_s_code_runs_where_it_is_trusted_and_not_else(lessons, folder, tmp_path, simulated, capsys):
    revision, root = folder_revision(folder), ["--root", str(simulated)]
    command = ["finetune", "--recipe", str(lessons), "--encoder", "scratch.cnn6", "--task", TASK, "--seeds", "0"]
    command += ["--trial", *root]
    assert main(command) == 1
    assert f"--trust-remote-code {revision}" in capsys.readouterr().err and not (tmp_path / "ran").exists()
    assert main([*command, "--trust-remote-code", OTHER]) == 1
    assert f"no encoder that is asked for (scratch.cnn6, hf.{folder})" in capsys.readouterr().err
    assert main([*command, "--trust-remote-code", revision]) == 0
    task = bench.load_task(TASK, simulated)
    with pytest.raises(CodeNotTrusted, match=revision):
        fit(tiny(), task, lessons, 0)
    (record, _) = fit(tiny(), task, lessons, 0, trust_remote_code=revision).records
    assert len(record.spec["teachers"]) == 1
    (folder / "modeling_breath.py").open("a").write("# another version\n")
    with pytest.raises(BadInput, match=r"other code of hf.*train it again"):
        fit(tiny(), task, lessons, 0, trust_remote_code=folder_revision(folder))


def test_the_hear_api_has_no_place_for_code_of_a_model_s_own(folder, tmp_path):
    with pytest.raises(BadInput, match="the HEAR API has no place to say that it may run"):
        hear.load_model(f"hf.{folder}")
    assert not (tmp_path / "ran").exists()


@pytest.mark.long
def test_what_ran_is_in_the_key_of_every_record_and_feature(folder, tmp_path, simulated):
    out, revision = tmp_path / "out", folder_revision(folder)
    run = ["run", "--task", TASK, "--encoder", f"hf.{folder}", "--root", str(simulated), "--out", str(out)]
    assert main([*run, "--workers", "2", "--trust-remote-code", revision]) == 0
    made = {r.key: r.spec for r in records.load_all(out) if f"hf.{folder}" in r.spec["encoder"]}
    assert {spec["encoder"] for spec in made.values()} == {f"hf.{folder}", f"random.hf.{folder}"}
    assert {spec["code"] for spec in made.values()} == {revision}
    specs = [json.loads(path.read_text()) for path in (tmp_path / "cache" / "features").rglob("spec.json")]
    assert sorted(spec.get("code", "") for spec in specs) == ["", revision, revision]  # of the duration, none
    (folder / "modeling_breath.py").open("a").write("# read again\n")
    changed = folder_revision(folder)
    grid = tmp_path / "grid.toml"
    told = {"trust_remote_code": [changed], "tasks": [TASK], "controls": False, "out": str(out)}
    lines = [f"{name} = {json.dumps(value)}" for name, value in told.items()]
    grid.write_text("\n".join([*lines, "[[encoder]]", f'id = "hf.{folder}"']))
    assert main(["sweep", str(grid), "--root", str(simulated), "--workers", "1"]) == 0
    again = {r.key: r.spec for r in records.load_all(out) if r.spec.get("code") == changed}
    assert len(again) == 1 and not again.keys() & made.keys()
