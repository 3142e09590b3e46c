import math

import pytest
import torch

from bench.base.errors import BadInput, UnknownId
from bench.finetune.methods import create_method
from bench.finetune.methods.shared.cross_entropy import cross_entropy
from bench.finetune.methods.shared.vectors import cosines, normalise
from bench.finetune.methods.supcon import sup_con
from toy_methods import FACTS, ToyModel, batch, cosine, random, same, softmax_row, trained


def slow(views, group, temperature):
    rows = [(v, b) for v in range(views.shape[0]) for b in range(views.shape[1]) if group[b] >= 0]
    losses = []
    for a, (va, ba) in enumerate(rows):
        near = [cosine(views[va, ba], views[v, b]) / temperature for v, b in rows]
        others = [j for j in range(len(rows)) if j != a]
        positives = [j for j in others if group[rows[j][1]] == group[ba]]
        if positives:
            losses.append(-sum(softmax_row(near, j, others) for j in positives) / len(positives))
    return sum(losses) / len(losses) if losses else 0 * views.sum()


@pytest.mark.parametrize(
    ("views", "group"),
    [
        (2, [0, 1, 0, 2, 1]),
        (2, [0, 0, 0]),  # one class
        (2, [1]),  # one clip
        (2, [0, -1, 0, -1, 1]),  # some unknown
        (2, [-1, -1]),  # all unknown
        (1, [0, 1, 0, 2]),  # anchors without positives
        (1, [0, 1, 2]),  # nothing but those
        (1, [0]),
        (3, [0, 1, 0]),
    ],
)
@pytest.mark.parametrize("temperature", [0.06, 1.0])
def test_sup_con_is_the_plain_sum(views, group, temperature):
    code = torch.tensor(group)
    inputs = random(views, len(group), 5)
    same(lambda v: sup_con(v, code, temperature), lambda v: slow(v, code, temperature), inputs, atol=1e-9)


def test_sup_con_by_hand():
    views = torch.eye(2).repeat(2, 1, 1)  # two clips at right angles, both views alike
    e = math.exp(1 / 0.5)
    assert sup_con(views, torch.tensor([0, 1]), 0.5).item() == pytest.approx(-math.log(e / (e + 2)))
    together = -(math.log(e / (e + 2)) + 2 * math.log(1 / (e + 2))) / 3
    assert sup_con(views, torch.tensor([5, 5]), 0.5).item() == pytest.approx(together)


def test_gradients_agree_with_finite_differences():
    group = torch.tensor([0, 1, 0, -1])
    assert torch.autograd.gradcheck(lambda v: sup_con(v, group, 0.3), random(2, 4, 3))


def test_features_without_a_direction_pass_no_gradient():
    x = torch.zeros(2, 3, requires_grad=True)
    normalise(x).sum().backward()
    assert x.grad.abs().max() == 0
    views = torch.zeros(2, 3, 4, requires_grad=True)
    loss = sup_con(views, torch.tensor([0, 0, 1]), 0.06)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(5)) and views.grad.isfinite().all()


def test_cosines_are_exact_under_mixed_precision():
    a, b = torch.randn(4, 64), torch.randn(5, 64)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = cosines(a.bfloat16(), b.bfloat16())
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, cosines(a.bfloat16().float(), b.bfloat16().float()))


def test_supcon_trains_the_head_on_features_that_pass_nothing_on():
    model, given = ToyModel(), batch([0, 1, 2, 3, 0])
    ours = create_method("supcon", FACTS)
    loss, gradient = trained(ours, model, given)
    assert [view for view, _ in model.asked] == [0, 1]
    seen = [model.features(given, view=view) for view in (0, 1)]
    contrast = sup_con(torch.stack([ours.projector(x) for x in seen]), given.label, 0.06)
    told = cross_entropy(model.logits(torch.cat(seen)), torch.cat([given.label, given.label]))
    assert loss == pytest.approx((contrast + told).item(), rel=1e-5)
    model.zero_grad()
    contrast.backward()
    torch.testing.assert_close(gradient["model.embed.weight"], model.embed.weight.grad)
    assert gradient["model.head.weight"].abs().max() > 0
    assert model.head.weight.grad is None


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_hybrid_weighs_contrast_and_cross_entropy(alpha):
    model, given = ToyModel(), batch([0, 1, 2, 3, 0], domain=[0, 0, 1, -1, 2])
    ours = create_method("scl-hybrid", FACTS, alpha=alpha, positives="domain")
    assert ours.needs == {"meta:domain"}
    loss, _ = trained(ours, model, given)
    seen = [model.features(given, view=view) for view in (0, 1)]
    contrast = sup_con(torch.stack([ours.projector(x) for x in seen]), given.meta["domain"], 0.06)
    each = -model.logits(torch.cat(seen)).log_softmax(1).gather(1, given.label.repeat(2)[:, None])[:, 0]
    weight = torch.tensor([1 / FACTS.counts[y] for y in given.label.repeat(2)])  # rarer classes weigh more
    told = (weight * each).sum() / weight.sum()
    assert loss == pytest.approx((alpha * contrast + (1 - alpha) * told).item(), rel=1e-5)
    even = trained(create_method("scl-hybrid", FACTS, alpha=0.0, weights="none"), model, given)[0]
    assert even == pytest.approx(each.mean().item(), rel=1e-5)


@pytest.mark.parametrize("name", ["supcon", "scl-hybrid"])
@pytest.mark.parametrize("positives", ["label", "domain"])
@pytest.mark.parametrize("label", [[0, 1, 2, 3], [1, 1, 1], [2]])
@pytest.mark.parametrize("domain", [0, -1])
def test_degenerate_batches_train(name, positives, label, domain):
    trained(create_method(name, FACTS, positives=positives), ToyModel(), batch(label, domain=[domain] * len(label)))


@pytest.mark.parametrize("name", ["supcon", "scl-hybrid"])
def test_columns_must_exist_and_differ(name):
    assert create_method(name, FACTS).needs == frozenset()
    with pytest.raises(UnknownId, match="column of metadata 'domian'; did you mean 'domain'"):
        create_method(name, FACTS, positives="domian")
    with pytest.raises(BadInput, match="do not differ in 'domain'"):
        create_method(name, FACTS._replace(domains={"domain": 1}), positives="domain")
