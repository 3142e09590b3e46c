import math

import pytest
import torch

from bench.base.errors import BadInput
from bench.finetune.methods import create_method
from bench.finetune.methods.ce_center import center_loss, moved_centers
from bench.finetune.methods.ce_weighted import inverse_weights
from bench.finetune.methods.focal import focal_loss
from bench.finetune.methods.label_smoothing import smoothed_cross_entropy
from bench.finetune.methods.shared.cross_entropy import cross_entropy, mixed_cross_entropy
from toy_methods import FACTS, ToyModel, batch, random, same, softmax_row, trained

LABEL = torch.tensor([0, 3, 1, 1, 2, 0, 3])


def each(logits, label):
    return [-softmax_row(list(logits[i]), int(y)) for i, y in enumerate(label)]


def test_cross_entropy_is_the_plain_sum():
    same(lambda z: cross_entropy(z, LABEL), lambda z: sum(each(z, LABEL)) / len(LABEL), random(7, 4))


@pytest.mark.parametrize("label", [LABEL, torch.tensor([2]), torch.tensor([1, 1, 1])])
def test_weighted_cross_entropy_is_the_plain_weighted_mean(label):
    weight = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)

    def slow(z):
        own = [float(weight[y]) for y in label]
        return sum(w * loss for w, loss in zip(own, each(z, label), strict=True)) / sum(own)

    same(lambda z: cross_entropy(z, label, weight), slow, random(len(label), 4))


def test_a_batch_without_weight_has_no_loss():
    z = random(2, 4)
    loss = cross_entropy(z, torch.tensor([1, 1]), torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64))
    assert loss.item() == 0
    assert torch.autograd.grad(loss, z)[0].abs().max() == 0


def test_inverse_weights_of_icbhi_are_the_published_ones():
    weights = inverse_weights((2063, 1215, 501, 363))
    torch.testing.assert_close(weights, torch.tensor([0.0800, 0.1358, 0.3295, 0.4547]), atol=1e-4, rtol=0)
    assert inverse_weights((3, 0, 1)).tolist() == pytest.approx([0.25, 0, 0.75])


def test_weights_come_in_three_ways_and_must_fit_the_classes():
    assert create_method("ce-weighted", FACTS).weight.tolist() == pytest.approx([1 / 19, 2 / 19, 4 / 19, 12 / 19])
    assert create_method("ce-weighted", FACTS, weights="published").weight.tolist() == pytest.approx(
        [0.08, 0.1358, 0.3295, 0.4547]
    )
    assert create_method("ce-weighted", FACTS, weights=[1, 2, 3, 4]).weight.tolist() == [1, 2, 3, 4]
    assert create_method("ce-weighted", FACTS, weights="none").weight is None
    with pytest.raises(BadInput, match="4 weights for 2 classes"):
        create_method("ce-weighted", FACTS._replace(classes=2, counts=(1, 1)), weights="published")
    for wrong in ("equal", [1, -1, 1, 1], [0, 0, 0, 0], 3, [1, True, "a", 1]):
        with pytest.raises(BadInput, match="weights"):
            create_method("ce-weighted", FACTS, weights=wrong)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 3.5])
def test_focal_is_the_plain_sum(gamma):
    weight = torch.tensor([0.5, 1.0, 2.0, 0.0], dtype=torch.float64)

    def slow(z):
        total = 0
        for loss, y in zip(each(z, LABEL), LABEL, strict=True):
            total = total + weight[y] * (1 - torch.exp(-loss)) ** gamma * loss
        return total / len(LABEL)

    same(lambda z: focal_loss(z, LABEL, gamma, weight), slow, random(7, 4))


