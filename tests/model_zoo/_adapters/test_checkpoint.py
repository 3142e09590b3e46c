import argparse
import dataclasses
import functools
import hashlib
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bench.base import registry
from bench.base.errors import CheckpointError
from bench.encoders.load import load_encoder
from bench.encoders.weights import find, read, verified
from bench.types import EncoderCard, Weights
from model_zoo._adapters import checkpoint

CONTENT = b"weights"
SHA = hashlib.sha256(CONTENT).hexdigest()
RELEASED = Weights(file="net.pt", urls=("https://example.org/net.pt",), sha256=SHA, licence="MIT")
CARD = EncoderCard(
    id="family.net", version=1, sample_rate=16000, dims={"mean": 8}, frontend="", citation="", licence="MIT",
    weights=(RELEASED,),
)  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RESPBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("RESPBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_finds_the_released_file(folder):
    (folder / "net.pt").write_bytes(CONTENT)
    assert find.find(CARD) == folder / "net.pt"


def test_takes_the_first_alternative_that_is_there(folder):
    (folder / "hub").mkdir()
    card = dataclasses.replace(CARD, weights=(RELEASED, Weights(file="hub")))
    assert find.find(card) == folder / "hub"


def test_absent_weights_name_folders_address_licence_and_digest(folder):
    with pytest.raises(CheckpointError) as error:
        find.find(CARD)
    for fact in (str(folder), "https://example.org/net.pt", "MIT", SHA, "respbench fetch family.net"):
        assert fact in str(error.value)


def test_absent_hub_weights_give_the_id(folder):
    card = dataclasses.replace(CARD, weights=(Weights(file="net", hub="org/net"),))
    with pytest.raises(CheckpointError, match=r"respbench fetch family.net.*the Hub id org/net"):
        find.find(card)


def test_found_file_must_be_the_released_one(folder):
    (folder / "net.pt").write_bytes(b"something else")
    with pytest.raises(CheckpointError, match="SHA-256"):
        find.find(CARD)


def test_a_wrong_file_is_described(folder):
    (folder / "net.pt").write_text("<html>sign in</html>")
    with pytest.raises(CheckpointError, match=r"SHA-256 is .*; it looks like a web page"):
        find.find(CARD)
    sized = dataclasses.replace(CARD, weights=(dataclasses.replace(RELEASED, sha256="", size=7),))
    with pytest.raises(CheckpointError, match="has 20 bytes, the released file has 7; it looks like a web page"):
        find.find(sized)


def test_an_unknown_digest_is_pinned_on_first_use_and_held_to_from_then_on(folder):
    card = dataclasses.replace(CARD, weights=(dataclasses.replace(RELEASED, sha256=""),))
    (folder / "net.pt").write_bytes(CONTENT)
    find.find(card)
    assert verified.pin(card, card.weights[0]) is None  # found, not used yet
    find.trust(card, SHA)
    pin = verified.pin(card, card.weights[0])
    assert (pin.sha256, pin.source) == (SHA, str(folder / "net.pt"))
    assert find.find(card) == folder / "net.pt"
    (folder / "net.pt").write_bytes(b"another")
    with pytest.raises(CheckpointError, match=f"SHA-256 is .*, but {SHA} was pinned on first use") as error:
        find.find(card)
    assert "respbench fetch family.net --from FILE --repin" in str(error.value)
    assert find.find(card, folder / "net.pt") == folder / "net.pt"  # named explicitly


def test_a_pin_belongs_to_the_release_not_to_the_place_and_a_path_has_none(folder, tmp_path, monkeypatch):
    card = dataclasses.replace(CARD, weights=(dataclasses.replace(RELEASED, sha256=""),))
    (folder / "net.pt").write_bytes(CONTENT)
    find.trust(card, SHA)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "net.pt").write_bytes(b"another")
    monkeypatch.setenv("RESPBENCH_WEIGHTS", str(tmp_path / "elsewhere"))
    with pytest.raises(CheckpointError, match="pinned on first use"):
        find.find(card)
    own = dataclasses.replace(CARD, weights=(Weights(file=str(folder / "net.pt")),))
    find.trust(own, SHA)
    assert verified.pin(own, own.weights[0]) is None


def test_a_cache_that_cannot_be_written_is_warned_of_and_no_obstacle(folder, monkeypatch):
    card = dataclasses.replace(CARD, weights=(dataclasses.replace(RELEASED, sha256=""),))
    (folder / "net.pt").write_bytes(CONTENT)
    monkeypatch.setenv("RESPBENCH_CACHE", str(folder / "net.pt" / "cache"))
    with pytest.warns(UserWarning, match="not remembered"):
        find.trust(card, SHA)
    assert find.find(card) == folder / "net.pt"


def test_weights_that_do_not_load_are_not_pinned(folder):
    card = registry.encoder_card("atst.frame")
    torch.save({"a": torch.zeros(1)}, folder / card.weights[0].file)
    with pytest.raises(CheckpointError):
        load_encoder("atst.frame")
    assert verified.pin(card, card.weights[0]) is None


