"""``--trust-remote-code`` on the command line: every verb that loads encoders takes it, and what ran is in the key."""

import json
import sys

import numpy as np
import pytest
import torch

import bench
from bench import hear
from bench.base.errors import BadInput
from bench.base.optional_imports import import_torchaudio
from bench.cli.main import build_parser, main
from bench.encoders.batches import embed
from bench.encoders.load import load_encoder
from bench.encoders.weights.code import CodeNotTrusted, folder_revision
from bench.finetune import fit
from bench.finetune.training.loop import Training
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
        "finetune --recipe ce-any --task TASK --encoder ID --out OUT",
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
    told = f"revision {OTHER}, which you trust, is not its revision"
    assert told in (error := capsys.readouterr().err) and f"--trust-remote-code {folder_revision(folder)}" in error
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
    assert f"revision {OTHER}, which you trust, is not its revision" in capsys.readouterr().err
    assert main([*command, "--trust-remote-code", revision, "--trust-remote-code", OTHER]) == 1
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


def test_a_hear_module_runs_code_of_a_model_s_own_where_it_is_told_the_revision(folder, tmp_path):
    revision, module = folder_revision(folder), hear.export(f"hf.{folder}")
    with pytest.raises(CodeNotTrusted, match=f"trust_remote_code='{revision}'"):
        module.load_model()
    with pytest.raises(CodeNotTrusted, match=f"{OTHER}, which you trust, is not its revision"):
        module.load_model(trust_remote_code=OTHER)
    with pytest.raises(BadInput, match="no full commit hash"):
        module.load_model(trust_remote_code="main")
    with pytest.raises(BadInput, match=r"no encoder that is asked for \(fbank.stats\) has code of this revision"):
        hear.load_model("fbank.stats", trust_remote_code=OTHER)
    with pytest.raises(BadInput, match=f"name the encoder itself, hf.{folder}"):
        load_encoder(f"hear.{module.__name__}")
    assert not (tmp_path / "ran").exists()
    options = json.loads(json.dumps({"trust_remote_code": revision}))  # as HEAR's kit hands them on
    for path in ((), ("",), (str(folder / "model.safetensors"),)):
        model = module.load_model(*path, **options)
        assert model.encoder.card.code == revision and model.sample_rate == 16000
    audio = 0.1 * torch.rand(2, 8000)
    with torch.no_grad():
        scene = module.get_scene_embeddings(audio, model)
        expected = embed(load_encoder(f"hf.{folder}", trust_remote_code=revision), list(audio.numpy()))
    np.testing.assert_allclose(scene, expected, rtol=1e-5)


@pytest.mark.long
def test_what_ran_is_in_the_key_of_every_record_and_feature(folder, tmp_path, simulated, capsys):
    out, revision = tmp_path / "out", folder_revision(folder)
    run = ["run", "--task", TASK, "--encoder", f"hf.{folder}", "--root", str(simulated), "--out", str(out)]
    assert main([*run, "--workers", "2", "--trust-remote-code", revision]) == 0
    made = {r.key: r.spec for r in records.load_all(out) if f"hf.{folder}" in r.spec["encoder"]}
    assert {spec["encoder"] for spec in made.values()} == {f"hf.{folder}", f"random.hf.{folder}"}
    assert {spec["code"] for spec in made.values()} == {revision}
    specs = [json.loads(path.read_text()) for path in (tmp_path / "cache" / "features").rglob("spec.json")]
    assert sorted(spec.get("code", "") for spec in specs) == ["", revision, revision]  # of the duration, none
    drawn = ["figures", str(out), "--only", "embedding_map", "--root", str(simulated), "--format", "png"]
    assert main(drawn) == 0 and f"--trust-remote-code {revision}" in capsys.readouterr().err
    assert main([*drawn, "--trust-remote-code", OTHER]) == 1
    assert f"no record in {out} is of a model's own code of this revision" in capsys.readouterr().err
    assert main([*drawn, "--trust-remote-code", revision]) == 0
    assert f"own-code-{revision[:8]}" in capsys.readouterr().out
    (folder / "modeling_breath.py").open("a").write("# read again\n")
    changed = folder_revision(folder)
    grid = tmp_path / "grid.toml"
    told = {"trust_remote_code": [changed], "tasks": [TASK], "controls": False, "out": str(out)}
    lines = [f"{name} = {json.dumps(value)}" for name, value in told.items()]
    grid.write_text("\n".join([*lines, "[[encoder]]", f'id = "hf.{folder}"']))
    assert main(["sweep", str(grid), "--root", str(simulated), "--workers", "1"]) == 0
    again = {r.key: r.spec for r in records.load_all(out) if r.spec.get("code") == changed}
    assert len(again) == 1 and not again.keys() & made.keys()
    names = [f"hf.{folder} [own code {each[:8]}]" for each in (revision, changed)]
    capsys.readouterr()
    assert (
        main(["compare", f"hf.{folder}", "control.majority", "--in", str(out), "--protocol", "linear", "control"]) == 2
    )
    told = capsys.readouterr().err
    assert all(f"{name}:mean:-1" in told for name in names)
    assert main(["compare", *names, "--in", str(out)]) == 0


