import numpy as np
import pytest
import torch

from bench.base import registry
from bench.base.errors import CheckpointError
from bench.encoders.batches import embed
from bench.encoders.contract import check_encoder
from bench.encoders.weights import licences
from model_zoo import auscultabase, opera
from parity.golden import COMPACT, Golden, synthetic_signal


@pytest.fixture
def weights(tmp_path):
    return Golden(COMPACT, "opera_ct").checkpoint(tmp_path)


def build(weights, policy=""):
    return auscultabase.build(registry.encoder_card(f"auscultabase.htsat{policy}"), weights)


def other(weights, id):
    return opera.build(registry.encoder_card(id), weights)


def test_it_is_opera_s_network_whose_short_clips_are_filled_up_where_that_is_asked_for(weights):
    short, long = [synthetic_signal(1.0, 16000)], [synthetic_signal(9.0, 16000)]
    filled, whole = build(weights, "@zero"), build(weights)
    np.testing.assert_array_equal(embed(filled, short, None), embed(other(weights, "opera.ct@zero"), short, None))
    np.testing.assert_array_equal(embed(whole, long, None), embed(other(weights, "opera.ct"), long, None))
    assert np.abs(embed(whole, short, None) - embed(filled, short, None)).max() > 1e-2
    wave = torch.from_numpy(short[0])[None]
    assert whole.fbank(wave, torch.tensor([16000])).shape == (1, 32, 64)


@pytest.mark.long
@pytest.mark.parametrize("policy", ["", "@zero"])
def test_fits_the_contract(weights, policy):
    assert check_encoder(build(weights, policy)) == []


def test_heads_are_ignored_and_other_tensors_refused(weights, tmp_path):
    content = torch.load(weights, weights_only=True)
    heads = {"middle.weight": torch.zeros(2, 2), "g.weight": torch.zeros(2, 2)}
    for spare, fits in ((heads, True), (heads | {"decoder.weight": torch.zeros(1)}, False)):
        torch.save(content | {"state_dict": content["state_dict"] | spare}, tmp_path / "other.ckpt")
        if fits:
            build(tmp_path / "other.ckpt")
            continue
        with pytest.raises(CheckpointError, match=r"neither used nor declared ignored: decoder\.weight"):
            build(tmp_path / "other.ckpt")


def test_what_it_was_trained_on_and_its_terms_are_told():
    (card,) = auscultabase.CARDS
    seen = {corpus for id in ("sprsound.events2", "icbhi.cycles4") for corpus in registry.task_card(id).corpora}
    assert seen <= set(card.trained_on)
    assert "none stated" in licences.terms(card)