def test_explicit_file_may_differ_and_may_be_named_by_its_folder(folder):
    (folder / "net.pt").write_bytes(b"my own training")
    assert find.find(CARD, folder / "net.pt") == folder / "net.pt"
    assert find.find(CARD, str(folder)) == folder / "net.pt"
    with pytest.raises(CheckpointError, match="no such weight file"):
        find.find(CARD, folder / "nothing.pt")


def test_digest_of_a_folder_is_that_of_the_tensors_that_are_loaded(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(CONTENT)
    assert find.digest(tmp_path) == SHA
    (tmp_path / "README.md").write_text("what lies beside does not matter")
    assert find.digest(tmp_path) == SHA
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="neither"):
        find.digest(tmp_path)


def test_parameter_digest_sees_every_value():
    a, b = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    b.load_state_dict(a.state_dict())
    assert find.parameter_digest(a) == find.parameter_digest(b)
    with torch.no_grad():
        b.bias[0] += 1e-7
    assert find.parameter_digest(a) != find.parameter_digest(b)
    assert find.parameter_digest(torch.nn.ReLU()) == "none"


def test_reads_torch_safetensors_and_folders(tmp_path):
    tensors = {"a": torch.arange(3.0)}
    torch.save(tensors, tmp_path / "net.pt")
    save_file(tensors, tmp_path / "model.safetensors")
    for path in (tmp_path / "net.pt", tmp_path / "model.safetensors", tmp_path):
        assert torch.equal(read.load_tensors(path)["a"], tensors["a"])


@pytest.mark.parametrize("name", ["net.pt", "net.safetensors"])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"<html>not found</html>", "looks like a web page"),
        (b"\n<!DOCTYPE html>\n<html>", "looks like a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n", "is a Git LFS pointer"),
        (b"Not Found", "is a text file"),
        (b"PK\x03\x04 cut short", "is cut short"),
        (b"\x1f\x8b\x08 something", "is a compressed archive"),
        (b"\x89HDF\r\n", "is an HDF5 file"),
        (bytes(range(256)) * 20, "cannot be read as tensors"),
    ],
)
def test_what_is_not_weights_is_named_for_what_it_is(tmp_path, name, content, told):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{name}: {told}"):
        read.load_tensors(tmp_path / name)


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
def test_a_truncated_file_is_refused(tmp_path, form, share):
    path = tmp_path / ("net.safetensors" if form == "safetensors" else "net.pt")
    _write({"a": torch.arange(5000.0)}, path, form)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match="cut short"):
        read.load_tensors(path)


def _write(content, path, form):
    if form == "safetensors":
        save_file(content, path)
    elif form.startswith("pickle"):
        path.write_bytes(pickle.dumps(content, protocol=int(form[-1])))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")


class Evil:
    """Runs a command when it is unpickled by an unguarded reader."""

    def __reduce__(self):
        return os.system, ("touch executed",)


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle0", "pickle1", "pickle2", "pickle3", "pickle4", "pickle5"])
@pytest.mark.parametrize("name", ["net.pt", "pytorch_model.bin"])
def test_a_file_that_would_run_code_is_refused_and_nothing_is_run(tmp_path, monkeypatch, form, name):
    monkeypatch.chdir(tmp_path)
    _write({"state_dict": {}, "callback": Evil()}, tmp_path / name, form)
    with pytest.raises(CheckpointError, match=r"asks to build or call posix\.system.*safetensors") as error:
        read.load_tensors(tmp_path if name.endswith("bin") else tmp_path / name)
    assert not (tmp_path / "executed").exists()
    assert "weights_only" not in str(error.value)  # torch advises to switch the check off
    torch.load(tmp_path / name, weights_only=False) if form in ("zip", "legacy") else pickle.loads(
        (tmp_path / name).read_bytes()
    )
    assert (tmp_path / "executed").exists()  # it was no dud


@pytest.mark.parametrize(
    ("thing", "named"),
    [
        (print, "print"),
        (functools.partial(print), r"functools\.partial"),
        (Path("x"), "pathlib"),
        (torch.nn.Linear(2, 2), r"torch\.nn\.modules\.linear\.Linear"),
    ],
)
def test_what_else_a_file_may_ask_for_is_refused_by_name(tmp_path, thing, named):
    torch.save({"a": thing}, tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match=f"build or call .*{named}"):
        read.load_tensors(tmp_path / "net.pt")


def test_what_released_training_checkpoints_hold_beside_tensors_is_read(tmp_path):
    content = {
        "model": {"w": torch.arange(3.0)},
        "args": argparse.Namespace(lr=1e-3, layers=[1, 2]),
        "best": np.float64(0.5),
        "epoch": np.int64(3),
        "flag": np.bool_(True),
    }
    for form in ("zip", "legacy"):
        _write(content, tmp_path / "net.pt", form)
        content_read = read.load_tensors(tmp_path / "net.pt")
        assert content_read["args"].lr == 1e-3 and content_read["best"] == 0.5
        assert content_read["epoch"] == 3 and content_read["flag"]
        assert torch.equal(content_read["model"]["w"], content["model"]["w"])
    with pytest.raises(pickle.UnpicklingError):  # the allowance does not outlast the reading
        torch.load(tmp_path / "net.pt", weights_only=True)


