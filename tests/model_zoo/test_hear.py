import re

import numpy as np
import pytest
import torch

from bench.base import registry
from bench.base.errors import BadInput, UnknownId
from bench.cli.main import main
from bench.encoders.batches import collate, embed
from bench.encoders.check import check_registered
from bench.encoders.contract import check_encoder
from bench.encoders.load import load_encoder
from bench.encoders.pooling import pool
from model_zoo import hear

TOY = """
import torch


class Toy(torch.nn.Module):
    sample_rate, timestamp_embedding_size, scene_embedding_size = {rate}, 6, 4

    def __init__(self, path):
        super().__init__()
        self.path = path
        self.step, self.scene, self.head = torch.nn.Linear(800, 6), torch.nn.Linear(6, 4), torch.nn.Linear(6, 2)
        if path:
            self.load_state_dict(torch.load(path, weights_only=True))


def load_model(model_file_path=""):
    return Toy(model_file_path)


def get_timestamp_embeddings(audio, model):
    steps = audio[:, : audio.shape[1] // 800 * 800].unflatten(1, (-1, 800))
    centres = 25.0 + 50.0 * torch.arange(steps.shape[1])
    return model.step(steps), centres.expand(len(audio), -1)


def get_scene_embeddings(audio, model):
    return model.scene(get_timestamp_embeddings(audio, model)[0].mean(dim=1))
"""


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A folder on the import path, with a toy module at a name that no other test has."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("RESPBENCH_WEIGHTS", str(tmp_path / "weights"))
    (tmp_path / "weights").mkdir()
    return tmp_path


def write(path, name, source=TOY, rate=16000):
    (path / f"{name}.py").write_text(source.replace("{rate}", str(rate)))


def clip(n, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def test_timestamps_are_tokens_and_the_scene_is_published(path):
    write(path, "toy_one")
    torch.manual_seed(0)
    encoder, wave = load_encoder("hear.toy_one"), clip(20000)
    tokens = encoder(*collate(encoder, [wave, clip(17000, 1)]))
    api, audio = encoder.api, torch.from_numpy(wave)[None]
    theirs, times = api.get_timestamp_embeddings(audio, encoder.model)
    torch.testing.assert_close(tokens.layers[0].hidden[:1, :, 0], theirs)
    torch.testing.assert_close(tokens.clip[:1], api.get_scene_embeddings(audio, encoder.model))
    assert tokens.layers[0].hop_s == pytest.approx(0.05)
    assert tokens.layers[0].length.tolist() == [25, 21]
    assert times.shape == (1, 25)
    card = encoder.card
    assert (card.dims["published"], card.dims["freq"], card.sample_rate, card.default_pooling) == (
        4,
        6,
        16000,
        "published",
    )


def test_fits_the_contract(path):
    centres = "1000 / 22050 * (400 + 800 * torch.arange(steps.shape[1]))"
    write(path, "toy_two", TOY.replace("25.0 + 50.0 * torch.arange(steps.shape[1])", centres), rate=22050)
    encoder = load_encoder("hear.toy_two")
    assert encoder.card.sample_rate == 22050
    assert check_encoder(encoder) == []
    frozen = [name for name, p in encoder.named_parameters() if not p.requires_grad]
    assert frozen == ["model.head.weight", "model.head.bias"]
    assert registry.encoder_card("hear.toy_two").dims.keys() == encoder.card.dims.keys()


def test_modules_in_packages_and_the_codes_digest(path):
    (path / "toys").mkdir()
    write(path / "toys", "three")
    (path / "toys" / "__init__.py").touch()
    first = load_encoder("hear.toys.three")
    assert len(first.weights_digest) == 64
    write(path / "toys", "four", TOY + "# mended\n")
    assert load_encoder("hear.toys.four").weights_digest != first.weights_digest


def test_weights_from_the_weight_folder(path):
    write(path, "toy_five")
    assert load_encoder("hear.toy_five").model.path == ""
    state = {k: torch.ones_like(v) for k, v in load_encoder("hear.toy_five").model.state_dict().items()}
    torch.save(state, path / "weights" / "toy_five.pt")
    encoder = load_encoder("hear.toy_five")
    assert encoder.model.path == str(path / "weights" / "toy_five.pt")
    assert bool((encoder.model.step.weight == 1).all())
    card = registry.encoder_card("hear.toy_five")
    assert hear.build(card, path / "weights" / "toy_five.pt").model.path == encoder.model.path
    (path / "weights" / "toy_five.pt").rename(path / "elsewhere.pt")
    named = load_encoder("hear.toy_five", path / "elsewhere.pt")
    assert named.model.path == str(path / "elsewhere.pt")
    assert named.weights_digest == encoder.weights_digest
    with pytest.raises(UnknownId):
        load_encoder("random.hear.toy_five")  # a module has no untrained form


def test_what_learns_nothing_is_frozen(path):
    write(path, "toy_six", TOY.replace("return model.step(steps)", "return model.step(steps).detach()"))
    encoder = load_encoder("hear.toy_six")
    assert not pool(encoder(*collate(encoder, [clip(16000)]))).requires_grad
    assert not encoder.model.step.weight.requires_grad


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        ("a", ("def get_scene_embeddings", "def get_scenes"), "has no get_scene_embeddings"),
        ("b", ("import torch", "import torch_that_is_not_there"), "cannot be loaded .*ModuleNotFoundError"),
        ("c", ("return Toy(model_file_path)", "return 3"), "load_model gives a int"),
        ("d", ("16000", "8000"), "the rate 8000 is not one of"),
        ("e", (", scene_embedding_size = 16000, 6, 4", " = 16000, 6"), "no whole number scene_embedding_size"),
        ("f", ("16000, 6, 4", "16000, 7, 4"), r"\(1, 20, 6\).*not .*\(1, 20, 7\)"),
        ("g", ("16000, 6, 4", "16000, 6, 5"), r"not .*\(1, 5\)"),
        ("h", ("25.0 + 50.0 * torch.arange(steps.shape[1])", "torch.zeros(3)"), r"at times \(1, 3\)"),
        ("i", ("return Toy(model_file_path)", "raise OSError('no such weights')"), "OSError: no such weights"),
        ("j", ("import torch", "import torch, sys; sys.exit('usage: toy FILE')"), "SystemExit: usage: toy FILE"),
        ("k", ("import torch", "import torch)"), "cannot be loaded .*SyntaxError"),
        ("l", ("import torch", "from torch import no_such_name"), "cannot be loaded .*ImportError"),
        (
            "m",
            ("import torch", "class Own(Exception): ...\nraise Own('no licence')"),
            "cannot be loaded .Own: no licence",
        ),
        ("n", ("        super().__init__()", "        super().__init__(); self.min_s = -1"), "min_s is -1"),
        ("o", ("        super().__init__()", "        super().__init__(); self.min_s = '1 s'"), "min_s is '1 s'"),
        ("p", ("[0].mean(dim=1))", "[0].mean(dim=1)).long()"), r"embeddings of .*torch\.int64"),
        ("q", ("centres.expand(len(audio), -1)", "torch.tensor(5.0)"), r"at times \(\)"),
        ("s", ("return model.scene(", "raise SystemExit(3); return model.scene("), "raised SystemExit on clips of 1 s"),
        (
            "t",
            (
                "    def __init__(self, path):",
                "    def train(self, mode): raise Exception('no modes')\n\n    def __init__(self, path):",
            ),
            "cannot be used .Exception: no modes",
        ),
    ],
)
def test_modules_that_break_the_api_are_refused(path, name, change, match, capsys):
    write(path, f"bad_{name}", TOY.replace("{rate}", "16000").replace(*change))
    with pytest.raises(BadInput, match=match):
        load_encoder(f"hear.bad_{name}")
    assert main(["check", f"hear.bad_{name}"]) == 1
    told = capsys.readouterr().out
    assert "violated" in told and re.search(match, told)


