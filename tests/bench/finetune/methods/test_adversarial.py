import math

import pytest
import torch

from bench.base.errors import BadInput, UnknownId
from bench.finetune.methods import create_method
from bench.finetune.methods.dat import domain_loss, reversal_strength, reversed_gradient
from bench.finetune.methods.shared.cross_entropy import cross_entropy
from bench.finetune.methods.supcon import sup_con
from toy_methods import FACTS, ToyModel, batch, random, same, softmax_row, trained


def test_strength_rises_from_nothing_to_one():
    assert reversal_strength(0, 10) == 0
    assert reversal_strength(0.1, 10) == pytest.approx(math.tanh(0.5))
    assert reversal_strength(1, 10) == pytest.approx(1, abs=1e-4)
    assert reversal_strength(0.5, 0) == 0


def test_reversal_is_the_identity_with_its_gradient_turned():
    x = random(3, 4)
    turned = reversed_gradient(x, 0.3)
    assert torch.equal(turned, x)
    assert torch.allclose(torch.autograd.grad(turned.square().sum(), x)[0], -0.6 * x)


@pytest.mark.long
@pytest.mark.parametrize("domain", [[0, 2, -1, 1], [1, 1, 1, 1], [-1, -1, 0, -1], [-1, -1, -1, -1]])
def test_domain_loss_is_the_plain_mean_over_known_clips(domain):
    known = [i for i, d in enumerate(domain) if d >= 0]

    def slow(z):
        return -sum((softmax_row(list(z[i]), domain[i]) for i in known), 0 * z.sum()) / max(len(known), 1)

    same(lambda z: domain_loss(z, torch.tensor(domain)), slow, random(4, 3))


def test_dat_turns_the_gradient_of_the_domain_for_the_encoder_alone():
    model, given = ToyModel(), batch([0, 1, 2, 3, 0], domain=[0, 1, 2, -1, 1], progress=0.2)
    ours = create_method("dat", FACTS, alpha=0.8)
    assert ours.needs == {"meta:domain"} and ours.domains.out_features == 3
    loss, gradient = trained(ours, model, given)

    def told():
        return 0.8 * domain_loss(ours.domains(model.features(given)), given.meta["domain"])

    def classified():
        return cross_entropy(model.logits(model.features(given)), given.label)

    assert loss == pytest.approx((told() + classified()).item(), rel=1e-6)
    encoder = model.embed.weight
    by_domain, by_class = (torch.autograd.grad(of(), encoder)[0] for of in (told, classified))
    torch.testing.assert_close(gradient["model.embed.weight"], by_class - reversal_strength(0.2, 10) * by_domain)
    torch.testing.assert_close(gradient["method.domains.weight"], torch.autograd.grad(told(), ours.domains.weight)[0])