def test_archives_and_programs_are_told_from_weights(tmp_path):
    with zipfile.ZipFile(tmp_path / "net.pt", "w") as archive:
        archive.writestr("release/checkpoint.pth", b"weights")
    with pytest.raises(CheckpointError, match="archive that torch did not write; unpack it"):
        read.load_tensors(tmp_path / "net.pt")
    with zipfile.ZipFile(tmp_path / "net.pt", "w") as archive:
        archive.writestr("net/constants.pkl", b"")
        archive.writestr("net/data.pkl", b"")
    with pytest.raises(CheckpointError, match="TorchScript"):
        read.load_tensors(tmp_path / "net.pt")


@pytest.mark.parametrize("seed", range(20))
def test_damage_never_shows_as_anything_else(tmp_path, seed):
    rng = np.random.default_rng(seed)
    for form in ("zip", "legacy", "safetensors"):
        path = tmp_path / ("net.safetensors" if form == "safetensors" else "net.pt")
        _write({"a": torch.arange(50.0)}, path, form)
        content = bytearray(path.read_bytes())
        for at in rng.integers(len(content), size=4):
            content[at] = rng.integers(256)
        path.write_bytes(content)
        try:
            read.load_tensors(path)  # a changed value is for the digest to find
        except CheckpointError as error:
            assert "weights_only" not in str(error)


@pytest.mark.parametrize("id", [card.id for card in registry.cards(registry.ENCODERS) if card.weights])
def test_every_encoder_refuses_another_networks_file(tmp_path, id):
    path = tmp_path / "net.pt"
    torch.save({"encoder.weight": torch.zeros(3, 3), "encoder.bias": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match=r"net\.pt: .+; .+"):
        load_encoder(id, path)


def test_empty_folder_and_lists_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="holds neither"):
        read.load_tensors(tmp_path)
    torch.save([torch.zeros(1)], tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match="holds a list"):
        read.load_tensors(tmp_path / "net.pt")


def _state():
    return {k: v.clone() for k, v in torch.nn.Linear(3, 2).state_dict().items()}


def test_load_strict_copies_casts_and_ignores_what_is_declared():
    net, state = torch.nn.Linear(3, 2), _state()
    half = {k: v.half() for k, v in state.items()}
    checkpoint.load_strict(net, half | {"head.weight": torch.zeros(1)}, [r"head\..*"])
    assert net.weight.dtype == torch.float32
    assert torch.equal(net.weight, state["weight"].half().float())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda s: s.pop("bias"), "1 missing: bias"),
        (lambda s: s.update(bias=torch.zeros(7)), r"misshapen: bias is \(7,\) and should be \(2,\)"),
        (lambda s: s.update(extra=torch.zeros(1)), "neither used nor declared ignored: extra"),
        (lambda s: s.update(bias=torch.tensor([0.0, float("nan")])), "not finite: bias"),
        (lambda s: s.update({f"x{i}": torch.zeros(1) for i in range(9)}), "9 neither .*: x0, x1, x2, x3, x4, …"),
    ],
)
def test_load_strict_refuses_any_gap(change, told):
    state = _state()
    change(state)
    with pytest.raises(CheckpointError, match=f"net.pt: .*{told}"):
        checkpoint.load_strict(torch.nn.Linear(3, 2), state, [r"head\..*"], "net.pt")


def test_a_hub_id_is_fetched_only_when_named_and_a_failure_says_what_to_do(tmp_path, monkeypatch):
    card = dataclasses.replace(CARD, weights=(Weights(file="net", hub="org/net"),))
    (tmp_path / "model.safetensors").write_bytes(CONTENT)
    asked = []
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda id, **_: asked.append(id) or str(tmp_path))
    assert find.find(card, "org/other") == tmp_path and asked == ["org/other"]
    with pytest.raises(CheckpointError, match="no such weight file"):
        find.find(CARD, "org/other")  # this one is not on the Hub

    def offline(id, **_):
        raise OSError("no route to host")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    with pytest.raises(CheckpointError, match=r"no route to host.*local folder"):
        find.find(card, "org/other")


def test_a_gated_model_says_how_to_get_in(monkeypatch):
    from huggingface_hub.errors import GatedRepoError

    card = dataclasses.replace(CARD, weights=(Weights(file="net", hub="org/net"),))

    def gated(id, **_):
        raise GatedRepoError.__new__(GatedRepoError)

    monkeypatch.setattr("huggingface_hub.snapshot_download", gated)
    with pytest.raises(CheckpointError, match=r"gated or private; accept its terms at .*/org/net .* HF_TOKEN"):
        find.find(card, "org/net")


def test_the_hubs_client_takes_the_token_of_the_environment(monkeypatch):
    from huggingface_hub import get_token

    monkeypatch.setenv("HF_TOKEN", "hf_of_the_environment")
    assert get_token() == "hf_of_the_environment"
