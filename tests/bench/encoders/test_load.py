import numpy as np
import pytest
import torch

from bench.base import registry
from bench.base.errors import BadInput, CheckpointError, UnknownId
from bench.base.parallel.engine import Engine
from bench.encoders import load
from bench.encoders.batches import embed
from bench.encoders.load import devices_of, load_encoder, on_devices


def test_weightless_encoder_is_ready_for_use():
    encoder = load_encoder("meta.duration")
    assert (encoder.weights_digest, encoder.training) == ("none", False)


def test_unknown_ids_and_absent_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("RESPBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("RESPBENCH_DATA", str(tmp_path))
    with pytest.raises(UnknownId):
        load_encoder("nothing.here")
    with pytest.raises(CheckpointError, match=r"mn04_as_mAP_432\.pt at hand"):
        load_encoder("efficientat.mn04")


@pytest.mark.long
@pytest.mark.parametrize("id", [card.id for card in registry.cards(registry.ENCODERS) if card.weights])
def test_every_encoder_refuses_another_networks_file(tmp_path, id):
    path = tmp_path / "net.pt"
    torch.save({"encoder.weight": torch.zeros(3, 3), "encoder.bias": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match=r"net\.pt: .+; .+"):
        load_encoder(id, path)


@pytest.mark.long
def test_half_precision_moves_the_embedding_a_little_and_the_front_end_not_at_all():
    wave = [np.random.default_rng(0).standard_normal(16000).astype(np.float32)]
    exact, half = load_encoder("random.ast.base"), load_encoder("random.ast.base", precision="bfloat16")
    for encoder in (exact, half):  # one block is enough to see it
        encoder.encoder.model.layers = encoder.encoder.model.layers[:1]
    a, b = embed(exact, wave)[0], embed(half, wave)[0]
    assert b.dtype == np.float32
    assert 0 < np.abs(a - b).max() < 0.05 * np.abs(a).max()
    padded, length = torch.zeros(1, exact.batch_length(16000)), torch.tensor([16000])
    padded[0, :16000] = torch.from_numpy(wave[0])
    expected = exact.encoder.fbank(padded, length)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(exact.encoder.fbank(padded, length), expected)


def test_an_unknown_precision_is_refused():
    with pytest.raises(UnknownId, match="float12"):
        load_encoder("fbank.stats", precision="float12")


@pytest.fixture
def three_gpus(monkeypatch):
    """Names of CUDA devices are taken for present; the third is of another model."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "B" if torch.device(device).index == 2 else "A")
    monkeypatch.setattr(load, "require_device", lambda device: None)


def test_lists_of_devices_are_read(three_gpus, monkeypatch):
    assert devices_of("cpu") == ("cpu",) and devices_of("cpu, cpu") == ("cpu", "cpu")
    assert devices_of("cuda:0,cuda:1") == ("cuda:0", "cuda:1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert devices_of("cuda:all") == ("cuda:0", "cuda:1")
    assert on_devices("cuda:1", Engine()) == ("cuda:1", Engine())
    first, engine = on_devices("cuda:all", Engine(workers=3))
    assert (first, engine) == ("cuda:0", Engine(workers=3, devices=("cuda:0", "cuda:1")))


def test_lists_of_devices_whose_embeddings_would_differ_or_that_repeat_one_are_refused(three_gpus):
    for text, problem in (
        ("cuda:all", r"are of several kinds \(A, B\)"),
        ("cuda:0,cpu", "are of several kinds"),
        ("cuda:1,cuda:1", "one of them is named twice"),
        ("cuda,cuda:0", "one of them is named twice"),
        ("cuda:0,", "a name between commas is empty"),
    ):
        with pytest.raises(BadInput, match=problem):
            devices_of(text)


@pytest.mark.parametrize("text", ["cpu,gpu", "cpu,cuda:99", "cpu,,cpu"])
def test_a_device_of_a_list_that_is_not_there_is_named(text):
    with pytest.raises(BadInput, match="device"):
        devices_of(text)


def test_no_cuda_device_for_all_of_them(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(BadInput, match="cuda:all: there is no CUDA device"):
        devices_of("cuda:all")


def test_one_encoder_is_on_one_device():
    for text in ("cpu,cpu", "cuda:all"):
        with pytest.raises(BadInput, match="is several devices where one computes"):
            load_encoder("fbank.stats", device=text)


def test_several_devices_take_processes_of_this_machine():
    with pytest.raises(BadInput, match="devices cpu, cpu: take a process each of this machine, not backend dask"):
        Engine(backend="dask", devices=("cpu", "cpu"))
