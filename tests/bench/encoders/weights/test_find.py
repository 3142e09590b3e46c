import dataclasses
import hashlib

import pytest
import torch

from bench.base import registry
from bench.base.errors import CheckpointError
from bench.encoders.load import load_encoder
from bench.encoders.weights import find, verified
from bench.types import EncoderCard, Weights

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


def test_only_digests_of_the_card_and_pinned_ones_are_released(folder, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"mine")
    in_folder = dataclasses.replace(CARD, weights=(Weights(str(tmp_path), sha256=""),))
    assert find.release_digests(in_folder) == set()
    assert find.release_digests(CARD) == {SHA}


def test_parameter_digest_sees_every_value():
    a, b = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    b.load_state_dict(a.state_dict())
    assert find.parameter_digest(a) == find.parameter_digest(b)
    with torch.no_grad():
        b.bias[0] += 1e-7
    assert find.parameter_digest(a) != find.parameter_digest(b)
    assert find.parameter_digest(torch.nn.ReLU()) == "none"


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