def test_focal_by_hand():
    z = torch.tensor([[0.0, 0.0], [math.log(3.0), 0.0]])
    expected = (0.25 * math.log(2) + (1 / 16) * math.log(4 / 3)) / 2
    assert focal_loss(z, torch.tensor([0, 0]), 2.0).item() == pytest.approx(expected)
    same(lambda x: focal_loss(x, LABEL, 0.0), lambda x: cross_entropy(x, LABEL), random(7, 4))


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.0])
def test_focal_of_a_clip_that_is_surely_right_or_surely_wrong_is_finite(gamma):
    z = torch.tensor([[200.0, 0.0], [0.0, 200.0]], requires_grad=True)
    loss = focal_loss(z, torch.tensor([0, 0]), gamma)
    assert loss.item() == pytest.approx(100)
    assert torch.autograd.grad(loss, z)[0].isfinite().all()


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_label_smoothing_is_the_plain_sum(smoothing):
    def slow(z):
        total = 0
        for i, y in enumerate(LABEL):
            for k in range(4):
                share = (1 - smoothing) * int(k == y) + smoothing / 4
                total = total - share * softmax_row(list(z[i]), k)
        return total / len(LABEL)

    same(lambda z: smoothed_cross_entropy(z, LABEL, smoothing), slow, random(7, 4))


def test_mixed_cross_entropy_is_the_plain_sum():
    other, share = LABEL.flip(0), torch.linspace(0, 1, 7, dtype=torch.float64)

    def slow(z):
        pairs = zip(share, each(z, LABEL), each(z, other), strict=True)
        return sum(s * a + (1 - s) * b for s, a, b in pairs) / 7

    same(lambda z: mixed_cross_entropy(z, LABEL, other, share), slow, random(7, 4))


def test_center_loss_is_the_plain_sum():
    def slow(x, centers):
        return sum((x[i, d] - centers[y, d]) ** 2 for i, y in enumerate(LABEL) for d in range(3)) / (2 * 3 * 7)

    same(lambda x, c: center_loss(x, LABEL, c), slow, random(7, 3), random(4, 3, seed=1))


def test_centers_move_as_the_source_says():
    x, centers = random(7, 3).detach(), random(4, 3, seed=1).detach()
    expected = centers.clone()
    for k in range(4):
        own = [i for i, y in enumerate(LABEL) if y == k]
        apart = sum((centers[k] - x[i] for i in own), torch.zeros(3, dtype=torch.float64))
        expected[k] -= 0.5 * apart / (1 + len(own))
    torch.testing.assert_close(moved_centers(x, LABEL, centers, 0.5), expected)


def test_centers_move_in_training_alone():
    ours, model = create_method("ce-center", FACTS), ToyModel()
    tensor = ours.centers
    ours.eval()
    trained(ours, model, batch([0, 1]))
    assert ours.centers.abs().max() == 0
    ours.train()
    features = model.features(batch([0, 1]))
    trained(ours, model, batch([0, 1]))
    torch.testing.assert_close(ours.centers[0], features[0].detach() / 4)
    assert ours.centers[2:].abs().max() == 0 and "centers" in ours.state_dict()
    assert ours.centers is tensor  # which averages of weights hold on to


@pytest.mark.parametrize("name", ["ce", "ce-weighted", "focal", "label-smoothing", "ce-center"])
def test_a_method_is_its_function_of_the_model(name):
    ours, model, given = create_method(name, FACTS), ToyModel(), batch([0, 1, 2, 3, 0])
    logits = model.logits(model.features(given))
    expected = {
        "ce": lambda: cross_entropy(logits, given.label),
        "ce-weighted": lambda: cross_entropy(logits, given.label, inverse_weights(FACTS.counts)),
        "focal": lambda: focal_loss(logits, given.label, 2.0),
        "label-smoothing": lambda: smoothed_cross_entropy(logits, given.label, 0.1),
        "ce-center": lambda: cross_entropy(logits, given.label) + 0.25 * model.features(given).square().mean(),
    }[name]()
    assert trained(ours, model, given)[0] == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close(ours.scores(model, model.features(given), given.row), logits)
