import numpy as np
import pytest
import torch

from bench.base import registry
from bench.base.errors import BadInput, UnknownId
from bench.encoders.batches import collate, embed, plan_batches
from bench.encoders.contract import check_encoder
from bench.encoders.load import load_encoder
from model_zoo import efficientat

ID = "random.efficientat.mn04"


def _clips(n=6, seed=0):
    rng = np.random.default_rng(seed)
    return [(0.1 * rng.standard_normal(20000 + 300 * i)).astype(np.float32) for i in range(n)]


def fit(twin, waves):
    plan = plan_batches([len(wave) for wave in waves], twin, 10**6)
    twin.fit_stats(collate(twin, [waves[i] for i in rows]) for rows in plan)


def test_twin_keeps_the_architecture_and_drops_what_was_learned():
    twin, original = registry.encoder_card(ID), registry.encoder_card("efficientat.mn04")
    assert (twin.dims, twin.version, twin.sample_rate) == (original.dims, original.version, original.sample_rate)
    assert (twin.id, twin.weights, twin.trained_on) == (ID, (), ())


def test_twin_of_a_policy():
    card = registry.encoder_card("random.whisper.base@short")
    assert (card.id, card.policy) == ("random.whisper.base@short", "short")


@pytest.mark.parametrize("id", ["random.nothing.here", "random.fbank.stats", f"random.{ID}", "random"])
def test_what_has_no_twin_is_unknown(id):
    with pytest.raises(UnknownId):
        registry.encoder_card(id)


def test_is_the_same_every_time_and_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = load_encoder(ID)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(9)
    assert load_encoder(ID).weights_digest == first.weights_digest != "none"
    torch.manual_seed(0)
    untouched = efficientat.build(efficientat.CARDS[0], None)
    assert torch.equal(untouched.features[0][0].weight, first.encoder.features[0][0].weight)


def test_takes_no_weights(tmp_path):
    with pytest.raises(BadInput, match="takes no weights"):
        load_encoder(ID, tmp_path)


def test_statistics_bring_an_untrained_network_to_life():
    twin = load_encoder(ID)
    digest, weight = twin.weights_digest, twin.encoder.features[0][0].weight.clone()
    assert twin.needs_stats
    faint = embed(twin, _clips()).std()
    fit(twin, _clips(seed=1))
    assert embed(twin, _clips()).std() > 10 * faint
    assert twin.weights_digest == digest
    assert torch.equal(weight, twin.encoder.features[0][0].weight)
    assert not any(m.training for m in twin.modules())


def test_statistics_average_over_clips_and_start_afresh():
    twin, clips = load_encoder(ID), _clips(3)
    norm = twin.encoder.features[0][1]
    means = []
    for clip in clips:
        fit(twin, [clip])
        means.append(norm.running_mean.clone())
    fit(twin, clips)  # three lengths, three batches
    torch.testing.assert_close(norm.running_mean, torch.stack(means).mean(0), rtol=1e-4, atol=1e-6)
    assert norm.momentum == 0.01


@pytest.mark.long
def test_twin_with_statistics_fits_the_contract():
    twin = load_encoder(ID)
    fit(twin, _clips())
    assert check_encoder(twin) == []


def test_without_batch_norm_nothing_is_measured():
    twin = load_encoder("random.whisper.base@short")
    assert not twin.needs_stats

    def never():
        raise AssertionError("read a batch")
        yield

    twin.fit_stats(never())
    assert embed(twin, _clips(1), None).shape == (1, 512)
