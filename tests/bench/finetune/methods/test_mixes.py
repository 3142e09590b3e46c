import numpy as np
import pytest
import torch

from bench.base.errors import BadInput
from bench.finetune.methods import create_method
from bench.finetune.methods.lungmix import hold, loud_samples, lung_mask, mask_share
from bench.finetune.methods.repaugment import disturb_features, mask_features
from bench.finetune.methods.shared.cross_entropy import cross_entropy, mixed_cross_entropy
from bench.finetune.methods.shared.mixing import draw_partners, draw_shares, overlay, pair_waves
from toy_methods import FACTS, SAMPLES, ToyModel, batch, trained


def test_shares_follow_the_beta_distribution_and_the_generator():
    drawn = draw_shares(batch([0]), 0.5, 4000)
    # 5 and 7 standard errors: the fourth central moment of Beta(1/2, 1/2) is 3/128
    assert drawn.mean().item() == pytest.approx(0.5, abs=0.028)
    assert drawn.var().item() == pytest.approx(0.125, abs=0.01)
    torch.manual_seed(5)
    assert torch.equal(drawn, draw_shares(batch([0]), 0.5, 4000))
    assert sorted(draw_partners(batch([0] * 6)).tolist()) == list(range(6))


def test_shorter_clips_are_repeated_to_the_longer_one():
    given = batch([0, 1], length=[3, 7])
    pair = pair_waves(given, torch.tensor([1, 0]), torch.tensor([0, 2]))
    wave = given.wave
    assert pair.length.tolist() == [7, 7]
    for t in range(SAMPLES):
        assert pair.own[0, t] == wave[0, t % 3] and pair.other[0, t] == wave[1, t % 7]
        assert pair.own[1, t] == wave[1, t % 7] and pair.other[1, t] == wave[0, (t + 2) % 3]
        assert pair.audible[:, t].tolist() == [t < 7] * 2
    mixed = overlay(pair, torch.full((2, 1), 0.25))
    torch.testing.assert_close(mixed[0, 5], 0.25 * wave[0, 2] + 0.75 * wave[1, 5])
    assert mixed[:, 7:].abs().max() == 0


def test_mixup_of_waves_mixes_clips_and_labels_alike():
    model, given = ToyModel(), batch([0, 1, 2, 3], seed=3)
    loss, _ = trained(create_method("mixup", FACTS, alpha=2.0), model, given)
    again = batch([0, 1, 2, 3], seed=3)
    share, partner = draw_shares(again, 2.0).item(), draw_partners(again)
    mixed = share * again.wave + (1 - share) * again.wave[partner]
    torch.testing.assert_close(model.asked[0][1], mixed)
    logits = model.logits(model.features(again._replace(wave=mixed)))
    expected = sum(
        share * cross_entropy(logits[i : i + 1], again.label[i : i + 1])
        + (1 - share) * cross_entropy(logits[i : i + 1], again.label[partner[i]][None])
        for i in range(4)
    )
    assert loss == pytest.approx(expected.item() / 4, rel=1e-5)


def test_mixup_of_features_mixes_what_reaches_the_head():
    model, given = ToyModel(), batch([0, 1, 2, 3], seed=3)
    loss, _ = trained(create_method("mixup", FACTS, level="features"), model, given)
    again = batch([0, 1, 2, 3], seed=3)
    share, partner = draw_shares(again, 0.2).item(), draw_partners(again)
    features = model.features(again)
    logits = model.logits(share * features + (1 - share) * features[partner])
    expected = mixed_cross_entropy(logits, again.label, again.label[partner], share)
    assert loss == pytest.approx(expected.item(), rel=1e-5)


def test_loud_samples_are_those_beyond_two_deviations_and_their_neighbours():
    wave = 0.1 * torch.randn(2, 60, generator=torch.Generator().manual_seed(0))
    wave[0, 30], wave[1, 2] = 4.0, -4.0
    found = loud_samples(wave, 5)
    for i in range(2):
        x = wave[i].double().numpy()
        beyond = np.abs(x) > abs(x.mean() + 2 * x.std())
        for t in range(60):
            assert found[i, t].item() == beyond[max(t - 2, 0) : t + 3].any()
    assert found[0].sum() == 5 and found[1].sum() == 5


