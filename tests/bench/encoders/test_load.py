import numpy as np
import pytest
import torch

from bench.base import registry
from bench.base.errors import CheckpointError, UnknownId
from bench.encoders.batches import embed
from bench.encoders.load import load_encoder


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
