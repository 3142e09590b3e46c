import numpy as np
import pytest
import torch

from bench.base.errors import CheckpointError
from bench.encoders.batches import embed
from bench.encoders.contract import check_encoder
from bench.encoders.load import load_encoder
from model_zoo import efficientat

CARD = efficientat.CARDS[0]


@pytest.fixture
def untrained():
    torch.manual_seed(0)
    return efficientat.build(CARD, None)


@pytest.fixture
def released(real_data, monkeypatch):
    monkeypatch.setenv("RESPBENCH_WEIGHTS", str(real_data / "weights"))
    return load_encoder("efficientat.mn04")


def test_released_weights_fit_the_card_and_the_contract(released):
    assert released.card.dims == CARD.dims
    assert released.weights_digest == CARD.weights[0].sha256
    assert sum(p.numel() for p in released.parameters()) == CARD.params
    assert check_encoder(released) == []


def test_untrained_geometry_is_the_released_one(untrained):
    assert untrained.card.dims == CARD.dims
    assert sum(p.numel() for p in untrained.parameters()) == CARD.params


def test_clips_of_equal_frame_count_share_a_batch_and_change_nothing(untrained):
    sizes = [32001, 32100, 32320]
    assert len({untrained.batch_length(n) for n in sizes}) == 1
    assert untrained.batch_length(32000) < untrained.batch_length(32001)
    rng = np.random.default_rng(0)
    waves = [(0.1 * rng.standard_normal(n)).astype(np.float32) for n in sizes]
    alone = np.concatenate([embed(untrained, [w], "freq") for w in waves])
    np.testing.assert_allclose(embed(untrained, waves, "freq"), alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("card", efficientat.CARDS[1:], ids=lambda card: card.id)
def test_other_widths_have_the_geometry_of_their_card(card):
    wide = efficientat.build(card, None)
    assert wide.card.dims == card.dims
    assert sum(p.numel() for p in wide.parameters()) == card.params


def test_reads_other_widths_from_the_file(tmp_path):
    wide = efficientat.build(efficientat.CARDS[1], None)
    head = {"classifier.2.weight": torch.zeros(2, 960), "classifier.5.bias": torch.zeros(2)}
    torch.save(wide.state_dict() | head, tmp_path / "mn10.pt")
    loaded = load_encoder("efficientat.mn04", tmp_path / "mn10.pt")
    assert loaded.card.dims["published"] == 960
    assert loaded.card.dims["freq"] == 4 * 960


def test_another_network_is_refused(tmp_path, untrained):
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match=r"net\.pt.*MobileNetV3"):
        efficientat.build(CARD, tmp_path / "net.pt")
    torch.save(untrained.state_dict() | {"adapter.weight": torch.zeros(1)}, tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match=r"neither used nor declared ignored: adapter\.weight"):
        efficientat.build(CARD, tmp_path / "net.pt")
