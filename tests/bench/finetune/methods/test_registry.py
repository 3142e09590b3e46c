import math

import pytest
import torch

from bench.base.errors import BadInput, UnknownId
from bench.finetune.methods import METHODS, create_method, default_options, describe
from toy_methods import FACTS, ToyModel, batch, trained


@pytest.mark.parametrize("name", METHODS)
def test_every_method_says_what_it_is(name):
    told = describe(name)
    assert told["name"] == name and told["formula"] and told["source"]
    assert set(told["limits"]) == set(told["defaults"])
    assert create_method(name, FACTS).hyper == told["defaults"]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_lowers_its_loss_and_survives_a_reload(name):
    torch.manual_seed(0)
    model, ours = ToyModel(), create_method(name, FACTS)
    weights = [*model.parameters(), *ours.parameters()]
    losses = []
    for step in range(80):
        loss = ours.loss(model, batch([0, 1, 2, 3, 0, 1], progress=0.0)._replace(generator=source(step)))
        gradient = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
        length = sum(g.square().sum() for g in gradient).sqrt()
        with torch.no_grad():
            for weight, g in zip(weights, gradient, strict=True):
                weight -= 0.05 * g / length
        losses.append(loss.item())
    assert sum(losses[-10:]) < sum(losses[:10])
    again = create_method(name, FACTS)
    again.load_state_dict(ours.state_dict())
    given = batch([0, 1, 2, 3])
    features = model.features(given)
    assert torch.equal(again.scores(model, features, given.row), ours.scores(model, features, given.row))


def source(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", METHODS)
def test_a_loss_depends_on_the_batch_generator_alone(name):
    torch.manual_seed(0)
    ours, model = create_method(name, FACTS), ToyModel()
    ours.eval()
    first = trained(ours, model, batch([0, 1, 2, 3], seed=4))[0]
    torch.manual_seed(99)
    assert trained(ours, model, batch([0, 1, 2, 3], seed=4))[0] == first


@pytest.mark.parametrize("name", METHODS)
def test_losses_are_finite_under_mixed_precision(name):
    with torch.autocast("cpu", torch.bfloat16):
        trained(create_method(name, FACTS), ToyModel(), batch([0, 1, 2, 3, 0]))


@pytest.mark.parametrize("name", METHODS)
def test_numbers_beyond_reason_are_refused(name):
    for key, default in default_options(name).items():
        if isinstance(default, float | int) and not isinstance(default, bool):
            for wrong in (-1, math.nan, math.inf, "1", True, None):
                with pytest.raises(BadInput, match=key):
                    create_method(name, FACTS, **{key: wrong})


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(UnknownId, match="method 'patch-mix'; did you mean 'patchmix'"):
        create_method("patch-mix", FACTS)
    with pytest.raises(UnknownId, match="hyper-parameter of focal 'gama'; did you mean 'gamma'"):
        create_method("focal", FACTS, gama=1)
    with pytest.raises(UnknownId, match="method"):
        describe("nothing")
    with pytest.raises(BadInput, match="negatives = 'some'; give negatives as one of all, diff_label"):
        create_method("patchmix-cl", FACTS, negatives="some")
    with pytest.raises(BadInput, match="reverse"):
        create_method("supcon-dat", FACTS, reverse="no")


@pytest.mark.parametrize("counts", [(1, 2, 3), (0, 0, 0, 0), (1, 1, 1, -1)])
def test_counts_must_be_those_of_the_classes(counts):
    with pytest.raises(BadInput, match="4 classes"):
        create_method("ce", FACTS._replace(counts=counts))