def test_mask_is_the_share_where_loud_and_chance_elsewhere():
    given = batch([0, 1], length=[SAMPLES, 25])
    pair = pair_waves(given, torch.tensor([1, 0]))
    coin, share = torch.tensor([[1.0] * 6, [0.0, 1.0] * 3]), torch.tensor([0.3, 0.8])
    mask = lung_mask(pair, share, coin, 7, 7)
    either = loud_samples(pair.own, 7) | loud_samples(pair.other, 7)
    assert 0 < either.float().mean() < 1
    for i in range(2):
        for t in range(SAMPLES):
            assert mask[i, t].item() == pytest.approx(share[i].item() if either[i, t] else coin[i, t // 7].item())
    assert hold(torch.tensor([[1.0, 0.0]]), 2, 3).tolist() == [[1, 1, 0]]
    short = torch.tensor([[True] * 4 + [False] * 36] * 2)
    assert mask_share(mask, short)[1].item() == pytest.approx(mask[1, :4].mean().item())
    assert mask_share(mask, pair.audible)[0].item() == pytest.approx(mask[0].mean().item())


def test_lungmix_mixes_clips_under_the_mask_and_labels_by_share():
    model, ours = ToyModel(), create_method("lungmix-style", FACTS, window=5, held=5)
    loss, _ = trained(ours, model, batch([0, 1, 2, 3], seed=3, length=[SAMPLES, 30, 20, 10]))
    again = batch([0, 1, 2, 3], seed=3, length=[SAMPLES, 30, 20, 10])
    partner = draw_partners(again)
    start = torch.randint(SAMPLES, (4,), generator=again.generator)
    coin = torch.randint(2, (4, 8), generator=again.generator).float()
    share = draw_shares(again, 0.5, 4)
    pair = pair_waves(again, partner, start)
    mask = lung_mask(pair, share, coin, 5, 5)
    mixed = again._replace(wave=overlay(pair, mask), length=pair.length)
    torch.testing.assert_close(model.asked[0][1], mixed.wave)
    logits = model.logits(model.features(mixed))
    kept = [mask[i, : int(pair.length[i])].mean() for i in range(4)]
    expected = mixed_cross_entropy(logits, again.label, again.label[partner], torch.stack(kept))
    assert loss == pytest.approx(expected.item(), rel=1e-5)


def test_lungmix_as_released_is_a_coin_for_each_sample_and_the_union_of_labels():
    model = ToyModel()
    ours = create_method("lungmix-style", FACTS, mask="chance", held=1, labels="union")
    loss, _ = trained(ours, model, batch([0, 1, 2, 3, 1], seed=3))
    again = batch([0, 1, 2, 3, 1], seed=3)
    partner = draw_partners(again)
    start = torch.randint(SAMPLES, (5,), generator=again.generator)
    coin = torch.randint(2, (5, SAMPLES), generator=again.generator)
    for i in range(5):
        for t in range(SAMPLES):
            source = again.wave[i, t] if coin[i, t] else again.wave[partner[i], (t + start[i]) % SAMPLES]
            assert model.asked[0][1][i, t] == source
    union = {(0, 1): 1, (0, 2): 2, (1, 2): 3}
    pairs = [tuple(sorted((int(a), int(b)))) for a, b in zip(again.label, again.label[partner], strict=True)]
    label = torch.tensor([a if a == b else union.get((a, b), 3) for a, b in pairs])
    logits = model.logits(model.features(again._replace(wave=model.asked[0][1])))
    assert loss == pytest.approx(cross_entropy(logits, label).item(), rel=1e-5)


def test_the_union_of_labels_is_that_of_lung_sounds_alone():
    with pytest.raises(BadInput, match="labels = 'union' for 3 classes"):
        create_method("lungmix-style", FACTS._replace(classes=3, counts=(1, 2, 3)), labels="union")


def test_windows_are_odd():
    with pytest.raises(BadInput, match="window = 4; give window as an odd whole number"):
        create_method("lungmix-style", FACTS, window=4)


def test_masking_and_disturbance_by_hand():
    features = torch.tensor([[1.0, 3.0], [5.0, 5.0]], requires_grad=True)
    noise = torch.tensor([[1.0, -1.0], [2.0, 2.0]])
    out = disturb_features(features, noise, 0.5)
    assert out.tolist() == [[1.5, 2.5], [5.0, 5.0]]
    told = torch.tensor([[True, False], [False, True]])
    kept = mask_features(out, told, "zero")
    assert kept.tolist() == [[1.5, 0.0], [0.0, 5.0]]
    kept.sum().backward()
    assert features.grad.tolist() == [[1, 0], [0, 1]]
    assert mask_features(out, told, "batch").tolist() == [[1.5, 3.75], [3.25, 5.0]]
    assert mask_features(out, told, "clip").tolist() == [[1.5, 2.0], [5.0, 5.0]]


def test_repaugment_shares_the_loss_between_plain_and_augmented_features():
    model, given = ToyModel(), batch([0, 1, 2, 3], seed=3)
    plain = cross_entropy(model.logits(model.features(given)), given.label).item()
    assert trained(create_method("repaugment-style", FACTS, mask=0, noise=0), model, given)[0] == pytest.approx(plain)
    assert trained(create_method("repaugment-style", FACTS, weight=0), model, given)[0] == pytest.approx(plain)
    nothing = cross_entropy(model.head.bias.expand(4, 4), given.label).item()
    assert trained(create_method("repaugment-style", FACTS, mask=1, weight=1, fill="zero"), model, given)[
        0
    ] == pytest.approx(nothing)
    again = batch([0, 1, 2, 3], seed=3)
    loss = trained(create_method("repaugment-style", FACTS), model, given)[0]
    given = batch([0, 1, 2, 3], seed=3)
    assert trained(create_method("repaugment-style", FACTS), model, again)[0] == pytest.approx(
        trained(create_method("repaugment-style", FACTS), model, given)[0]
    )
    assert loss != pytest.approx(plain)


@pytest.mark.parametrize(
    ("name", "hyper"),
    [("mixup", {}), ("mixup", {"level": "features"}), ("lungmix-style", {}), ("repaugment-style", {})],
)
@pytest.mark.parametrize("label", [[0, 1, 2, 3], [1, 1, 1], [2]])
@pytest.mark.parametrize("length", [SAMPLES, 1])
def test_degenerate_batches_train(name, hyper, label, length):
    trained(create_method(name, FACTS, **hyper), ToyModel(), batch(label, length=[length] * len(label)))


def test_one_clip_is_mixed_with_itself():
    model, given = ToyModel(), batch([2])
    create_method("mixup", FACTS).loss(model, given)
    torch.testing.assert_close(model.asked[0][1], given.wave)
