import dataclasses
import functools
import hashlib
import http.server
import threading

import pytest
import torch
from safetensors.torch import save_file

from bench.errors import CheckpointError
from bench.types import EncoderCard, Weights
from model_zoo import _checkpoint as checkpoint

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
    return tmp_path


def test_finds_the_released_file(folder):
    (folder / "net.pt").write_bytes(CONTENT)
    assert checkpoint.find(CARD) == folder / "net.pt"


def test_takes_the_first_alternative_that_is_there(folder):
    (folder / "hub").mkdir()
    card = dataclasses.replace(CARD, weights=(RELEASED, Weights(file="hub")))
    assert checkpoint.find(card) == folder / "hub"


def test_absent_weights_name_folders_address_licence_and_digest(folder):
    with pytest.raises(CheckpointError) as error:
        checkpoint.find(CARD)
    for fact in (str(folder), "https://example.org/net.pt", "MIT", SHA, "respbench fetch family.net"):
        assert fact in str(error.value)


def test_absent_hub_weights_give_the_id(folder):
    card = dataclasses.replace(CARD, weights=(Weights(file="net", hub="org/net"),))
    with pytest.raises(CheckpointError, match="name the Hub id org/net"):
        checkpoint.find(card)


def test_found_file_must_be_the_released_one(folder):
    (folder / "net.pt").write_bytes(b"something else")
    with pytest.raises(CheckpointError, match="SHA-256"):
        checkpoint.find(CARD)


def test_explicit_file_may_differ_and_may_be_named_by_its_folder(folder):
    (folder / "net.pt").write_bytes(b"my own training")
    assert checkpoint.find(CARD, folder / "net.pt") == folder / "net.pt"
    assert checkpoint.find(CARD, str(folder)) == folder / "net.pt"
    with pytest.raises(CheckpointError, match="no such weight file"):
        checkpoint.find(CARD, folder / "nothing.pt")


def test_digest_of_a_folder_is_that_of_the_tensors_that_are_loaded(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(CONTENT)
    assert checkpoint.digest(tmp_path) == SHA
    (tmp_path / "README.md").write_text("what lies beside does not matter")
    assert checkpoint.digest(tmp_path) == SHA
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="neither"):
        checkpoint.digest(tmp_path)


def test_parameter_digest_sees_every_value():
    a, b = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    b.load_state_dict(a.state_dict())
    assert checkpoint.parameter_digest(a) == checkpoint.parameter_digest(b)
    with torch.no_grad():
        b.bias[0] += 1e-7
    assert checkpoint.parameter_digest(a) != checkpoint.parameter_digest(b)
    assert checkpoint.parameter_digest(torch.nn.ReLU()) == "none"


@pytest.fixture
def server(tmp_path):
    """Address of a local web server and the folder that it serves."""
    root = tmp_path / "served"
    root.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{web.server_port}", root
        web.shutdown()


def test_download_tries_the_next_address_and_keeps_what_is_whole(server, tmp_path):
    address, root = server
    (root / "net.pt").write_bytes(CONTENT)
    weights = dataclasses.replace(RELEASED, urls=(f"{address}/gone.pt", f"{address}/net.pt"))
    target = checkpoint.download(weights, tmp_path / "weights")
    assert target.read_bytes() == CONTENT
    (root / "net.pt").unlink()
    assert checkpoint.download(weights, tmp_path / "weights") == target


def test_wrong_download_leaves_nothing_behind(server, tmp_path):
    address, root = server
    (root / "net.pt").write_bytes(b"an error page")
    weights = dataclasses.replace(RELEASED, urls=(f"{address}/net.pt",))
    with pytest.raises(CheckpointError, match=r"net\.pt"):
        checkpoint.download(weights, tmp_path / "weights")
    assert not list((tmp_path / "weights").iterdir())


def test_download_refuses_what_cannot_be_verified(tmp_path):
    with pytest.raises(CheckpointError, match="verified"):
        checkpoint.download(dataclasses.replace(RELEASED, sha256=""), tmp_path)
    with pytest.raises(CheckpointError, match="name the Hub id org/net"):
        checkpoint.download(Weights(file="net", hub="org/net"), tmp_path)


def test_reads_torch_safetensors_and_folders(tmp_path):
    tensors = {"a": torch.arange(3.0)}
    torch.save(tensors, tmp_path / "net.pt")
    save_file(tensors, tmp_path / "model.safetensors")
    for path in (tmp_path / "net.pt", tmp_path / "model.safetensors", tmp_path):
        assert torch.equal(checkpoint.load_tensors(path)["a"], tensors["a"])


@pytest.mark.parametrize("name", ["net.pt", "net.safetensors"])
@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"PK\x03\x04 cut short"])
def test_damaged_file_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=name):
        checkpoint.load_tensors(tmp_path / name)


def test_pickled_code_is_not_run(tmp_path):
    torch.save({"a": dataclasses.make_dataclass, "b": print}, tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match="cannot be read"):
        checkpoint.load_tensors(tmp_path / "net.pt")


def test_empty_folder_and_lists_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="holds neither"):
        checkpoint.load_tensors(tmp_path)
    torch.save([torch.zeros(1)], tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match="holds a list"):
        checkpoint.load_tensors(tmp_path / "net.pt")


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
    assert checkpoint.find(card, "org/other") == tmp_path and asked == ["org/other"]
    with pytest.raises(CheckpointError, match="no such weight file"):
        checkpoint.find(CARD, "org/other")  # this one is not on the Hub

    def offline(id, **_):
        raise OSError("no route to host")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    with pytest.raises(CheckpointError, match=r"no route to host.*local folder"):
        checkpoint.find(card, "org/other")
