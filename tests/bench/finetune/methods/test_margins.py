import math

import pytest
import torch

from bench.finetune.methods import create_method
from bench.finetune.methods.log_margin import class_margins
from bench.finetune.methods.quality_margin import quality_margins
from bench.finetune.methods.shared.cross_entropy import cross_entropy
from bench.finetune.methods.shared.margin import am_softmax, arc_face
from bench.finetune.methods.shared.vectors import cosines
from toy_methods import FACTS, ToyModel, batch, cosine, random, same, trained

LABEL = torch.tensor([0, 2, 1, 1, 2, 0])
MARGINS = ["am-softmax", "arcface", "aam", "log-margin", "quality-margin"]


def slow(x, prototypes, margin, scale, angular):
    logits = torch.zeros(len(x), len(prototypes), dtype=torch.float64)
    for i, y in enumerate(LABEL):
        for k in range(len(prototypes)):
            c, m = cosine(x[i], prototypes[k]), float(margin[i])
            if k == y and not angular:
                c = c - m
            elif k == y:
                angle = torch.acos(c)
                c = torch.cos(angle + m) if angle + m < math.pi else c - m * math.sin(math.pi - m)
            logits[i, k] = scale * c
    return logits


@pytest.mark.parametrize("margin", [0.0, 0.3, 1.4])
def test_arc_face_is_the_plain_formula(margin):
    def ours(x, w):
        return arc_face(cosines(x, w), LABEL, margin, 8.0)

    same(ours, lambda x, w: slow(x, w, [margin] * 6, 8.0, True), random(6, 3), random(3, 3, seed=1), atol=1e-8)


def test_arc_face_takes_a_margin_for_each_clip():
    margin = torch.linspace(0, 1.5, 6, dtype=torch.float64)

    def ours(x, w):
        return arc_face(cosines(x, w), LABEL, margin, 8.0)

    same(ours, lambda x, w: slow(x, w, margin, 8.0, True), random(6, 3, seed=2), random(3, 3, seed=3), atol=1e-8)


def test_am_softmax_is_the_plain_formula():
    def ours(x, w):
        return am_softmax(cosines(x, w), LABEL, 0.4, 30.0)

    same(ours, lambda x, w: slow(x, w, [0.4] * 6, 30.0, False), random(6, 3), random(3, 3, seed=1), atol=1e-8)


def test_angles_by_hand():
    cosine = torch.tensor([[0.5, 0.0], [-1.0, 0.0], [1.0, 0.0]])
    logits = arc_face(cosine, torch.tensor([0, 0, 0]), math.pi / 6, 2.0)
    assert logits[0].tolist() == pytest.approx([2 * math.cos(math.pi / 2), 0], abs=1e-6)
    assert logits[1, 0].item() == pytest.approx(2 * (-1 - math.pi / 6 * 0.5))
    assert logits[2, 0].item() == pytest.approx(2 * math.cos(math.pi / 6), abs=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_on_a_prototype_and_opposite_to_it(dtype):
    w = torch.eye(3, dtype=dtype)
    for sign in (1, -1):
        x = (sign * 5 * w).requires_grad_()
        loss = cross_entropy(arc_face(cosines(x, w), torch.arange(3), 0.5, 37.0), torch.arange(3))
        assert torch.autograd.grad(loss, x)[0].isfinite().all()


def test_the_target_falls_throughout_where_the_fallback_takes_over():
    near = torch.linspace(-0.9999, 0.9999, 2001, dtype=torch.float64)
    target = arc_face(near[:, None], torch.zeros(2001, dtype=torch.int64), 0.7, 1.0)[:, 0]
    assert (target.diff() > 0).all()
    assert (target <= near + 1e-12).all()


def test_class_margins_of_icbhi_by_hand():
    margins = class_margins((2063, 1215, 501, 363), 0.2)
    assert margins.tolist() == pytest.approx([0.0573, 0.1008, 0.1735, 0.2], abs=1e-4)


def test_class_margins_of_degenerate_counts():
    assert class_margins((5, 0, 5), 0.2).tolist() == pytest.approx([0.2, 0.2, 0.2])
    assert class_margins((7, 0), 0.2).tolist() == pytest.approx([0, 0.2])
    assert class_margins((9, 1, 0), 0.3).tolist()[1:] == pytest.approx([0.3, 0.3])


def test_quality_margins_by_hand():
    margins = quality_margins(torch.tensor([0.0, 0.5, 1.0]), 0.2, 0.5)
    assert margins.tolist() == pytest.approx([0.1, 0.2, 0.3])


def test_quality_margin_is_the_sum_of_its_parts():
    given = batch([0, 1, 2, 3, 0, 3], quality=[0.0, 0.2, 0.5, 0.7, 1.0, 0.3])
    model, ours = ToyModel(), create_method("quality-margin", FACTS, gamma=0.3)
    assert ours.needs == {"quality"}
    loss, _ = trained(ours, model, given)
    total, n = 0.0, FACTS.counts
    features = model.features(given).double()
    for i, y in enumerate(given.label.tolist()):
        rarity = math.log(22 / n[y]) / math.log(22 / min(n))
        m = 0.3 * 0.2 * (1 + 0.5 * (2 * given.quality[i].item() - 1)) + 0.7 * 0.2 * rarity
        near = [cosine(features[i], ours.prototypes[k].double()).item() for k in range(4)]
        z = [37 * (math.cos(math.acos(c) + m) if k == y else c) for k, c in enumerate(near)]
        total += math.log(sum(math.exp(v - z[y]) for v in z))
    assert loss == pytest.approx(total / 6, rel=1e-5)


def test_margins_of_class_and_quality_differ_in_quality_alone():
    given = batch([0, 1, 2, 3], quality=[0.5] * 4)
    whole, part = create_method("quality-margin", FACTS), create_method("log-margin", FACTS, gamma=0.5)
    part.prototypes.data = whole.prototypes.data.clone()
    model = ToyModel()
    assert trained(part, model, given)[0] == pytest.approx(trained(whole, model, given)[0], rel=1e-6)
    better = trained(whole, model, given._replace(quality=torch.ones(4)))[0]
    assert better > trained(whole, model, given)[0]  # a better clip has to keep a wider margin
    assert torch.equal(create_method("log-margin", FACTS).margins, class_margins(FACTS.counts, 0.2))


@pytest.mark.parametrize("name", MARGINS)
def test_prediction_is_the_scaled_cosine_without_margin(name):
    model, ours = ToyModel(), create_method(name, FACTS)
    given = batch([0, 1, 2])
    features = model.features(given)
    scores = ours.scores(model, features, given.row)
    for i in range(3):
        for k in range(4):
            expected = ours.hyper["scale"] * cosine(features[i], ours.prototypes[k])
            assert scores[i, k].item() == pytest.approx(expected.item(), rel=1e-4, abs=1e-5)
    _, gradient = trained(ours, model, given)
    assert gradient["model.head.weight"] is None
    assert gradient["method.prototypes"].abs().max() > 0


@pytest.mark.parametrize("name", MARGINS)
@pytest.mark.parametrize("label", [[0, 1, 2, 3], [3, 3, 3], [1]])
@pytest.mark.parametrize("counts", [(12, 6, 3, 1), (12, 0, 0, 0), (5, 5, 5, 5)])
def test_degenerate_batches_train(name, label, counts):
    trained(create_method(name, FACTS._replace(counts=counts)), ToyModel(), batch(label))


def test_margins_move_with_the_method():
    assert "margins" in create_method("quality-margin", FACTS).state_dict()
