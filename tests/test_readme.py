"""The README's examples are run as they stand there."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import bench
import model_zoo
import tasks
from bench import simulate
from bench.base import registry
from bench.cli import texts
from bench.cli.main import build_parser, main

README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture
def added(tmp_path, monkeypatch):
    """The example encoder and task, one file each, beside the shipped families; nothing else is touched."""
    encoder, task = (next(b for b in BLOCKS if f"{card}(\n" in b) for card in ("EncoderCard", "TaskCard"))
    for package, source in ((model_zoo, encoder), (tasks, task)):
        folder = tmp_path / package.__name__
        folder.mkdir()
        name = re.search(r'id="(\w+)\.', source)[1]
        (folder / f"{name}.py").write_text(source)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    registry.families.cache_clear()
    yield
    registry.families.cache_clear()
    for package in (model_zoo, tasks):
        sys.modules.pop(f"{package.__name__}.toy", None)
        vars(package).pop("toy", None)


@pytest.fixture
def recordings(tmp_path):
    """What the example task documents: 12 patients, wheezes where the name says so."""
    folder, noise = tmp_path / "data" / "toy", np.random.default_rng(0)
    folder.mkdir(parents=True)
    time_s = np.arange(8000) / 8000
    for patient in range(12):
        for label in ("normal", "wheeze"):
            wave = 0.05 * noise.standard_normal(8000) + (label == "wheeze") * 0.2 * np.sin(2 * np.pi * 400 * time_s)
            soundfile.write(folder / f"{patient:02d}_{label}_1.wav", wave, 8000)
    return folder.parent


def test_an_encoder_and_a_task_are_one_file_each(added, recordings, tmp_path, capsys):
    assert main(["ls"]) == 0
    listed = capsys.readouterr().out
    assert "toy.bands" in listed and "toy.wheeze" in listed
    assert main(["check", "toy.wheeze", "--root", str(recordings)]) == 0
    command = ["run", "--task", "toy.wheeze", "--encoder", "toy.bands:mean,max", "--root", str(recordings)]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    assert main(["verify", str(tmp_path / "out")]) == 0
    assert bench.check_encoder(bench.load_encoder("toy.bands")) == []
    record = bench.evaluate(bench.load_encoder("toy.bands"), bench.load_task("toy.wheeze", recordings))[0]
    assert record.scores["test"]["auroc"]["value"] == 1.0


def test_the_python_api_is_as_described(simulated, monkeypatch):
    """The README's lines with an encoder that needs no weights."""
    block = next(b for b in BLOCKS if "bench.embed" in b)
    monkeypatch.setenv("RESPBENCH_DATA", str(simulated))
    block = block.replace('"efficientat.mn04"', '"fbank.stats"').replace("sprsound.events2", "icbhi.cycles2")
    noise = np.random.default_rng(0)
    waves = [noise.uniform(-0.1, 0.1, n).astype(np.float32) for n in (8000, 12345, 300)]
    names = {"waves": waves}
    exec(block, names)
    assert names["vectors"].shape == (3, 128)
    assert list(names["table"]["encoder"]) == ["fbank.stats"]


def test_fine_tuning_from_python_is_as_described(monkeypatch, tmp_path, capsys):
    """The README's lines with an untrained encoder of the same kind, on a few short clips, for one epoch."""
    block = next(b for b in BLOCKS if "finetune.fit" in b)
    simulate.icbhi(tmp_path / simulate.ICBHI, patients=20, clips=40, cycle_s=0.5, devices=("Litt3200",))
    monkeypatch.setenv("RESPBENCH_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    block = block.replace("efficientat.mn04", "random.efficientat.mn04").replace('"epochs": 4', '"epochs": 1')
    block = block.replace('"ce"', "recipe").replace("sprsound.events2", "icbhi.cycles2")
    names = {}
    exec(block, names)
    assert "device-hours" in capsys.readouterr().out
    protocols = [record.spec["protocol"] for record in (names["honest"], names["peeking"])]
    assert protocols == ["finetune", "literature/best-test-epoch"]
    assert names["records"][0].spec["weights"] == names["trained"].weights_digest


def test_every_command_in_the_readme_parses():
    lines = re.findall(r"^ {4}(?:RESPBENCH_DATA=\S+ )?respbench (.*?)(?: +#.*)?$", README, flags=re.MULTILINE)
    assert len(lines) > 10
    for line in lines:
        build_parser().parse_args(line.split())


def test_the_table_of_encoders_is_the_one_that_is_registered():
    assert texts.encoder_table(texts.encoders(), present=False) in README