@pytest.mark.parametrize(
    ("name", "parent"),
    [("half", "raise ValueError('half installed')"), ("leaving", "import sys; sys.exit(2)"), ("cut", "import torch)")],
)
def test_a_package_that_raises_is_told(path, name, parent, capsys):
    name = f"package_{name}"
    (path / name).mkdir()
    (path / name / "__init__.py").write_text(parent)
    write(path / name, "toy")
    assert main(["check", f"hear.{name}.toy"]) == 1
    assert "cannot be imported" in capsys.readouterr().out


def test_a_module_that_is_not_there_is_a_failure_and_one_that_is_whole_is_none(path, capsys):
    assert main(["check", "hear.nowhere"]) == 1
    assert "there is no module 'nowhere'" in capsys.readouterr().out
    write(path, "whole")
    assert main(["check", "hear.whole"]) == 0


CENTRES = "centres = 25.0 + 50.0 * torch.arange(steps.shape[1])"


@pytest.mark.parametrize(
    ("name", "times", "told"),
    [
        (
            "seconds",
            "centres = (25.0 + 50.0 * torch.arange(steps.shape[1])) / 1000",
            r"gives times up to 0\.975 in a clip of 1000 ms, which look like seconds",
        ),
        ("falling", "centres = (25.0 + 50.0 * torch.arange(steps.shape[1])).flip(0)", "do not rise: 925 behind 975"),
        ("standing", "centres = torch.full((steps.shape[1],), 500.0)", "do not rise: 500 behind 500"),
        ("samples", "centres = 400.0 + 800.0 * torch.arange(steps.shape[1])", "from 400 to 15600 ms in a clip of 1000"),
        ("before", "centres = -75.0 + 50.0 * torch.arange(steps.shape[1])", "from -75 to 875 ms"),
        ("nan", "centres = torch.full((steps.shape[1],), float('nan'))", "times that are not finite"),
    ],
)
def test_times_that_are_no_rising_milliseconds_in_the_clip_are_told(path, name, times, told):
    write(path, f"times_{name}", TOY.replace(CENTRES, times))
    with pytest.raises(BadInput, match=f"hear.times_{name}: .*{told}"):
        load_encoder(f"hear.times_{name}")
    row = check_registered(f"hear.times_{name}")
    assert row["verdict"] == "violated" and re.search(told, row["problems"][0])