@pytest.fixture
def stopping(monkeypatch):
    """Lets Ctrl-C end every training before its second epoch, until it is undone."""
    epoch = Training._epoch

    def first_alone(training, number, tick):
        if number:
            raise KeyboardInterrupt
        epoch(training, number, tick)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_epoch", first_alone)
        yield patch


@pytest.mark.long
def test_a_run_of_fine_tuning_is_of_one_revision_from_its_trial_to_its_report(
    folder, tmp_path, simulated, capsys, stopping
):
    out, code, id = tmp_path / "out", folder / "modeling_breath.py", f"hf.{folder}"
    command = ["finetune", "--recipe", "ce-any", "--encoder", id, "--task", TASK, "--root", str(simulated)]
    command += ["--epochs", "2", "--seeds", "0"]
    first, text, keeping = folder_revision(folder), code.read_text(), ["--out", str(out), "--keep-weights"]
    assert main([*command, *keeping, "--trust-remote-code", first]) == 130
    (begun,) = (out / "training").iterdir()
    state = (begun / "state.pt").read_bytes()
    stopping.undo()
    code.write_text(text + "# another version\n")
    second = folder_revision(folder)
    assert main([*command, *keeping, "--trust-remote-code", first]) == 1
    assert f"revision {first}, which you trust, is not its revision" in capsys.readouterr().err
    assert main([*command, "--trial", "--trust-remote-code", second]) == 0
    assert main([*command, *keeping, "--literature", "--trust-remote-code", second]) == 0
    assert (begun / "state.pt").read_bytes() == state  # the other's run does not go on
    assert {r.spec.get("code") for r in records.load_all(out) if r.spec["encoder"] == id} == {second}
    code.write_text(text)
    capsys.readouterr()
    for _ in range(2):  # goes on to its end, then is there already
        assert main([*command, *keeping, "--trust-remote-code", first]) == 0
        made = [r for r in records.load_all(out) if r.spec["encoder"] == id]
        assert sorted((r.spec["code"] == second, r.spec["protocol"]) for r in made) == [
            (False, "finetune"),
            (False, "finetune/best-test-epoch"),
            (True, "finetune"),
            (True, "finetune/best-test-epoch"),
            (True, "literature/best-test-epoch"),
        ]
    assert (begun / "state.pt").read_bytes() != state
    report = capsys.readouterr().out
    assert all(f"| {id} [own code {revision[:8]}]" in report for revision in (first, second))
    assert main([*command, *keeping]) == 1 and "is not run unasked" in capsys.readouterr().err
    assert main(["leaderboard", str(out)]) == main(["verify", str(out)]) == 0
