"""The README and the manual: their examples are run as they stand there, their commands parse, their paths exist."""

import importlib
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import soundfile

import bench
import model_zoo
import tasks
from bench import simulate
from bench.base import registry
from bench.cli.main import build_parser, main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in PAGES}
BLOCKS = {page: re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL) for page, text in TEXTS.items()}
COMMAND = re.compile(r"^ {4}(?:[A-Z_]+=\S+ )?(?:\.venv/bin/)?respbench (.*?)(?: +#.*)?$", re.MULTILINE)
HERE = ("bench", "model_zoo", "tasks", "scripts", "results", "tests", "docs")


def _pages():
    """The module of the manual's tables and hooks."""
    spec = importlib.util.spec_from_file_location("docs_pages", ROOT / "scripts" / "docs_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ------------------------------------------------------------------ examples


def test_every_example_in_python_is_run_by_a_test_below():
    assert {page: len(blocks) for page, blocks in BLOCKS.items() if blocks} == {
        "README.md": 1,
        "docs/adding_a_task.md": 1,
        "docs/adding_an_encoder.md": 1,
        "docs/finetuning.md": 1,
        "docs/predictions.md": 1,
        "docs/python.md": 3,
    }


@pytest.fixture
def added(tmp_path, monkeypatch):
    """The example encoder and task, one file each, beside the shipped families; nothing else is touched."""
    for package, page in ((model_zoo, "docs/adding_an_encoder.md"), (tasks, "docs/adding_a_task.md")):
        (source,) = BLOCKS[page]
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


@pytest.mark.long
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


@pytest.mark.long
@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_the_python_api_is_as_described(page, simulated, monkeypatch):
    """The lines with an encoder that needs no weights."""
    block = BLOCKS[page][0]
    monkeypatch.setenv("RESPBENCH_DATA", str(simulated))
    block = block.replace('"efficientat.mn04"', '"fbank.stats"').replace("sprsound.events2", "icbhi.cycles2")
    names = {}
    exec(block, names)
    assert names["vectors"].shape == (3, 128)
    assert list(names["table"]["encoder"]) == ["fbank.stats"]


def test_the_probe_by_itself_is_as_described():
    noise = np.random.default_rng(0)
    y = np.tile([0, 1], 30)
    names = {"X": noise.standard_normal((60, 4)) + 3 * y[:, None], "y": y, "patients": np.repeat(np.arange(15), 4)}
    exec(BLOCKS["docs/python.md"][1], names)
    assert names["probe"].best_params_
    assert (names["probe"].predict_proba(names["X"]).argmax(axis=1) == y).mean() > 0.9


def test_the_hear_module_is_as_described():
    import torch

    names = {"audio": torch.zeros(2, 16000)}
    exec(BLOCKS["docs/python.md"][2], names)
    assert names["embeddings"].shape == (2, names["model"].scene_embedding_size)


@pytest.mark.long
def test_fine_tuning_from_python_is_as_described(monkeypatch, tmp_path, capsys):
    """The lines with an untrained encoder of the same kind, on a few short clips, for one epoch."""
    (block,) = BLOCKS["docs/finetuning.md"]
    simulate.icbhi(tmp_path / simulate.ICBHI, patients=20, clips=40, cycle_s=0.5, devices=("Litt3200",))
    monkeypatch.setenv("RESPBENCH_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    block = block.replace("efficientat.mn04", "random.efficientat.mn04").replace('"epochs": 4', '"epochs": 1')
    block = block.replace('"ce"', "recipe").replace("sprsound.events2", "icbhi.cycles2")
    names = {}
    exec(block, names)
    assert "device-hours" in capsys.readouterr().out
    protocols = [record.spec["protocol"] for record in (names["honest"], names["peeking"])]
    assert protocols == ["finetune", "finetune/best-test-epoch"]
    assert names["records"][0].spec["weights"] == names["trained"].weights_digest


def test_the_manifest_is_written_as_described(simulated, monkeypatch, tmp_path):
    monkeypatch.setenv("RESPBENCH_DATA", str(simulated))
    monkeypatch.chdir(tmp_path)
    exec(BLOCKS["docs/predictions.md"][0], {})
    assert (tmp_path / "clips.csv").read_text().startswith("clip_id,group,split,label\n")


@pytest.mark.long
def test_a_first_run_without_recordings_is_as_described(simulated, monkeypatch, tmp_path, capsys):
    """The commands of the quick start, one after the other; what is simulated already is not simulated again."""
    shutil.copytree(simulated, tmp_path / "runs" / "data")
    section = TEXTS["docs/install.md"].split("## A first run, without any recordings")[1].split("\n## ")[0]
    monkeypatch.chdir(tmp_path)
    for line in COMMAND.findall(section):
        assert main(line.split()) == 0
    assert "every number holds" in capsys.readouterr().out
    assert "Simulated data" in (tmp_path / "runs" / "first" / "leaderboard.md").read_text()


# ------------------------------------------------------------------ commands


def test_every_command_on_a_line_of_its_own_parses():
    lines = [line for text in TEXTS.values() for line in COMMAND.findall(text)]
    assert len(lines) > 40
    for line in lines:
        build_parser().parse_args(shlex.split(line))


def test_every_command_within_a_sentence_has_a_verb_and_options_that_exist(capsys):
    named = [line for text in TEXTS.values() for line in re.findall(r"`respbench ([a-z][^`]*)`", text)]
    assert len(named) > 20
    for line in named:
        verb, *words = line.split()
        with pytest.raises(SystemExit) as left:
            build_parser().parse_args([verb, "--help"])
        assert left.value.code == 0, line
        known = re.findall(r"--[\w-]+", capsys.readouterr().out)
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= set(known), line


# ------------------------------------------------------------------ what is named


def test_every_path_that_is_named_exists():
    named = {
        (page, path)
        for page, text in TEXTS.items()
        for path in re.findall(rf"(?:`| {{4}}|[\s(])((?:{'|'.join(HERE)})/[\w./@-]+)(?=[`\s),;:])", text)
    }
    assert len(named) > 150
    missing = sorted(f"{page}: {path}" for page, path in named if not (ROOT / path.rstrip(".")).exists())
    assert not missing


def test_every_constant_that_is_named_is_in_a_file_named_beside_it():
    named = 0
    for page, text in TEXTS.items():
        for line in text.splitlines():
            files = [ROOT / path for path in re.findall(r"`((?:bench|model_zoo|tasks)/[\w/]+\.py)`", line)]
            for constant in re.findall(r"`([A-Z][A-Z_]{3,})`", line) if files else ():
                named += 1
                assert any(constant in file.read_text(encoding="utf-8") for file in files), f"{page}: {constant}"
    assert named > 4


def test_every_dotted_name_exists():
    for page, text in TEXTS.items():
        for name in re.findall(r"`((?:bench|model_zoo|tasks)(?:\.\w+)+)(?:\(.*?\))?`", text):
            assert _resolves(name), f"{page}: {name}"


def _resolves(name: str) -> bool:
    """Whether a dotted name is a module or leads from one to an attribute."""
    parts = name.split(".")
    value = importlib.import_module(parts[0])
    for i, part in enumerate(parts[1:], 2):
        if hasattr(value, part):
            value = getattr(value, part)
            continue
        try:
            value = importlib.import_module(".".join(parts[:i]))
        except ImportError:
            return part in getattr(value, "__dataclass_fields__", {})
    return True


def test_every_link_within_the_repository_leads_somewhere():
    links = [(ROOT / page, link) for page, text in TEXTS.items() for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text)]
    local = [(page, link) for page, link in links if "://" not in link]
    assert len(local) > 60
    assert not [f"{page.name}: {link}" for page, link in local if not (page.parent / link).exists()]


def test_the_layer_rule_is_the_one_that_the_linter_checks():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (layers,) = (each["layers"] for each in project["contracts"] if each["type"] == "layers")
    rooms = [
        layer.replace(" | ", ", ") for layer in reversed(layers) if layer not in ("shown", "types", "stats", "hear")
    ]
    assert f"    {' ← '.join(rooms)}\n" in TEXTS["docs/architecture.md"]


def test_the_version_is_the_same_everywhere():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    (cited,) = re.findall(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    (released,) = re.findall(r'^date-released: "(.*)"$', (ROOT / "CITATION.cff").read_text("utf-8"), re.MULTILINE)
    assert cited == version
    assert f"## [{version}] - {released}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_readme_is_one_page():
    assert len(TEXTS["README.md"].splitlines()) <= 120


def test_tables_of_results_are_those_of_the_leaderboard():
    board = (ROOT / "results" / "leaderboard.md").read_text(encoding="utf-8").splitlines()
    rows = [line for page in ("README.md", "docs/leaderboards.md") for line in TEXTS[page].splitlines()]
    rows = [line for line in rows if re.match(r"\| `[a-z]\w*\.", line) and re.search(r"\d \[", line)]
    assert len(rows) > 20
    for row in rows:
        encoder, pooling, *cells = (cell.strip() for cell in row.strip("|").split("|"))
        encoder = encoder.partition("`,")[0].strip("`")
        same = [line for line in board if f"| {encoder} " in line and f"| {pooling} " in line]
        assert any(all(cell in line for cell in cells) for line in same), row


# ------------------------------------------------------------------ the site


def test_every_generated_table_is_on_a_page_as_the_cards_give_it():
    pages = _pages()
    assert {name for text in TEXTS.values() for _, name, _ in pages.MARK.findall(text)} == set(pages.TABLES)
    stale = [page for page, text in TEXTS.items() if pages.filled(text) != text]
    assert not stale, "run: python scripts/docs_pages.py"
    cards = registry.cards(registry.TASKS)
    for table in ("encoders", "encoder-origins", "encoder-poolings"):
        assert all(f"`{card.id}`" in pages.TABLES[table]() for card in registry.cards(registry.ENCODERS))
    for table in ("tasks", "task-tests"):
        assert all(f"`{card.id}`" in pages.TABLES[table]() for card in cards)
    corpora = {card.id.partition(".")[0] for card in cards} - {"transfer"}
    assert all(f"| `{corpus}` |" in pages.TABLES["task-licences"]() for corpus in corpora)


@pytest.mark.long
def test_the_manual_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "fonts.googleapis.com" not in (tmp_path / "index.html").read_text(encoding="utf-8")