@pytest.mark.parametrize("reverse", [True, False])
def test_supcon_dat_contrasts_domains_behind_the_reversal(reverse):
    model, given = ToyModel(), batch([0, 1, 2, 3, 0], domain=[0, 1, 1, -1, 0], progress=0.2)
    ours = create_method("supcon-dat", FACTS, alpha=0.8, reverse=reverse)
    loss, gradient = trained(ours, model, given)
    assert [view for view, _ in model.asked] == [0, 1]

    def told():
        seen = torch.stack([ours.projector(model.features(given, view=view)) for view in (0, 1)])
        return 0.8 * sup_con(seen, given.meta["domain"], 0.06)

    def classified():
        return cross_entropy(model.logits(model.features(given)), given.label)

    assert loss == pytest.approx((told() + classified()).item(), rel=1e-5)
    by_domain, by_class = (torch.autograd.grad(of(), model.embed.weight)[0] for of in (told, classified))
    strength = -reversal_strength(0.2, 10) if reverse else 1.0
    expected = by_class + strength * by_domain
    torch.testing.assert_close(gradient["model.embed.weight"], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("progress", [0.0, 0.2])
def test_full_strength_is_one_from_the_first_step(progress):
    model, given = ToyModel(), batch([0, 1, 2, 3, 0], domain=[0, 1, 2, -1, 1], progress=progress)
    ramp, full = (create_method("dat", FACTS, strength=strength) for strength in ("ramp", "full"))
    full.load_state_dict(ramp.state_dict())
    (loss, gradient), (same_loss, other) = trained(full, model, given), trained(ramp, model, given)
    assert loss == same_loss
    by_domain = torch.autograd.grad(
        domain_loss(full.domains(model.features(given)), given.meta["domain"]), model.embed.weight
    )[0]
    apart = gradient["model.embed.weight"] - other["model.embed.weight"]
    torch.testing.assert_close(apart, -(1 - reversal_strength(progress, 10)) * by_domain, atol=1e-7, rtol=1e-4)
    torch.testing.assert_close(gradient["method.domains.weight"], other["method.domains.weight"])


def test_the_norm_of_the_domain_head_is_the_plain_formula():
    model, given = ToyModel(), batch([0, 1, 2, 3], domain=[0, 1, 2, 1])
    ours = create_method("dat", FACTS, domain_norm=True)
    x = model.features(given)
    mean = x.mean(1, keepdim=True)
    normed = (x - mean) / ((x - mean).square().mean(1, keepdim=True) + 1e-5).sqrt()
    expected = cross_entropy(model.logits(x), given.label) + domain_loss(ours.domains(normed), given.meta["domain"])
    assert trained(ours, model, given)[0] == pytest.approx(expected.item(), rel=1e-5)
    plain = create_method("dat", FACTS)
    plain.domains.load_state_dict(ours.domains.state_dict())
    assert trained(plain, model, given)[0] != pytest.approx(expected.item(), rel=1e-3)


def test_a_stopped_second_view_changes_the_gradient_alone():
    model, given = ToyModel(), batch([0, 1, 2, 3, 0], domain=[0, 1, 1, -1, 0])
    free, stopped = (create_method("supcon-dat", FACTS, reverse=False, stopped=stop) for stop in (False, True))
    stopped.load_state_dict(free.state_dict())
    (loss, _), (same_loss, gradient) = trained(free, model, given), trained(stopped, model, given)
    assert loss == pytest.approx(same_loss, rel=1e-6)
    first, second = (stopped.projector(model.features(given, view=view)) for view in (0, 1))
    constant = second.detach().clone()
    expected = cross_entropy(model.logits(model.features(given)), given.label)
    expected = expected + sup_con(torch.stack([first, constant]), given.meta["domain"], 0.06)
    by_hand = torch.autograd.grad(expected, model.embed.weight)[0]
    torch.testing.assert_close(gradient["model.embed.weight"], by_hand, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["dat", "supcon-dat"])
@pytest.mark.parametrize("label", [[0, 1, 2, 3], [1, 1, 1], [2]])
@pytest.mark.parametrize("domain", [0, -1])
@pytest.mark.parametrize("progress", [0.0, 1.0])
def test_degenerate_batches_train(name, label, domain, progress):
    given = batch(label, domain=[domain] * len(label), progress=progress)
    trained(create_method(name, FACTS), ToyModel(), given)


@pytest.mark.parametrize("name", ["dat", "supcon-dat"])
def test_unknown_domains_leave_cross_entropy_alone(name):
    model, given = ToyModel(), batch([0, 1, 2], domain=[-1, -1, -1])
    loss, _ = trained(create_method(name, FACTS), model, given)
    assert loss == pytest.approx(cross_entropy(model.logits(model.features(given)), given.label).item(), rel=1e-6)


@pytest.mark.parametrize("name", ["dat", "supcon-dat"])
def test_columns_must_exist_and_differ(name):
    assert create_method(name, FACTS, column="sex").needs == {"meta:sex"}
    with pytest.raises(UnknownId, match="column of metadata"):
        create_method(name, FACTS, column="hospital")
    with pytest.raises(BadInput, match="do not differ in 'domain'"):
        create_method(name, FACTS._replace(domains={"domain": 1}))


@pytest.mark.parametrize("label", [[0, 1, 2], [1]])
def test_a_projector_takes_running_statistics_for_a_batch_of_one(label):
    ours = create_method("supcon-dat", FACTS)
    before = ours.projector[1].running_mean.clone()
    trained(ours, ToyModel(), batch(label))
    assert torch.equal(before, ours.projector[1].running_mean) == (len(label) == 1)
