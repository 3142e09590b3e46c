"""The verb ``finetune`` on a simulated corpus, with an untrained network of released geometry."""

import json

import pytest

import bench
from bench import simulate
from bench.base.settings import plain
from bench.cli.main import main
from bench.data.manifest import prepare
from bench.finetune import suite
from bench.finetune.methods import METHODS, default_options
from bench.finetune.recipe import RECIPE_FOLDER, load_recipe
from bench.finetune.training.loop import TrainingDiverged
from bench.publish.page import PAGE, stale_page
from bench.runs import evaluate
from bench.scores import records


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("few")
    simulate.icbhi(folder / simulate.ICBHI, patients=20, clips=40, cycle_s=0.5, devices=("Litt3200",))
    return folder


@pytest.fixture
def quick(tmp_path):
    path = tmp_path / "quick.toml"
    path.write_text("epochs = 1\n[encoder]\ntrain = 'none'\n[batches]\nsize = 8\n")
    return str(path)


ASKED = ["--encoder", "random.efficientat.mn04", "--task", "icbhi.cycles2"]


@pytest.mark.long
def test_finetune_estimates_runs_reports_and_verifies(root, quick, tmp_path, capsys):
    command = ["finetune", "--recipe", quick, *ASKED, "--root", str(root), "--seeds", "0", "1"]
    assert main([*command, "--estimate"]) == 0
    told = capsys.readouterr().out
    assert "x 2 seeds" in told and "device-hours" in told and "icbhi.cycles2  random.efficientat.mn04  quick" in told
    out = tmp_path / "out"
    assert main([*command, "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert "finetune.md" in said.out and "finetune/best-test-epoch" in said.err
    protocols = sorted(record.spec["protocol"] for record in records.load_all(out))
    assert protocols == ["control"] * 2 + ["finetune"] * 2 + ["finetune/best-test-epoch"] * 2
    assert str(out / PAGE) in said.out and stale_page(out) == []
    assert main(["leaderboard", str(out)]) == 0
    assert main(["verify", str(out)]) == 0
    assert "every number holds" in capsys.readouterr().out


@pytest.mark.long
def test_a_trial_is_told_and_leaves_nothing(root, quick, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["finetune", "--recipe", quick, *ASKED, "--root", str(root), "--trial"]) == 0
    assert "TRIAL, no result and no record" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["quick.toml"]


@pytest.mark.long
def test_a_network_without_pretraining_is_trained_and_nothing_else_scores_it(root, tmp_path, capsys):
    asked = ["--encoder", "scratch.inception", "--task", "icbhi.cycles2", "--root", str(root), "--out", str(tmp_path)]
    assert main(["finetune", "--recipe", "sprsound-scratch", *asked, "--seeds", "0", "--epochs", "2"]) == 0
    assert "scratch.inception" in capsys.readouterr().out
    (honest,) = (r for r in records.load_all(tmp_path) if r.spec["protocol"] == "finetune")
    assert honest.spec["encoder"] == "scratch.inception" and honest.selection["chosen"]["epoch"] in (1, 2)
    assert main(["leaderboard", str(tmp_path)]) == 0
    assert main(["verify", str(tmp_path)]) == 0
    capsys.readouterr()
    assert main(["run", *asked]) == 1
    assert "use `respbench finetune --encoder scratch.inception`" in capsys.readouterr().err


@pytest.mark.long
@pytest.mark.parametrize(
    "words, hint",
    [
        (["--recipe", "ce", "--encoder", "scratch.cnn6", "--task", "icbhi.cycles2", "--estimate"], "sprsound-scratch"),
        (["--recipe", "cee", *ASKED, "--estimate"], "'ce'"),
        (["--recipe", "ce", *ASKED], "--out"),
        (["--recipe", "ce", *ASKED, "--trial", "--out", "runs/out"], "a trial makes no record"),
        (["--recipe", "ce", "--encoder", "ast.bas", "--task", "icbhi.cycles2", "--estimate"], "ast.base"),
        (
            [
                "--recipe",
                "ce",
                "--encoder",
                "random.efficientat.mn04:mean,max",
                "--task",
                "icbhi.cycles2",
                "--estimate",
            ],
            "one",
        ),
    ],
)
def test_wrong_words_are_refused_in_one_line(words, hint, root, capsys):
    assert main(["finetune", *words, "--root", str(root)]) in (1, 2)
    error = capsys.readouterr().err.strip()
    assert hint in error and error.startswith("respbench:") and "\n" not in error


@pytest.mark.long
def test_what_cannot_be_trained_or_told_together_is_refused_before_anything_is_trained(root, quick, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["finetune", "--recipe", quick, *ASKED, "--seeds", "0", "--out", str(out), "--root", str(root)]
    assert main([*command, "--task", "icbhi.cycles2", "icbhi.bits"]) == 1
    assert "fine-tuning takes multiclass tasks" in capsys.readouterr().err and not out.exists()
    assert main([*command, "--encoder", "random.efficientat.mn04", "scratch.inception"]) == 1
    assert "BatchNorm" in capsys.readouterr().err and not out.exists()
    assert main([*command, "--seeds", "-1"]) == 1 and "seed -1: is out of range" in capsys.readouterr().err
    simulate.icbhi(tmp_path / "other" / simulate.ICBHI, patients=20, clips=40, cycle_s=0.5, seed=1)
    task = bench.load_task("icbhi.cycles2", tmp_path / "other")
    records.write(evaluate.control_record("control.chance", task.card, prepare(task)), out)
    assert main(command) == 1 and "made on different data" in capsys.readouterr().err
    assert not (out / "training").exists() and len(records.load_all(out)) == 1


@pytest.mark.long
def test_a_run_that_diverges_leaves_the_others_and_their_report(root, quick, tmp_path, capsys, monkeypatch):
    command = ["finetune", "--recipe", quick, *ASKED, "--out", str(tmp_path / "out"), "--root", str(root)]
    fit = suite.fit_prepared

    def diverging(*what, **options):
        if what[-1] == 0:
            raise TrainingDiverged("quick: the loss is nan in epoch 1")
        return fit(*what, **options)

    monkeypatch.setattr(suite, "fit_prepared", diverging)
    assert main([*command, "--seeds", "0"]) == 1
    assert "seed 0: quick: the loss is nan" in capsys.readouterr().err and not (tmp_path / "out").exists()
    assert main([*command, "--seeds", "0", "1"]) == 1
    said = capsys.readouterr()
    assert "1 of 2 runs left no record" in said.err and "seed 1: finetune icbhi.Score" in said.err
    assert "finetune.md" in said.out and main(["verify", str(tmp_path / "out")]) == 0


def test_recipes_and_methods_are_listed_with_their_sources(capsys):
    assert main(["ls", "recipes"]) == main(["ls", "methods"]) == 0
    told = capsys.readouterr().out
    for name in (path.stem for path in RECIPE_FOLDER.glob("*.toml")):
        assert f"{name} (method " in told
    for name in METHODS:
        assert f"\n{name}\n" in told or told.startswith(name)


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPE_FOLDER.glob("*.toml")))
def test_a_recipe_is_shown_with_every_setting_and_difference(name, capsys):
    recipe = load_recipe(name)
    assert main(["recipe", "show", name]) == 0
    told = " ".join(capsys.readouterr().out.split())
    for words in (recipe.about, recipe.source, recipe.published, *recipe.differences):
        assert " ".join(words.split()) in told
    assert main(["recipe", "show", name, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    numbers, options = plain(recipe), default_options(recipe.method.name) | recipe.method.options
    for table in ("optimiser", "batches", "spectrogram", "head"):
        for setting, value in numbers[table].items():
            assert shown["settings"][f"{table}.{setting}"] == value
    assert {key: shown["settings"][f"method.{key}"] for key in options} == options


def test_a_recipe_that_does_not_exist_is_refused_with_the_nearest(capsys):
    assert main(["recipe", "show", "patchmix-cll"]) == 2
    assert "did you mean 'patchmix-cl'" in capsys.readouterr().err