def test_the_last_token_may_reach_into_padding(path):
    padded = "torch.nn.functional.pad(audio, (0, -audio.shape[1] % 800)).unflatten(1, (-1, 800))"
    write(path, "times_padded", TOY.replace("audio[:, : audio.shape[1] // 800 * 800].unflatten(1, (-1, 800))", padded))
    encoder = load_encoder("hear.times_padded")
    assert encoder(*collate(encoder, [clip(16001)])).layers[0].length.tolist() == [21]


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        (
            "a",
            ("return model.step(steps), ", "raise KeyError('mel'); return 0, "),
            "get_timestamp_embeddings raised KeyErr",
        ),
        ("b", ("return model.scene(", "return 1 / 0 + model.scene("), "get_scene_embeddings raised ZeroDivisionError"),
        (
            "c",
            ("return model.step(steps), ", "return model.step(steps).detach().numpy(), "),
            "gives ndarray, Tensor, not 2",
        ),
        ("d", (", centres.expand(len(audio), -1)", ""), "get_timestamp_embeddings gives Tensor, not 2 torch tensors"),
        (
            "e",
            ("return model.scene(", "return None and model.scene("),
            "get_scene_embeddings gives NoneType, not 1 torch",
        ),
    ],
)
def test_what_a_module_raises_or_gives_instead_is_told(path, name, change, told):
    write(path, f"raising_{name}", TOY.replace(*change))
    with pytest.raises(BadInput, match=f"hear.raising_{name}: .*{told}"):
        load_encoder(f"hear.raising_{name}")


def test_a_module_that_raises_in_the_middle_of_a_run_loses_nothing(path, simulated, tmp_path, capsys, monkeypatch):
    short = (
        "    if audio.shape[1] != 16000 and audio.shape[1] != 8000: raise RuntimeError('wants 1 s')\n    steps = audio"
    )
    write(path, "raising_late", TOY.replace("    steps = audio", short))
    asked = [
        "run",
        "--task",
        "icbhi.cycles4",
        "--root",
        str(simulated),
        "--out",
        str(tmp_path / "out"),
        "--no-controls",
    ]
    status = main([*asked, "--encoder", "meta.duration", "hear.raising_late"])
    said = capsys.readouterr()
    assert status == 1 and "Traceback" not in said.err
    assert "hear.raising_late: get_timestamp_embeddings raised RuntimeError" in said.err and "wants 1 s" in said.err
    assert any("meta.duration" in file.read_text() for file in (tmp_path / "out").rglob("*.json"))


def test_modules_that_are_not_there(path):
    for name in ("nowhere", "nowhere.at.all", "not a module"):
        with pytest.raises(BadInput, match=r"there is no module|cannot be imported"):
            registry.encoder_card(f"hear.{name}")
    for id in ("hear", "hear."):
        with pytest.raises(UnknownId):
            registry.encoder_card(id)


EXPORTED = """
import torch

class Hear(torch.nn.Module):
    sample_rate, timestamp_embedding_size, scene_embedding_size, min_s = 16000, 512, 512, 0.025

    def __init__(self, path):
        super().__init__()
        self.net = torch.export.unflatten(torch.export.load(path))

load_model = Hear

def get_timestamp_embeddings(audio, model):  # windows of 2 s, the last one zero-padded
    windows = torch.nn.functional.pad(audio, (0, -audio.shape[1] % 32000)).unflatten(1, (-1, 32000))
    centres = 1000.0 + 2000.0 * torch.arange(windows.shape[1], device=audio.device)
    embeddings = model.net(windows.flatten(0, 1)).unflatten(0, windows.shape[:2])
    return embeddings, centres.expand(len(audio), -1)

def get_scene_embeddings(audio, model):
    return get_timestamp_embeddings(audio, model)[0].mean(dim=1)
"""


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_module_runs_a_local_export_from_the_weight_folders(path):
    (path / "google_hear.py").write_text(EXPORTED)

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = torch.nn.Parameter(torch.full((512,), 2.0))

        def forward(self, audio):
            return self.gain * audio[:, :512]

    sizes = ({0: torch.export.Dim("batch")},)
    export = torch.export.export(Network(), (torch.zeros(2, 32000),), dynamic_shapes=sizes)
    torch.export.save(export, path / "weights" / "google_hear.pt2")
    encoder = load_encoder("hear.google_hear")
    assert (encoder.card.dims["published"], encoder.card.min_s) == (512, 0.025)
    wave = clip(40000)
    padded = np.pad(wave, (0, 24000))
    np.testing.assert_allclose(
        embed(encoder, [wave], None)[0], padded[:512] + padded[32000:32512], atol=1e-6, rtol=1e-5
    )
    assert encoder(*collate(encoder, [wave])).layers[0].hop_s == pytest.approx(2.0)
